"""What crawl.mjs does, with open62541 (through o6): `python crawl_open62541.py ENDPOINT FILE` writes the rows to FILE.

A process of its own, because o6 ends the process it is in after ten minutes and writes a banner.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import o6
from o6.ns import ns0

BATCH = 200
A = o6.AttributeId
Row = dict[str, Any]


class Crawler:
    """Browses and reads in batches; ids are texts with namespace URIs."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.namespaces = [str(uri) for uri in client.read("i=2255")]
        self.ids: dict[str, Any] = {"i=85": o6.NodeId("i=85")}
        self.nodes: dict[str, Row] = {"i=85": {"children": []}}
        self.problems: list[str] = []

    def text(self, node_id: Any) -> str:
        """The NodeId with its namespace's URI: open62541 numbers namespaces in its own way."""
        return self._prefix(node_id.ns) + str(node_id).split(";", str(node_id).startswith("ns="))[-1]

    def _prefix(self, namespace: Any) -> str:
        return "" if namespace.uri == self.namespaces[0] else f"nsu={namespace.uri};"

    def browse(self) -> None:
        """Follow every hierarchical reference from Objects."""
        todo = ["i=85"]
        while todo:
            batch, todo = todo[:BATCH], todo[BATCH:]
            request = ns0.datatypes.BrowseRequest()
            request.nodesToBrowse = [self._description(key) for key in batch]
            for key, first in zip(batch, self._client.serviceBrowse(request).results, strict=True):
                for reference in self._pages(key, first):
                    child = self.text(reference.nodeId)
                    self.nodes[key]["children"].append([self.text(reference.referenceTypeId), child])
                    if child not in self.ids:
                        self.ids[child] = o6.NodeId(str(reference.nodeId))
                        told = (int(reference.nodeClass), reference.browseName.name)
                        kind = reference.typeDefinition
                        self.nodes[child] = {"children": [], "told": told, "type": self.text(kind).removeprefix("i=0")}
                        todo.append(child)

    def _description(self, key: str) -> Any:
        what = ns0.datatypes.BrowseDescription()
        what.nodeId = self.ids[key]
        what.browseDirection = ns0.datatypes.BrowseDirection.FORWARD
        what.referenceTypeId = o6.NodeId("i=33")
        what.includeSubtypes = True
        what.resultMask = 63
        return what

    def _pages(self, key: str, result: Any) -> Iterator[Any]:
        while True:
            self._good(key, "browse", result.statusCode)
            yield from result.references or ()
            if not result.continuationPoint:
                return
            request = ns0.datatypes.BrowseNextRequest()
            request.continuationPoints = [result.continuationPoint]
            (result,) = self._client.serviceBrowseNext(request).results

    def _good(self, key: str, what: str, status: Any) -> None:
        if status is not None and int(status) >> 30:
            self.problems.append(f"{what} of {key}: {status}")

    def read(self) -> None:
        """Names of all nodes, values of all variables."""
        keys = list(self.nodes)
        rows = self._read(keys, (A.NODE_CLASS, A.BROWSE_NAME, A.DISPLAY_NAME, A.DESCRIPTION))
        for key, (kind, name, display, description) in zip(keys, rows, strict=True):
            row = self.nodes[key]
            for what, found in (("NodeClass", kind), ("BrowseName", name), ("DisplayName", display)):
                self._good(key, what, found.status)
            row["class"], row["name"] = int(kind.value), self._prefix(name.value.ns) + name.value.name
            row["display"] = display.value.text or ""
            row["description"] = (description.value.text or "") if description.value is not None else ""
            if row.pop("told", (row["class"], name.value.name)) != (row["class"], name.value.name):
                self.problems.append(f"{key} is not what its reference says")
            row["children"].sort(key=",".join)
        keys = [key for key, row in self.nodes.items() if row["class"] == ns0.datatypes.NodeClass.VARIABLE]
        rows = self._read(keys, (A.VALUE, A.DATA_TYPE, A.VALUE_RANK))
        for key, (value, data_type, rank) in zip(keys, rows, strict=True):
            row = self.nodes[key]
            self._good(key, "DataType", data_type.status)
            self._good(key, "ValueRank", rank.status)
            row["dataType"] = self.text(data_type.value) if data_type.value else ""
            row["rank"] = int(rank.value)
            row["status"] = int(value.status or 0)
            content, kinds = value.value, ns0.datatypes
            unit, limits = isinstance(content, kinds.EUInformation), isinstance(content, kinds.Range)
            row["unit"] = [int(content.unitId), content.displayName.text, str(content.namespaceUri)] if unit else None
            row["range"] = [float(content.low), float(content.high)] if limits else None

    def _read(self, keys: Sequence[str], attributes: Sequence[Any]) -> Iterator[list[Any]]:
        for start in range(0, len(keys), BATCH):
            request = ns0.datatypes.ReadRequest()
            request.timestampsToReturn = ns0.datatypes.TimestampsToReturn.BOTH
            wanted = []
            for key in keys[start : start + BATCH]:
                for attribute in attributes:
                    item = ns0.datatypes.ReadValueId()
                    item.nodeId, item.attributeId = self.ids[key], int(attribute)
                    wanted.append(item)
            request.nodesToRead = wanted
            results = list(self._client.serviceRead(request).results)
            for at in range(0, len(results), len(attributes)):
                yield results[at : at + len(attributes)]


def main() -> None:
    endpoint, file = sys.argv[1:]
    begun = time.monotonic()
    client = o6.Client(endpoint)
    client.connect()
    crawler = Crawler(client)
    crawler.browse()
    crawler.read()
    client.disconnect()
    found = {"namespaces": crawler.namespaces, "nodes": crawler.nodes, "problems": crawler.problems[:50]}
    Path(file).write_text(json.dumps({**found, "seconds": time.monotonic() - begun}))


if __name__ == "__main__":
    main()
