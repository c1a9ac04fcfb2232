"""Look at a device once, as commissioning wants it: each block's answer, what it would mean, what looks wrong.

Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from opcua_bms.acquire.driver import U16, ConnectFailed, Driver, Fault, ModbusException
from opcua_bms.acquire.settings import DeviceSettings
from opcua_bms.profiles.device_values import device_values
from opcua_bms.profiles.examine import Bools, Examined, examine
from opcua_bms.profiles.hints import Hint, fit, hints, shifted
from opcua_bms.profiles.plan import DevicePlan
from opcua_bms.profiles.planner import Request

OTHER_UNITS = (1, 0, 255, 2, 247)
"""where devices most often answer when not where they were expected"""


@dataclass(frozen=True, slots=True, eq=False)
class BlockProbe:
    """One block: its words, or the fault in their place, and the time that the answer took."""

    request: Request
    words: U16 | None
    fault: Fault | None
    took_s: float


@dataclass(slots=True, eq=False)
class DeviceProbe:
    """What one device said. `fault`: the connection failed, nothing else is known."""

    name: str
    fault: Fault | None = None
    blocks: list[BlockProbe] = field(default_factory=list)
    points: list[Examined] = field(default_factory=list)
    values: dict[str, float | str | None] = field(default_factory=dict)
    hints: list[Hint] = field(default_factory=list)

    @property
    def reachable(self) -> bool:
        """Something was answered, be it with an exception."""
        return any(b.fault is None or isinstance(b.fault, ModbusException) for b in self.blocks)


async def probe(
    settings: DeviceSettings, driver_of: Callable[[int], Driver], monotonic: Callable[[], float]
) -> DeviceProbe:
    """Read every block of a device once, and a little more where something looks wrong.

    `driver_of` makes the driver of a unit id on the device's connection; those made here are closed.
    """
    out = DeviceProbe(settings.name)
    driver = driver_of(settings.unit)
    try:
        await driver.connect()
    except ConnectFailed as fault:
        out.fault = fault
        await driver.close()
        return out
    try:
        for plan in settings.plans:
            blocks = await _read_all(driver, plan, monotonic)
            out.blocks += blocks
            words, arrived = _buffer(plan, blocks)
            out.points += examine(plan, words, arrived)
            out.values |= device_values(plan, words)
            out.hints += hints(plan, words, arrived)
            out.hints += await _neighbours(plan, driver, fit(plan, words, arrived), blocks, monotonic)
    finally:
        await driver.close()
    if not out.reachable or all(_is_gateway(b.fault) for b in out.blocks):
        out.hints += await _other_units(settings, driver_of, monotonic)
    return out


async def _read(driver: Driver, request: Request, monotonic: Callable[[], float], shift: int = 0) -> BlockProbe:
    started_s = monotonic()
    try:
        words = await driver.read(request.table, request.address + shift, request.count)
    except Fault as fault:
        return BlockProbe(request, None, fault, monotonic() - started_s)
    return BlockProbe(request, words, None, monotonic() - started_s)


async def _read_all(driver: Driver, plan: DevicePlan, monotonic: Callable[[], float]) -> list[BlockProbe]:
    """Each block once; after two that nobody answered the rest is not asked."""
    blocks: list[BlockProbe] = []
    for request in plan.requests:
        silent = len(blocks) >= 2 and all(b.words is None and not isinstance(b.fault, ModbusException) for b in blocks)
        if silent:
            blocks.append(BlockProbe(request, None, blocks[-1].fault, 0.0))
        else:
            blocks.append(await _read(driver, request, monotonic))
    return blocks


def _buffer(plan: DevicePlan, blocks: Sequence[BlockProbe]) -> tuple[U16, Bools]:
    words, arrived = np.zeros(plan.n_words, np.uint16), np.zeros(plan.n_words, bool)
    for block in blocks:
        if block.words is not None:
            own = slice(block.request.offset, block.request.offset + block.request.count)
            words[own], arrived[own] = block.words, True
    return words, arrived


async def _neighbours(
    plan: DevicePlan,
    driver: Driver,
    here: tuple[int, int],
    blocks: Sequence[BlockProbe],
    monotonic: Callable[[], float],
) -> list[Hint]:
    """Where values look unusual: do the registers one further on, or one before, fit better?"""
    silent = any(isinstance(b.fault, Fault) and not isinstance(b.fault, ModbusException) for b in blocks)
    refused = any(isinstance(b.fault, ModbusException) for b in blocks)
    if silent or (here[0] == here[1] and not refused):
        return []
    fits = {}
    for shift in (-1, 1):
        if all(0 <= r.address + shift <= 65536 - r.count for r in plan.requests):
            moved = [await _read(driver, r, monotonic, shift) for r in plan.requests]
            fits[shift] = fit(plan, *_buffer(plan, moved))
    return shifted(plan, here, fits)


def _is_gateway(fault: Fault | None) -> bool:
    return isinstance(fault, ModbusException) and fault.code in (10, 11)


async def _other_units(
    settings: DeviceSettings, driver_of: Callable[[int], Driver], monotonic: Callable[[], float]
) -> list[Hint]:
    """The connection stands and nobody answers: perhaps another unit id does."""
    requests = [r for plan in settings.plans for r in plan.requests]
    if not requests:
        return []
    first = replace(requests[0], count=1)
    answering = []
    for unit in dict.fromkeys(u for u in (*OTHER_UNITS, settings.unit - 1, settings.unit + 1) if 0 <= u <= 255):
        if unit == settings.unit:
            continue
        driver = driver_of(unit)
        try:
            block = await _read(driver, first, monotonic)
        finally:
            await driver.close()
        if block.fault is None or (isinstance(block.fault, ModbusException) and not _is_gateway(block.fault)):
            answering.append(unit)
        elif isinstance(block.fault, ConnectFailed):
            break
    if not answering:
        return []
    units = ", ".join(map(str, answering))
    return [Hint("unit", "device", f"unit {settings.unit} does not answer, but these do: {units}")]
