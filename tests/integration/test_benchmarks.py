"""The benchmarks run: tiny sizes, no bar is checked here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
TINY = ["--cells", "500", "--rounds", "1", "--seconds", "1", "--scale", "100", "--stacks", "1"]


def run(*arguments: str) -> str:
    """The output of a benchmark."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_workloads_print_a_table() -> None:
    """Without this the README's table could no longer be made."""
    table = run("benchmarks", "read", "secure", "million", "reduce", *TINY, "--peers")
    rows = [line.split("|")[1:-1] for line in table.splitlines()]
    assert len(rows) >= 12
    assert all(len(row) == 5 and row[1].strip() for row in rows)


def test_notifications_are_measured_beside_open62541() -> None:
    """Without this the raw client could misread Publish responses of one of the servers."""
    table = run("benchmarks", "notify", *TINY, "--peers", "open62541")
    assert "× open62541" in table
    assert "nan" not in table


def test_reduction_is_compared_with_a_loop() -> None:
    """Without this the reduction's figure would stand alone."""
    assert "ratio" in run("benchmarks.reduction", "1")
