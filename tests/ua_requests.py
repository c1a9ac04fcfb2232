"""Requests as an attacker makes them: byte for byte what a test wants, legal or not."""

from __future__ import annotations

import struct
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import struct_from_binary


def node(identifier: Any, namespace: int = 0) -> ua.NodeId:
    """A NodeId of plain Python values."""
    return ua.NodeId(identifier, ua.Int16(namespace))


VALUE = node("guarded.value", 2)
METHOD = node("guarded.method", 2)
"""what `guarded_server` has"""


def hello(size: int = 65535, most: int = 0, url: str = "opc.tcp://127.0.0.1/", chunks: int = 0) -> bytes:
    """A HEL message; `most` bytes and `chunks` of a response, 0: no limit."""
    raw = url.encode()
    rest = struct.pack("<IIIII", 0, size, size, most, chunks) + struct.pack("<i", len(raw)) + raw
    return b"HELF" + struct.pack("<I", len(rest) + 8) + rest


def create_request(timeout_ms: float = 60_000.0, **params: Any) -> ua.CreateSessionRequest:
    """CreateSession of an application without a certificate."""
    request = ua.CreateSessionRequest()
    request.Parameters.ClientDescription.ApplicationUri = "urn:test:client"
    request.Parameters.ClientNonce = b"n" * 32
    request.Parameters.RequestedSessionTimeout = timeout_ms
    for name, value in params.items():
        setattr(request.Parameters, name, value)
    return request


def activate_request() -> ua.ActivateSessionRequest:
    """ActivateSession with an anonymous token."""
    request = ua.ActivateSessionRequest()
    token = ua.AnonymousIdentityToken()
    token.PolicyId = "anonymous"
    request.Parameters.UserIdentityToken = token
    return request


def read_request(*nodes: ua.NodeId) -> ua.ReadRequest:
    """Read the Values of nodes."""
    request = ua.ReadRequest()
    for node in nodes:
        item = ua.ReadValueId()
        item.NodeId = node
        item.AttributeId = AttributeIds.Value
        request.Parameters.NodesToRead.append(item)
    return request


def write_request(value: float, node: ua.NodeId = VALUE) -> ua.WriteRequest:
    """Write one Value."""
    request = ua.WriteRequest()
    item = ua.WriteValue()
    item.NodeId = node
    item.AttributeId = AttributeIds.Value
    item.Value = ua.DataValue(ua.Variant(value, ua.VariantType.Double))
    request.Parameters.NodesToWrite.append(item)
    return request


def subscribe_request(
    interval_ms: float = 100.0, lifetime: int = 1000, keep_alive: int = 100
) -> ua.CreateSubscriptionRequest:
    """CreateSubscription, publishing at once."""
    request = ua.CreateSubscriptionRequest()
    request.Parameters.RequestedPublishingInterval = ua.Double(interval_ms)
    request.Parameters.RequestedLifetimeCount = ua.UInt32(lifetime)
    request.Parameters.RequestedMaxKeepAliveCount = ua.UInt32(keep_alive)
    request.Parameters.PublishingEnabled = True
    return request


def monitored(
    node: ua.NodeId = VALUE, attribute: AttributeIds = AttributeIds.Value, **parameters: Any
) -> ua.MonitoredItemCreateRequest:
    """An item that reports."""
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor.NodeId, item.ItemToMonitor.AttributeId = node, attribute
    item.MonitoringMode = ua.MonitoringMode.Reporting
    for name, value in parameters.items():
        setattr(item.RequestedParameters, name, value)
    return item


def monitor_request(subscription: int, *items: ua.MonitoredItemCreateRequest) -> ua.CreateMonitoredItemsRequest:
    """CreateMonitoredItems."""
    request = ua.CreateMonitoredItemsRequest()
    request.Parameters.SubscriptionId = ua.UInt32(subscription)
    request.Parameters.ItemsToCreate = list(items)
    return request


def event_fields(*names: str) -> ua.EventFilter:
    """Fields of every event."""
    chosen = ua.EventFilter()
    for name in names:
        operand = ua.SimpleAttributeOperand()
        operand.TypeDefinitionId = node(2041)
        operand.AttributeId = ua.UInt32(AttributeIds.Value)
        operand.BrowsePath = [ua.QualifiedName(name)]
        chosen.SelectClauses.append(operand)
    return chosen


async def sent(client: Client, request: Any) -> Any:
    """The response to a request that the library's client would not send like this."""
    assert client.uaclient.protocol is not None
    data = await client.uaclient.protocol.send_request(request, 20.0)
    return struct_from_binary(getattr(ua, type(request).__name__.replace("Request", "Response")), data)
