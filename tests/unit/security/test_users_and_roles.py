"""The user file, the brake on guessing, what roles may do, and what is told about incidents."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from certificate_forge import forge
from guarded_server import demo_settings
from hypothesis import given
from hypothesis import strategies as st
from still_clock import StillClock

from opcua_bms.errors import ConfigurationError, UsageError
from opcua_bms.ua.security.incidents import Incidents
from opcua_bms.ua.security.passwords import hash_password, verify_password
from opcua_bms.ua.security.roles import CONDITION_METHODS, AccessRules, RemoteUser, Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.security.throttle import LoginThrottle
from opcua_bms.ua.security.users import UserDatabase

GOOD = "long enough"


def node(number: int, namespace: int = 0) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number), ua.Int16(namespace))


def person(*roles: Role) -> RemoteUser:
    return RemoteUser(name="x", roles=frozenset({Role.ANONYMOUS, *roles}), anonymous=False)


def test_hashes_are_salted_and_self_describing() -> None:
    """Equal passwords must not show as equal, and a line of unknown make must not pass."""
    one, two = hash_password(GOOD), hash_password(GOOD)
    assert one != two
    assert verify_password(one, GOOD)
    assert not verify_password(one, GOOD + " ")
    assert not verify_password(one, "x" * 5000)
    with pytest.raises(ValueError, match="unknown"):
        verify_password("md5$1$1$1$aaaa$aaaa", GOOD)


def test_user_file(tmp_path: Path) -> None:
    """Private, read again when a command changed it, and without a secret in what is printed."""
    path = tmp_path / "users.json"
    ours, theirs = UserDatabase(path), UserDatabase(path)
    assert ours.users() == ()
    theirs.add("olga", GOOD, [Role.OPERATOR])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert GOOD not in path.read_text()
    record = ours.verify("olga", GOOD)
    assert record is not None
    assert record.roles == {Role.OPERATOR}
    assert "scrypt" not in repr(record)
    assert ours.verify("olga", "wrong one") is None
    assert ours.verify("Olga", GOOD) is None
    theirs.set_password("olga", GOOD + "!")
    assert ours.verify("olga", GOOD) is None
    assert ours.verify("olga", GOOD + "!") is not None
    theirs.set_roles("olga", [Role.ENGINEER])
    assert [r.label for u in ours.users() for r in u.roles] == ["Engineer"]
    theirs.remove("olga")
    assert ours.verify("olga", GOOD + "!") is None


def test_user_certificates(tmp_path: Path) -> None:
    """A certificate is one person's."""
    users = UserDatabase(tmp_path / "users.json")
    users.add("olga", None, [Role.OPERATOR])
    users.add("otto", None, [Role.OBSERVER])
    card = forge("card").certificate
    users.bind_certificate("olga", card)
    users.bind_certificate("olga", card)
    found = users.find_certificate(card)
    assert found is not None
    assert found.name == "olga"
    assert users.verify("olga", "") is None
    with pytest.raises(UsageError, match="olga"):
        users.bind_certificate("otto", card)
    assert users.find_certificate(forge("other card").certificate) is None


@pytest.mark.parametrize("name", ["", " x", "a/b", "a\nb", "x" * 65, "a:b"])
def test_bad_names(tmp_path: Path, name: str) -> None:
    """Names end in logs and files."""
    with pytest.raises(UsageError):
        UserDatabase(tmp_path / "u").add(name, GOOD, [Role.OPERATOR])


def test_mistakes_are_told(tmp_path: Path) -> None:
    """Short passwords, no role, roles that cannot be given, names that exist or do not, and a broken file."""
    users = UserDatabase(tmp_path / "u")
    for password, roles in (("short", [Role.OPERATOR]), (GOOD, []), (GOOD, [Role.ANONYMOUS])):
        with pytest.raises(UsageError):
            users.add("x", password, roles)
    users.add("x", GOOD, [Role.OPERATOR])
    with pytest.raises(UsageError, match="exists"):
        users.add("x", GOOD, [Role.OPERATOR])
    for change in (users.remove, lambda n: users.set_password(n, GOOD)):
        with pytest.raises(UsageError, match="no user"):
            change("y")
    users.path.write_text("{}")
    with pytest.raises(ConfigurationError, match="not a user file"):
        users.users()
    assert Role.parse("security-admin") is Role.SECURITY_ADMIN
    with pytest.raises(ValueError, match="one of Observer, Operator"):
        Role.parse("root")


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 5)), max_size=40))
def test_waits_grow_end_and_belong_to_one_pair(attempts: list[tuple[str, float]]) -> None:
    """Nobody waits longer than a minute, and nobody at all for what another address did."""
    throttle, now = LoginThrottle(), 0.0
    for user, pause in attempts:
        now += pause
        if throttle.wait(user, "attacker", now) == 0:
            throttle.failed(user, "attacker", now)
        assert throttle.wait(user, "attacker", now) <= 60.0 + 1e-6
        assert throttle.wait(user, "elsewhere", now) == 0
    assert throttle.wait("a", "attacker", now + 60.001) == 0


def test_guessing_rate() -> None:
    """Whoever tries as fast as the brake lets him gets far fewer than five guesses a second, and success clears it."""
    throttle, guesses = LoginThrottle(), 0
    for step in range(6000):
        if throttle.wait("a", "x", step / 100) == 0:
            throttle.failed("a", "x", step / 100)
            guesses += 1
    assert guesses <= 10
    throttle.succeeded("a", "x")
    assert throttle.wait("a", "x", 60.0) == 0


def test_memory_of_the_brake_is_bounded() -> None:
    """A million names must not cost a million entries."""
    throttle = LoginThrottle()
    for number in range(5000):
        throttle.failed(f"user{number}", "x", 0.0)
    assert len(throttle._pairs) <= 4096


def test_roles() -> None:
    """Observers look; operators operate; administrators of security do not write the process."""
    rules, value = AccessRules(), node(1, 2)
    assert rules.user_access_level(person(Role.OBSERVER), value, 0b1111) == 0b0101
    assert rules.user_access_level(person(Role.OPERATOR), value, 0b0011) == 0b0011
    assert rules.user_access_level(person(Role.OPERATOR), value, 0b0001) == 0b0001
    assert rules.user_access_level(person(Role.SECURITY_ADMIN), value, 0b0011) == 0b0001
    assert rules.user_access_level(person(), value, 0b0011) == 0
    assert rules.may_browse(person(), node(2253))
    assert not rules.may_browse(person(), value)
    assert not rules.may_receive_events(person(), value)
    assert rules.user_executable(person(Role.OPERATOR), value, None)
    assert not rules.user_executable(person(Role.OBSERVER), value, None)
    assert rules.permissions(User(role=UserRole.Admin), value)
    assert not rules.permissions(User(role=UserRole.User), value)
    assert not rules.permissions(None, value)


def test_condition_methods() -> None:
    """In a demonstration anonymous users answer alarms, no more; anybody refreshes his own events."""
    nobody = RemoteUser(roles=frozenset({Role.ANONYMOUS, Role.OBSERVER}))
    demo, strict = demo_settings().access_rules(), SecuritySettings().access_rules()
    for method in CONDITION_METHODS:
        assert demo.user_executable(nobody, method, None)
        assert not strict.user_executable(nobody, method, None)
        assert strict.user_executable(person(Role.OPERATOR), method, None)
    for rules in (demo, strict):
        assert rules.user_executable(nobody, node(3875), None)
        assert not rules.user_executable(nobody, node(9028), None)
        assert not rules.user_executable(person(Role.OPERATOR), node(9028), None)
        assert rules.user_executable(person(Role.ENGINEER), node(9028), None)


def test_restricted_nodes() -> None:
    """A rule for one node replaces all others, also after answers were given from the cache."""
    rules, secret = AccessRules(), node(12637)
    assert rules.may_browse(person(Role.OPERATOR), secret)
    rules.restrict(secret, {Role.SECURITY_ADMIN: ua.PermissionType.Browse | ua.PermissionType.Call})
    assert not rules.may_browse(person(Role.OPERATOR), secret)
    assert rules.user_executable(person(Role.SECURITY_ADMIN), secret, None)
    shown = rules.role_permissions(secret)
    assert shown is not None
    assert [p.RoleId for p in shown] == [Role.SECURITY_ADMIN.node_id]
    assert rules.user_role_permissions(person(Role.OPERATOR), secret) == []


def test_remote_users_are_never_the_librarys_administrator() -> None:
    """That role passes every write check of the library."""
    made = RemoteUser(role=UserRole.Admin, name="x", roles=frozenset(Role), anonymous=False)
    assert made.role is UserRole.User
    assert RemoteUser(role=UserRole.Admin).role is UserRole.Anonymous


def test_same_person() -> None:
    """Anonymous sessions are the same person only for the same application."""
    assert person().same_person(person(Role.OPERATOR))
    assert not person().same_person(RemoteUser())
    assert not RemoteUser(application_uri="urn:a").same_person(RemoteUser(application_uri="urn:b"))
    assert not person().same_person(User())


def test_incidents_are_counted_always_and_told_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """A flood fills no log; what was held back is said with the next line; a stranger's text is one line."""
    clock = StillClock()
    incidents = Incidents(clock)
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            incidents.report("illegal_frame", "192.0.2.1", detail=f"{number}\n\x1b[31m")
        incidents.report("illegal_frame", "192.0.2.2")
        for number in range(50):
            incidents.report("certificate_rejected", "192.0.2.1", thumbprint=f"{number}")
    assert [vars(r)["address"] for r in caplog.records] == ["192.0.2.1", "192.0.2.2"]
    assert all(str(vars(r).get("detail", "")).isprintable() for r in caplog.records)
    assert incidents.counters == {"illegal_frame": 1001, "certificate_rejected": 50}
    clock.now_s += 61.0
    with caplog.at_level(logging.WARNING):
        incidents.report("illegal_frame", "192.0.2.1")
    assert vars(caplog.records[-1])["suppressed"] == 1049


def test_what_happens_to_ourselves_is_told_beside_a_flood(caplog: pytest.LogCaptureFixture) -> None:
    """That a user was removed, or the certificate expires, is no line of the address that floods."""
    incidents = Incidents(StillClock())
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            incidents.report("illegal_frame", "192.0.2.1")
            incidents.notice("user_removed", "olga", "192.0.2.1", user="olga")
            incidents.notice("user_removed", "otto", "192.0.2.1", user="otto")
            incidents.notice("certificate_expires", days_left=3.0)
    told = [(r.getMessage(), vars(r)["address"]) for r in caplog.records]
    assert told == [
        ("illegal_frame", "192.0.2.1"),
        ("user_removed", "192.0.2.1"),
        ("user_removed", "192.0.2.1"),
        ("certificate_expires", "local"),
    ]
