"""Where frames come from: the devices of the site, the same with every frame written down, or a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from opcua_bms.acquire.driver import Driver
from opcua_bms.acquire.modbus import ModbusLines
from opcua_bms.acquire.pace import Pace, ScaledPace, SystemPace
from opcua_bms.acquire.recording import FrameWriter, Recording
from opcua_bms.acquire.settings import DeviceSettings
from opcua_bms.errors import ConfigurationError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Frames:
    """What flags say of frames: a file to write them to, or one to play back in place of the devices."""

    record: Path | None = None
    replay: Path | None = None
    speed: float = 1.0


class Source(Protocol):
    """A clock, and the drivers of devices on it."""

    @property
    def pace(self) -> Pace: ...

    def driver_for(self, device: DeviceSettings) -> Driver:
        """The driver of one device."""

    def close(self) -> None:
        """Let go of files."""


class LiveSource:
    """The real devices."""

    def __init__(self, period_s: float, record: Path | None = None) -> None:
        self.pace: Pace = SystemPace()
        self._period_s = period_s
        self._lines = ModbusLines(self.pace.monotonic)
        self._writer = FrameWriter(record, self.pace) if record is not None else None

    def driver_for(self, device: DeviceSettings) -> Driver:
        driver = self._lines.for_device(device, self._period_s)
        return driver if self._writer is None else self._writer.wrap(device.name, driver)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            if self._writer.failed:
                _log.error("recording_incomplete", error=self._writer.failed)


class ReplaySource:
    """A recording, on a clock of its own."""

    def __init__(self, recording: Recording, speed: float) -> None:
        self._clock = ScaledPace(speed, recording.utc_ns)
        self.pace: Pace = self._clock
        self._recording = recording
        self._start_s: float | None = None

    def driver_for(self, device: DeviceSettings) -> Driver:
        """The recording begins when the first device is asked for, however long the server took to start."""
        if self._start_s is None:
            self._start_s = self._clock.monotonic()
            self._clock.show(self._recording.utc_ns)
        return self._recording.driver(device.name, self.pace, self._start_s)

    def close(self) -> None:
        """Nothing is open."""


def source_of(frames: Frames, period_s: float, devices: Sequence[str]) -> Source:
    """The source that flags ask for; ConfigurationError: the recording is none, or of another site."""
    if frames.replay is None:
        return LiveSource(period_s, frames.record)
    recording = Recording(frames.replay)
    if not set(recording.devices) & set(devices):
        raise ConfigurationError(f"{frames.replay}: of another site, its devices are {', '.join(recording.devices)}")
    _log.info("replay", file=str(frames.replay), seconds=round(recording.duration_s, 1), speed=frames.speed)
    return ReplaySource(recording, frames.speed)
