"""All devices of a site looked at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from opcua_bms.acquire.driver import Driver, Fault
from opcua_bms.acquire.modbus import ModbusLines
from opcua_bms.acquire.probe import DeviceProbe, probe
from opcua_bms.acquire.settings import ConnectionSettings, DeviceSettings
from opcua_bms.acquire.sunspec import discover
from opcua_bms.errors import UnreachableError
from opcua_bms.profiles.sunspec import Model

PATIENCE_S = 1.0
"""least budget of one request: who commissions can wait longer than a scan can"""


async def probe_all(devices: Sequence[DeviceSettings]) -> list[DeviceProbe]:
    """In the order of the settings; devices on one connection one after the other, the others at the same time."""
    lines = ModbusLines(time.monotonic)
    turns: dict[str, asyncio.Lock] = {}

    async def one(settings: DeviceSettings) -> DeviceProbe:
        timeout_s = max(settings.timeout_s, PATIENCE_S)

        def driver_of(unit: int) -> Driver:
            patience_s = timeout_s if unit == settings.unit else settings.timeout_s
            return lines.driver(settings.connection, unit, patience_s)

        place = f"{settings.connection.place}:{settings.connection.port}"
        async with turns.setdefault(place, asyncio.Lock()):
            return await probe(settings, driver_of, time.monotonic)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(settings)) for settings in devices]
    return [task.result() for task in running]


async def sunspec_models(host: str, port: int, unit: int) -> list[Model]:
    """The SunSpec models of a device; UnreachableError: it does not answer."""
    driver = ModbusLines(time.monotonic).driver(ConnectionSettings(host, port), unit, PATIENCE_S)
    try:
        return await discover(driver)
    except Fault as fault:
        raise UnreachableError(f"{host}:{port} unit {unit}: {fault}") from None
    finally:
        await driver.close()
