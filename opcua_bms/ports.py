"""The seams between the pure core and the layers that do I/O."""

from __future__ import annotations

from typing import Protocol

from opcua_bms.model.snapshot import Snapshot


class Sink(Protocol):
    """Whoever shows snapshots: server, history, web. Called on the event loop once per scan; must not raise or wait."""

    def publish(self, snapshot: Snapshot) -> None:
        """Take over one frozen snapshot."""
