"""The listening socket: one protocol of the wiring's class per connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncua.server.binary_server_asyncio import BinaryServer as BaseBinaryServer

if TYPE_CHECKING:
    from opcua_bms.ua.wiring import Wiring


class BinaryServer(BaseBinaryServer):
    """opc.tcp on one address."""

    def __init__(self, *args: Any, wiring: Wiring) -> None:
        super().__init__(*args)
        self._wiring = wiring

    def _make_protocol(self) -> Any:
        return self._wiring.protocol(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
            processor=self._wiring.processor,
        )
