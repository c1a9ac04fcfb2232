"""What was read last, so that it need not be read again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class Cache:
    """Unpacked blocks that were read last, up to `most` bytes; used by the reading thread alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._size = 0

    def get(self, key: Any) -> Any:
        """What is held, else None."""
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found[0]

    def put(self, key: Any, value: Any, size: int) -> None:
        """Hold it; what was not asked for longest goes."""
        self._held[key] = (value, size)
        self._size += size
        while self._size > self._most and len(self._held) > 1:
            _, (_, freed) = self._held.popitem(last=False)
            self._size -= freed
