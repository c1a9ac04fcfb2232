"""What a history of values must be able to do to be read over OPC UA: the seam of HistoryRead."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from asyncua import ua

from opcua_bms.ua.services.history_data import Run
from opcua_bms.ua.space.binding import Binding


class HistoryUnavailableError(Exception):
    """The history cannot be read now (BadResourceUnavailable)."""


@dataclass(frozen=True, slots=True)
class Series:
    """The history of one node. `key` is the provider's own; `width` elements where values are arrays, else 0.

    `stepped`: the value holds until the next sample (else lines are drawn); samples are `period` ticks apart, mostly.
    """

    key: Hashable
    vtype: ua.VariantType
    stepped: bool
    period: int
    width: int = 0


class HistoryProvider(Protocol):
    """Asked on the event loop. HistoryUnavailableError: it cannot answer now."""

    def series(self, binding: Binding) -> Series | None:
        """The history of a node; None if it has none."""

    def span(self, series: Series) -> tuple[int, int] | None:
        """Ticks of the first and the last sample; None: nothing is there yet."""

    async def read(
        self, series: Series, start: int, end: int, limit: int | None = None, newest_first: bool = False
    ) -> Run:
        """Samples with start <= ticks <= end, oldest first: all, or at most `limit` of the first or of the newest."""
