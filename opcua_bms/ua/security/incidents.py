"""Security incidents: counted always, logged at most once a minute per source."""

from __future__ import annotations

import logging
import math
from collections import Counter, OrderedDict
from dataclasses import dataclass

from opcua_bms.clock import Clock

_logger = logging.getLogger("opcua_bms.ua.security")


@dataclass(slots=True)
class _Source:
    told: float = -math.inf
    suppressed: int = 0


class Incidents:
    """`counters` by event name are what diagnostics show.

    A source (an address) gets one line a minute, whatever it does; the next one tells how many were left out. What is
    not about a source but about ourselves (`notice`) gets one for each event and subject. The line's message is the
    event, everything else are fields of the record (`extra`).
    """

    def __init__(self, clock: Clock, *, period_s: float = 60.0) -> None:
        self.clock = clock
        self.counters: Counter[str] = Counter()
        self._period_s = period_s
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    def report(self, event: str, source: str, **fields: object) -> None:
        """Count an incident; log it unless this source had its line."""
        self._tell(event, source, {"address": source, **fields})

    def notice(self, event: str, subject: str = "", address: str = "local", **fields: object) -> None:
        """Count and log what happened to ourselves, or at our own wish."""
        self._tell(event, f"{event} {subject}", {"address": address, **fields})

    def _tell(self, event: str, source: str, fields: dict[str, object]) -> None:
        self.counters[event] += 1
        now = self.clock.monotonic()
        state = self._sources.setdefault(source, _Source())
        self._sources.move_to_end(source)
        while len(self._sources) > 1024:
            self._sources.popitem(last=False)
        if now - state.told < self._period_s:
            state.suppressed += 1
            return
        state.told = now
        shown = {name: _plain(value) for name, value in fields.items()}
        if state.suppressed:
            shown["suppressed"] = state.suppressed
            state.suppressed = 0
        _logger.warning(event, extra=shown)


def _plain(value: object) -> object:
    """A stranger's text in one line without control characters."""
    if isinstance(value, bool | int | float):
        return value
    text = str(value)[:500]
    return text if text.isprintable() else repr(text)
