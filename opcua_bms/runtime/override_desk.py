"""The owner of the overrides: what engineers ask is checked, kept on disk, and in force from the next scan on."""

from __future__ import annotations

import asyncio

import structlog

from opcua_bms.clock import Clock
from opcua_bms.errors import StorageError
from opcua_bms.infomodel.points import Point, Points
from opcua_bms.model.image import Image
from opcua_bms.model.override import (
    NO_OVERRIDES,
    Override,
    OverrideAction,
    OverrideAnswer,
    OverrideKind,
    OverrideRequest,
    OverrideResult,
    OverrideTable,
)
from opcua_bms.model.quality import IS_USABLE
from opcua_bms.runtime.override_store import OverrideStore

_log = structlog.get_logger(__name__)
MOST = 10_000
"""points that can be overridden at a time"""
MOST_COMMENT = 1_000
R = OverrideResult
_KIND = {
    OverrideAction.FORCE: OverrideKind.FORCED,
    OverrideAction.RELEASE: OverrideKind.FORCED,
    OverrideAction.DISABLE: OverrideKind.DISABLED,
    OverrideAction.ENABLE: OverrideKind.DISABLED,
}


class OverrideDesk:
    """Carries out requests one after the other (ports.PointOverrides); `table` is what the next scan is given."""

    def __init__(self, points: Points, n_numbers: int, store: OverrideStore, clock: Clock) -> None:
        self._points, self._n_numbers, self._store, self._clock = points, n_numbers, store, clock
        self._entries: dict[int, Override] = {}
        """by slot"""
        self._one_at_a_time = asyncio.Lock()
        self._last: Image | None = None
        self.table: OverrideTable = NO_OVERRIDES

    @property
    def overrides(self) -> tuple[Override, ...]:
        """All of them, the oldest first."""
        return self.table.entries

    def restore(self) -> None:
        """Go on where the last process ended. StorageError: what it left makes no sense."""
        for one in self._store.load():
            point = self._points.find(one.path)
            if point is None or point.slot is None:
                _log.warning("override_without_point", point=one.path, kind=one.kind.value, user=one.user)
                continue
            self._entries[point.slot] = one
        self._take(self._entries)
        if self._entries:
            _log.warning("overrides_in_force", count=len(self._entries), points=[o.path for o in self.overrides][:20])

    def seen(self, plant: Image) -> None:
        """The last scan: what points said before they were overridden."""
        self._last = plant

    async def override(self, request: OverrideRequest) -> OverrideAnswer:
        """Carry out a request; Good: it is on disk, and in force from the next scan on."""
        async with self._one_at_a_time:
            return await asyncio.shield(asyncio.ensure_future(self._carry_out(request)))

    async def _carry_out(self, request: OverrideRequest) -> OverrideAnswer:
        if len(request.comment) > MOST_COMMENT:
            return OverrideAnswer(R.OUT_OF_RANGE)
        if request.action is OverrideAction.RELEASE_ALL:
            gone = tuple(one.path for one in self.overrides)
            return await self._commit({}, OverrideAnswer(R.GOOD, points=gone), request)
        point = self._points.find(request.path)
        if point is None:
            return OverrideAnswer(R.NODE_ID_UNKNOWN)
        if point.slot is None:
            return OverrideAnswer(R.NOT_SUPPORTED)
        before = self._value(point.slot)
        if request.action in (OverrideAction.RELEASE, OverrideAction.ENABLE):
            held = self._entries.get(point.slot)
            if held is None or held.kind is not _KIND[request.action]:
                return OverrideAnswer(R.NOTHING_TO_DO)
            entries = {slot: one for slot, one in self._entries.items() if slot != point.slot}
            return await self._commit(entries, OverrideAnswer(R.GOOD, before, None, (request.path,)), request)
        return await self._set(point, point.slot, before, request)

    async def _set(
        self, point: Point, slot: int, before: float | int | None, request: OverrideRequest
    ) -> OverrideAnswer:
        value: float | int | None = None
        if request.action is OverrideAction.FORCE:
            try:
                value = point.fit(request.value)
            except OverflowError:
                return OverrideAnswer(R.OUT_OF_RANGE)
            if value is None:
                return OverrideAnswer(R.TYPE_MISMATCH)
        entries = {at: one for at, one in self._entries.items() if at != slot}
        if len(entries) >= MOST:
            return OverrideAnswer(R.TOO_MANY)
        kind = _KIND[request.action]
        entries[slot] = Override(request.path, kind, value, request.user, self._clock.utc_ns(), request.comment)
        return await self._commit(entries, OverrideAnswer(R.GOOD, before, value, (request.path,)), request)

    async def _commit(
        self, entries: dict[int, Override], answer: OverrideAnswer, request: OverrideRequest
    ) -> OverrideAnswer:
        """On disk first."""
        try:
            await asyncio.to_thread(self._store.save, tuple(entries.values()))
        except StorageError as error:
            _log.error("overrides_not_written", error=str(error))
            return OverrideAnswer(R.RESOURCE_UNAVAILABLE)
        self._take(entries)
        _log.warning(
            "override",
            action=request.action.value,
            points=list(answer.points)[:20],
            before=answer.before,
            after=answer.after,
            user=request.user,
            comment=request.comment,
            in_force=len(entries),
        )
        return answer

    def _take(self, entries: dict[int, Override]) -> None:
        self._entries = entries
        self.table = OverrideTable.of(((one, slot) for slot, one in entries.items()), self._n_numbers)

    def _value(self, slot: int) -> float | int | None:
        """What a point said in the last scan; None: no usable value."""
        plant = self._last
        if plant is None or not IS_USABLE[plant.quality[slot]]:
            return None
        if slot < self._n_numbers:
            return float(plant.values[slot])
        return int(plant.bits[slot - self._n_numbers])
