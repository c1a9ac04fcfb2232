"""What the service manager hears."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from opcua_bms.acquire.pace import ManualPace
from opcua_bms.model.image import DeviceHealth, DeviceState, Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, StackShape, Topology
from opcua_bms.runtime.freshness import ALARMS_S, Freshness
from opcua_bms.runtime.notify import Systemd

LAYOUT = Layout.of(Topology((StackShape((ClusterShape(()),)),)))
SCANNED = "STATUS=1 of 2 devices answer, 0 alarms are active"


def snapshot() -> Snapshot:
    image = Image.blank(LAYOUT, ScanInfo(1, 1.0, 1, 1.0))
    devices = (DeviceHealth("a", DeviceState.ONLINE), DeviceHealth("b", DeviceState.OFFLINE))
    return Snapshot(
        Image(
            image.layout, image.values, image.bits, image.quality, image.stamp_ns, image.measured_s, image.scan, devices
        ),
        (),
        (),
    )


class Manager:
    """A service manager that listens."""

    def __init__(self, path: Path) -> None:
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "60000000"}
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.setblocking(False)

    def heard(self) -> list[str]:
        """What came since it was asked last; a datagram is there when `sendto` has returned."""
        out: list[str] = []
        while True:
            try:
                out.append(self._sock.recv(1024).decode())
            except BlockingIOError:
                return out

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.close()


def test_ready_comes_with_the_first_scan_and_a_status_with_each(manager: Manager) -> None:
    """Type=notify would hang for ever."""
    systemd = Systemd(environment=manager.environment)
    systemd.publish(snapshot())
    systemd.publish(snapshot())
    systemd.stopping()
    assert manager.heard() == [f"READY=1\n{SCANNED}", SCANNED, "STOPPING=1"]


def test_the_watchdog_starves_when_scans_stop(manager: Manager) -> None:
    """A program that stands still with its sockets open is worse than one that starts anew."""
    clock = ManualPace()
    fresh = Freshness(clock, 1.0, lambda: 0.0)
    systemd = Systemd(fresh.stale, manager.environment)
    assert systemd.feed_s == 20.0
    systemd.feed()
    assert manager.heard() == ["WATCHDOG=1"], "before the first scan the start-up timeout watches"
    systemd.publish(snapshot())
    fresh.note()
    clock._now_s += 4.9
    systemd.feed()
    assert manager.heard()[1:] == ["WATCHDOG=1"]
    clock._now_s += 0.2
    systemd.feed()
    systemd.feed()
    assert manager.heard() == ["STATUS=the last scan is 5 s old, one is due every 1 s"] * 2
    fresh.note()
    systemd.feed()
    assert manager.heard() == ["WATCHDOG=1"]


def test_the_watchdog_starves_when_alarms_are_stuck(manager: Manager) -> None:
    """Values that move hide that no alarm comes any more."""
    clock, waiting = ManualPace(), [0.0]
    fresh = Freshness(clock, 1.0, lambda: waiting[0])
    systemd = Systemd(fresh.stale, manager.environment)
    systemd.publish(snapshot())
    fresh.note()
    manager.heard()
    waiting[0] = ALARMS_S + 1
    systemd.feed()
    assert manager.heard() == ["STATUS=changes of alarms have been waiting to be shown for 31 s"]


def test_slow_scans_do_not_starve_it(manager: Manager) -> None:
    """One an hour is what was configured; the manager wants to hear of it once a minute."""
    clock = ManualPace()
    fresh = Freshness(clock, 3_600.0, lambda: 0.0)
    systemd = Systemd(fresh.stale, manager.environment)
    systemd.publish(snapshot())
    fresh.note()
    manager.heard()
    clock._now_s += 3_599
    systemd.feed()
    assert manager.heard() == ["WATCHDOG=1"]


def test_a_reload_is_told_from_its_begin_to_its_end(manager: Manager) -> None:
    """`systemctl reload` waits for it (sd_notify(3): RELOADING wants the time, READY ends it)."""
    systemd = Systemd(environment=manager.environment)
    systemd.reloading()
    systemd.reloaded("")
    assert manager.heard() == [], "READY would be a lie before the first scan"
    systemd.publish(snapshot())
    manager.heard()
    systemd.reloading()
    systemd.reloaded("bms.toml:3 …")
    begin, end = manager.heard()
    kind, at = begin.splitlines()
    assert (kind, end) == ("RELOADING=1", "READY=1")
    assert int(at.removeprefix("MONOTONIC_USEC=")) > 0
    systemd.publish(snapshot())
    assert manager.heard() == [f"{SCANNED}; the last reload was refused, see the log"]


def test_a_watchdog_of_another_process_is_not_ours(manager: Manager) -> None:
    """The variable is inherited (sd_watchdog_enabled(3))."""
    assert Systemd(environment={**manager.environment, "WATCHDOG_PID": str(os.getpid() + 1)}).feed_s == 0
    assert Systemd(environment={**manager.environment, "WATCHDOG_PID": str(os.getpid())}).feed_s == 20


def test_without_a_manager_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    """A service manager that went away must not stop the scan."""
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        systemd = Systemd(environment=environment)
        systemd.publish(snapshot())
        systemd.feed()
