"""The plant's history as nodes ask for it: slots, bits and arrays of the store ↔ samples of the history."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from asyncua import ua

from opcua_bms.errors import StorageError
from opcua_bms.model.history import LOST, Samples
from opcua_bms.model.quality import STATUS_CODE
from opcua_bms.ports import History
from opcua_bms.server.names import Names
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.services.history import DEFAULTS
from opcua_bms.ua.services.history_data import Run
from opcua_bms.ua.services.history_nodes import add_configuration
from opcua_bms.ua.services.history_provider import HistoryUnavailableError, Series
from opcua_bms.ua.space.binding import Binding, Kind
from opcua_bms.ua.store import EPOCH_TICKS

BAD_DATA_LOST, UNCERTAIN_SUB_NORMAL = 0x809D0000, 0x40950000
_TICKS_PER_S = 10_000_000
_SLOPED = (ua.VariantType.Double, ua.VariantType.Float)
_STATUS = np.full(256, 0x80000000, np.uint32)
_STATUS[: len(STATUS_CODE)] = STATUS_CODE
_STATUS[LOST] = BAD_DATA_LOST


class PlantHistory:
    """A HistoryProvider of a plant's values. Times are those of the scans: an old value says so by its status."""

    def __init__(self, history: History, scan_period_s: float) -> None:
        self._history, self._scan_period_s = history, scan_period_s

    def keeps(self, start: int, stop: int) -> bool:
        """Whether these slots have a history."""
        return stop > start and self._history.keeps(slice(start, stop))

    def period_s(self, start: int, stop: int) -> float:
        """How far their samples are apart."""
        return self._history.period_s(slice(start, stop), self._scan_period_s)

    def series(self, binding: Binding) -> Series | None:
        """The history of a node; None if it has none."""
        kind, start, stop, vtype, bit = binding[:5]
        if not binding.member.historizing or kind not in (Kind.SLOT, Kind.BIT, Kind.RANGE):
            return None
        if not self.keeps(start, stop):
            return None
        period = max(1, round(self.period_s(start, stop) * _TICKS_PER_S))
        width = stop - start if kind is Kind.RANGE else 0
        key = (start, stop, bit if kind is Kind.BIT else -1)
        return Series(key, vtype, vtype not in _SLOPED, period, width)

    def span(self, series: Series) -> tuple[int, int] | None:
        """Ticks of the first and the last sample."""
        start, stop, _ = _slots(series)
        span = self._history.span(slice(start, stop))
        return None if span is None else (_ticks(span[0]), _ticks(span[1]))

    async def read(
        self, series: Series, start: int, end: int, limit: int | None = None, newest_first: bool = False
    ) -> Run:
        """Samples between two ticks."""
        first, stop, bit = _slots(series)
        low, high = (start - EPOCH_TICKS) * 100, (end - EPOCH_TICKS) * 100
        try:
            found = await self._history.samples(
                slice(first, stop), within(low), within(high), limit=limit, newest_first=newest_first
            )
        except StorageError as error:
            raise HistoryUnavailableError(str(error)) from error
        ticks = found.times_ns // 100 + EPOCH_TICKS
        if series.width:
            return Run(ticks, found.values, _row_status(found))
        values = found.values[:, 0]
        if bit >= 0:
            values = (values >> np.uint64(bit)) & np.uint64(1)
        return Run(ticks, values, _STATUS[found.quality[:, 0]])


def _slots(series: Series) -> tuple[int, int, int]:
    assert isinstance(series.key, tuple)  # noqa: S101 - made above
    return series.key


def within(time_ns: int) -> int:
    """As int64 holds it."""
    return min(max(time_ns, 0), (1 << 63) - 1)


def _ticks(time_ns: int) -> int:
    return time_ns // 100 + EPOCH_TICKS


def _row_status(found: Samples) -> npt.NDArray[np.uint32]:
    """As of a live array: what all elements share, else UncertainSubNormal."""
    status = _STATUS[found.quality]
    same = (status == status[:, :1]).all(axis=1)
    return np.where(same, status[:, 0], UNCERTAIN_SUB_NORMAL).astype(np.uint32)


class Configurations:
    """The HistoricalDataConfiguration objects: by whether values hold between samples, and by period."""

    def __init__(self, server: UaServer, names: Names, history: PlantHistory, source: History) -> None:
        self._server, self._names, self._history, self._source = server, names, history, source
        self._made: dict[tuple[bool, float], ua.NodeId] = {}

    def of(self, vtype: ua.VariantType, start: int, stop: int, *, is_array: bool) -> ua.NodeId | None:
        """The configuration for slots that are kept; None for others."""
        if not self._history.keeps(start, stop):
            return None
        stepped, period_s = is_array or vtype not in _SLOPED, self._history.period_s(start, stop)
        made = self._made.get((stepped, period_s))
        if made is None:
            name = f"HistoryConfiguration.{'Stepped' if stepped else 'Sloped'}{round(period_s * 1000)}ms"
            made = self._made[stepped, period_s] = self._names.node(name)
            slots = slice(start, stop)
            add_configuration(
                self._server.iserver,
                made,
                DEFAULTS,
                stepped=stepped,
                period_ms=period_s * 1000,
                start_of_archive=lambda: self._first(slots),
            )
        return made

    def _first(self, slots: slice) -> datetime | None:
        span = self._source.span(slots)
        return None if span is None else datetime.fromtimestamp(span[0] / 1e9, UTC)
