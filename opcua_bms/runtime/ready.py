"""Says READY on stdout once: after the first scan in which every device answered, or after some scans anyway."""

from __future__ import annotations

import sys
from collections.abc import Callable

from opcua_bms.model.image import DeviceState
from opcua_bms.model.snapshot import Snapshot

PATIENCE_SCANS = 3
"""A site with a dead device is ready too; a client then sees what is bad."""


class Ready:
    """A sink that waits for the first complete scan; `describe` makes the rest of the line."""

    def __init__(self, describe: Callable[[Snapshot], str]) -> None:
        self._describe = describe
        self._said = False

    def publish(self, snapshot: Snapshot) -> None:
        """Print the line when it is time."""
        if self._said:
            return
        plant = snapshot.plant
        complete = all(device.state is DeviceState.ONLINE for device in plant.devices)
        if complete or plant.scan.counter >= PATIENCE_SCANS:
            self._said = True
            sys.stdout.write(f"READY {self._describe(snapshot)}\n")
            sys.stdout.flush()
