"""A client of the server that a module makes as its fixture `running`, and the plant, reset before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from alarm_client import AlarmClient, session, standard
from asyncua.ua.object_ids import ObjectIds
from condition_plant import ConditionPlant

from opcua_bms.server.app import BmsServer


@pytest.fixture
async def plant(running: tuple[BmsServer, ConditionPlant]) -> ConditionPlant:
    running[1].forget()
    return running[1]


@pytest.fixture
async def client(running: tuple[BmsServer, ConditionPlant], plant: ConditionPlant) -> AsyncIterator[AlarmClient]:
    """A client of the Server object, subscribed after the plant was reset."""
    del plant
    async with session(running[0].endpoint_url) as wire:
        yield await AlarmClient.at(wire, standard(ObjectIds.Server))


@pytest.fixture
def node(running: tuple[BmsServer, ConditionPlant]) -> Any:
    return running[0].names.node
