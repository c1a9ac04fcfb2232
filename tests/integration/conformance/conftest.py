"""A client of the server that a module makes as its fixture `plant_server`, the server, and its plant."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from ua_fixture import Plant
from wire_session import Wire, wire

from opcua_bms.ua.server import UaServer


@pytest.fixture
async def client(plant_server: tuple[UaServer, Plant]) -> AsyncIterator[Wire]:
    async with wire(plant_server[0].endpoint_url) as session:
        yield session


@pytest.fixture
def server(plant_server: tuple[UaServer, Plant]) -> UaServer:
    return plant_server[0]


@pytest.fixture
def plant(plant_server: tuple[UaServer, Plant]) -> Plant:
    return plant_server[1]
