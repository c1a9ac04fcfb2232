"""How the plant is being scanned: the values below Diagnostics, from the last snapshot."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from asyncua import ua

from opcua_bms.infomodel.plan import DEVICE
from opcua_bms.infomodel.types import DEVICE_STATES
from opcua_bms.model.image import BlockHealth, DeviceHealth, ScanInfo
from opcua_bms.model.journal import JournalHealth
from opcua_bms.model.layout import Scope
from opcua_bms.model.quality import STATUS_CODE, Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.server.values import data_value, moment

V = ua.VariantType


def _registers(table: str, address: int, count: int) -> str:
    """`input 100..224`, addresses as on the wire."""
    return f"{table} {address}" if count == 1 else f"{table} {address}..{address + count - 1}"


def _exceptions(block: BlockHealth) -> str:
    """`2: 14, 6: 1`; empty if it was never refused."""
    return ", ".join(f"{code}: {count}" for code, count in block.exceptions)


_SCAN: tuple[tuple[str, ua.VariantType, Callable[[ScanInfo], Any]], ...] = (
    ("ScanCounter", V.UInt64, lambda s: s.counter),
    ("ScanPeriod", V.Double, lambda s: s.period_s),
    ("ScanDuration", V.Double, lambda s: s.duration_s),
    ("ScanLateness", V.Double, lambda s: s.lateness_s),
)
_JOURNAL: tuple[tuple[str, ua.VariantType, Callable[[JournalHealth], Any]], ...] = (
    ("JournalFailingSince", V.DateTime, lambda j: moment(j.failing_since_ns)),
    ("JournalError", V.String, lambda j: j.error),
    ("JournalUnwritten", V.UInt32, lambda j: j.unwritten),
)
_DEVICE: tuple[tuple[str, ua.VariantType, Callable[[DeviceHealth], Any]], ...] = (
    ("State", V.Int32, lambda d: DEVICE_STATES.index(d.state)),
    ("RoundTripP50", V.Double, lambda d: d.round_trip_p50_s),
    ("RoundTripP95", V.Double, lambda d: d.round_trip_p95_s),
    ("Requests", V.UInt64, lambda d: d.requests),
    ("Timeouts", V.UInt64, lambda d: d.timeouts),
    ("Exceptions", V.UInt64, lambda d: d.exceptions),
    ("LastError", V.String, lambda d: d.last_error),
    ("LastGood", V.DateTime, lambda d: moment(d.last_good_ns)),
    ("Overruns", V.UInt64, lambda d: d.overruns),
    ("Lateness", V.Double, lambda d: d.lateness_s),
    ("HeartbeatFrozen", V.Boolean, lambda d: d.frozen),
    ("SerialNumber", V.String, lambda d: str(dict(d.values).get("serial_number") or "")),
    ("ClockOffset", V.Double, lambda d: d.clock_offset_s),
    ("QuarantinedRegisters", V.String, lambda d: [_registers(*run) for run in d.quarantined]),
    ("FaultNames", V.String, lambda d: [name for name, _ in d.faults]),
    ("FaultCounts", V.UInt64, lambda d: [count for _, count in d.faults]),
    ("BlockNames", V.String, lambda d: [str(b) for b in d.blocks]),
    ("BlockRequests", V.UInt64, lambda d: [b.requests for b in d.blocks]),
    ("BlockTimeouts", V.UInt64, lambda d: [b.timeouts for b in d.blocks]),
    ("BlockExceptions", V.String, lambda d: [_exceptions(b) for b in d.blocks]),
    ("BlockRoundTripP50", V.Double, lambda d: [b.round_trip_p50_s for b in d.blocks]),
    ("BlockRoundTripP95", V.Double, lambda d: [b.round_trip_p95_s for b in d.blocks]),
    ("BlockLastGood", V.DateTime, lambda d: [moment(b.last_good_ns) for b in d.blocks]),
)
_WAITING = int(STATUS_CODE[Quality.WAITING])
_UNKNOWN = int(STATUS_CODE[Quality.NOT_SUPPORTED])


def readers(snapshot: Callable[[], Snapshot | None]) -> dict[tuple[str, str], Callable[[int], ua.DataValue]]:
    """Readers of every diagnostic value, by family and member."""

    def of_snapshot(vtype: ua.VariantType, get: Callable[[Snapshot], Any]) -> Callable[[int], ua.DataValue]:
        def read(_: int) -> ua.DataValue:
            last = snapshot()
            if last is None:
                return data_value(None, vtype, 0, _WAITING)
            return data_value(get(last), vtype, last.plant.scan.frozen_ns)

        return read

    def of_scan(vtype: ua.VariantType, get: Callable[[ScanInfo], Any]) -> Callable[[int], ua.DataValue]:
        return of_snapshot(vtype, lambda last: get(last.plant.scan))

    def of_journal(vtype: ua.VariantType, get: Callable[[JournalHealth], Any]) -> Callable[[int], ua.DataValue]:
        return of_snapshot(vtype, lambda last: get(last.journal))

    def of_device(vtype: ua.VariantType, get: Callable[[DeviceHealth], Any]) -> Callable[[int], ua.DataValue]:
        def read(device: int) -> ua.DataValue:
            last = snapshot()
            if last is None or device >= len(last.plant.devices):
                return data_value(None, vtype, 0, _WAITING)
            value = get(last.plant.devices[device])
            status = _UNKNOWN if isinstance(value, float) and math.isnan(value) else 0
            return data_value(value, vtype, last.plant.scan.frozen_ns, status)

        return read

    out = {(Scope.BMS.value, f"Diagnostics.{name}"): of_scan(vtype, get) for name, vtype, get in _SCAN}
    out |= {(Scope.BMS.value, f"Diagnostics.{name}"): of_journal(vtype, get) for name, vtype, get in _JOURNAL}
    out |= {(DEVICE, name): of_device(vtype, get) for name, vtype, get in _DEVICE}
    return out
