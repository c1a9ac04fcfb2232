"""What the service manager hears."""

from __future__ import annotations

import socket
from pathlib import Path

from opcua_bms.model.image import DeviceHealth, DeviceState, Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, StackShape, Topology
from opcua_bms.runtime.notify import Systemd

LAYOUT = Layout.of(Topology((StackShape((ClusterShape(()),)),)))


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


def test_ready_comes_with_the_first_scan_and_the_watchdog_with_each(tmp_path: Path) -> None:
    """Type=notify would hang for ever, or the watchdog would kill a healthy server."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        systemd = Systemd(str(path))
        systemd.publish(snapshot())
        systemd.publish(snapshot())
        systemd.stopping()
        heard = [manager.recv(1024).decode() for _ in range(3)]
    assert heard[0] == "READY=1\nSTATUS=1 of 2 devices answer, 0 alarms are active\nWATCHDOG=1"
    assert heard[1] == "STATUS=1 of 2 devices answer, 0 alarms are active\nWATCHDOG=1"
    assert heard[2] == "STOPPING=1"


def test_without_a_manager_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    """A service manager that went away must not stop the scan."""
    for address in ("", str(tmp_path / "nobody")):
        Systemd(address).publish(snapshot())
