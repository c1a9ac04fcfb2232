"""Where the samples of a monitored item come from: the store, a computed value, or a node of the address space."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from asyncua import ua
from asyncua.ua.ua_binary import variant_to_binary

from opcua_bms.ua.services import data_filter, records
from opcua_bms.ua.services.codes import AttributeIds, StatusCodes, status
from opcua_bms.ua.services.data_filter import NUMERIC
from opcua_bms.ua.services.monitored import Reading, array_differs, reading_of
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.space import values
from opcua_bms.ua.space.binding import Binding, Kind
from opcua_bms.ua.space.index_range import NO_DATA, Ranges, select_range
from opcua_bms.ua.store import BAD_WAITING_FOR_INITIAL_DATA, ValueStore

if TYPE_CHECKING:
    from opcua_bms.ua.services.sources import Sources

_logger = logging.getLogger(__name__)

_VALUE = AttributeIds.Value
_STORE = frozenset({Kind.SLOT, Kind.BIT, Kind.RANGE, Kind.DETAIL})
_ARRAYS = frozenset({Kind.RANGE, Kind.DETAIL})
POLL_MS = 100.0
"""the fastest that a computed value without a MinimumSamplingInterval is looked at"""


class Source:
    """One attribute of one node, or a part of it.

    `from_store`: it changes with commits only. `polled`: nobody tells when it changes.
    """

    __slots__ = ("_binding", "_failing", "_sources", "_watch", "attribute", "index_range", "node_id")

    def __init__(
        self,
        sources: Sources,
        node_id: ua.NodeId | None,
        attribute: int,
        binding: Binding | None,
        index_range: Ranges | None,
    ) -> None:
        self.node_id = node_id
        self.attribute = attribute
        self.index_range = index_range
        self._sources = sources
        self._binding = binding
        self._watch = 0
        self._failing = False

    @property
    def is_value(self) -> bool:
        """Whether it is a Value attribute."""
        return self.attribute == _VALUE

    @property
    def binding(self) -> Binding | None:
        """What a value of an instance is bound to; None for other attributes and for nodes in memory."""
        return self._binding

    @property
    def from_store(self) -> bool:
        """Whether the store's commits change it."""
        return self._binding is not None and self._binding.kind in _STORE

    @property
    def polled(self) -> bool:
        """Whether it changes without anybody telling."""
        if self._binding is not None:
            return self._binding.kind is Kind.COMPUTED
        attribute = self._sources.attribute_of(self.node_id, self.attribute)
        computed = attribute is not None and attribute.value_callback is not None
        return computed and not self._sources.is_lazy(self.node_id)

    @property
    def floor_ms(self) -> float:
        """The fastest sampling interval that makes sense; 0 if every change is told."""
        if self._binding is not None:
            return self._binding.member.minimum_sampling_interval or (0.0 if self.from_store else POLL_MS)
        if not self.is_value:
            return 0.0
        least = self._sources.plain(self.node_id, AttributeIds.MinimumSamplingInterval)
        floor = float(least) if isinstance(least, int | float) and least > 0 else 0.0
        return max(floor, POLL_MS) if self.polled else floor

    @property
    def access_level(self) -> int | None:
        """AccessLevel of a Value; None for other attributes, which everybody may read."""
        if not self.is_value:
            return None
        if self._binding is not None:
            return self._binding.member.access_level
        level = self._sources.plain(self.node_id, AttributeIds.AccessLevel)
        return None if level is None else int(level)

    def numeric(self) -> bool:
        """Whether a deadband makes sense."""
        if self._binding is not None and self._binding.kind in _STORE:
            return self._binding.vtype in NUMERIC
        return self._sources.is_numeric(self.node_id)

    def eu_range(self) -> tuple[float, float] | None:
        """Low and high of the EURange property, if there is one."""
        if self._binding is not None:
            space = self._sources.space
            return None if space is None else space.eu_range(self._binding)
        return self._sources.eu_range(self.node_id)

    @property
    def compare(self) -> Callable[[Any, Any, float], bool]:
        """How two samples are compared."""
        if self._binding is not None and self._binding.kind in _ARRAYS and self._sources.arrays_as_numpy:
            return array_differs
        return data_filter.differs

    def read(self, snapshot: Snapshot | None) -> Reading:
        """Take a sample; store values as they were in `snapshot`."""
        binding = self._binding
        if binding is not None and snapshot is not None and binding.kind in _STORE:
            if binding.kind in _ARRAYS and self._sources.arrays_as_numpy:
                return _read_array(snapshot, binding, self.index_range)
            return self._part(values.data_value(cast(ValueStore, snapshot), binding), snapshot.server_ticks)
        try:
            value = self._sources.current(self.node_id, self.attribute)
            self._failing = False
        except Exception:  # a computed value of one node must not cost the others; told once, not at each sample
            if not self._failing:
                self._failing = True
                _logger.exception("sample_failed node=%s attribute=%s", self.node_id, self.attribute)
            value = ua.DataValue(StatusCode=status(StatusCodes.BadInternalError))
        return self._part(value, self._sources.now_ticks())

    def _part(self, value: ua.DataValue, server: int) -> Reading:
        reading = reading_of(value, server)
        if self.index_range is None or reading.status >= values.BAD or value.Value is None:
            return reading
        part = select_range(value.Value, self.index_range)
        if isinstance(part, int):
            return Reading(None, _nothing, part, reading.source, reading.server)
        return Reading(part.Value, lambda: variant_to_binary(part), reading.status, reading.source, reading.server)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever the attribute is written, if it is one that is written and nobody looks at anyway."""
        if self._binding is None and not self.polled and not self._sources.is_lazy(self.node_id):
            self._watch = self._sources.watch(self.node_id, self.attribute, changed)

    def unwatch(self) -> None:
        """Undo `watch`."""
        if self._watch:
            self._sources.unwatch(self._watch)
            self._watch = 0


def _nothing() -> None:
    return None


def _read_array(snapshot: Snapshot, binding: Binding, ranges: Ranges | None) -> Reading:
    """A SlotRange or DetailRange as numpy: status and time of the whole, values of the part."""
    store = cast(ValueStore, snapshot)
    start, stop = binding.start, binding.stop
    source = values.range_ticks(store, start, stop)
    if binding.kind is Kind.DETAIL:
        status = 0 if snapshot.generation else BAD_WAITING_FOR_INITIAL_DATA
    else:
        status = values.range_status(store, start, stop)
    if status >= values.BAD:
        return Reading(None, _nothing, status, source, snapshot.server_ticks)
    if ranges is not None:
        low, high = ranges[0]
        if len(ranges) > 1 or start + low >= stop:
            return Reading(None, _nothing, NO_DATA, source, snapshot.server_ticks)
        start, stop = start + low, min(stop, start + high)
    if binding.kind is Kind.DETAIL:
        array: Any = snapshot.detail[start:stop]
    else:
        array = values.cast(values.raw(store, start, stop), binding.vtype)
    vtype = int(binding.vtype)
    return Reading(array, lambda: records.variant_array(vtype, array), status, source, snapshot.server_ticks)
