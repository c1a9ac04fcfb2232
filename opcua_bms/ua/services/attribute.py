"""Read and Write (Part 4 §5.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncua.server.address_space import AttributeService

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer


class Attributes(AttributeService):
    """The Attribute service set."""

    def __init__(self, iserver: InternalServer) -> None:
        super().__init__(iserver.aspace)
        self._iserver = iserver
