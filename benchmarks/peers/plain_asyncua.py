"""asyncua 2.1.0 as it comes; `bare` as second argument: READY after init, without variables."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from asyncua import Server, ua
from asyncua.crypto.validator import CertificateValidator

from benchmarks.peers.control import CLUSTERS, PACKS, Order, obey, ready

URI = "urn:example:site"
_node_id: Callable[[str, int], ua.NodeId] = ua.NodeId  # type: ignore[assignment]  # a plain str and int will do
_value: Callable[..., ua.DataValue] = ua.DataValue
SLICE = 1_000
"""Values written between two looks at the sockets."""


async def server_of(order: Order) -> Server:
    """With certificate, if there is one."""
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/")
    policies = [ua.SecurityPolicyType.NoSecurity]
    if order.certificates is not None:
        folder = Path(order.certificates)
        await server.load_certificate(folder / "server.der")
        await server.load_private_key(folder / "server.pem")
        policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
        server.set_certificate_validator(CertificateValidator())
    server.set_security_policy(policies)
    return server


async def fill(server: Server, order: Order) -> tuple[int, list[ua.NodeId]]:
    """The variables, below one object per pack."""
    index = await server.register_namespace(URI)
    names = order.cell_names()
    per_pack = len(names) // (CLUSTERS * PACKS)
    ids = []
    for start in range(0, len(names), per_pack):
        pack = names[start].rsplit(".", 2)[0]
        parent = await server.nodes.objects.add_object(_node_id(pack, index), ua.QualifiedName(pack, index))
        for name in names[start : start + per_pack]:
            node = _node_id(name, index)
            await parent.add_variable(node, ua.QualifiedName(name, index), 3.3, ua.VariantType.Float)
            ids.append(node)
    numbers = ua.Variant([3.3] * (len(names) // CLUSTERS), ua.VariantType.Float)
    for name in order.array_names():
        await server.nodes.objects.add_variable(_node_id(name, index), ua.QualifiedName(name, index), numbers)
    return index, ids


async def main() -> None:
    logging.disable(logging.WARNING)
    order = Order.given()
    server = await server_of(order)
    if sys.argv[2:] == ["bare"]:
        ready("", 0, [], [])
        return
    index, ids = await fill(server, order)
    await server.start()
    port = server.bserver.port if server.bserver is not None else 0
    ready(f"opc.tcp://127.0.0.1:{port}", index, order.cell_names(), order.array_names())

    async def change(n: int) -> None:
        now = datetime.now(UTC)
        for at, node in enumerate(ids):
            value = ua.Variant(3.3 + (n * 7 + at) % 1000 / 1000, ua.VariantType.Float)
            await server.write_attribute_value(node, _value(value, SourceTimestamp=now))
            if at % SLICE == 0:
                await asyncio.sleep(0)

    await obey(change)


if __name__ == "__main__":
    asyncio.run(main())
