"""On a line without transaction ids: is the next answer the next one, or one that is late?

After a time-out on a serial line the answer may still come (through a gateway on the next connection, too), and would
be taken for that to the next request of the same length; every following answer would be one too late. So the next read
of that unit asks for a few registers first, a number that nothing else on the way has: only when these come are all
answers before them gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opcua_bms.acquire.driver import PlainBlock
from opcua_bms.acquire.modbus_frames import Request, read_request

_TABLES: Mapping[int, str] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_COUNTS = (1, 2, 3, 4, 5, 6, 7)
"""of registers; eight times as many coils, whose answer is as long in bytes"""


class Doubts:
    """Units of one line whose late answers may still be on the way."""

    def __init__(self) -> None:
        self._units: set[int] = set()
        self._turn = 0

    def add(self, unit: int) -> None:
        """An answer of this unit did not come, or was none."""
        self._units.add(unit)

    def settle(self, unit: int) -> None:
        """Everything before now has come, or never will."""
        self._units.discard(unit)

    def question(self, unit: int, requests: Iterable[Request]) -> Request | None:
        """What to ask a unit before `requests`; None: nothing is in doubt, or a write, whose echo tells it apart."""
        if unit not in self._units:
            return None
        asked = list(requests)
        table = _TABLES.get(asked[0].function) if asked else None
        if table is None:
            return None
        lengths = {r.data_bytes for r in asked}
        bits = table in ("coil", "discrete")
        self._turn += 1
        counts = [c for c in _COUNTS if (c if bits else 2 * c) not in lengths] or list(_COUNTS)
        count = counts[self._turn % len(counts)] * (8 if bits else 1)
        address = int.from_bytes(asked[0].pdu[1:3], "big")
        return read_request(PlainBlock(table, min(address, 65536 - count), count))
