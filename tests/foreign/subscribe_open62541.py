"""What subscribe.mjs does, with open62541: `python subscribe_open62541.py ENDPOINT NODES SECONDS FILE`.

NODES is a JSON list of paths of the plant; FILE gets {path: [[server time, source time, is it Good]]}, times in ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import o6
from o6.ns import ns0

Notes = dict[str, list[tuple[int, int, bool]]]


def milliseconds(moment: Any) -> int:
    """A time as o6 has it."""
    return round(datetime.fromisoformat(str(moment)).timestamp() * 1000)


async def watch(endpoint: str, paths: list[str], seconds: float) -> Notes:
    """Every scan of every path for some seconds."""
    client = o6.Client(endpoint)
    await client.connect()
    notes: Notes = {path: [] for path in paths}

    def listener(path: str) -> Any:
        def take(value: Any) -> None:
            times = milliseconds(value.serverTimestamp), milliseconds(value.sourceTimestamp)
            notes[path].append((*times, str(value.status) == "GOOD"))

        return take

    objects = await client.browse("i=85", resultMask=63)
    site = next(r.nodeId for r in objects if r.browseName.name == "BMS")
    prefix = str(site).removesuffix("BMS")
    every = ns0.datatypes.DataChangeFilter()
    every.trigger = ns0.datatypes.DataChangeTrigger.STATUS_VALUE_TIMESTAMP
    subscription = await client.createSubscription(100.0, maxNotificationsPerPublish=0)
    for path in paths:
        options = {"valueOnly": False, "subscription": subscription, "filter": every, "queueSize": 10}
        await client.monitor(o6.NodeId(prefix + path), listener(path), 0.0, **options)
    await asyncio.sleep(seconds)
    await client.disconnect()
    return notes


def main() -> None:
    endpoint, nodes, seconds, file = sys.argv[1:]
    found = asyncio.run(watch(endpoint, json.loads(Path(nodes).read_text()), float(seconds)))
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
