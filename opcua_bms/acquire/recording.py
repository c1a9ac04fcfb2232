"""Frames of devices in a file: written as they are read, and read back for `replay`.

The file is gzipped JSON lines: a head (`format`, `version`, `utc_ns` of the start), then one line for each read of a
device: `t` seconds since the start, `d` its name, `r` the blocks as [table, address, count, registers in hex or null,
fault name or null, detail, round trip in s or null]. A fault that ends a read stands at every block after it.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opcua_bms.acquire.driver import (
    U16,
    Block,
    Driver,
    Outcome,
    Reader,
    read_once,
)
from opcua_bms.acquire.pace import Pace
from opcua_bms.acquire.replay import ReplayDriver
from opcua_bms.errors import ConfigurationError, StorageError

FORMAT, VERSION = "opcua-bms frames", 1
FLUSH_S = 5.0
"""what a killed program may lose"""


class FrameWriter:
    """A file of frames that is being written; StorageError where the disk refuses."""

    def __init__(self, path: Path, pace: Pace) -> None:
        self._pace = pace
        self._start_s: float | None = None
        self._flushed_s = pace.monotonic()
        try:
            self._file = gzip.open(path, "wt", encoding="ascii", compresslevel=3)  # noqa: SIM115 — closed by `close`
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}") from None
        self.failed = ""
        """why nothing is written any more; a full disk must not stop the plant"""

    def wrap(self, name: str, driver: Driver) -> Driver:
        """The driver, its reads written down under the device's name."""
        return _RecordingDriver(driver, name, self)

    def note(self, name: str, blocks: Sequence[Block], words: U16, outcome: Outcome) -> None:
        """Write one read down; time counts from the first."""
        now_s = self._pace.monotonic()
        if self._start_s is None:
            self._start_s = now_s
            self._write({"format": FORMAT, "version": VERSION, "utc_ns": self._pace.utc_ns()})
        rows = []
        for block, fault, trip_s in zip(blocks, outcome.faults, outcome.round_trip_s, strict=True):
            own = words[block.offset : block.offset + block.count]
            rows.append(
                [
                    block.table,
                    block.address,
                    block.count,
                    own.astype(">u2").tobytes().hex() if fault is None else None,
                    None if fault is None else fault.name,
                    "" if fault is None else str(fault),
                    None if math.isnan(trip_s) else round(trip_s, 6),
                ]
            )
        self._write({"t": round(now_s - self._start_s, 6), "d": name, "r": rows})

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.failed:
            return
        now_s = self._pace.monotonic()
        try:
            self._file.write(json.dumps(line, separators=(",", ":"), ensure_ascii=True) + "\n")
            if now_s - self._flushed_s >= FLUSH_S:
                self._flushed_s = now_s
                self._file.flush()
        except OSError as error:
            self.failed = error.strerror or str(error)

    def close(self) -> None:
        """Finish the file."""
        try:
            self._file.close()
        except OSError as error:
            self.failed = error.strerror or str(error)


class _RecordingDriver:
    """A driver whose reads are written down (see `driver.Driver`)."""

    def __init__(self, driver: Driver, name: str, writer: FrameWriter) -> None:
        self._driver = driver
        self._name = name
        self._writer = writer

    @property
    def connected(self) -> bool:
        return self._driver.connected

    @property
    def notes(self) -> Mapping[str, int]:
        return self._driver.notes

    async def connect(self) -> None:
        await self._driver.connect()

    def prepare(self, blocks: Sequence[Block], *, urgent: bool = False) -> Reader:
        return _RecordingReader(self._driver.prepare(blocks, urgent=urgent), blocks, self._name, self._writer)

    async def read(self, table: str, address: int, count: int) -> U16:
        return await read_once(self, table, address, count)

    async def write(self, address: int, values: Sequence[int]) -> None:
        await self._driver.write(address, values)

    async def close(self) -> None:
        await self._driver.close()


class _RecordingReader:
    """Reads, and writes down what came."""

    def __init__(self, reader: Reader, blocks: Sequence[Block], name: str, writer: FrameWriter) -> None:
        self._reader, self._blocks, self._name, self._writer = reader, blocks, name, writer

    async def read(self, words: U16) -> Outcome:
        outcome = await self._reader.read(words)
        self._writer.note(self._name, self._blocks, words, outcome)
        return outcome


class Recording:
    """A file of frames, read as a whole; ConfigurationError where it is none.

    `utc_ns` of its start, `duration_s` to its last frame. A file that was cut off is good up to there.
    """

    def __init__(self, path: Path) -> None:
        self.utc_ns = 0
        self.duration_s = 0.0
        self._frames: dict[str, tuple[list[float], list[list[Any]]]] = {}
        head: dict[str, Any] | None = None
        try:
            with gzip.open(path, "rt", encoding="ascii") as lines:
                for line in lines:
                    row = json.loads(line)
                    if head is None:
                        head = row
                        if row.get("format") != FORMAT or row.get("version") != VERSION:
                            raise ConfigurationError(f"{path}: no recording of frames of version {VERSION}")
                        self.utc_ns = int(row["utc_ns"])
                        continue
                    times, frames = self._frames.setdefault(row["d"], ([], []))
                    times.append(float(row["t"]))
                    frames.append(row["r"])
                    self.duration_s = max(self.duration_s, times[-1])
        except (EOFError, zlib.error):
            pass  # the program that wrote it was killed
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path}: cannot be played back: {error}") from None
        if head is None or not self._frames:
            raise ConfigurationError(f"{path}: no frames in it")

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices that it has frames of."""
        return tuple(self._frames)

    def driver(self, name: str, pace: Pace, start_s: float) -> ReplayDriver:
        """A device as it was, its first frame at `start_s` on the monotonic clock of `pace`."""
        times, frames = self._frames.get(name, ([], []))
        return ReplayDriver(times, frames, pace, start_s)
