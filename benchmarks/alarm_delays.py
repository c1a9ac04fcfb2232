"""Every limit of the table crossed by ramps through the simulator, with the delays that the rules have by default.

    python benchmarks/alarm_delays.py [quick]

Takes about five minutes (`quick`: half a minute, with delays of 0.2 and 0.5 s). Prints of each limit how often it was
passed and left, how long the program waited each time, and how many scans that is off the configured delay.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from ramp_rig import CLUSTERS, DEFAULTS, PERIOD_S, QUANTITIES, QUICK, Quantity, Run, ramped

from opcua_bms.model.alarm import Level

HEAD = ("limit", "raises", "clears", "passed", "waited, s", "left", "waited, s", "scans off")


def told(run: Run, quantity: Quantity, name: str, limits: tuple[float, float]) -> tuple[str, ...]:
    """One line of the table; AssertionError: the program did something else than the table says."""
    waited: dict[bool, list[float]] = {True: [], False: []}
    off = 0.0
    for cluster in range(CLUSTERS):
        condition = quantity.condition + ("Trip" if name == "trip" else "")
        assert run.shown(condition, cluster)[: run.ramped] == run.expected(condition, cluster), (condition, cluster)
        for switch in run.switches(quantity, cluster, limits):
            delay_s = quantity.on_s(run.delays) if switch.on else run.delays.off_s
            waited[switch.on].append(switch.waited_s)
            off = max(off, (switch.waited_s - delay_s) / PERIOD_S)

    def span(times: list[float]) -> str:
        return f"{min(times):.2f} to {max(times):.2f}"

    raised, cleared = waited[True], waited[False]
    assert raised, f"{quantity.rule}.{name} was never passed"
    assert len(raised) == len(cleared), f"{quantity.rule}.{name} did not clear"
    return (
        f"{quantity.rule}.{name}",
        *(f"{limit:g}" for limit in limits),
        str(len(raised)),
        span(raised),
        str(len(cleared)),
        span(cleared),
        f"{off:.2f}",
    )


async def main(quick: bool) -> None:
    """Run, compare, tell."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        async with ramped(QUICK if quick else DEFAULTS, Path(folder)) as run:
            rows = [told(run, q, name, limits) for q in QUANTITIES for name, _, limits in q.levels]
    widths = [max(len(row[k]) for row in (HEAD, *rows)) for k in range(len(HEAD))]
    for row in (HEAD, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"{len(run.recorder.snapshots)} scans of {PERIOD_S} s")
    for condition, truth in (("CommunicationLoss", run.lost), ("ValuesFrozen", run.frozen)):
        for cluster in range(CLUSTERS):
            shown = [level is Level.ACTIVE for level in run.shown(condition, cluster)]
            apart = [k for k, (a, b) in enumerate(zip(shown, truth(cluster), strict=True)) if a is not b]
            assert not apart, f"{condition} of cluster {cluster + 1}: not as in scans {apart[:10]}"
    print("communication loss and frozen values in the same scan")


if __name__ == "__main__":
    asyncio.run(main("quick" in sys.argv[1:]))
