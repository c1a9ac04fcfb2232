"""Results and the Markdown table of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

OURS = "ours"
PEERS = {"open62541": "open62541 (o6)", "plain_asyncua": "asyncua", "node_opcua": "node-opcua"}
LEAST, MOST = "≥", "≤"


@dataclass(frozen=True)
class Bar:
    """Our value compared with a peer's (`limit` times it), or with `limit` itself if `peer` is empty."""

    sign: str
    limit: float
    peer: str = ""

    def met(self, value: float) -> bool:
        """Whether a ratio (or a value) is good enough."""
        return value >= self.limit if self.sign == LEAST else value <= self.limit


@dataclass
class Row:
    """One workload: `samples` by server, one per round, in `unit`; ratios are made within rounds."""

    what: str
    unit: str
    bars: Sequence[Bar] = ()
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, server: str, value: float) -> None:
        """One more sample."""
        self.samples.setdefault(server, []).append(value)

    def compared(self, bar: Bar) -> float:
        """The median over the rounds of what the bar is about."""
        ours = self.samples[OURS]
        if not bar.peer:
            return statistics.median(ours)
        return statistics.median(a / b for a, b in zip(ours, self.samples[bar.peer], strict=False))

    def cells(self) -> list[str]:
        """The row of the table."""
        cells = [self.what, _spread(self.samples.get(OURS, []), self.unit)]
        others = [f"{label} {_spread(self.samples[p], self.unit)}" for p, label in PEERS.items() if p in self.samples]
        cells.append("<br>".join(others))
        ratios, bars = [], []
        for bar in self.bars:
            if OURS not in self.samples or (bar.peer and bar.peer not in self.samples):
                continue
            value = self.compared(bar)
            unit = f"× {PEERS[bar.peer]}" if bar.peer else self.unit
            if bar.peer:
                ratios.append(f"{number(value)} {unit}")
            bars.append(f"{bar.sign} {bar.limit:g} {unit} {'✔' if bar.met(value) else '✘'}")
        return [*cells, "<br>".join(ratios), "<br>".join(bars) or "reported"]


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spread(samples: Sequence[float], unit: str) -> str:
    if not samples:
        return ""
    middle = number(statistics.median(samples))
    if len(samples) == 1:
        return f"{middle} {unit}"
    return f"{middle} {unit} ({number(min(samples))}–{number(max(samples))})"


def markdown(rows: Sequence[Row]) -> str:
    """The whole table."""
    head = [["what", "ours", "peers", "ratio", "bar"], ["---"] * 5]
    return "\n".join("| " + " | ".join(line) + " |" for line in [*head, *(row.cells() for row in rows)])
