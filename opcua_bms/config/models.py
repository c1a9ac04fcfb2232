"""The site configuration, key by key, as pydantic models; unknown keys are refused."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from opcua_bms.config.hardware import Device, Stack
from opcua_bms.config.section import PositiveInt, Section


class Site(Section):
    """Who this plant is."""

    name: Annotated[str, Field(min_length=1, max_length=120)] = "Battery plant"
    namespace: str = ""
    """URI of the namespace of all instances; default: made from the name"""

    @property
    def namespace_uri(self) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "plant"
        return self.namespace or f"urn:opcua-bms:site:{slug}"


class Scan(Section):
    """When everything is read, and how long an old value lives."""

    period_s: Annotated[float, Field(ge=0.05, le=3_600, allow_inf_nan=False)] = 1.0
    freeze_fraction: Annotated[float, Field(ge=0.1, le=0.95)] = 0.6
    """phase of the period at which a scan is frozen and published"""
    fast_period_s: Annotated[float, Field(ge=0.02, le=60, allow_inf_nan=False)] | None = None
    """points of the group `fast` are read and published this often between the scans; left out: with the scan"""
    slow_period_s: Annotated[float, Field(ge=1, le=86_400, allow_inf_nan=False)] = 3_600.0
    """points of the group `slow` (serial numbers, counts) are read this often, and after each reconnection"""
    frozen_cells_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 300.0
    """all cell voltages of a cluster unchanged for so long while current flows: they are frozen; 0: not judged"""
    flowing_a: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] = 10.0
    """current of a cluster from which on it must show in some cell"""
    clock_limit_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """a device whose clock is further from ours is told in the log"""
    hard_limit_periods: Annotated[int, Field(ge=1, le=1_000)] = 2
    """missed for longer: no value any more"""
    required_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """share of good readings for a good aggregate"""
    least_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """below this share of usable readings an aggregate is bad"""

    @model_validator(mode="after")
    def _fast_is_faster(self) -> Scan:
        if self.fast_period_s is not None and self.fast_period_s > self.period_s / 2:
            raise ValueError(
                f"fast_period_s must be at most half of period_s = {self.period_s:g} (got {self.fast_period_s:g})"
            )
        return self


class Statistics(Section):
    """When a cell is unusual, how far trends look back, and what noise is."""

    enabled: bool = True
    """false: spare their time and memory; what is below `Statistics` is BadNotSupported, extremes and averages stay"""
    outlier_score: Annotated[float, Field(ge=2, le=1_000)] = 8.0
    """robust standard deviations from the median of the cluster from which on a cell is an outlier"""
    outlier_time_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 60.0
    """scores are averaged exponentially over this time; 0: each scan by itself"""
    change_window_s: Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)] = 60.0
    """changes of voltage and temperature are measured over this time"""
    least_deviation_v: Annotated[float, Field(gt=0, le=1)] = 0.0025
    """the standard deviation of cell voltages is never taken for smaller"""
    least_deviation_degc: Annotated[float, Field(gt=0, le=50)] = 0.5
    """the same for temperatures"""
    hysteresis_v: Annotated[float, Field(ge=0, le=1)] = 0.003
    """a cell stays the weakest or strongest until another one is beyond it by more"""
    hysteresis_degc: Annotated[float, Field(ge=0, le=50)] = 0.5
    """the same for the coldest and hottest sensor"""
    open_wire_v: Annotated[float, Field(gt=0, le=5)] = 0.1
    """neighbours that are off by more than this, one up and one down, are looked at for an open sense wire"""


class ServerLimits(Section):
    """What clients may ask for; announced and enforced."""

    connections: PositiveInt = 200
    connections_per_address: PositiveInt = 128
    sessions: PositiveInt = 100
    subscriptions_per_session: PositiveInt = 20
    monitored_items_per_session: PositiveInt = 50_000


class Application(Section):
    """Roles that every session of one application has besides its user's; its certificate proves who it is."""

    uri: Annotated[str, Field(min_length=1, max_length=2_000)]
    roles: Annotated[
        list[Literal["Observer", "Operator", "Engineer", "Supervisor", "ConfigureAdmin", "SecurityAdmin"]],
        Field(min_length=1),
    ]


class OpcUa(Section):
    """The OPC UA endpoint. Loopback, signed and encrypted unless told otherwise."""

    endpoint: str = "opc.tcp://127.0.0.1:4840"
    application_uri: str = ""
    """default: urn:<host name>:opcua-bms"""
    anonymous: Literal["none", "observe", "operate"] = "none"
    """what a client without a user may do: nothing, read, or read and operate alarms; never write"""
    policy_none: bool = False
    """also offer an endpoint without signature and encryption (loopback only)"""
    require_revocation_lists: bool = False
    """refuse a certificate that an authority signed where no current revocation list of the authority is at hand"""
    pki: str = ""
    """PKI folder; default: the state directory's pki/"""
    users: str = ""
    """user file; default: the state directory's users.json"""
    audit: str = ""
    """file that logins, writes, calls and refusals are added to; default: the state directory's audit.jsonl"""
    overrides: str = ""
    """file that remembers forced and disabled points; default: the state directory's overrides.json"""
    discovery_server: str = ""
    """opc.tcp://HOST:PORT of a discovery server to register at, whose certificate is trusted; default: none"""
    applications: list[Application] = []
    """what applications may do whoever sits there"""
    limits: ServerLimits = ServerLimits()

    @field_validator("endpoint", "discovery_server")
    @classmethod
    def _endpoint(cls, text: str, info: ValidationInfo) -> str:
        if not text and info.field_name == "discovery_server":
            return text
        parts = urlsplit(text)
        try:
            port = parts.port
        except ValueError:
            raise ValueError(f"the port must be at most 65535 (got {text!r})") from None
        if parts.scheme != "opc.tcp" or not parts.hostname or port is None:
            raise ValueError(f"must look like opc.tcp://HOST:PORT (got {text!r})")
        return text


class Alarms(Section):
    """The alarm rules that differ from the defaults, and the journal."""

    rules: dict[str, Any] = {}
    """changes to the default rules; checked by the rules themselves"""
    journal: str = ""
    """file that remembers alarms (relative to this file); default: the state directory's alarms.sqlite"""
    keep_days: Annotated[float, Field(ge=1, le=36_525)] = 1826.0
    """older transitions are forgotten; the present states never are"""
    keep_transitions: Annotated[int, Field(ge=1_000, le=100_000_000)] = 1_000_000
    """at most; one takes about 1 kB"""
    max_shelving_s: Annotated[float, Field(ge=60, le=2_592_000, allow_inf_nan=False)] = 86_400.0
    """longest time for which a condition can be shelved; a one-shot shelving ends then too"""
    branches: bool = False
    """each activation wants its own acknowledgement, also when the next one has come meanwhile"""


class History(Section):
    """What is remembered of values: summaries at scan rate, cells at a period of their own."""

    enabled: bool = True
    path: str = ""
    """file of the history (relative to this file); default: the state directory's history.sqlite"""
    database: str = ""
    """postgresql://USER@HOST/NAME instead of a file; the password comes from PGPASSFILE, never from here"""
    retention_days: Annotated[float, Field(gt=0, le=36_525)] = 366.0
    """older values are forgotten"""
    max_size_mb: Annotated[int, Field(ge=16, le=10_000_000)] = 20_000
    """the oldest values are forgotten while the file is larger"""
    cell_period_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """how often all cells are written"""
    cells_in_memory_s: Annotated[float, Field(ge=0, le=86_400)] = 3_600.0
    """for so long cells are remembered at scan rate, in memory"""

    @field_validator("database")
    @classmethod
    def _database(cls, url: str) -> str:
        if url:
            parts = urlsplit(url)
            if parts.scheme not in ("postgresql", "postgres"):
                raise ValueError("must look like postgresql://USER@HOST/NAME")
            if parts.password:
                raise ValueError("must not hold a password: put it into the file that PGPASSFILE names")
        return url


class Web(Section):
    """The page, its JSON API, health and metrics. Read-only without a login; on this machine unless told otherwise."""

    enabled: bool = True
    address: str = "127.0.0.1"
    """0.0.0.0 or an address of this machine opens it to the network; passwords then need `certificate` and `key`"""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """0: a free one. Where nobody names a port and 8080 is taken, a free one too"""
    hosts: list[str] = []
    """names under which browsers reach it, besides addresses and this machine's own name"""
    certificate: str = ""
    """PEM file for https (relative to this file)"""
    key: str = ""
    viewers: Annotated[int, Field(ge=1, le=10_000)] = 100
    """browsers that watch at a time"""

    @model_validator(mode="after")
    def _both_files(self) -> Web:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key come together")
        return self


class Log(Section):
    """What is logged, on stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    statistics_s: Annotated[float, Field(ge=0, le=604_800)] = 3600.0
    """the counters of every device and of each of its blocks are logged this often; 0: never"""


class Config(Section):
    """The whole file."""

    site: Site = Site()
    scan: Scan = Scan()
    statistics: Statistics = Statistics()
    opcua: OpcUa = OpcUa()
    stacks: Annotated[list[Stack], Field(min_length=1)]
    devices: Annotated[list[Device], Field(min_length=1)]
    alarms: Alarms = Alarms()
    history: History = History()
    web: Web = Web()
    log: Log = Log()
