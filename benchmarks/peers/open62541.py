"""open62541 through o6, written to from Python; its process may live for ten minutes."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import Any

import o6

from benchmarks.peers.control import CLUSTERS, PACKS, Order, obey, ready


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _server(order: Order, port: int) -> Any:
    logger = logging.getLogger("o6")
    logger.setLevel(logging.ERROR)
    if order.certificates is None:
        return o6.Server(port=port, logger=logger)
    folder = Path(order.certificates)
    return o6.Server(
        port=port,
        logger=logger,
        certificate=folder / "server.der",
        privateKey=folder / "server.key.der",
        acceptAllCertificates=True,
        applicationUri="urn:example:server",
    )


async def main() -> None:
    order = Order.given()
    port = _free_port()
    server = _server(order, port)
    names = order.cell_names()
    per_pack = len(names) // (CLUSTERS * PACKS)
    for start in range(0, len(names), per_pack):
        pack = names[start].rsplit(".", 2)[0]
        await server.addObject(pack, "i=85", nodeId=f"ns=1;s={pack}")
        for name in names[start : start + per_pack]:
            await server.addVariable(name, f"ns=1;s={pack}", o6.Float(3.3), nodeId=f"ns=1;s={name}")
    numbers = [o6.Float(3.3)] * (len(names) // CLUSTERS)
    for name in order.array_names():
        await server.addVariable(name, "i=85", numbers, nodeId=f"ns=1;s={name}")
    ids = [o6.NodeId(f"ns=1;s={name}") for name in names]
    server.start()
    await server.waitReady()
    ready(f"opc.tcp://127.0.0.1:{port}", 1, names, order.array_names())

    async def change(n: int) -> None:
        await server.write(ids, [o6.Float(3.3 + (n * 7 + at) % 1000 / 1000) for at in range(len(ids))])

    await obey(change)
    os._exit(0)  # its threads need not be waited for


if __name__ == "__main__":
    asyncio.run(main())
