"""The real product under floods: an honest client keeps its cadence, a newcomer gets in, memory stays bounded.

Server, simulator, attacker and client are processes of their own; the figures leave room for a busy machine. The
longer run of every flood is `python -m benchmarks.floods`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from flood_rig import Target, target

pytestmark = pytest.mark.integration

INTERVALS_S = 0.3
BUSY_S = 2.0
"""four processes share two cores with whatever else runs there"""


@pytest.fixture(scope="module")
async def plant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    async with target(tmp_path_factory.mktemp("flooded")) as running:
        yield running


@pytest.mark.parametrize("flood", ["deaf_readers", "large_reads", "too_many_operations"])
async def test_an_honest_client_goes_on(plant: Target, flood: str) -> None:
    """Before requests took turns, sixty deaf readers delayed an honest read by 1.5 s and stopped publishing."""
    fared = await plant.flooded(flood, 3.0)
    assert fared["sent"] > 10, fared
    assert fared["value_gap_s"] <= INTERVALS_S + BUSY_S, fared
    assert fared["read_p99_ms"] <= 100 + BUSY_S * 1000, fared
    assert fared["login_max_s"] <= 1 + BUSY_S, fared
    assert fared["events"] > 3, fared
    assert fared["peak_mib"] <= 64, fared
