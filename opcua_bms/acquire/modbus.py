"""The Modbus driver, one per logical device; units of one host share a connection (TCP, RTU over TCP, TLS, serial)."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pymodbus.transport import CommParams, CommType

from opcua_bms.acquire.driver import U16, Block, ConnectFailed, Driver, Outcome, Timeout, read_once
from opcua_bms.acquire.modbus_frames import MbapCodec, RtuCodec, read_request, write_request
from opcua_bms.acquire.modbus_job import Job, Prepared, Rank
from opcua_bms.acquire.modbus_link import Link
from opcua_bms.acquire.settings import ConnectionSettings, DeviceSettings, SerialSettings, TlsSettings, Transport
from opcua_bms.acquire.spread import SpreadDriver
from opcua_bms.acquire.turns import Turns
from opcua_bms.errors import ConfigurationError

_NOTHING: Mapping[str, int] = {}


_Key = tuple[ConnectionSettings, int]
"""equal settings share a link; the number tells the several connections of a device apart"""


class ModbusLines:
    """All connections of a plant: equal settings → one link, closed with its last driver."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._links: dict[_Key, _Line] = {}

    def driver(
        self, connection: ConnectionSettings, unit: int, timeout_s: float, budget_s: float = math.inf, number: int = 0
    ) -> ModbusDriver:
        """The driver of one unit on connection `number`; `budget_s` is the most that a whole read may take.

        The wait for its turn is included.
        """
        key = (connection, number)
        line = self._links.setdefault(key, _Line(_link(connection, self._monotonic), Turns(self._monotonic)))
        line.users.append(unit)
        return ModbusDriver(line, unit, timeout_s, budget_s, lambda: self._release(key, unit))

    def for_device(self, settings: DeviceSettings, period_s: float) -> Driver:
        """The driver of a device that is scanned each `period_s`; its scan is given up after two periods."""
        budget_s = max(2.0 * period_s, settings.timeout_s * len(settings.plan.requests))
        connection = settings.connection
        drivers = [
            self.driver(connection, settings.unit, settings.timeout_s, budget_s, number)
            for number in range(connection.connections)
        ]
        return drivers[0] if len(drivers) == 1 else SpreadDriver(drivers)

    def _release(self, key: _Key, unit: int) -> None:
        line = self._links[key]
        line.users.remove(unit)
        if not line.users:
            del self._links[key]
            line.link.close()


@dataclass(slots=True)
class _Line:
    """A link, the turns of the silent units on it, and the unit of each of its drivers."""

    link: Link
    turns: Turns
    users: list[int] = field(default_factory=list)

    @property
    def shared(self) -> bool:
        """Several units need it."""
        return len(set(self.users)) > 1


class ModbusDriver:
    """One unit on a link (see `driver.Driver`)."""

    def __init__(self, line: _Line, unit: int, timeout_s: float, budget_s: float, release: Callable[[], None]) -> None:
        self._line, self._link = line, line.link
        self._unit = unit
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._release: Callable[[], None] | None = release

    @property
    def connected(self) -> bool:
        return self._link.connected

    @property
    def notes(self) -> Mapping[str, int]:
        return self._link.notes.get(self._unit, _NOTHING)

    async def connect(self) -> None:
        await self._link.connect()

    def prepare(self, blocks: Sequence[Block], *, urgent: bool = False) -> ModbusReader:
        codec = self._link.codec
        requests = [read_request(block) for block in blocks]
        prepared = [Prepared(r, codec.frame(self._unit, r, 0), codec.head(self._unit, r)) for r in requests]
        return ModbusReader(self, prepared, Rank.FAST if urgent else Rank.NORMAL)

    async def read(self, table: str, address: int, count: int) -> U16:
        return await read_once(self, table, address, count)

    async def write(self, address: int, values: Sequence[int]) -> None:
        request = write_request(address, values)
        prepared = Prepared(request, self._link.codec.frame(self._unit, request, 0))
        outcome = await self.perform([prepared], np.empty(0, np.uint16), Rank.WRITE)
        fault = outcome.faults[0]
        if fault is not None:
            raise fault

    async def close(self) -> None:
        if self._release is not None:
            self._release()
            self._release = None

    async def perform(self, requests: Sequence[Prepared], words: U16, rank: Rank) -> Outcome:
        """Run requests to their end; on a shared line a unit that was silent waits for its turn."""
        if not self._line.shared:
            return await self._perform(requests, words, rank)
        async with self._line.turns.turn(self._unit):
            outcome = await self._perform(requests, words, rank)
            self._line.turns.judge(self._unit, outcome)
        return outcome

    async def _perform(self, requests: Sequence[Prepared], words: U16, rank: Rank) -> Outcome:
        """Make sure first that no late answer is on the way."""
        question = self._link.doubts.question(self._unit, (p.request for p in requests))
        if question is not None:
            prepared = Prepared(question, self._link.codec.frame(self._unit, question, 0))
            found = await self._run([prepared], np.empty(question.count, np.uint16), rank)
            if found.fatal is not None:
                n = len(requests)
                return Outcome([found.fatal] * n, [math.nan] * n, [math.nan] * n, found.sent)
            self._link.doubts.settle(self._unit)
        return await self._run(requests, words, rank)

    async def _run(self, requests: Sequence[Prepared], words: U16, rank: Rank) -> Outcome:
        """Connect if need be, and go on after a fault of another unit on the line."""
        job = Job(self._unit, requests, words, self._timeout_s, rank)
        try:
            async with asyncio.timeout(None if math.isinf(self._budget_s) else self._budget_s):
                while True:
                    await self._link.connect()
                    self._link.submit(job)
                    await job.done
                    if not job.interrupted:
                        break
                    job.resume()
        except ConnectFailed as fault:
            job.end(fault)
        except TimeoutError:
            job.end(Timeout(f"not served within {self._budget_s:g} s"))
        finally:
            job.done.cancel()
        return job.outcome


class ModbusReader:
    """A read of fixed blocks, its frames encoded once."""

    def __init__(self, driver: ModbusDriver, requests: Sequence[Prepared], rank: Rank) -> None:
        self._driver = driver
        self._requests = requests
        self._rank = rank

    async def read(self, words: U16) -> Outcome:
        return await self._driver.perform(self._requests, words, self._rank)


def _link(settings: ConnectionSettings, monotonic: Callable[[], float]) -> Link:
    params = CommParams(
        comm_name=settings.place,
        comm_type=CommType.TCP,
        host=settings.host,
        port=settings.port,
        timeout_connect=settings.connect_timeout_s,
    )
    rtu = settings.transport in (Transport.RTU_OVER_TCP, Transport.SERIAL)
    quiet_s = 0.0
    if settings.serial is not None:
        quiet_s = _serial(params, settings.serial)
    if settings.tls is not None:
        params.comm_type = CommType.TLS
        params.sslctx = _tls_context(settings.tls)
    return Link(
        params,
        RtuCodec() if rtu else MbapCodec(),
        monotonic,
        max_in_flight=settings.max_in_flight,
        keeps_order=settings.keeps_order,
        strict_transaction_id=settings.strict_transaction_id,
        one_request=settings.one_request_per_connection,
        quiet_s=quiet_s,
        server_name=settings.tls.server_name if settings.tls is not None else "",
        backup_host=settings.backup_host,
    )


def _serial(params: CommParams, settings: SerialSettings) -> float:
    """Fill in a serial line; returns its quiet time in s: 3.5 characters (V1.02 §2.5.1.1), adapters' latency."""
    params.comm_type = CommType.SERIAL
    params.host = settings.port
    params.baudrate = settings.baud_rate
    params.bytesize = settings.data_bits
    params.parity = settings.parity
    params.stopbits = settings.stop_bits
    return 0.05 + 3.5 * 11 / settings.baud_rate


def _tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Modbus/TCP Security asks for TLS 1.2 at least and for certificates of both sides (MB-TCP-Security v2.1 §5)."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(settings.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate, settings.key)
    except OSError as error:
        files = ", ".join(str(f) for f in (settings.ca, settings.certificate, settings.key) if f is not None)
        raise ConfigurationError(f"TLS files of the device ({files}): {error}") from error
    return context
