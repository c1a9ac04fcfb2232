"""What we rely on inside asyncua 2.1.0: an upgrade that moves any of it fails here, by name."""

from __future__ import annotations

import importlib.metadata
import inspect
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.server import address_space, binary_server_asyncio, internal_server, internal_session, uaprocessor
from asyncua.server import server as server_module
from asyncua.server.history import HistoryManager
from asyncua.server.subscription_service import SubscriptionService
from asyncua.ua import ua_binary, uatypes


def names(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(thing: Any) -> str:
    return inspect.getsource(thing)


def test_version() -> None:
    """Every other line of this file was read in this version."""
    assert importlib.metadata.version("asyncua") == "2.1.0"


SIGNATURES = [
    (address_space.AddressSpace.read_attribute_value, ["self", "nodeid", "attr"]),
    (address_space.AddressSpace.write_attribute_value, ["self", "nodeid", "attr", "value"]),
    (address_space.AddressSpace.add_datachange_callback, ["self", "nodeid", "attr", "callback"]),
    (address_space.AddressSpace._is_expected_variant_type, ["self", "value", "attval", "node"]),
    (address_space.AttributeService.__init__, ["self", "aspace"]),
    (address_space.ViewService.__init__, ["self", "aspace"]),
    (address_space.MethodService.__init__, ["self", "aspace"]),
    (address_space.MethodService.stop, ["self"]),
    (address_space.NodeManagementService.__init__, ["self", "aspace"]),
    (address_space.NodeManagementService._add_unique_reference, ["self", "nodedata", "desc"]),
    (address_space.NodeData.__init__, ["self", "nodeid"]),
    (internal_server.InternalServer.__init__, ["self", "user_manager"]),
    (internal_server.InternalServer.create_session, ["self", "name", "user", "external"]),
    (internal_server.InternalServer.start, ["self"]),
    (internal_session.InternalSession.__init__,
     ["self", "internal_server", "aspace", "submgr", "name", "user", "external"]),
    (internal_session.InternalSession.read, ["self", "params"]),
    (internal_session.InternalSession.write, ["self", "params"]),
    (internal_session.InternalSession.browse, ["self", "params"]),
    (internal_session.InternalSession.call, ["self", "params"]),
    (internal_session.InternalSession.close_session, ["self", "delete_subs"]),
    (internal_session.InternalSession.create_session, ["self", "params", "sockname"]),
    (internal_session.InternalSession.translate_browsepaths_to_nodeids, ["self", "params"]),
    (internal_session.InternalSession.touch, ["self"]),
    (uaprocessor.UaProcessor.__init__, ["self", "internal_server", "transport", "limits"]),
    (uaprocessor.UaProcessor._process_message, ["self", "typeid", "requesthdr", "seqhdr", "body"]),
    (uaprocessor.UaProcessor.process, ["self", "header", "body"]),
    (uaprocessor.UaProcessor.process_message, ["self", "seqhdr", "body"]),
    (uaprocessor.UaProcessor.send_response, ["self", "requesthandle", "seqhdr", "response", "msgtype"]),
    (SubscriptionService.__init__, ["self", "aspace", "iserver"]),
    (HistoryManager.__init__, ["self", "iserver"]),
    (SecureConnection.message_to_binary, ["self", "message", "message_type", "request_id"]),
    (binary_server_asyncio.BinaryServer.__init__, ["self", "internal_server", "hostname", "port", "limits"]),
    (binary_server_asyncio.BinaryServer._make_protocol, ["self"]),
    (Server._setup_server_nodes, ["self"]),
    (Server._get_bind_socket_info, ["self"]),
    (uatypes.win_epoch_to_datetime, ["epch"]),
    (uatypes.datetime_to_win_epoch, ["dt"]),
]  # fmt: skip


@pytest.mark.parametrize(("function", "parameters"), SIGNATURES, ids=[f.__qualname__ for f, _ in SIGNATURES])
def test_signature(function: Any, parameters: list[str]) -> None:
    """We override or call this with exactly these parameters."""
    assert names(function) == parameters


SERVICES = [
    "aspace",
    "attribute_service",
    "view_service",
    "method_service",
    "node_mgt_service",
    "subscription_service",
    "history_manager",
    "isession",
    "current_time_node",
    "server_status_node",
]


async def test_internal_server_has_the_services_that_we_rebuild() -> None:
    """One that is renamed or added would stay asyncua's own, unguarded."""
    server = internal_server.InternalServer()
    try:
        for name in SERVICES:
            assert hasattr(server, name), name
        holders = {
            name
            for name, value in vars(server).items()
            if getattr(value, "_aspace", getattr(value, "aspace", None)) is server.aspace
        }
        assert holders == {
            "attribute_service",
            "view_service",
            "method_service",
            "node_mgt_service",
            "subscription_service",
            "isession",
        }
        for name in (
            "endpoints", "_known_servers", "_external_sessions", "asyncio_transports", "allow_remote_admin",
            "disabled_clock", "supported_tokens", "max_connections", "min_session_timeout_ms",
            "max_session_timeout_ms", "max_subscriptions", "max_monitored_item_queue_size", "max_lifetime_count",
            "max_keep_alive_count", "max_unacked_messages_per_subscription", "time_task",
        ):  # fmt: skip
            assert hasattr(server, name), name
        assert isinstance(server.subscription_service._sub_id_counter, int)
        assert server.method_service._pool is not None
    finally:
        server.method_service.stop()


def test_address_space_holds_its_nodes_in_one_dict() -> None:
    """NodeTable takes the place of `_nodes`; every access must go through it."""
    space = address_space.AddressSpace()
    assert type(space._nodes) is dict
    assert isinstance(space._datachange_callback_counter, int)
    for method in ("__getitem__", "get", "__contains__", "__setitem__", "__delitem__", "keys"):
        assert "self._nodes" in source(getattr(address_space.AddressSpace, method)), method


def test_attributes_and_nodes_have_the_fields_that_we_fill() -> None:
    """Lazy nodes are made without NodeData's __init__."""
    assert set(vars(address_space.NodeData(ua.NodeId(ua.Int32(1))))) == {"nodeid", "attributes", "references", "call"}
    held = address_space.AttributeValue(ua.DataValue())
    assert set(vars(held)) == {"value", "value_callback", "value_setter", "datachange_callbacks"}


def test_server_start_does_what_ours_repeats() -> None:
    """Our start leaves out only the certificate's log lines and names our BinaryServer."""
    text = source(Server.start)
    for step in (
        "self._setup_server_nodes()",
        "self.iserver.start()",
        "self._get_bind_socket_info()",
        "BinaryServer(self.iserver, ipaddress, port, self.limits)",
        "self.bserver.set_policies(self._policies)",
        "self.bserver.start()",
    ):
        assert step in text, step
    assert text.count("await") == 4
    assert server_module.BinaryServer is binary_server_asyncio.BinaryServer


def test_server_has_the_settings_that_we_make() -> None:
    """UaServer sets these before init."""
    server = Server()
    for name in ("endpoint", "_application_uri", "product_uri", "name", "application_type", "limits", "_policies"):
        assert hasattr(server, name), name
    server.iserver.method_service.stop()


def test_transport_limits() -> None:
    """Sizes are set by these names."""
    limits = TransportLimits()
    for name in ("max_recv_buffer", "max_send_buffer", "max_message_size", "max_chunk_count"):
        assert hasattr(limits, name), name


def test_channel_has_the_state_that_the_fast_lane_checks() -> None:
    """The lane compares ids and numbers, and counts its own answers."""
    channel = SecureConnection(SecurityPolicyNone(), TransportLimits())  # type: ignore[no-untyped-call]  # untyped there
    assert channel._sequence_number == 0
    assert channel._peer_sequence_number is None
    assert channel._incoming_parts == []
    assert hasattr(channel.security_token, "ChannelId")
    assert hasattr(channel.security_token, "TokenId")
    assert channel._limits.max_send_buffer


def test_buffers_have_the_fields_that_the_fast_lane_reads() -> None:
    """The lane reads a frame's bytes without copying them out."""
    buffer = ua.utils.Buffer(b"abc", 1)
    assert (buffer._data, buffer._cur_pos, buffer._size) == (b"abc", 1, 2)


def test_response_header_layout() -> None:
    """The lane writes the header of a ReadResponse itself (Part 6 §5.2, Part 4 §7.34)."""
    response = ua.ReadResponse()
    encoded = ua_binary.struct_to_binary(response)
    assert encoded[:4] == b"\x01\x00\x7a\x02"
    assert len(encoded) == 4 + 8 + 4 + 4 + 8 + 8
    assert encoded[20:28] == bytes(8)


def test_request_layout() -> None:
    """The lane reads the header of a ReadRequest itself."""
    request = ua.ReadRequest()
    request.RequestHeader.AuthenticationToken = ua.NodeId(
        ua.ByteString(bytes(32)), ua.Int16(0), ua.NodeIdType.ByteString
    )
    encoded = ua_binary.struct_to_binary(request)
    assert encoded[:4] == b"\x01\x00\x77\x02"
    assert encoded[4:43] == b"\x05\x00\x00\x20\x00\x00\x00" + bytes(32)
    assert len(encoded) == 43 + 8 + 4 + 4 + 4 + 4 + 3 + 8 + 4 + 4


def test_data_value_encoding() -> None:
    """Rows are written with these bits (Part 6 §5.2.2.17)."""
    value = ua.DataValue(ua.Variant(1.0, ua.VariantType.Float), ua.StatusCode(ua.UInt32(1)), None, None)
    assert ua_binary.struct_to_binary(value)[0] == 0x03
    value.Value = None
    assert ua_binary.struct_to_binary(value) == b"\x02\x01\x00\x00\x00"


def test_filters_are_decoded_as_the_classes_of_uaprotocol_auto() -> None:
    """`isinstance(x, ua.DataChangeFilter)` is False for what a client sends."""
    data = ua_binary.extensionobject_to_binary(ua.DataChangeFilter())
    decoded = ua_binary.extensionobject_from_binary(ua.utils.Buffer(data))
    assert isinstance(decoded, ua.uaprotocol_auto.DataChangeFilter)
