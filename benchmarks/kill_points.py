"""Kill and restart the alarm journal at random moments of a scripted day of faults, then hold it against the script.

    python benchmarks/kill_points.py [points] [seed]
    python benchmarks/kill_points.py --server [points] [seed]

1,000 points of engine and journal, or 30 of the whole program with an OPC UA client, unless told otherwise. Ends with
the figures of what was checked, or with what was lost or doubled.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import kill_rig
import restart_rig

from opcua_bms.model.alarm import Result


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


async def server(points: int, seed: int) -> None:
    """Kill the whole program in the middle of storms of faults and of operators' commands."""
    rng, on, answers = random.Random(seed), set[int](), Counter[Result]()
    with tempfile.TemporaryDirectory() as name:
        async with restart_rig.site_of(Path(name)) as site:
            for _ in range(points + 1):
                async with site.life() as client:
                    retained = await client.refresh()
                    client.listen()
                    shown = await client.truth(retained, on)
                    for row in shown.values():
                        if not row["AckedState/Id"] and rng.random() < 0.3:
                            answer = Result(await client.acknowledge(row))
                            answers[answer] += 1
                            if answer is Result.EVENT_ID_UNKNOWN:  # it has come again meanwhile
                                await client.followed(row)
                            else:
                                assert answer in (Result.GOOD, Result.GOOD_COMPLETES_ASYNCHRONOUSLY), answer
                    on = await site.storm(rng, rng.randint(1, 8))
        transitions = await restart_rig.check_journal(Path(name) / "alarms.sqlite", site.seen)
    told = ", ".join(f"{n} answered {answer.name.lower()}" for answer, n in answers.items())
    print(f"{points} kills, {transitions} transitions, {len(site.seen)} seen; acknowledging: {told or 'none'}")
    print("nothing lost, nothing doubled")


if __name__ == "__main__":
    whole = "--server" in sys.argv
    numbers = [int(a) for a in sys.argv[1:] if a != "--server"]
    points, seed = numbers[0] if numbers else 30 if whole else 1000, numbers[1] if len(numbers) > 1 else 1
    if whole:
        asyncio.run(server(points, seed))
    else:
        main(points, seed)
