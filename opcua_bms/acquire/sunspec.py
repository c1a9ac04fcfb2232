"""Walk the chain of SunSpec models of a device; reads only."""

from __future__ import annotations

import numpy as np

from opcua_bms.acquire.driver import U16, Driver, ModbusException
from opcua_bms.errors import ConfigurationError
from opcua_bms.profiles.sunspec import BASES, END, MARKER, Model

_MOST_MODELS = 2000
_MOST_WORDS = 125
_TOO_MUCH = (2, 3)
"""exceptions that a read may meet which is only too long for the device"""


async def discover(driver: Driver) -> list[Model]:
    """All models of a device in their order; raises a Fault, or ConfigurationError: no SunSpec device."""
    base = await _base(driver)
    at = base + 2
    out: list[Model] = []
    while len(out) < _MOST_MODELS and at + 2 <= 65536:
        number, length = (int(w) for w in await driver.read("holding", at, 2))
        if number == END:
            return out
        if at + 2 + length > 65536:
            break
        out.append(Model(number, at, await _read(driver, at, 2 + length)))
        at += 2 + length
    raise ConfigurationError(f"the chain of SunSpec models from {base} has no end")


async def _base(driver: Driver) -> int:
    for base in BASES:
        try:
            if tuple(await driver.read("holding", base, 2)) == MARKER:
                return base
        except ModbusException:
            continue
    raise ConfigurationError(f"no SunSpec device: no marker at holding registers {', '.join(map(str, BASES))}")


async def _read(driver: Driver, address: int, count: int) -> U16:
    """`count` registers in as few reads as the device allows: one that is refused is halved."""
    parts: list[U16] = []
    first, most = 0, _MOST_WORDS
    while first < count:
        size = min(most, count - first)
        try:
            parts.append(await driver.read("holding", address + first, size))
        except ModbusException as fault:
            if fault.code not in _TOO_MUCH or size == 1:
                raise
            most = size // 2
        else:
            first += size
    return np.concatenate(parts)
