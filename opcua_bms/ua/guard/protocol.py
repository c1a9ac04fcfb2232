"""Bytes of one connection → messages for its processor."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncua.server.binary_server_asyncio import OPCUAProtocol

from opcua_bms.ua.processor import Processor


class Protocol(OPCUAProtocol):
    """One per connection; makes a processor of the class it is given."""

    def __init__(self, *args: Any, processor: type[Processor], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._processor_class = processor

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start serving a socket."""
        self.peer_name = transport.get_extra_info("peername")
        if len(self.clients) >= self.iserver.max_connections:
            transport.close()
            return
        self.transport = transport  # type: ignore[assignment]  # a stream transport, which is what create_server makes
        self.processor = self._processor_class(self.iserver, self.transport, self.limits)
        self.processor.set_policies(self.policies)
        self.iserver.asyncio_transports.append(transport)
        self.clients.append(self)
        self._task = asyncio.create_task(self._process_received_message_loop())
        if self.iserver.max_pending_activation_seconds > 0:
            self._activation_watchdog_task = asyncio.create_task(self._activation_watchdog())
