"""The long run of random faults, for some seconds: the same program that is run for half an hour before a release."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


async def test_no_fault_makes_a_wrong_value() -> None:
    """Two faults at once, or one that ends in the middle of a scan, meet code that single faults never reach."""
    arguments = ("--seconds", "12", "--devices", "8", "--seed", "3", "--off-delay", "2")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.random_faults", *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    async with asyncio.timeout(180):
        out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert "wrong: 0" in out.decode()
