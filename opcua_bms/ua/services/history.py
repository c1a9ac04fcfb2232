"""HistoryRead (Part 4 §5.11.3, Part 11 §6.5) from a HistoryProvider.

    server.iserver.history.provide(provider)      # before clients come
    server.iserver.history.provide_events(events)

Continuation points belong to their session, say where reading stopped and hold no data; each works once, and comes
back with the next page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.history import HistoryManager
from asyncua.ua import uaprotocol_auto as auto
from asyncua.ua.status_codes import StatusCodes

from opcua_bms.ua.access import is_internal
from opcua_bms.ua.services.bounds import Rules
from opcua_bms.ua.services.codes import status
from opcua_bms.ua.services.event import Event
from opcua_bms.ua.services.history_data import Run, history_data
from opcua_bms.ua.services.history_events import EventHistoryProvider, EventRead, history_event
from opcua_bms.ua.services.history_nodes import MOST_EVENTS, announce, announce_events
from opcua_bms.ua.services.history_processed import AtTimeRead, ProcessedRead
from opcua_bms.ua.services.history_provider import HistoryProvider, HistoryUnavailableError, Series
from opcua_bms.ua.services.history_raw import RawRead
from opcua_bms.ua.space.index_range import parse_index_range

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer
    from opcua_bms.ua.session import Session

C = StatusCodes
Reading = RawRead | ProcessedRead | AtTimeRead
Held = Reading | EventRead
DEFAULTS = Rules()
"""AggregateConfiguration of this server"""


class History(HistoryManager):
    """The history service of a server; without a provider nothing of ours has a history."""

    def __init__(self, iserver: InternalServer) -> None:
        super().__init__(iserver)
        self._iserver = iserver
        self.provider: HistoryProvider | None = None
        self.events: EventHistoryProvider | None = None

    def provide(self, provider: HistoryProvider) -> None:
        """Answer from this provider, and say so in the address space."""
        self.provider = provider
        announce(self._iserver)

    def provide_events(self, events: EventHistoryProvider) -> None:
        """Answer ReadEvents from this provider, and say so."""
        self.events = events
        announce_events(self._iserver)

    def knows(self, node: ua.HistoryReadValueId, details: Any) -> bool:
        """Whether a read is ours to answer; nodes that are held in memory may have the history of the library."""
        space = self._iserver.space
        if space is not None and node.NodeId in space:
            return True
        return self.events is not None and isinstance(details, auto.ReadEventDetails) and self.events.keeps(node.NodeId)

    async def read(
        self, params: ua.HistoryReadParameters, numbers: list[int], session: Session
    ) -> list[ua.HistoryReadResult]:
        """Results for the nodes with these numbers; who may read what was checked."""
        nodes = params.NodesToRead
        if params.ReleaseContinuationPoints:
            return [self._released(nodes[k], session) for k in numbers]
        most = max(1, self._iserver.limits.history_values // len(numbers))
        return [await self._one(params, k, session, most) for k in numbers]

    @staticmethod
    def _released(node: ua.HistoryReadValueId, session: Session) -> ua.HistoryReadResult:
        known = session.history_points.take(node.ContinuationPoint) is not None
        return _refused(0 if known or not node.ContinuationPoint else C.BadContinuationPointInvalid)

    async def _one(
        self, params: ua.HistoryReadParameters, number: int, session: Session, most: int
    ) -> ua.HistoryReadResult:
        node = params.NodesToRead[number]
        index_range = parse_index_range(node.IndexRange) if node.IndexRange else ()
        if index_range is None or len(index_range) > 1:
            return _refused(C.BadIndexRangeInvalid)
        encoding = node.DataEncoding.Name if node.DataEncoding is not None else None
        if encoding and encoding != "Default Binary":
            return _refused(C.BadDataEncodingUnsupported)
        if node.ContinuationPoint:
            held = session.history_points.take(node.ContinuationPoint)
            if held is None or held[0] != node.NodeId:
                return _refused(C.BadContinuationPointInvalid)
            reading: Held | int = held[1]
        elif isinstance(params.HistoryReadDetails, auto.ReadEventDetails):
            reading = self._begin_events(params.HistoryReadDetails, node.NodeId, session)
        else:
            reading = self._begin(params.HistoryReadDetails, node.NodeId, number, len(params.NodesToRead))
        if isinstance(reading, int):
            return _refused(reading)
        if isinstance(reading, EventRead):
            return await self._events(reading, session, most)
        if index_range and not reading.series.width:
            return _refused(C.BadIndexRangeNoData)
        assert self.provider is not None  # noqa: S101 - _begin found a series
        width = max(1, reading.series.width)
        try:
            run, rest = await reading.next(self.provider, max(1, most // width))
        except HistoryUnavailableError:
            return _refused(C.BadResourceUnavailable)
        return self._result(reading, node.NodeId, run, rest, index_range, params, session)

    def _begin(self, details: Any, node_id: ua.NodeId, number: int, nodes: int) -> Reading | int:
        space, provider = self._iserver.space, self.provider
        binding = space.resolve(node_id) if space is not None else None
        series = provider.series(binding) if provider is not None and binding is not None else None
        if series is None:
            return C.BadHistoryOperationUnsupported
        return _reading(details, series, number, nodes)

    def _begin_events(self, details: ua.ReadEventDetails, node_id: ua.NodeId, session: Session) -> EventRead | int:
        plain = type(details) in (auto.ReadEventDetails, auto.ReadEventDetails2)
        if self.events is None or not self.events.keeps(node_id) or not plain:
            return C.BadHistoryOperationUnsupported
        if isinstance(details, auto.ReadEventDetails2) and details.ReadModified:
            return C.BadHistoryOperationUnsupported
        access, user = self._iserver.access, session.user

        def visible(event: Event) -> bool:
            return is_internal(user) or (
                access.may_receive_events(user, event.source) and access.may_receive_events(user, event.event_type)
            )

        return EventRead.of(node_id, details, self._iserver.subscription_service.relations, visible)

    async def _events(self, reading: EventRead, session: Session, most: int) -> ua.HistoryReadResult:
        assert self.events is not None  # noqa: S101 - it began there
        try:
            found, rest = await reading.next(self.events, min(most, MOST_EVENTS))
        except HistoryUnavailableError:
            return _refused(C.BadResourceUnavailable)
        result = _refused(0 if found or rest is not None else C.GoodNoData)
        if rest is not None:
            if session.history_points.full:
                return _refused(C.BadNoContinuationPoints)
            result.StatusCode = status(C.GoodMoreData)
            result.ContinuationPoint = ua.ByteString(session.history_points.add((reading.node_id, rest)))
        result.HistoryData = history_event(found)
        return result

    @staticmethod
    def _result(
        reading: Reading,
        node_id: ua.NodeId,
        run: Run,
        rest: Reading | None,
        index_range: tuple[tuple[int, int], ...],
        params: ua.HistoryReadParameters,
        session: Session,
    ) -> ua.HistoryReadResult:
        vtype = reading.vtype if isinstance(reading, ProcessedRead) else reading.series.vtype
        if index_range:
            low, high = index_range[0]
            if low >= reading.series.width:
                return _refused(C.BadIndexRangeNoData)
            run = Run(run.ticks, run.values[:, low:high], run.status)
        result = _refused(0 if len(run) else C.GoodNoData)
        if rest is not None:
            if session.history_points.full:
                return _refused(C.BadNoContinuationPoints)
            result.StatusCode = status(C.GoodMoreData)
            result.ContinuationPoint = ua.ByteString(session.history_points.add((node_id, rest)))
        result.HistoryData = history_data(run, vtype, int(params.TimestampsToReturn))
        return result


def _reading(details: Any, series: Series, number: int, nodes: int) -> Reading | int:
    if isinstance(details, auto.ReadRawModifiedDetails):
        if details.IsReadModified:
            return C.BadHistoryOperationUnsupported
        return RawRead.of(series, details)
    if isinstance(details, auto.ReadProcessedDetails):
        return ProcessedRead.of(series, details, number, nodes, DEFAULTS)
    if isinstance(details, auto.ReadAtTimeDetails):
        return AtTimeRead.of(series, details, DEFAULTS)
    if isinstance(details, auto.HistoryReadDetails):
        return C.BadHistoryOperationUnsupported
    return C.BadHistoryOperationInvalid


def _refused(code: int) -> ua.HistoryReadResult:
    result = ua.HistoryReadResult()
    result.StatusCode = status(code)
    return result
