"""Messages that were sent and may be asked for again (Part 4 §5.14.1.2, §5.14.6)."""

from __future__ import annotations

from collections import OrderedDict

from asyncua import ua

from opcua_bms.ua.services.codes import StatusCodes
from opcua_bms.ua.services.ledger import Ledger

BYTES_KEPT = 8 << 20
"""messages of one subscription, in bytes of their bodies"""


class Unacknowledged:
    """The retransmission queue of one subscription: the oldest go when there are too many or too much."""

    def __init__(self, most: int, ledger: Ledger) -> None:
        self._most = most
        self._ledger = ledger
        self._messages: OrderedDict[int, tuple[ua.NotificationMessage, int]] = OrderedDict()
        self._bytes = 0
        self.discarded = 0
        """messages that went before they were acknowledged"""

    def __len__(self) -> int:
        return len(self._messages)

    def numbers(self) -> list[ua.Counter]:
        """The sequence numbers that Republish knows."""
        return list(self._messages)  # type: ignore[arg-type]  # a Counter is a number

    def keep(self, message: ua.NotificationMessage, size: int) -> None:
        """Hold a message; the newest is always held."""
        self._messages[message.SequenceNumber] = (message, size)
        self._count(size)
        while len(self._messages) > 1 and (
            len(self._messages) > self._most or self._bytes > BYTES_KEPT or self._ledger.exhausted
        ):
            _, (_, dropped) = self._messages.popitem(last=False)
            self._count(-dropped)
            self.discarded += 1

    def acknowledge(self, sequence: int) -> int:
        """Drop a received message; the code of the acknowledgement."""
        entry = self._messages.pop(sequence, None)
        if entry is None:
            return int(StatusCodes.BadSequenceNumberUnknown)
        self._count(-entry[1])
        return 0

    def get(self, sequence: int) -> ua.NotificationMessage | None:
        """A message to send again; it stays until it is acknowledged."""
        entry = self._messages.get(sequence)
        return None if entry is None else entry[0]

    def clear(self) -> None:
        """Drop all."""
        self._messages.clear()
        self._count(-self._bytes)

    def _count(self, size: int) -> None:
        self._bytes += size
        self._ledger.used += size
