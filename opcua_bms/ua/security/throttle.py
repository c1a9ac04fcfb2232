"""Slows password guessing per user and address, and nobody else. Pure: the time comes in (seconds, monotonic)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class _History:
    failures: int = 0
    blocked_until: float = 0.0
    last: float = 0.0


class LoginThrottle:
    """Failures of one (user, address) pair: the first `free` cost nothing, then each doubles the wait up to `longest`.

    A wait ends by itself, other addresses of the same user are not held up, and memory is bounded: the operator is
    never locked out for good. While a pair waits, its attempts are refused without looking at the password.
    """

    def __init__(self, free: int = 3, first_s: float = 1.0, longest_s: float = 60.0, forget_s: float = 900.0) -> None:
        self.free = free
        self.first_s = first_s
        self.longest_s = longest_s
        self.forget_s = forget_s
        self._pairs: OrderedDict[tuple[str, str], _History] = OrderedDict()

    def wait(self, user: str, address: str, now: float) -> float:
        """Seconds until this pair may try again; 0: now."""
        history = self._pairs.get((user[:128], address))
        return max(0.0, history.blocked_until - now) if history else 0.0

    def failed(self, user: str, address: str, now: float) -> None:
        """Count a wrong password."""
        key = (user[:128], address)
        history = self._pairs.get(key)
        if history is None or now - history.last > self.forget_s:
            history = self._pairs[key] = _History()
        self._pairs.move_to_end(key)
        history.failures += 1
        history.last = now
        if history.failures >= self.free:
            exponent = min(history.failures - self.free, 16)
            history.blocked_until = now + min(self.first_s * 2**exponent, self.longest_s)
        while len(self._pairs) > 4096:
            self._pairs.popitem(last=False)

    def succeeded(self, user: str, address: str) -> None:
        """A right password clears the pair."""
        self._pairs.pop((user[:128], address), None)
