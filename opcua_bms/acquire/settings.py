"""What acquisition must know of a site: plain frozen data, made by the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from opcua_bms.profiles.plan import DevicePlan


class Transport(StrEnum):
    """How Modbus frames travel."""

    TCP = "tcp"
    RTU_OVER_TCP = "rtu_over_tcp"
    TLS = "tls"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """A serial line; `port` is the path of the device file."""

    port: str
    baud_rate: int = 19200
    data_bits: int = 8
    parity: str = "E"
    """N, E or O; the specification's default is even (Modbus over Serial Line V1.02 §2.5.1)"""
    stop_bits: int = 1


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Modbus/TCP Security: server certificates are checked against `ca`; ours is shown where given."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""
    """name expected in the server's certificate; empty: the host"""


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """One connection. Devices with equal settings share it; requests beyond `max_in_flight` wait their turn."""

    host: str = ""
    port: int = 502
    transport: Transport = Transport.TCP
    connect_timeout_s: float = 0.5
    """at most half a period, or a dead host is not tried in each"""
    max_in_flight: int = 1
    keeps_order: bool = False
    """the device answers late but never out of order: a time-out does not drop the connection"""
    strict_transaction_id: bool = True
    """False for a device that always answers transaction id 0; then one request is in flight at most"""
    one_request_per_connection: bool = False
    """the device answers once on a connection and leaves it open"""
    serial: SerialSettings | None = None
    tls: TlsSettings | None = None
    backup_host: str = ""
    """tried when the host cannot be connected, or takes connections and never answers; and the other way round"""
    connections: int = 1
    """connections over which the blocks of each device are spread"""

    @property
    def place(self) -> str:
        """Host or serial port, for logs."""
        return self.serial.port if self.serial is not None else self.host


@dataclass(frozen=True, slots=True)
class BackOff:
    """Delays between attempts to recover: first · 2^n, at most `cap_s` and never over a period, ± jitter."""

    first_s: float = 0.05
    cap_s: float = 5.0
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """One logical device: where it is, and the plan that its profile and the plant gave."""

    name: str
    connection: ConnectionSettings
    plan: DevicePlan
    """all points but those of `fast`"""
    unit: int = 1
    timeout_s: float = 0.5
    """budget of one request"""
    write_life: bool = False
    """write our heartbeat (`plan.life`) before a scan, as often as the profile says"""
    heartbeat_limit_s: float | None = None
    """its heartbeat (`plan.heartbeat_position`) unchanged for so long → its values are FROZEN; 0: off, None: profile"""
    back_off: BackOff = BackOff()
    fast: DevicePlan | None = None
    """points that are read more often than once per scan"""
    slow_period_s: float = 3600.0
    """how often the requests of group `slow` are read"""
    frozen_cells_s: float = 0.0
    """all cell voltages of a cluster unchanged to the bit for so long while current flows → FROZEN; 0: off"""
    stuck_s: Mapping[str, float] = field(default_factory=dict)
    """by name of a point, in place of its profile's: unchanged for so long → FROZEN; 0: not judged"""
    flowing_a: float = 5.0
    """a cluster's current, in either direction, that must show in some cell"""
    clock_limit_s: float = 60.0
    """the device's clock further away from ours is told"""

    @property
    def plans(self) -> tuple[DevicePlan, ...]:
        return (self.plan,) if self.fast is None else (self.plan, self.fast)
