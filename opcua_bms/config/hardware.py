"""The tables of the site configuration that say what is there: stacks, and the devices that speak for them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from opcua_bms.config.section import PositiveInt, Section

_RANGE = re.compile(r"^\s*(\d+)\s*(?:\.\.\s*(\d+)\s*)?$")


def numbers(text: str) -> list[int]:
    """[1, 2, 3, 7] of "1..3, 7"; ValueError says what is wrong."""
    out: list[int] = []
    for part in text.split(","):
        found = _RANGE.match(part)
        if not found:
            raise ValueError(f"must be numbers and ranges like '1..20' or '3, 7' (got {text!r})")
        first, last = int(found[1]), int(found[2] or found[1])
        if first < 1 or last < first or last > 1_000_000:
            raise ValueError(f"a range counts up from 1 (got {part.strip()!r})")
        out += range(first, last + 1)
    if len(set(out)) != len(out):
        raise ValueError(f"names a number twice (got {text!r})")
    return out


class Pack(Section):
    """A pack that differs from its neighbours."""

    cells: Annotated[int, Field(ge=0, le=10_000)]
    sensors: Annotated[int, Field(ge=0, le=10_000)]


class ClusterException(Section):
    """Clusters of a stack that are built differently."""

    clusters: str
    packs: Annotated[int, Field(ge=0, le=1_000)] | list[Pack] | None = None
    cells: Annotated[int, Field(ge=0, le=10_000)] | None = None
    sensors: Annotated[int, Field(ge=0, le=10_000)] | None = None
    series: Annotated[int, Field(ge=0)] | None = None
    parallel: PositiveInt | None = None
    capacity_ah: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] | None = None

    _ranges = field_validator("clusters")(lambda text: numbers(text) and text)


class Stack(Section):
    """One container of clusters; `cells` and `sensors` are per pack."""

    clusters: Annotated[int, Field(ge=1, le=1_000)]
    packs: Annotated[int, Field(ge=0, le=1_000)] = 25
    cells: Annotated[int, Field(ge=0, le=10_000)] = 40
    sensors: Annotated[int, Field(ge=0, le=10_000)] = 20
    series: Annotated[int, Field(ge=0)] = 0
    parallel: PositiveInt = 1
    capacity_ah: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0.0
    """charge of a full cluster in A·h, to hold its state of charge against its current; 0: not known"""
    absent: str = ""
    """slots that are not fitted, like "12..20" """
    exceptions: list[ClusterException] = []

    _ranges = field_validator("absent")(lambda text: text and numbers(text) and text)

    @model_validator(mode="after")
    def _slots_exist(self) -> Stack:
        named = [("absent", self.absent), *(("exceptions", e.clusters) for e in self.exceptions)]
        for key, text in named:
            beyond = [n for n in (numbers(text) if text else []) if n > self.clusters]
            if beyond:
                raise ValueError(f"{key} names cluster {beyond[0]}, but the stack has {self.clusters}")
        return self


class Serial(Section):
    """A serial line; `port` is the device file."""

    port: str
    baud_rate: Annotated[int, Field(ge=300, le=4_000_000)] = 19_200
    data_bits: Literal[7, 8] = 8
    parity: Literal["N", "E", "O"] = "E"
    stop_bits: Literal[1, 2] = 1


class Tls(Section):
    """Modbus/TCP Security: files of the authority and, where the device asks for it, of our certificate."""

    ca: str
    certificate: str | None = None
    key: str | None = None
    server_name: str = ""


class Device(Section):
    """One device, or one per cluster of `clusters` at rising ports or unit ids."""

    profile: str
    """name of a shipped profile, or path of a profile file (relative to this file)"""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=60)] | None = None
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    backup_host: str = ""
    """tried when `host` cannot be reached or never answers, and the other way round"""
    port: Annotated[int, Field(ge=1, le=65_535)] = 502
    port_step: Annotated[int, Field(ge=0, le=1_000)] = 0
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    unit_step: Annotated[int, Field(ge=0, le=255)] = 0
    stack: PositiveInt = 1
    clusters: str | None = None
    transport: Literal["tcp", "rtu_over_tcp", "tls", "serial"] = "tcp"
    serial: Serial | None = None
    tls: Tls | None = None
    timeout_s: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] | None = None
    max_in_flight: Annotated[int, Field(ge=1, le=64)] = 1
    """requests of one connection that may wait for their answers at a time"""
    connections: Annotated[int, Field(ge=1, le=16)] = 1
    """connections over which the blocks are spread, where the device allows several"""
    keeps_order: bool = False
    """the device answers late but never out of order: a time-out does not drop the connection"""
    strict_transaction_id: bool = True
    """false for a device that always answers transaction id 0"""
    one_request_per_connection: bool = False
    """connect anew for each request: for a device that answers once and leaves the connection open"""
    stuck_s: dict[str, Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]] = {}
    """by name of a point, in place of its profile's stuck_s: unchanged for so long, and it is frozen; 0: not judged"""
    write_life: bool = False
    """count up the device's `life` register; nothing else is ever written"""

    _ranges = field_validator("clusters")(lambda text: text and numbers(text) and text)

    @model_validator(mode="after")
    def _transport_has_its_table(self) -> Device:
        for kind, table in (("serial", self.serial), ("tls", self.tls)):
            if (self.transport == kind) != (table is not None):
                verb = "needs" if table is None else "is not for"
                raise ValueError(f"transport '{self.transport}' {verb} a table [devices.{kind}]")
        if self.transport == "serial" and (self.backup_host or self.connections > 1):
            raise ValueError("a serial line is one connection: leave backup_host and connections out")
        return self
