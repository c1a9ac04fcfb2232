"""What happened to one subscription, as its diagnostics show it (Part 5 §12.15)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SubscriptionCounts:
    """Counters of SubscriptionDiagnosticsDataType that nothing else keeps."""

    modified: int = 0
    enabled: int = 0
    disabled: int = 0
    republish_requests: int = 0
    republished: int = 0
    transfers: int = 0
    to_other_client: int = 0
    to_same_client: int = 0
    data_changes: int = 0
    events: int = 0
    late: int = 0
    """how often it had something to say and no Publish request to say it with"""


@dataclass(slots=True)
class Overflows:
    """How often queues of a subscription's items were full."""

    values: int = 0
    """notifications that were dropped; a queue of one that keeps the newest value drops none (Part 4 §5.13.1.5)"""
    events: int = 0
    """EventQueueOverflow events that were made"""


UNCOUNTED = Overflows()
"""of items that belong to no subscription yet"""
