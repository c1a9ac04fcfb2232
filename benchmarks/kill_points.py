"""Kill and restart the alarm journal at random moments of a scripted day of faults, then hold it against the script.

    python benchmarks/kill_points.py [points] [seed]

1,000 points unless told otherwise. Ends with the figures of what was checked, or with what was lost or doubled.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import kill_rig


def main(points: int, seed: int) -> None:
    """Run, check, tell."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lives = kill_rig.kill_and_restart(folder, points, seed)
        figures = kill_rig.check(lives, asyncio.run(kill_rig.recorded(folder)), kill_rig.Script(seed))
    for what, n in figures.items():
        print(f"{what.replace('_', ' '):24} {n:8}")
    print(f"nothing lost, nothing doubled; {time.monotonic() - start_s:.0f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
