"""What subscribe.mjs does, with open62541: `python subscribe_open62541.py ENDPOINT NODES SECONDS FILE`.

NODES is a JSON list of paths of the plant; FILE gets {"statuses": …, "stamps": {path: [source times in ms]}}.
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


async def watch(endpoint: str, paths: list[str], seconds: float) -> dict[str, Any]:
    """Every scan of every path for some seconds."""
    client = o6.Client(endpoint)
    await client.connect()
    statuses: dict[str, int] = {}
    stamps: dict[str, list[float]] = {path: [] for path in paths}

    def listener(path: str) -> Any:
        def take(value: Any) -> None:
            name = str(value.status)
            statuses[name] = statuses.get(name, 0) + 1
            stamps[path].append(round(datetime.fromisoformat(str(value.sourceTimestamp)).timestamp() * 1000))

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
    return {"statuses": statuses, "stamps": stamps}


def main() -> None:
    endpoint, nodes, seconds, file = sys.argv[1:]
    found = asyncio.run(watch(endpoint, json.loads(Path(nodes).read_text()), float(seconds)))
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
