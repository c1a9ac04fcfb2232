"""CreateMonitoredItems taken apart by hand is what asyncua's decoder makes of it (Part 4 §5.13.2, Part 6 §5.2)."""

from __future__ import annotations

from typing import Any

from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st
from loose_ua import ua

from opcua_bms.ua.services import create_request

u32 = st.integers(0, 2**32 - 1)
node_ids = st.one_of(
    st.builds(ua.NodeId, u32, st.integers(0, 65535)),
    st.builds(ua.NodeId, st.text(max_size=30), st.integers(0, 65535)),
)
filters = st.one_of(
    st.none(),
    st.builds(ua.DataChangeFilter, st.sampled_from(list(ua.DataChangeTrigger)), u32, st.floats(allow_nan=False)),
)
items = st.builds(
    ua.MonitoredItemCreateRequest,
    st.builds(
        ua.ReadValueId,
        node_ids,
        st.integers(1, 27),
        st.one_of(st.none(), st.text(min_size=1, max_size=8)),
        st.builds(ua.QualifiedName, st.one_of(st.none(), st.text(min_size=1, max_size=8)), st.integers(0, 9)),
    ),
    st.sampled_from(list(ua.MonitoringMode)),
    st.builds(ua.MonitoringParameters, u32, st.floats(allow_nan=False), filters, u32, st.booleans()),
)


def plain(request: Any) -> list[tuple[Any, ...]]:
    """What the services look at."""
    out = []
    for one in request.ItemsToCreate:
        target, wanted = one.ItemToMonitor, one.RequestedParameters
        chosen = wanted.Filter
        if not isinstance(chosen, ua.uaprotocol_auto.DataChangeFilter):
            chosen = None
        encoding = target.DataEncoding
        out.append(
            (
                target.NodeId,
                target.AttributeId,
                target.IndexRange or None,
                (encoding.Name, encoding.NamespaceIndex) if encoding.Name else None,
                one.MonitoringMode,
                wanted.ClientHandle,
                wanted.SamplingInterval,
                chosen and (chosen.Trigger, chosen.DeadbandType, chosen.DeadbandValue),
                wanted.QueueSize,
                wanted.DiscardOldest,
            )
        )
    return out


def parsed(data: bytes, most: int = 1000) -> create_request.CreateRequest | None:
    request = create_request.parse(data, most)
    try:
        while request is not None and request.more(3):
            pass
    except ValueError:
        return None
    return request


@given(u32, st.sampled_from(list(ua.TimestampsToReturn)), st.lists(items, min_size=1, max_size=10))
def test_same_as_the_decoder(subscription: int, times: Any, wanted: list[Any]) -> None:
    """A difference would be an item on another node, or with another filter, than the client asked for."""
    data = struct_to_binary(ua.CreateMonitoredItemsParameters(subscription, times, wanted))
    ours = parsed(data)
    theirs = struct_from_binary(ua.CreateMonitoredItemsParameters, Buffer(data))
    assert ours is not None
    assert (ours.SubscriptionId, ours.TimestampsToReturn) == (theirs.SubscriptionId, theirs.TimestampsToReturn)
    assert plain(ours) == plain(theirs)


@given(st.lists(items, min_size=1, max_size=4), st.data())
def test_broken_bytes_are_left_to_the_decoder(wanted: list[Any], data: st.DataObject) -> None:
    """Whatever a client sends, it is either understood as a whole or not at all, and never an exception."""
    good = struct_to_binary(ua.CreateMonitoredItemsParameters(1, ua.TimestampsToReturn.Both, wanted))
    cut = data.draw(st.integers(0, len(good) - 1))
    assert parsed(good[:cut]) is None
    assert parsed(good + b"\0") is None
    at = data.draw(st.integers(0, len(good) - 1))
    parsed(good[:at] + bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :])


def test_too_many_are_left_to_the_limits() -> None:
    """A count that the bytes cannot hold, or above the limit, is not even begun."""
    item = ua.MonitoredItemCreateRequest(ua.ReadValueId(ua.NodeId(1), 13), ua.MonitoringMode.Reporting)
    data = struct_to_binary(ua.CreateMonitoredItemsParameters(1, ua.TimestampsToReturn.Both, [item] * 5))
    assert create_request.parse(data, 4) is None
    assert create_request.parse(data[:8] + b"\xff\xff\xff\x7f" + data[12:], 2**31) is None


@given(st.lists(st.tuples(u32, u32, st.floats(allow_nan=False), u32), max_size=5))
def test_results_are_encoded_as_theirs(rows: list[tuple[int, int, float, int]]) -> None:
    """The answer is written by hand, too."""
    results = [
        ua.MonitoredItemCreateResult(ua.StatusCode(code), ident, interval, queue)
        for code, ident, interval, queue in rows
    ]
    theirs = struct_to_binary(ua.CreateMonitoredItemsResponse(Results=results))
    ours = create_request.encode(results)
    diagnostics = 4 if theirs.endswith(b"\0\0\0\0") else 0
    assert theirs[: len(theirs) - diagnostics].endswith(ours[:-4])
