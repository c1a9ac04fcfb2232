"""The desk at which passwords are looked at: many at once gain nothing, and nobody learns who exists."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from still_clock import StillClock

from opcua_bms.ua.security.desk import PasswordDesk
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.users import UserDatabase, UserRecord

PASSWORD = "a-long-password"  # noqa: S105 - of the user of this test


class Counted(UserDatabase):
    """The user file; looks at passwords are counted and take time on the clock."""

    def __init__(self, path: Path, clock: StillClock) -> None:
        super().__init__(path)
        self.looks = 0
        self.together = 0
        self._clock = clock
        self._busy = threading.Lock()

    def verify(self, name: str, password: str) -> UserRecord | None:
        self.looks += 1
        self.together += not self._busy.acquire(blocking=False)
        try:
            self._clock.now_s += 0.01
            return super().verify(name, password)
        finally:
            if self._busy.locked():
                self._busy.release()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def users(tmp_path: Path, clock: StillClock) -> Counted:
    made = Counted(tmp_path / "users.json", clock)
    made.add("kim", PASSWORD, [Role.OPERATOR])
    made.add("paul", None, [Role.OPERATOR])
    return made


@pytest.mark.parametrize("name", ["kim", "nobody", "paul"])
async def test_guesses_at_once_are_guesses_one_by_one(users: Counted, clock: StillClock, name: str) -> None:
    """Twenty requests at the same moment: three are looked at, all others wait; the same for names that do not exist.

    A desk that asked the throttle before the queue would look at all twenty; one that answered unknown names at once,
    or never made them wait, would tell who exists.
    """
    desk = PasswordDesk(users, clock, refusal_s=0.0)
    answers = await asyncio.gather(*(desk.look(name, f"guess {n}", "192.0.2.1") for n in range(20)))
    assert [a for a in answers if not isinstance(a, float)] == []
    assert answers.count(0.0) == 3
    assert users.looks == (3 if name == "kim" else 0)
    assert users.together == 0


async def test_unknown_names_take_as_long_as_known_ones(users: Counted, clock: StillClock) -> None:
    """The time of an answer must not tell whether a name exists: an unknown one takes as long as a real look."""
    desk = PasswordDesk(users, clock, refusal_s=0.0)
    assert isinstance(await desk.look("kim", PASSWORD, "192.0.2.1"), UserRecord)
    desk._look_s = 0.05  # what the last look took
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await desk.look("nobody", "x", "192.0.2.1") == 0.0
    assert await desk.look("paul", "x", "192.0.2.1") == 0.0
    assert loop.time() - began >= 0.09


async def test_another_address_is_not_held_up(users: Counted, clock: StillClock) -> None:
    """A guesser must not lock the operator out."""
    desk = PasswordDesk(users, clock, refusal_s=0.0)
    await asyncio.gather(*(desk.look("kim", "guess", "192.0.2.1") for _ in range(20)))
    assert isinstance(await desk.look("kim", PASSWORD, "192.0.2.2"), UserRecord)


async def test_without_users_nobody_enters(clock: StillClock) -> None:
    """A server without a user file has nobody with a password."""
    assert await PasswordDesk(None, clock, refusal_s=0.0).look("kim", PASSWORD, "192.0.2.1") == 0.0
