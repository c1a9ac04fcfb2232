"""A process that writes history as fast as it is taken, until it is killed: `history_writer.py FILE PERIOD_S`.

Prints the time in ns of each scan after the commit that it is in; scans follow the real clock.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from history_plant import SMALL, Past

from opcua_bms.history import Keep, SqliteShelf
from opcua_bms.model.snapshot import Snapshot


async def write(path: Path, period_s: float) -> None:
    """Never ends."""
    past = Past.of(SMALL, SqliteShelf(path), Keep(scans_per_chunk=20, cells_per_chunk=5, cell_period_s=5 * period_s))
    past.period_s = period_s
    await past.store.start()
    while True:
        image = past.image(time.time_ns())
        past.counter += 1
        past.store.publish(Snapshot(image, (), ()))
        await past.written()
        sys.stdout.write(f"{past.store.health.last_written_ns}\n")
        sys.stdout.flush()
        await asyncio.sleep(period_s)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), float(sys.argv[2])))
