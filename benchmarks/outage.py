"""A client's connection is gone for a minute: `python -m benchmarks.outage [SECONDS]`; what was lost or came twice.

One client of the wire, which asks with Republish, and node-opcua, which comes back by itself; ten values and ten events
a second all the time.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.process import NODE, ensure_node_modules

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))
PERIOD_S = 0.1


def told_by(last: int, heard: Any) -> dict[str, int]:
    """How much was told, and what became of it."""
    return {
        "told": last,
        **heard.missing(last),
        "republished": heard.republished,
        "overflows": heard.overflows,
    }


async def main(seconds: float) -> None:
    """Both clients, one after the other."""
    from guarded_server import demo_settings, guarded_server, make_gate
    from outage_rig import by_program, by_wire

    ensure_node_modules()
    with tempfile.TemporaryDirectory() as folder:
        async with guarded_server(make_gate(Path(folder), demo_settings())) as server:
            last, heard = await by_wire(server, seconds, period_s=PERIOD_S)
            print("wire", told_by(last, heard), flush=True)
            command = [str(NODE), str(TESTS / "foreign" / "outage.mjs")]
            last, heard = await by_program(server, seconds, command, period_s=PERIOD_S)
            print("node-opcua", {**told_by(last, heard), "contradictions": heard.contradictions}, flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0))
