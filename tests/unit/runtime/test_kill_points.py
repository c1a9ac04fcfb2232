"""Killed a hundred times in a day of faults; `python benchmarks/kill_points.py` does it a thousand times."""

from __future__ import annotations

import sys
from pathlib import Path

import kill_rig
import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="forks, and kills with SIGKILL")
async def test_nothing_is_lost_and_nothing_doubled_by_a_hundred_kills(tmp_path: Path) -> None:
    """This is the promise of the journal, at the moments that nobody thinks of."""
    lives = kill_rig.kill_and_restart(tmp_path, 100, seed=1)
    figures = kill_rig.check(lives, await kill_rig.recorded(tmp_path), kill_rig.Script(1))
    assert figures["lives"] == 100
    assert figures["transitions"] > 500, f"the plant did not live: {figures}"
    assert figures["commands_answered_good"] > 50, figures
