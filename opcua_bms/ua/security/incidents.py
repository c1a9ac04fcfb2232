"""Security incidents: counted always, logged at most once a minute per source and subject."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from opcua_bms.clock import Clock

_logger = logging.getLogger("opcua_bms.ua.security")


@dataclass(slots=True)
class _Source:
    lines: list[float] = field(default_factory=list)
    subjects: dict[str, float] = field(default_factory=dict)
    suppressed: int = 0


class Incidents:
    """`counters` by event name are what diagnostics show.

    One source (an address) gets one line a minute, whatever it does, and one for each `subject` (a certificate, a
    user), but at most `burst` a minute in all: an honest client's second problem still shows, and a flood does not.
    The line's message is the event, everything else are fields of the record (`extra`).
    """

    def __init__(self, clock: Clock, *, period_s: float = 60.0, burst: int = 3) -> None:
        self.clock = clock
        self.counters: Counter[str] = Counter()
        self._period_s = period_s
        self._burst = burst
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    def report(self, event: str, source: str, subject: str = "", **fields: object) -> None:
        """Count an incident; log it unless this source had its lines; `subject` tells same from other."""
        self.counters[event] += 1
        now = self.clock.monotonic()
        state = self._sources.setdefault(source, _Source())
        self._sources.move_to_end(source)
        while len(self._sources) > 1024:
            self._sources.popitem(last=False)
        state.lines = [at for at in state.lines if now - at < self._period_s]
        state.subjects = {k: at for k, at in state.subjects.items() if now - at < self._period_s}
        if subject in state.subjects or len(state.lines) >= self._burst:
            state.suppressed += 1
            return
        state.lines.append(now)
        state.subjects[subject] = now
        shown: dict[str, object] = {"address": source, **{name: _plain(value) for name, value in fields.items()}}
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
