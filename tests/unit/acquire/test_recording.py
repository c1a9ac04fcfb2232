"""Frames on disk: what a site said, played back as it was."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import numpy as np
import pytest
from acquire_rig import Rig

from opcua_bms.acquire.acquisition import Acquisition
from opcua_bms.acquire.driver import ModbusException, Timeout
from opcua_bms.acquire.pace import ManualPace, ScaledPace
from opcua_bms.acquire.recording import FrameWriter, Recording
from opcua_bms.errors import ConfigurationError, StorageError
from opcua_bms.model.image import Image
from opcua_bms.model.quality import Quality


async def record(path: Path) -> tuple[Rig, list[Image]]:
    """Ten scans of two devices: one moves, one is silent for a while and refuses its temperatures."""
    rig = Rig(n=2)
    writer = FrameWriter(path, rig.pace)
    drivers = {name: writer.wrap(name, driver) for name, driver in rig.drivers.items()}
    rig.acquisition = Acquisition(
        rig.settings, rig.topology, rig.layout, rig.period_s, lambda s: drivers[s.name], rig.pace
    )
    async with rig:
        await rig.pace.advance(3.0)
        rig.drivers["cluster01"].registers["input"][101] = 3333
        rig.drivers["cluster02"].script = lambda _: Timeout("silent")
        await rig.pace.advance(4.0)
        rig.drivers["cluster02"].script = lambda b: ModbusException(4) if b.table == "holding" else None
        await rig.pace.advance(3.0)
    writer.close()
    return rig, rig.images


async def test_a_recording_played_back_gives_the_same_images(tmp_path: Path) -> None:
    """A fault on site that cannot be brought to the desk cannot be understood."""
    path = tmp_path / "frames.jsonl.gz"
    rig, seen = await record(path)
    recording = Recording(path)
    assert recording.devices == ("cluster01", "cluster02")
    assert recording.duration_s == pytest.approx(9.4, abs=0.7)
    pace = ManualPace(utc_ns=recording.utc_ns)
    # a frame is written when it has arrived, and played back to whoever asks after that
    start_s = pace.monotonic() - 0.3
    again: list[Image] = []
    acquisition = Acquisition(
        rig.settings, rig.topology, rig.layout, 1.0, lambda s: recording.driver(s.name, pace, start_s), pace
    )
    task = asyncio.create_task(acquisition.run(again.append))
    await pace.advance(9.9)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(again) == len(seen)
    for old, new in zip(seen, again, strict=True):
        np.testing.assert_array_equal(new.quality, old.quality)
        np.testing.assert_array_equal(new.values, old.values)
        np.testing.assert_array_equal(new.bits, old.bits)
    assert Quality.DEVICE_FAILURE in rig.quality("sensor.temperature", again[-1])
    assert dict(again[-1].devices[1].faults)["timeout"] >= 3


async def test_after_its_end_a_recording_is_a_dead_device(tmp_path: Path) -> None:
    """The last frame shown for ever would look like a living plant."""
    path = tmp_path / "frames.jsonl.gz"
    await record(path)
    pace = ManualPace()
    driver = Recording(path).driver("cluster01", pace, pace.monotonic())
    await pace.advance(5.0)
    assert (await driver.read("input", 100, 3)).size == 3
    await pace.advance(20.0)
    with pytest.raises(Exception, match="not in the recording"):
        await driver.read("input", 100, 3)


async def test_a_recording_that_was_cut_off_is_good_up_to_there(tmp_path: Path) -> None:
    """A power cut ends a recording in the middle of a line, and is often what one wants to look at."""
    path = tmp_path / "frames.jsonl.gz"
    await record(path)
    whole = Recording(path).duration_s
    path.write_bytes(path.read_bytes()[:-200])
    assert 0 <= Recording(path).duration_s <= whole


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    """By its name, before anything starts."""
    path = tmp_path / "x"
    path.write_bytes(b"not gzip")
    with pytest.raises(ConfigurationError, match="cannot be played back"):
        Recording(path)
    with gzip.open(path, "wt") as file:
        file.write('{"format": "other"}\n')
    with pytest.raises(ConfigurationError, match="no recording"):
        Recording(path)
    with pytest.raises(StorageError, match="cannot be written"):
        FrameWriter(tmp_path / "no" / "such", ManualPace())


async def test_scaled_time_runs_faster() -> None:
    """A day is looked through in minutes: periods and delays shrink alike."""
    pace = ScaledPace(100.0, 1_000_000_000)
    start_s, utc_ns = pace.monotonic(), pace.utc_ns()
    await pace.sleep_until(start_s + 5.0)
    elapsed_s = pace.monotonic() - start_s
    assert 5.0 <= elapsed_s < 30.0
    assert (pace.utc_ns() - utc_ns) / 1e9 == pytest.approx(elapsed_s, abs=5.0)
    pace.show(5_000_000_000)
    assert pace.utc_ns() / 1e9 == pytest.approx(5.0, abs=5.0)
