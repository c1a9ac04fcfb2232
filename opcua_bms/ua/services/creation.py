"""Makes monitored items from requests, and changes them (Part 4 §5.13.2, §5.13.3)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncua import ua

from opcua_bms.ua.access import is_internal
from opcua_bms.ua.services import data_filter, records
from opcua_bms.ua.services.codes import AttributeIds, StatusCodes, status
from opcua_bms.ua.services.data_filter import DataFilter, FilterRefusedError
from opcua_bms.ua.services.event import Event
from opcua_bms.ua.services.event_filter import compile_event_filter, is_clean
from opcua_bms.ua.services.event_item import EventItem
from opcua_bms.ua.services.events import EventService
from opcua_bms.ua.services.item_budget import SINGLE_WEIGHT, ItemBudget, weight_of
from opcua_bms.ua.services.monitored import DataItem
from opcua_bms.ua.services.publishing import Subscription
from opcua_bms.ua.services.relations import Relations
from opcua_bms.ua.services.source import POLL_MS, Source
from opcua_bms.ua.services.sources import Sources
from opcua_bms.ua.services.vector import VectorItems
from opcua_bms.ua.services.vector_table import WORD, Row
from opcua_bms.ua.space.binding import Kind

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer

_logger = logging.getLogger(__name__)
_GOOD = status(0)
_SCALARS = frozenset({Kind.SLOT, Kind.BIT})
EVENT_QUEUE_MIN = 100
"""a queue of 0 or 1 asks for the server's minimum, which is for events what a burst needs (Part 4 §7.21)"""


@dataclass(slots=True)
class NewRows:
    """Store items of one slice of a request, to be appended at once."""

    numbers: list[Row] = field(default_factory=list)
    words: list[Row] = field(default_factory=list)


class ItemFactory:
    """One per server; items are made within the rights of the session that asks."""

    def __init__(self, iserver: InternalServer, sources: Sources, relations: Relations, events: EventService) -> None:
        self._iserver = iserver
        self._sources = sources
        self._relations = relations
        self._events = events
        self._next_id = 0
        self._budget = ItemBudget(iserver)
        self.vectorised = True
        """false: scalars of the store are handled item by item too, with the same results"""

    def create(
        self, subscription: Subscription, request: Any, times: int, user: Any, rows: NewRows
    ) -> ua.MonitoredItemCreateResult:
        """One item; a refusal is its result's StatusCode and never raises."""
        try:
            if request.ItemToMonitor.AttributeId == AttributeIds.EventNotifier:
                return self._create_event(subscription, request, user)
            return self._create_data(subscription, request, times, user, rows)
        except FilterRefusedError as e:
            return ua.MonitoredItemCreateResult(StatusCode=status(e.code))
        except Exception:  # one item must not cost the others of a request
            _logger.exception("create_monitored_item_failed")
            return ua.MonitoredItemCreateResult(StatusCode=status(StatusCodes.BadInternalError))

    def _create_data(
        self, subscription: Subscription, request: Any, times: int, user: Any, rows: NewRows
    ) -> ua.MonitoredItemCreateResult:
        source = self._sources.find(request.ItemToMonitor)
        self._check_access(source, user)
        scalar = self._is_scalar(source)
        if not scalar:
            self._budget.check_singles(user)
        parameters = request.RequestedParameters
        chosen = self._filter(source, parameters.Filter)
        interval, gap = revise_sampling(
            parameters.SamplingInterval,
            subscription.parameters.interval_ms,
            source.floor_ms,
            self._iserver.limits.publishing_interval_max_ms,
            aligned=source.from_store,
        )
        queue_size = self._budget.queue_size(subscription, parameters.QueueSize, self._weight(source))
        self._next_id += 1
        ident = self._next_id
        mode = int(request.MonitoringMode)
        binding = source.binding
        if scalar and binding is not None:
            table = rows.numbers if binding.start < self._n_numbers() else rows.words
            table.append(
                Row(
                    ident,
                    parameters.ClientHandle,
                    binding.start,
                    binding.bit if binding.kind is Kind.BIT else WORD,
                    int(binding.vtype),
                    self._sources.ref(binding),
                    times,
                    mode,
                    chosen.trigger,
                    chosen.deadband,
                    queue_size,
                    bool(parameters.DiscardOldest),
                    gap,
                )
            )
        else:
            item = DataItem(ident, parameters.ClientHandle, source.read, source.compare)
            item.times, item.filter = times, chosen
            item.queue_size, item.discard_oldest = queue_size, bool(parameters.DiscardOldest)
            item.gap, item.eager = gap, interval <= POLL_MS
            item.source = source
            self._budget.singles.used += 1
            subscription.items.add(item, aligned=source.from_store, polled=source.polled)
            source.watch(lambda: subscription.mark(item))
            subscription.items.set_mode([ident], mode, subscription.latest, subscription.now)
        return ua.MonitoredItemCreateResult(
            StatusCode=_GOOD,
            MonitoredItemId=ident,
            RevisedSamplingInterval=interval,
            RevisedQueueSize=queue_size,
        )

    def _is_scalar(self, source: Source) -> bool:
        binding = source.binding
        return self.vectorised and binding is not None and binding.kind in _SCALARS and source.index_range is None

    def _weight(self, source: Source) -> int:
        return weight_of(source) if self._is_scalar(source) else SINGLE_WEIGHT * weight_of(source)

    def _may_read(self, user: Any, node_id: ua.NodeId | None, level: int) -> bool:
        return node_id is None or bool(self._iserver.access.user_access_level(user, node_id, level) & 1)

    def _n_numbers(self) -> int:
        store = self._iserver.store
        return 0 if store is None else store.n_numbers

    def _check_access(self, source: Source, user: Any) -> None:
        level = source.access_level
        if level is not None and not level & 1:
            raise FilterRefusedError(StatusCodes.BadNotReadable)
        if not self.may_monitor(user, source):
            raise FilterRefusedError(StatusCodes.BadUserAccessDenied)

    def may_monitor(self, user: Any, source: Source) -> bool:
        """Whether a user may read a source."""
        level = source.access_level
        return level is None or is_internal(user) or self._may_read(user, source.node_id, level)

    def may_monitor_row(self, user: Any, ref: int, slot: int) -> bool:
        """The same for a row of a vector table."""
        node_id, level = self._sources.node_of_row(ref, slot)
        return is_internal(user) or self._may_read(user, node_id, level)

    def _filter(self, source: Source, requested: Any) -> DataFilter:
        if data_filter.is_null(requested):
            return data_filter.DEFAULT
        return data_filter.resolve(requested, source.numeric(), source.eu_range(), source.is_value)

    def _create_event(self, subscription: Subscription, request: Any, user: Any) -> ua.MonitoredItemCreateResult:
        node_id = request.ItemToMonitor.NodeId
        notifier = self._sources.event_notifier(node_id)
        if not notifier & 1:
            raise FilterRefusedError(StatusCodes.BadNotSupported)
        if not is_internal(user) and not self._may_read(user, node_id, 1):
            raise FilterRefusedError(StatusCodes.BadUserAccessDenied)
        if request.ItemToMonitor.IndexRange:
            raise FilterRefusedError(StatusCodes.BadIndexRangeInvalid)
        self._budget.check_singles(user)
        parameters = request.RequestedParameters
        chosen, filter_result, code = compile_event_filter(parameters.Filter, self._relations)
        result = ua.MonitoredItemCreateResult(StatusCode=status(code))
        if not is_clean(filter_result):
            result.FilterResult = filter_result
        if chosen is None:
            return result
        self._next_id += 1
        item = EventItem(
            self._next_id,
            parameters.ClientHandle,
            node_id,
            chosen,
            self._events.overflow_event,
            self._events.refresh_required,
            self.visibility(user, node_id),
        )
        item.queue_size = self._event_queue(subscription, parameters.QueueSize)
        item.discard_oldest = bool(parameters.DiscardOldest)
        item.mode = int(request.MonitoringMode)
        self._budget.singles.used += 1
        subscription.items.add(item)
        self._events.attach(subscription.ident, item, lambda _ident: subscription.poke(item))
        result.MonitoredItemId = item.ident
        result.RevisedQueueSize = item.queue_size
        return result

    def visibility(self, user: Any, notifier: ua.NodeId) -> Callable[[Event], bool] | None:
        """Part 3 §8.55: an event reaches a user who may receive events of its type and of its source."""
        if is_internal(user):
            return None
        if not self._may_read(user, notifier, 1):
            return lambda _event: False
        may = self._iserver.access.may_receive_events
        return lambda event: may(user, event.event_type) and may(user, event.source)

    def _event_queue(self, subscription: Subscription, requested: int) -> int:
        return self._budget.queue_size(subscription, EVENT_QUEUE_MIN if requested in (0, 1) else requested)

    # changes

    def modify(self, subscription: Subscription, request: Any, times: int) -> ua.MonitoredItemModifyResult:
        """New parameters for an existing item; a refusal leaves it as it was (Part 4 §5.13.3)."""
        item = subscription.items.items.get(request.MonitoredItemId)
        if item is None:
            return ua.MonitoredItemModifyResult(StatusCode=status(StatusCodes.BadMonitoredItemIdInvalid))
        try:
            if isinstance(item, EventItem):
                return self._modify_event(subscription, item, request.RequestedParameters)
            return self._modify_data(subscription, item, request, times)
        except FilterRefusedError as e:
            return ua.MonitoredItemModifyResult(StatusCode=status(e.code))
        except Exception:  # as above
            _logger.exception("modify_monitored_item_failed")
            return ua.MonitoredItemModifyResult(StatusCode=status(StatusCodes.BadInternalError))

    def _modify_data(
        self, subscription: Subscription, item: DataItem | VectorItems, request: Any, times: int
    ) -> ua.MonitoredItemModifyResult:
        parameters = request.RequestedParameters
        row = -1
        if isinstance(item, VectorItems):
            row = item.row_of[request.MonitoredItemId]
            source = self._sources.of_row(int(item.ref[row]), int(item.slot[row]))
            old_size = int(item.queue_size[row])
        else:
            source, old_size = item.source, item.queue_size
        chosen = self._filter(source, parameters.Filter)
        interval, gap = revise_sampling(
            parameters.SamplingInterval,
            subscription.parameters.interval_ms,
            source.floor_ms,
            self._iserver.limits.publishing_interval_max_ms,
            aligned=source.from_store,
        )
        weight = self._weight(source)
        self._budget.give_back(subscription, old_size, weight)
        queue_size = self._budget.queue_size(subscription, parameters.QueueSize, weight)
        if isinstance(item, VectorItems):
            item.handle[row] = parameters.ClientHandle
            item.times[row] = times
            item.trigger[row], item.deadband[row] = chosen.trigger, chosen.deadband
            item.gap[row] = gap
            item.resize(row, queue_size, bool(parameters.DiscardOldest))
        else:
            item.handle, item.times, item.filter, item.gap = parameters.ClientHandle, times, chosen, gap
            item.eager = interval <= POLL_MS
            item.resize(queue_size, bool(parameters.DiscardOldest))
            subscription.tick_later()
        return ua.MonitoredItemModifyResult(
            StatusCode=_GOOD, RevisedSamplingInterval=interval, RevisedQueueSize=queue_size
        )

    def _modify_event(
        self, subscription: Subscription, item: EventItem, parameters: Any
    ) -> ua.MonitoredItemModifyResult:
        chosen, filter_result, code = compile_event_filter(parameters.Filter, self._relations)
        result = ua.MonitoredItemModifyResult(StatusCode=status(code))
        if not is_clean(filter_result):
            result.FilterResult = filter_result
        if chosen is None:
            return result
        item.filter, item.handle = chosen, parameters.ClientHandle
        self._budget.give_back(subscription, item.queue_size)
        item.resize(self._event_queue(subscription, parameters.QueueSize), bool(parameters.DiscardOldest))
        result.RevisedQueueSize = item.queue_size
        return result

    def release(self, subscription: Subscription, ident: int) -> None:
        """Undo what an item hooked into, before it is removed."""
        item = subscription.items.items.get(ident)
        if isinstance(item, EventItem):
            self._events.detach(subscription.ident, item)
            self._budget.singles.used -= 1
            self._budget.give_back(subscription, item.queue_size)
        elif isinstance(item, DataItem):
            self._budget.give_back(subscription, item.queue_size, self._weight(item.source))
            self._budget.singles.used -= 1
            item.source.unwatch()
        elif item is not None:
            self._budget.give_back(subscription, int(item.queue_size[item.row_of[ident]]))


def revise_sampling(
    requested_ms: float, publishing_ms: float, floor_ms: float, most_ms: float, aligned: bool
) -> tuple[float, float]:
    """The sampling interval that will really be used, in ms, and the least time between two samples, in s.

    Values that change with each commit (`aligned`) are sampled with a commit, so that only multiples of the
    commits' period `floor_ms` exist; a commit may come half a period early. 0 asks for the fastest, a negative
    number for the publishing interval (Part 4 §7.21).
    """
    requested = publishing_ms if requested_ms < 0 or math.isnan(requested_ms) else min(requested_ms, most_ms)
    if requested <= floor_ms:
        return floor_ms, (0.0 if aligned else floor_ms / 1000.0)
    if not aligned:
        return requested, requested / 1000.0
    if not floor_ms:
        return requested, requested * 0.95 / 1000.0
    revised = math.ceil(requested / floor_ms - 1e-9) * floor_ms
    return revised, (revised - floor_ms / 2) / 1000.0


def time_bits(timestamps: int) -> int:
    """TimestampsToReturn as DataValue encoding bits; raises FilterRefusedError."""
    bits = records.TIME_BITS.get(int(timestamps))
    if bits is None:
        raise FilterRefusedError(StatusCodes.BadTimestampsToReturnInvalid)
    return bits
