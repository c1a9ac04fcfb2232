"""Requests of one connection → service calls → responses: asyncua's processor with what it lacks.

Extension point: `guard.processor.GuardedProcessor` overrides `_process_message` (checks, then super) and
`fast_lane_open` (whether a request may skip `_process_message`).
"""

from __future__ import annotations

from opcua_bms.ua.services.subscribing import SubscribingProcessor


class Processor(SubscribingProcessor):
    """One per connection."""

    def fast_lane_open(self) -> bool:
        """Whether the activated session of this connection may be served without further checks."""
        return True
