"""What subscriptions rely on inside asyncua: an upgrade that moves any of it fails here, by name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from asyncua.common.utils import Buffer
from asyncua.server import address_space, internal_session, subscription_service, uaprocessor
from asyncua.ua import ua_binary
from loose_ua import ua

from opcua_bms.ua.services.subscribing import SubscribingProcessor, SubscribingSession


def names(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (subscription_service.SubscriptionService.__init__, ["self", "aspace", "iserver"]),
        (subscription_service.SubscriptionService.trigger_event, ["self", "event", "subscription_id"]),
        (address_space.AddressSpace.delete_datachange_callback, ["self", "handle"]),
        (ua_binary.variant_to_binary, ["var"]),
        (ua_binary.struct_from_binary, ["objtype", "data"]),
        (uaprocessor.UaProcessor.send_response, ["self", "requesthandle", "seqhdr", "response", "msgtype"]),
    ],
)
def test_signatures(function: Any, expected: list[str]) -> None:
    """We call or replace these."""
    assert names(function) == expected


@pytest.mark.parametrize(
    "name", [n for n in vars(SubscribingSession) if inspect.isfunction(vars(SubscribingSession)[n])]
)
def test_session_overrides(name: str) -> None:
    """What we override must still be what asyncua calls; what is ours alone is named here."""
    if name in ("owner_key", "set_triggering"):
        assert not hasattr(internal_session.InternalSession, name)
        return
    theirs = getattr(internal_session.InternalSession, name)
    assert names(getattr(SubscribingSession, name))[: len(names(theirs))] == names(theirs) or name in (
        "transfer_subscriptions",
        "delete_subscriptions",
    )


def test_private_attributes() -> None:
    """Attributes without a signature."""
    session = inspect.getsource(internal_session.InternalSession)
    for name in ("_timeout_task", "self.state", "self.external", "self.session_id"):
        assert name in session
    processor = inspect.getsource(uaprocessor.UaProcessor)
    for name in ("self._transport", "self._connection", "session_last_activity"):
        assert name in processor
    assert "_sub_id_counter" in inspect.getsource(subscription_service.SubscriptionService)
    assert SubscribingProcessor._process_message is not uaprocessor.UaProcessor._process_message


def test_buffer_layout() -> None:
    """The fast way of CreateMonitoredItems takes the bytes that are left from a Buffer."""
    buffer = Buffer(b"abcdef")
    buffer.read(2)
    assert bytes(buffer._data[buffer._cur_pos :]) == b"cdef"


def test_encoded_bodies_pass_through() -> None:
    """A body that is bytes already must not be encoded again."""
    body = ua.ExtensionObject(TypeId=ua.NodeId(ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary), Body=b"xyz")
    assert ua_binary.extensionobject_to_binary(body).endswith(b"\x01\x03\x00\x00\x00xyz")
