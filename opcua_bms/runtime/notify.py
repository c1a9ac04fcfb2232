"""systemd's readiness and watchdog (sd_notify): fed by published scans, so a scan that stands still is noticed."""

from __future__ import annotations

import contextlib
import os
import socket

from opcua_bms.model.image import DeviceState
from opcua_bms.model.snapshot import Snapshot


class Systemd:
    """A sink that tells the service manager: READY with the first scan, WATCHDOG with each. Silent without one."""

    def __init__(self, address: str | None = None) -> None:
        told = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        self._address = "\0" + told[1:] if told.startswith("@") else told
        self._ready = False

    def publish(self, snapshot: Snapshot) -> None:
        """One datagram per scan."""
        devices = snapshot.plant.devices
        online = sum(device.state is DeviceState.ONLINE for device in devices)
        active = sum(state.active for state in snapshot.conditions)
        lines = [f"STATUS={online} of {len(devices)} devices answer, {active} alarms are active", "WATCHDOG=1"]
        if not self._ready:
            self._ready = True
            lines.insert(0, "READY=1")
        self._send("\n".join(lines))

    def stopping(self) -> None:
        """The program ends in good order."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._address)
