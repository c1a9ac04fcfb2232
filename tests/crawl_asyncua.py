"""What crawl.mjs does, with asyncua's client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds as A

BATCH = 200
Row = dict[str, Any]


class Crawler:
    """Browses and reads in batches; ids are texts with namespace URIs."""

    def __init__(self, client: Client, namespaces: list[str]) -> None:
        self._client = client
        self.namespaces = namespaces
        self.ids: dict[str, Any] = {"i=85": ua.NodeId(ua.Int32(85))}
        self.nodes: dict[str, Row] = {"i=85": {"children": []}}
        self.problems: list[str] = []

    def text(self, node_id: Any) -> str:
        """The NodeId with its namespace's URI."""
        plain = ua.NodeId(node_id.Identifier, ua.Int16(0), node_id.NodeIdType)
        return self._prefix(node_id.NamespaceIndex) + plain.to_string()

    def _prefix(self, index: int) -> str:
        return f"nsu={self.namespaces[index]};" if index else ""

    def _good(self, key: str, what: str, status: Any) -> None:
        if status is not None and status.value >> 30:
            self.problems.append(f"{what} of {key}: {status.name}")

    async def browse(self) -> None:
        """Follow every hierarchical reference from Objects."""
        todo = ["i=85"]
        while todo:
            batch, todo = todo[:BATCH], todo[BATCH:]
            request = ua.BrowseParameters(NodesToBrowse=[_description(self.ids[key]) for key in batch])
            for key, first in zip(batch, await self._client.uaclient.browse(request), strict=True):
                async for reference in self._pages(key, first):
                    child = self.text(reference.NodeId)
                    self.nodes[key]["children"].append([self.text(reference.ReferenceTypeId), child])
                    if child not in self.ids:
                        self.ids[child] = reference.NodeId
                        kind = reference.TypeDefinition
                        told = (int(reference.NodeClass), reference.BrowseName.Name)
                        self.nodes[child] = {
                            "children": [],
                            "told": told,
                            "type": "" if kind.is_null() else self.text(kind),
                        }
                        todo.append(child)

    async def _pages(self, key: str, result: Any) -> AsyncIterator[Any]:
        while True:
            self._good(key, "browse", result.StatusCode)
            for reference in result.References:
                yield reference
            if not result.ContinuationPoint:
                return
            request = ua.BrowseNextParameters(ContinuationPoints=[result.ContinuationPoint])
            (result,) = await self._client.uaclient.browse_next(request)

    async def read(self) -> None:
        """Names of all nodes, values of all variables."""
        keys = list(self.nodes)
        rows = await self._read(keys, (A.NodeClass, A.BrowseName, A.DisplayName, A.Description))
        for key, (kind, name, display, description) in zip(keys, rows, strict=True):
            row = self.nodes[key]
            for what, found in (("NodeClass", kind), ("BrowseName", name), ("DisplayName", display)):
                self._good(key, what, found.StatusCode)
            row["class"] = int(_value(kind))
            row["name"] = self._prefix(_value(name).NamespaceIndex) + _value(name).Name
            row["display"] = _value(display).Text or ""
            row["description"] = _value(description).Text or "" if _value(description) is not None else ""
            if row.pop("told", (row["class"], _value(name).Name)) != (row["class"], _value(name).Name):
                self.problems.append(f"{key} is not what its reference says")
            row["children"].sort(key=",".join)
        keys = [key for key, row in self.nodes.items() if row["class"] == ua.NodeClass.Variable]
        rows = await self._read(keys, (A.Value, A.DataType, A.ValueRank))
        for key, (value, data_type, rank) in zip(keys, rows, strict=True):
            row = self.nodes[key]
            self._good(key, "DataType", data_type.StatusCode)
            self._good(key, "ValueRank", rank.StatusCode)
            row["dataType"] = self.text(_value(data_type)) if not _value(data_type).is_null() else ""
            row["rank"] = int(_value(rank))
            row["status"] = value.StatusCode.value if value.StatusCode is not None else 0
            content = _value(value)
            unit, limits = isinstance(content, ua.EUInformation), isinstance(content, ua.Range)
            row["unit"] = [content.UnitId, content.DisplayName.Text, content.NamespaceUri] if unit else None
            row["range"] = [content.Low, content.High] if limits else None

    async def _read(self, keys: Sequence[str], attributes: Sequence[A]) -> list[list[ua.DataValue]]:
        out = []
        for start in range(0, len(keys), BATCH):
            wanted = [
                ua.ReadValueId(self.ids[k], ua.UInt32(a)) for k in keys[start : start + BATCH] for a in attributes
            ]
            results = await self._client.uaclient.read(ua.ReadParameters(NodesToRead=wanted))
            out += [results[at : at + len(attributes)] for at in range(0, len(results), len(attributes))]
        return out


def _value(found: ua.DataValue) -> Any:
    return found.Value.Value if found.Value is not None else None


def _description(node_id: Any) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node_id,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=ua.NodeId(ua.Int32(33)),
        IncludeSubtypes=True,
        NodeClassMask=ua.UInt32(0),
        ResultMask=ua.UInt32(63),
    )


async def crawl(endpoint: str, *, values: bool = True) -> Row:
    """Namespaces, one row per node, and what was wrong; without `values` only what browsing tells."""
    async with Client(endpoint, timeout=30, watchdog_intervall=30) as client:
        crawler = Crawler(client, list(await client.get_namespace_array()))
        await crawler.browse()
        if values:
            await crawler.read()
        return {"namespaces": crawler.namespaces, "nodes": crawler.nodes, "problems": crawler.problems}
