"""The long run of random faults, for some seconds: the same program that is run for half an hour before a release."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "random_faults.py"


async def test_no_fault_makes_a_wrong_value(tmp_path: Path) -> None:
    """Two faults at once, or one that ends in the middle of a scan, meet code that single faults never reach."""
    arguments = ("--seconds", "12", "--devices", "8", "--seed", "3")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), *arguments, stdout=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert "wrong: 0" in out.decode()
