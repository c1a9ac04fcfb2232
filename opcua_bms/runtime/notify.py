"""systemd's readiness, reloads and watchdog (sd_notify): the watchdog is fed only while what is shown is fresh."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping

import structlog

from opcua_bms.model.image import DeviceState
from opcua_bms.model.snapshot import Snapshot

_log = structlog.get_logger(__name__)


class Systemd:
    """A sink that tells the service manager: READY with the first scan, a status with each. Silent without one.

    `stale` says why the program is not to be relied on (empty: it is).
    """

    def __init__(self, stale: Callable[[], str] = lambda: "", environment: Mapping[str, str] = os.environ) -> None:
        told = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + told[1:] if told.startswith("@") else told
        self._stale = stale
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.feed_s = int(environment.get("WATCHDOG_USEC", "0")) / 3e6 if mine else 0.0
        """seconds between two feedings of the watchdog; 0: there is none"""
        self._ready = False
        self._hungry = ""
        self._refused = ""

    def publish(self, snapshot: Snapshot) -> None:
        """One datagram per scan."""
        devices = snapshot.plant.devices
        online = sum(device.state is DeviceState.ONLINE for device in devices)
        active = sum(state.active for state in snapshot.conditions)
        status = f"STATUS={online} of {len(devices)} devices answer, {active} alarms are active{self._refused}"
        self._send(status if self._ready else f"READY=1\n{status}")
        self._ready = True

    async def watch(self) -> None:
        """Feed the watchdog as often as the manager wants, until cancelled."""
        while self.feed_s:
            self.feed()
            await asyncio.sleep(self.feed_s)

    def feed(self) -> None:
        """Feed the watchdog, unless something is stale: then say what, and let the manager end the program."""
        reason = self._stale() if self._ready else ""
        if reason and not self._hungry:
            _log.error("watchdog_not_fed", reason=reason)
        self._hungry = reason
        self._send(f"STATUS={reason}" if reason else "WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is read anew; `reloaded` follows."""
        if self._ready:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self, refused: str) -> None:
        """The reload is over; `refused` says why nothing has changed, if nothing has."""
        self._refused = "; the last reload was refused, see the log" if refused else ""
        if self._ready:
            self._send("READY=1")

    def stopping(self) -> None:
        """The program ends in good order."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(text.encode(), self._address)
