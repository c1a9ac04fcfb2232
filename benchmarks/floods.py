"""Every flood against the real product, an honest client beside it: `python -m benchmarks.floods [SECONDS [NAME …]]`.

A line per flood: latencies of the honest client's reads, its longest gaps, the slowest login of a newcomer, the peak of
the server's memory over its base, and how much of it is left a minute later (or as soon as it is below 15 MiB).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))


async def main(names: list[str], seconds: float) -> None:
    """Run them one after another, each on a fresh server."""
    from flood_attacks import FLOODS
    from flood_rig import MIB, target

    for name in names or ["none", *FLOODS]:
        with tempfile.TemporaryDirectory() as folder:
            async with target(Path(folder)) as plant:
                found = await plant.flooded(None if name == "none" else name, seconds)
                left, waited = plant.rss / MIB - found["base_mib"], 0
                while left > 15 and waited < 60:
                    await asyncio.sleep(1)
                    waited += 1
                    left = plant.rss / MIB - found["base_mib"]
                print(name, {**found, "left_mib": round(left, 1), "left_after_s": waited}, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[2:], float(sys.argv[1]) if len(sys.argv) > 1 else 6.0))
