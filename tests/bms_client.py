"""What tests do as an OPC UA client of a plant's server."""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds as A

from opcua_bms.server.app import BmsServer
from opcua_bms.server.names import standard
from opcua_bms.ua.services.codes import ObjectIds

Reply = Any
"""A DataValue; its optional parts are what the tests look into."""


async def read(client: Client, server: BmsServer, *paths: str) -> list[Reply]:
    """Values of the plant's nodes in one request."""
    return await read_nodes(client, [server.names.node(path) for path in paths])


async def read_nodes(client: Client, nodes: list[ua.NodeId], attribute: int = A.Value) -> list[Reply]:
    """One attribute of any nodes in one request."""
    return list(await client.uaclient.read_attributes(nodes, A(attribute)))


async def child_names(client: Client, server: BmsServer, path: str) -> list[str]:
    """BrowseNames below a node of the plant, one for each hierarchical reference."""
    node: Any = client.get_node(server.names.node(path))
    return [found.BrowseName.Name for found in await node.get_children_descriptions()]


class Crawl:
    """Everything below a node, with the attributes that a client shows."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.references: dict[ua.NodeId, list[ua.ReferenceDescription]] = {}
        self.attributes: dict[ua.NodeId, dict[int, Reply]] = {}

    async def below(self, start: ua.NodeId, namespace: int) -> None:
        """Follow hierarchical references to nodes of one namespace, 200 nodes a request."""
        todo = [start]
        while todo:
            batch, todo = todo[:200], todo[200:]
            for node_id, references in zip(batch, await self._browse(batch), strict=True):
                self.references[node_id] = references
                for reference in references:
                    target = reference.NodeId
                    if reference.IsForward and target.NamespaceIndex == namespace and target not in self.references:
                        self.references[target] = []
                        todo.append(target)

    async def read(self) -> None:
        """The attributes of all nodes found, 1,000 nodes a request."""
        nodes = list(self.references)
        for attribute in (A.NodeClass, A.BrowseName, A.DisplayName, A.Description, A.DataType, A.ValueRank, A.Value):
            for i in range(0, len(nodes), 1000):
                ids = [ua.ReadValueId(node, ua.UInt32(attribute)) for node in nodes[i : i + 1000]]
                answers = await self._client.uaclient.read(ua.ReadParameters(NodesToRead=ids))
                for node, answer in zip(nodes[i : i + 1000], answers, strict=True):
                    self.attributes.setdefault(node, {})[attribute] = answer

    async def _browse(self, nodes: list[ua.NodeId]) -> list[list[ua.ReferenceDescription]]:
        what = [
            ua.BrowseDescription(
                NodeId=node,
                BrowseDirection=ua.BrowseDirection.Both,
                ReferenceTypeId=standard(ObjectIds.References),
                IncludeSubtypes=True,
                NodeClassMask=ua.UInt32(0),
                ResultMask=ua.UInt32(63),
            )
            for node in nodes
        ]
        results = await self._client.uaclient.browse(ua.BrowseParameters(NodesToBrowse=what))
        return [result.References for result in results]

    def value(self, node: ua.NodeId, attribute: int) -> Any:
        variant = self.attributes[node][attribute].Value
        return None if variant is None else variant.Value
