"""Open channels follow the trust list: whose certificate is trusted no more, or revoked, is out within seconds.

A renewal would find it too, but only within the hour.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509

from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.pki import TrustLists
from opcua_bms.ua.security.validation import CertificateRejectedError

if TYPE_CHECKING:
    from opcua_bms.ua.guard.protocol import Protocol

LOOK_S = 2.0


class TrustWatch:
    """One per server whose gate has a trust list."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._gate: Gate = server.iserver.gate
        self._seen: TrustLists | None = None
        self._doubted: set[tuple[x509.Certificate, ...]] = set()

    async def run(self) -> None:
        """Look every LOOK_S until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look; who is found out twice is out: a file that is being copied must not cost anybody his channel."""
        lists = await self._gate.trust_lists()
        changed, self._seen = lists is not self._seen, lists
        doubted, self._doubted = self._doubted, set()
        if not changed and not doubted:
            return
        for connection in self._connections():
            chain = connection.processor.channel.chain if connection.processor is not None else ()
            if chain in doubted:
                await self._judge(connection, chain)
            elif chain and self._gate.rejection(chain, lists) is not None:
                self._doubted.add(chain)

    def _connections(self) -> list[Protocol]:
        listening = self._server.bserver
        return cast("list[Protocol]", list(listening.clients)) if listening is not None else []

    async def _judge(self, connection: Protocol, chain: tuple[x509.Certificate, ...]) -> None:
        try:
            await self._gate.check_application(chain, connection.address)
        except CertificateRejectedError as error:
            session = connection.processor.guarded_session if connection.processor is not None else None
            if session is not None:
                await session.close_session(True)
            connection.dismiss(error.wire_code)
