"""A site's configuration bound to its profiles: topology, slots, and what acquisition must know of every device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opcua_bms.acquire.settings import ConnectionSettings, DeviceSettings, SerialSettings, TlsSettings, Transport
from opcua_bms.alarms.meanings import Meanings
from opcua_bms.config.hardware import Device
from opcua_bms.config.models import Config, Scan
from opcua_bms.config.plant import PlacedDevice, meanings_of, place_devices, topology_of, word_labels
from opcua_bms.document import Document, Problem
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.image import F64
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import Topology
from opcua_bms.profiles import DevicePlan, bind_groups

TIMEOUT_PERIODS = 0.4
"""Budget of one request where the file gives none: a device that needs longer has missed the scan anyway."""


@dataclass(frozen=True, slots=True, eq=False)
class Plant:
    """Everything static about one site."""

    config: Config
    topology: Topology
    layout: Layout
    devices: tuple[DeviceSettings, ...]
    placed: tuple[PlacedDevice, ...]
    labels: Mapping[str, Mapping[int, str]]
    meanings: Meanings
    """what bits of words assert, held against what is measured"""
    steps: F64
    """float64[n_numbers]: one raw step of each slot that a device gives, in its unit; 0: unknown"""


def build_plant(config: Config, document: Document, base: Path) -> Plant:
    """Bind every device. ConfigurationError tells what does not fit, with its line in the file."""
    topology = topology_of(config)
    layout = Layout.of(topology)
    placed = place_devices(config, document, topology, base)
    devices: list[DeviceSettings] = []
    owners: dict[int, str] = {}
    steps = np.zeros(layout.n_numbers)
    for device in placed:
        try:
            plan, fast = bind_groups(
                device.profile, topology, layout, device.placement(topology), fast=config.scan.fast_period_s is not None
            )
            for part in (plan, fast):
                if part is not None:
                    _claim(part, device.name, layout, owners)
                    steps[part.codec.number_slots] = _steps(part)
        except ConfigurationError as error:
            raise document.error([Problem(("devices", device.entry), str(error))]) from None
        devices.append(_settings(device, plan, fast, config.scan, base))
    labels, meanings = word_labels(placed), meanings_of(placed)
    return Plant(config, topology, layout, tuple(devices), tuple(placed), labels, meanings, steps)


def _claim(plan: DevicePlan, name: str, layout: Layout, owners: dict[int, str]) -> None:
    """Every slot has one source; bit words are shared by nobody either."""
    for slot in plan.codec.slots.tolist():
        other = owners.setdefault(slot, name)
        if other != name:
            column = next(c.name for c in layout.columns.values() if c.start <= slot < c.start + c.size)
            raise ConfigurationError(f"'{other}' and '{name}' both give {column}; keep one of them")


def _steps(plan: DevicePlan) -> F64:
    out = np.zeros(plan.codec.number_slots.size)
    for segment in plan.codec.numbers:
        scaling = segment.scaling
        out[segment.start : segment.start + segment.offsets.size] = np.abs(scaling.scale / scaling.divide_by)
    return out


def _settings(
    device: PlacedDevice, plan: DevicePlan, fast: DevicePlan | None, scan: Scan, base: Path
) -> DeviceSettings:
    settings = device.settings
    timeout_s = settings.timeout_s or max(0.02, TIMEOUT_PERIODS * min(scan.period_s, 5.0))
    return DeviceSettings(
        name=device.name,
        connection=_connection(settings, device.port, timeout_s, base),
        plan=plan,
        unit=device.unit,
        timeout_s=timeout_s,
        write_life=settings.write_life,
        fast=fast,
        slow_period_s=scan.slow_period_s,
        frozen_cells_s=scan.frozen_cells_s,
        stuck_s=settings.stuck_s,
        flowing_a=scan.flowing_a,
        clock_limit_s=scan.clock_limit_s,
    )


def _connection(settings: Device, port: int, timeout_s: float, base: Path) -> ConnectionSettings:
    serial = tls = None
    if settings.serial is not None:
        line = settings.serial
        serial = SerialSettings(line.port, line.baud_rate, line.data_bits, line.parity, line.stop_bits)
    if settings.tls is not None:
        files = settings.tls
        tls = TlsSettings(
            base / files.ca,
            base / files.certificate if files.certificate else None,
            base / files.key if files.key else None,
            files.server_name,
        )
    return ConnectionSettings(
        host=settings.host,
        port=port,
        transport=Transport(settings.transport),
        connect_timeout_s=timeout_s,
        max_in_flight=settings.max_in_flight,
        keeps_order=settings.keeps_order,
        strict_transaction_id=settings.strict_transaction_id,
        one_request_per_connection=settings.one_request_per_connection,
        serial=serial,
        tls=tls,
        backup_host=settings.backup_host,
        connections=settings.connections,
    )
