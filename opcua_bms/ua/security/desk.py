"""Where passwords are looked at, for OPC UA and for the page: slowly for who guesses, and without telling who exists.

Whoever is refused learns it after the same time, known or not: an unknown name, or one without a password, holds its
turn as long as the last look at a real one took, also when many wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from opcua_bms.clock import Clock
from opcua_bms.ua.security.throttle import LoginThrottle
from opcua_bms.ua.security.users import UserDatabase, UserRecord

REFUSAL_S = 0.5
"""a refusal is told this long after it was asked for, at least"""
BUSY_S = 1.0
GUESS_GAP_S = 0.22
"""between the starts of two looks of which the first found a wrong password: fewer than five guesses a second in all"""
_FIRST_LOOK_S = 0.2
_MOST_WAITING = 8
_MOST_PAIRS = 256


class PasswordDesk:
    """Hashes are worked out one at a time, in a thread; one attempt of a pair of user and address at a time."""

    def __init__(
        self,
        users: UserDatabase | None,
        clock: Clock,
        throttle: LoginThrottle | None = None,
        *,
        refusal_s: float = REFUSAL_S,
    ) -> None:
        self.users = users
        self.throttle = throttle or LoginThrottle()
        self._clock = clock
        self._refusal_s = refusal_s
        self._hashing = asyncio.Lock()
        self._look_s = _FIRST_LOOK_S
        self._turns: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    async def look(self, name: str, password: str, address: str) -> UserRecord | float:
        """The user; or 0.0: wrong, or the seconds to wait before a password is looked at.

        Raises OpcuaBmsError or ValueError when the user file is broken.
        """
        began = self._clock.monotonic()
        pair = (name, address)
        async with self._turn(pair) as admitted:
            wait_s = self.throttle.wait(*pair, self._clock.monotonic()) if admitted else BUSY_S
            if not wait_s:
                record = await self._verify(name, password)
                if record is not None:
                    self.throttle.succeeded(*pair)
                    return record
                self.throttle.failed(*pair, self._clock.monotonic())
        await asyncio.sleep(max(0.0, self._refusal_s - (self._clock.monotonic() - began)))
        return wait_s

    async def _verify(self, name: str, password: str) -> UserRecord | None:
        users = self.users
        record = await asyncio.to_thread(users.find, name) if users is not None else None
        if users is None or record is None or record.password is None:
            await asyncio.sleep(self._look_s)
            return None
        began = self._clock.monotonic()
        async with self._hashing:
            started = self._clock.monotonic()
            found = await asyncio.to_thread(users.verify, name, password)
            if found is None:
                await asyncio.sleep(max(0.0, GUESS_GAP_S - (self._clock.monotonic() - started)))
        self._look_s = self._clock.monotonic() - began
        return found

    @contextlib.asynccontextmanager
    async def _turn(self, pair: tuple[str, str]) -> AsyncIterator[bool]:
        """One attempt of a pair at a time, so that many connections do not guess in parallel; False: too many wait."""
        lock, waiting = self._turns.get(pair, (asyncio.Lock(), 0))
        if waiting >= _MOST_WAITING or (not waiting and len(self._turns) >= _MOST_PAIRS):
            yield False
            return
        self._turns[pair] = (lock, waiting + 1)
        try:
            async with lock:
                yield True
        finally:
            left = self._turns[pair][1] - 1
            if left:
                self._turns[pair] = (lock, left)
            else:
                del self._turns[pair]
