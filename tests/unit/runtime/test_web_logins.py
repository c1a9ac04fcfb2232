"""The page's logins are the users of the OPC UA server, with their roles as the file has them now."""

from __future__ import annotations

from pathlib import Path

import pytest
from still_clock import StillClock

from opcua_bms.runtime.web_logins import DemoLogin, FileLogins
from opcua_bms.ua.security.desk import PasswordDesk
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.users import UserDatabase
from opcua_bms.web.needs import Person, Refused


@pytest.mark.parametrize(
    ("role", "operates"),
    [
        (Role.OBSERVER, False),
        (Role.OPERATOR, True),
        (Role.ENGINEER, True),
        (Role.SUPERVISOR, True),
        (Role.SECURITY_ADMIN, False),
    ],
)
async def test_roles_decide_who_answers_alarms(tmp_path: Path, role: Role, operates: bool) -> None:
    """The same rule as for the condition methods over OPC UA."""
    users = UserDatabase(tmp_path / "users.json")
    users.add("kim", "a-long-password", [role])
    logins = FileLogins(users, StillClock())
    assert await logins.login("kim", "a-long-password", "::1") == Person("kim", (role.label,), operates)


async def test_the_file_is_asked_again(tmp_path: Path) -> None:
    """Who is removed or demoted loses the page too, without a restart."""
    users = UserDatabase(tmp_path / "users.json")
    users.add("kim", "a-long-password", [Role.OPERATOR])
    logins = FileLogins(users, StillClock())
    other = UserDatabase(tmp_path / "users.json")
    other.set_roles("kim", [Role.OBSERVER])
    person = await logins.person("kim")
    assert person is not None
    assert not person.operates
    other.remove("kim")
    assert await logins.person("kim") is None


async def test_the_page_and_opc_ua_share_what_slows_guessing_down(tmp_path: Path) -> None:
    """Else who may guess twice a second here and there would guess four times a second."""
    clock = StillClock()
    users = UserDatabase(tmp_path / "users.json")
    users.add("kim", "a-long-password", [Role.OPERATOR])
    desk = PasswordDesk(users, clock, refusal_s=0.0)
    logins = FileLogins(users, clock, desk=desk)
    for _ in range(3):
        assert await desk.look("kim", "wrong", "::1") == 0.0
    refused = await logins.login("kim", "a-long-password", "::1")
    assert isinstance(refused, Refused)
    assert refused.wait_s > 0


@pytest.mark.parametrize("kind", ["file", "demo"])
async def test_guessing_waits_per_user_and_address(tmp_path: Path, kind: str) -> None:
    """Three wrong ones cost nothing, the next ones wait; another address is not held up, and the wait ends."""
    clock = StillClock()
    users = UserDatabase(tmp_path / "users.json")
    users.add("operator", "a-long-password", [Role.OPERATOR])
    demo = DemoLogin(clock)
    logins = demo if kind == "demo" else FileLogins(users, clock, refusal_s=0.0)
    right = demo.password if kind == "demo" else "a-long-password"
    for _ in range(3):
        assert await logins.login("operator", "wrong", "192.0.2.1") == Refused()
    refused = await logins.login("operator", right, "192.0.2.1")
    assert isinstance(refused, Refused)
    assert refused.wait_s > 0
    assert isinstance(await logins.login("operator", right, "192.0.2.2"), Person)
    clock.now_s += refused.wait_s
    assert isinstance(await logins.login("operator", right, "192.0.2.1"), Person)
    assert await logins.login("nobody", right, "192.0.2.2") == Refused()
    assert await logins.person("nobody") is None


def test_every_demo_has_another_password() -> None:
    """A known password in a demo is a known password wherever somebody keeps the demo running."""
    assert len({DemoLogin(StillClock()).password for _ in range(10)}) == 10
