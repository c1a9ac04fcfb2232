"""The frozen image of one scan: what the devices said, before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]


class DeviceState(StrEnum):
    """Communication state of one device."""

    CONNECTING = "connecting"
    """not yet reached since start"""
    ONLINE = "online"
    MISSED = "missed"
    """missed the last scan, within the hard limit"""
    OFFLINE = "offline"
    """missed longer than the hard limit, or never reached within it"""


@dataclass(frozen=True, slots=True)
class BlockHealth:
    """How one block of a device (`count` registers or coils from zero-based `address`) fares since the start.

    `exceptions` are (code, count); round trips in s over its last answers; `last_good_ns` UTC, 0: never.
    """

    table: str
    address: int
    count: int
    group: str
    requests: int
    timeouts: int
    exceptions: tuple[tuple[int, int], ...]
    round_trip_p50_s: float
    round_trip_p95_s: float
    last_good_ns: int

    def __str__(self) -> str:
        last = f"..{self.address + self.count - 1}" if self.count > 1 else ""
        return f"{self.table} {self.address}{last}"


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """Counters and state of one device at the freeze; times in seconds, stamps in ns UTC (0: never)."""

    name: str
    state: DeviceState
    round_trip_p50_s: float = 0.0
    round_trip_p95_s: float = 0.0
    requests: int = 0
    timeouts: int = 0
    exceptions: int = 0
    last_error: str = ""
    last_good_ns: int = 0
    clusters: tuple[int, ...] = ()
    """0-based clusters of the plant whose own values this device gives; empty for a master"""
    faults: tuple[tuple[str, int], ...] = ()
    """every kind of fault since start with its count: timeout, short_frame, exception_2, …"""
    frozen: bool = False
    """its heartbeat stands still"""
    quarantined: tuple[tuple[str, int, int], ...] = ()
    """(table, zero-based address, count) of registers that it refuses and that are left out"""
    overruns: int = 0
    """scans left out because the one before took too long"""
    lateness_s: float = 0.0
    """how late its last scan began"""
    blocks: tuple[BlockHealth, ...] = ()
    values: tuple[tuple[str, float | str | None], ...] = ()
    """what it says of itself (`device.…` points): serial number, counts, clock in s since 1970; None: no valid value"""
    clock_offset_s: float = math.nan
    """its clock minus ours; NaN: it has none, or none was read yet"""
    frozen_clusters: tuple[int, ...] = ()
    """0-based clusters whose cells all stand still while current flows"""


@dataclass(frozen=True, slots=True)
class ScanInfo:
    """Number and timing of a scan: monotonic and UTC time of the freeze, period, duration and lateness in s."""

    counter: int
    now_s: float
    frozen_ns: int
    period_s: float
    duration_s: float = 0.0
    lateness_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One scan of all slots of `layout`.

    values float64[n_numbers], bits uint64[n_words]; quality uint8[size], stamp_ns int64[size] (UTC of the freeze
    that last refreshed the slot, 0: never), measured_s float64[size] (monotonic time of the reading, NaN: never).
    Acquisition hands over fresh, writeable arrays; the reduction completes and freezes them. A value whose quality
    is bad is NaN (0 for bits).
    """

    layout: Layout
    values: F64
    bits: U64
    quality: U8
    stamp_ns: I64
    measured_s: F64
    scan: ScanInfo
    devices: tuple[DeviceHealth, ...] = field(default=())

    def freeze(self) -> Image:
        """Make every array read-only and return self."""
        for array in (self.values, self.bits, self.quality, self.stamp_ns, self.measured_s):
            array.flags.writeable = False
        return self

    @classmethod
    def blank(cls, layout: Layout, scan: ScanInfo, quality: Quality = Quality.WAITING) -> Image:
        """An image that nothing has written yet; its arrays are writeable."""
        return cls(
            layout,
            np.full(layout.n_numbers, np.nan),
            np.zeros(layout.n_words, np.uint64),
            np.full(layout.size, quality, np.uint8),
            np.zeros(layout.size, np.int64),
            np.full(layout.size, np.nan),
            scan,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Some slots that were read again between two scans.

    `slots` int64[n] ascending; values float64 of those that are numbers, bits uint64 of the words after them; quality
    uint8[n] and stamp_ns int64[n] of all. `frozen_ns` UTC of the freeze.
    """

    slots: I64
    values: F64
    bits: U64
    quality: U8
    stamp_ns: I64
    frozen_ns: int
