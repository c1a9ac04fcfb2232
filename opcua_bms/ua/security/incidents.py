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
    subjects: dict[tuple[str, str], float] = field(default_factory=dict)
    suppressed: int = 0


class Incidents:
    """`counters` by event name are what diagnostics show.

    One source (an address) gets one line a minute for the same event and subject, and at most `burst` a minute in all,
    so that an honest client's second problem still shows and a flood does not.
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
        if (event, subject) in state.subjects or len(state.lines) >= self._burst:
            state.suppressed += 1
            return
        state.lines.append(now)
        state.subjects[event, subject] = now
        shown: dict[str, object] = {"address": source, **fields}
        if state.suppressed:
            shown["suppressed"] = state.suppressed
            state.suppressed = 0
        _logger.warning(
            "%s %s", event, " ".join(f"{k}={_plain(v)}" for k, v in shown.items()), extra={"event": event, **shown}
        )


def _plain(value: object) -> str:
    """A stranger's text in one line without control characters."""
    text = str(value)[:500]
    return repr(text) if not text.isprintable() or " " in text or not text else text
