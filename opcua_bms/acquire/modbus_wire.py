"""One connection of pymodbus's transport layer: TCP, TLS or serial; bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pymodbus.transport import CommParams, ModbusProtocol

from opcua_bms.errors import InternalError


class Wire(ModbusProtocol):
    """A connection that ends for good when it is lost.

    `server_name`: what a TLS server's certificate must say, if not the host.
    """

    def __init__(
        self,
        params: CommParams,
        server_name: str,
        received: Callable[[bytes], None],
        lost: Callable[[Wire], None],
    ) -> None:
        super().__init__(params, is_server=False)
        if server_name:
            create = partial(self.call_create, server_hostname=server_name)  # type: ignore[call-arg]  # typed as bare
            self.call_create = create
        self._received = received
        self._lost = lost

    def data_received(self, data: bytes) -> None:
        """Past pymodbus's own buffer, which a request sent meanwhile would empty."""
        self._received(data)

    def callback_data(self, data: bytes, addr: tuple[object, ...] | None = None) -> int:  # noqa: ARG002 — UDP only
        self._received(data)
        return len(data)

    def callback_connected(self) -> None:
        """Nothing to do: whoever connects waits for it."""

    def callback_disconnected(self, exc: Exception | None) -> None:  # noqa: ARG002 — the reason changes nothing
        self._lost(self)

    def callback_new_connection(self) -> ModbusProtocol:
        raise InternalError("a client does not listen")

    def writer(self) -> Callable[[bytes], None]:
        """What sends bytes, past pymodbus's `send`, which keeps a history of frames for its log."""
        write: Callable[[bytes], None] = self.transport.write  # type: ignore[attr-defined]  # typed as BaseTransport
        return write

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self.is_closing = True
        self.transport.abort()  # type: ignore[attr-defined]  # as above
