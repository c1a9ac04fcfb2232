"""Who a session may be: passwords, user certificates, anonymous users, and what each may do then."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.permission_rules import UserRole
from asyncua.crypto.uacrypto import encrypt_rsa15
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError
from certificate_forge import DAY, NOW, Forged, forge
from guarded_server import demo_settings, guarded_server, make_gate
from ua_requests import METHOD, VALUE
from ua_secure_attacker import secure_client

from opcua_bms.ua.security.desk import REFUSAL_S
from opcua_bms.ua.security.roles import RemoteUser, Role
from opcua_bms.ua.security.settings import SECURE_POLICIES, ChannelPolicy, SecuritySettings
from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration

APPLICATION = forge("application")
SPECIAL = forge("special", uri="urn:test:special")
PERSON = forge("person")
STRANGER = forge("unknown person")
LATE = forge("late person", end=NOW - DAY, start=NOW - 9 * DAY)
STRONGEST = ChannelPolicy.AES256_SHA256_RSA_PSS
rsa15_of: Any = encrypt_rsa15
BUSY_S = 4.0
"""what the handshakes of the guessing clients, in the same process, may add on a busy machine"""
PASSWORD = "correct horse äöü"  # noqa: S105 - of the users of this test


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UaServer]:
    """No anonymous users; three people with a role each."""
    root: Path = tmp_path_factory.mktemp("logins")
    settings = SecuritySettings(application_roles={"urn:test:special": frozenset({Role.ENGINEER})})
    gate = make_gate(root, settings)
    assert gate.users is not None
    assert gate.store is not None
    assert gate.user_store is not None
    gate.store.add("trusted", APPLICATION.certificate)
    gate.store.add("trusted", SPECIAL.certificate)
    gate.users.add("olga", PASSWORD, [Role.OPERATOR])
    gate.users.add("otto", PASSWORD, [Role.OBSERVER])
    gate.users.add("admin", PASSWORD, [Role.SECURITY_ADMIN])
    gate.users.add("paul", None, [Role.OPERATOR])
    gate.users.bind_certificate("paul", PERSON.certificate)
    gate.users.bind_certificate("paul", LATE.certificate)
    for forged in (PERSON, LATE):
        gate.user_store.add("trusted", forged.certificate)
    async with guarded_server(gate) as running:
        yield running


@pytest.fixture(autouse=True)
def forgiving(server: UaServer) -> None:
    """No test waits for what another one guessed."""
    server.iserver.gate.authenticator.throttle._pairs.clear()


async def client_of(
    server: UaServer,
    name: str | None = None,
    password: str | None = None,
    *,
    policy: ChannelPolicy = STRONGEST,
    mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
    person: Forged | None = None,
) -> Client:
    client = await secure_client(server, APPLICATION, policy, mode)
    if name is not None:
        client.set_user(name)
        client.set_password(password or "")
    if person is not None:
        client.user_certificate, client.user_private_key = person.certificate, person.key
    return client


async def refusal(client: Client) -> int:
    """The code with which a login fails."""
    with pytest.raises(UaStatusCodeError) as caught:
        await client.connect()
    return int(caught.value.code)


@pytest.mark.parametrize("policy", SECURE_POLICIES)
@pytest.mark.parametrize("mode", [ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt])
async def test_passwords_and_certificates_enter(
    server: UaServer, policy: ChannelPolicy, mode: ua.MessageSecurityMode
) -> None:
    """Every announced way in works, with every policy's own encryption and signature."""
    async with await client_of(server, "olga", PASSWORD, policy=policy, mode=mode) as client:
        assert await client.get_node(VALUE).read_value() is not None
    async with await client_of(server, policy=policy, mode=mode, person=PERSON) as client:
        assert await client.get_node(VALUE).read_value() is not None
    assert all(s.user.role is not UserRole.Admin for s in server.iserver.sessions)


async def test_only_the_right_ones_enter(server: UaServer) -> None:
    """The library's default lets "admin" in as administrator with any password, and every X.509 token."""
    assert await refusal(await client_of(server, "admin", "x")) == StatusCodes.BadUserAccessDenied
    assert await refusal(await client_of(server, "nobody", PASSWORD)) == StatusCodes.BadUserAccessDenied
    assert await refusal(await client_of(server, "paul", "anything")) == StatusCodes.BadUserAccessDenied
    assert await refusal(await client_of(server, person=STRANGER)) == StatusCodes.BadIdentityTokenRejected
    assert await refusal(await client_of(server, person=LATE)) == StatusCodes.BadIdentityTokenRejected
    nobody: Any = await client_of(server)
    nobody.server_policy = lambda _: ua.UserTokenPolicy(PolicyId=ua.String("anonymous"))  # which is not announced
    assert await refusal(nobody) == StatusCodes.BadIdentityTokenRejected


async def test_refusals_take_the_same_time(server: UaServer) -> None:
    """Whether a name exists must not show in how long a refusal takes: it is told at REFUSAL_S, in either case.

    Above that floor a machine that stalls may add what it likes, to any attempt, and so the shortest attempts count:
    they meet after a while, unless one of the two always takes longer.
    """
    spans: dict[str, list[float]] = {"otto": [], "nobody at all": []}
    apart = 1.0
    for turn in range(15):
        for name, taken in spans.items():
            server.iserver.gate.authenticator.throttle._pairs.clear()
            client = await client_of(server, name, "wrong password")
            started = time.monotonic()
            assert await refusal(client) == StatusCodes.BadUserAccessDenied
            taken.append(time.monotonic() - started)
        known, unknown = (min(taken) for taken in spans.values())
        apart = abs(known - unknown)
        if turn >= 2 and apart < 0.25:
            break
    assert min(known, unknown) > REFUSAL_S
    assert apart < 0.25, spans


async def session_for(server: UaServer, name: str, password: str, change: Any) -> int:
    """Log in with an identity token that `change` alters; the code of the refusal."""
    client: Any = await client_of(server, name, password)
    send = client.uaclient.activate_session

    async def altered(params: Any) -> Any:
        change(client, params)
        return await send(params)

    client.uaclient.activate_session = altered
    return await refusal(client)


async def test_passwords_in_other_wrappings(server: UaServer) -> None:
    """Clear text, RSA 1.5, a policy that was not announced, and garbage: the library takes the first two anywhere."""

    def clear(client: Client, params: Any) -> None:  # noqa: ARG001 - one shape for all
        params.UserIdentityToken.Password = PASSWORD.encode()
        params.UserIdentityToken.EncryptionAlgorithm = None

    def rsa15(client: Client, params: Any) -> None:
        certificate = server.iserver.gate.certificate
        assert certificate is not None
        secret = ua.ua_binary.Primitives.Bytes.pack(PASSWORD.encode() + (client._server_nonce or b""))
        params.UserIdentityToken.Password = rsa15_of(certificate.public_key(), secret)
        params.UserIdentityToken.EncryptionAlgorithm = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"

    def other_policy(client: Client, params: Any) -> None:  # noqa: ARG001 - as above
        params.UserIdentityToken.PolicyId = "username_basic256sha256"

    def garbage(client: Client, params: Any) -> None:  # noqa: ARG001 - as above
        params.UserIdentityToken.Password = bytes(256)

    def cut(client: Client, params: Any) -> None:  # noqa: ARG001 - as above
        params.UserIdentityToken.Password = params.UserIdentityToken.Password[:100]

    for change in (clear, rsa15, other_policy, garbage, cut):
        code = await session_for(server, "olga", PASSWORD, change)
        assert code == StatusCodes.BadIdentityTokenInvalid, change.__name__


async def test_recorded_passwords_are_void(server: UaServer) -> None:
    """The library cuts the nonce off without looking at it: whoever recorded one token could replay it for ever."""
    recorded = []

    def record(client: Client, params: Any) -> None:  # noqa: ARG001 - as above
        recorded.append(params.UserIdentityToken.Password)
        params.UserIdentityToken.PolicyId = "stop here"

    def replay(client: Client, params: Any) -> None:  # noqa: ARG001 - as above
        params.UserIdentityToken.Password = recorded[0]

    await session_for(server, "olga", PASSWORD, record)
    assert await session_for(server, "olga", PASSWORD, replay) == StatusCodes.BadIdentityTokenInvalid


async def test_user_signature_is_checked(server: UaServer) -> None:
    """A user certificate is public: only its signature over our nonce shows the person."""
    client: Any = await client_of(server, person=PERSON)
    send = client.uaclient.activate_session

    async def altered(params: Any) -> Any:
        params.UserTokenSignature.Signature = bytes(256)
        return await send(params)

    client.uaclient.activate_session = altered
    assert await refusal(client) == StatusCodes.BadUserSignatureInvalid


async def test_guessing_is_slow_and_hurts_nobody_else(server: UaServer) -> None:
    """One address guesses one user's password from many connections: few guesses count, others log in at once."""
    throttle = server.iserver.gate.authenticator.throttle
    users = server.iserver.gate.users
    assert users is not None

    async def guess(number: int) -> int:
        return await refusal(await client_of(server, "otto", f"guess number {number}"))

    started = time.monotonic()
    guesses = asyncio.gather(*(guess(n) for n in range(8)))
    await asyncio.sleep(0.2)
    entered = time.monotonic()
    async with await client_of(server, "olga", PASSWORD) as client:
        assert time.monotonic() - entered < 1.0 + BUSY_S
        assert await client.get_node(VALUE).read_value() is not None
    codes = await guesses
    assert set(codes) == {StatusCodes.BadUserAccessDenied}
    verified = throttle._pairs["otto", "127.0.0.1"].failures
    assert verified / max(1.0, time.monotonic() - started) < 5
    assert await refusal(await client_of(server, "otto", PASSWORD)) == StatusCodes.BadUserAccessDenied
    assert throttle.wait("otto", "192.0.2.1", time.monotonic()) == 0  # from elsewhere he enters
    assert throttle.wait("otto", "127.0.0.1", time.monotonic()) < 60  # and here soon again


async def code_of(awaitable: Any) -> int:
    with pytest.raises(UaStatusCodeError) as caught:
        await awaitable
    return int(caught.value.code)


async def test_roles_decide_what_a_session_may_do(server: UaServer) -> None:
    """An observer looks, an operator writes and calls, an administrator of security does neither."""
    new = ua.DataValue(ua.Variant(7.0))
    async with await client_of(server, "otto", PASSWORD) as client:
        assert await client.get_node(VALUE).read_value() is not None
        assert await code_of(client.get_node(VALUE).write_value(new)) == StatusCodes.BadUserAccessDenied
        assert await code_of(client.nodes.objects.call_method(METHOD)) == StatusCodes.BadUserAccessDenied
    async with await client_of(server, "olga", PASSWORD) as client:
        await client.get_node(VALUE).write_value(new)
        assert await client.nodes.objects.call_method(METHOD) == 42
    async with await client_of(server, "admin", PASSWORD) as client:
        assert await code_of(client.get_node(VALUE).write_value(new)) == StatusCodes.BadUserAccessDenied


async def test_application_brings_its_role(server: UaServer) -> None:
    """A role bound to an application counts only on its own certificate's channel."""
    new = ua.DataValue(ua.Variant(7.0))
    client = await secure_client(server, SPECIAL, STRONGEST, application_uri="urn:test:special")
    client.set_user("otto")
    client.set_password(PASSWORD)
    async with client:
        await client.get_node(VALUE).write_value(new)
    other = await secure_client(server, APPLICATION, STRONGEST, application_uri="urn:test:special")
    assert await refusal(other) == StatusCodes.BadCertificateUriInvalid


async def test_another_user_does_not_take_over_a_session(server: UaServer) -> None:
    """A session moves to a new channel only with the same user (OPC 10000-4 §5.7.3)."""
    first = await client_of(server, "olga", PASSWORD)
    await first.connect()
    sessions: list[Any] = list(server.iserver.sessions)
    session = max(sessions, key=lambda s: s.created_at)
    second = await client_of(server, "otto", PASSWORD)
    await second.connect_socket()
    await second.send_hello()
    await second.open_secure_channel()
    second.uaclient.session.restore_authentication_token(session.auth_token)
    second._server_nonce = session.nonce
    second._policy_ids = first._policy_ids
    assert await code_of(second.activate_session("otto", PASSWORD)) == StatusCodes.BadUserAccessDenied
    second.disconnect_socket()
    assert await first.get_node(VALUE).read_value() is not None
    await first.disconnect()


async def test_secrets_stay_out_of_logs(server: UaServer, caplog: pytest.LogCaptureFixture) -> None:
    """Even at the noisiest level, right or wrong: a log file is read by many."""
    wrong = "a wrong password of mine"
    with caplog.at_level(logging.DEBUG):
        async with await client_of(server, "olga", PASSWORD) as client:
            assert await client.get_node(VALUE).read_value() is not None
        await refusal(await client_of(server, "olga", wrong))
    lines = [f"{r.getMessage()} {vars(r)}" for r in caplog.records if not r.name.startswith("asyncua.client")]
    sessions: list[Any] = list(server.iserver.sessions)
    tokens = [s.auth_token.Identifier.hex() for s in sessions]
    assert lines
    for secret in (PASSWORD, wrong, "scrypt$", "PRIVATE KEY", *tokens):
        assert not [line for line in lines if secret in line]


@pytest.mark.parametrize("broken", ["scrypt$16384$8$5$!!$!!", "scrypt$1048577$8$5$AAAA$AAAA", "md5$x", "\N{SNOWMAN}"])
async def test_broken_hashes_let_nobody_in_and_tell_nothing(
    server: UaServer, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """A user file that somebody has spoilt: refused, told once without a traceback, which would hold what was typed."""
    users = server.iserver.gate.users
    assert users is not None
    whole = users.path.read_bytes()
    entries = json.loads(whole)
    entries["users"]["olga"]["password"] = broken
    users.path.write_text(json.dumps(entries))
    server.iserver.gate.incidents._sources.clear()
    try:
        with caplog.at_level(logging.DEBUG):
            assert await refusal(await client_of(server, "olga", PASSWORD)) == StatusCodes.BadUserAccessDenied
    finally:
        users.path.write_bytes(whole)
    lines = [r for r in caplog.records if not r.name.startswith("asyncua.client")]
    assert "user_file_unusable" in [r.getMessage() for r in lines]
    assert [r for r in lines if r.exc_info] == []
    assert [r for r in lines if PASSWORD in f"{r.getMessage()} {vars(r)}" or broken in f"{vars(r)}"] == []
    async with await client_of(server, "olga", PASSWORD) as client:
        assert await client.get_node(VALUE).read_value() is not None


class Heard:
    """Collects the events of a subscription."""

    def __init__(self) -> None:
        self.types: list[int] = []
        self.events: list[Any] = []

    def event_notification(self, event: Any) -> None:
        self.types.append(event.EventType.Identifier)
        self.events.append(event)


async def test_audit_trail(server: UaServer) -> None:
    """Every login, write and call is told with who, from where, what and the result: to administrators and a file."""
    gate = server.iserver.gate
    gate.trail.path = path = Path(str(gate.users.path)).with_name("audit.jsonl")  # type: ignore[union-attr]  # made with one
    audit_types = [ObjectIds.AuditWriteUpdateEventType, ObjectIds.AuditActivateSessionEventType]
    heard, unheard = Heard(), Heard()
    async with (
        await client_of(server, "admin", PASSWORD) as administrator,
        await client_of(server, "otto", PASSWORD) as observer,
    ):
        for client, handler in ((administrator, heard), (observer, unheard)):
            subscription = await client.create_subscription(100, handler)
            await subscription.subscribe_events(evtypes=audit_types)
        async with await client_of(server, "olga", PASSWORD) as client:
            await client.get_node(VALUE).write_value(ua.DataValue(ua.Variant(11.0)))
            await client.get_node(VALUE).write_value(ua.DataValue(ua.Variant(12.0)))
            await client.nodes.objects.call_method(METHOD)
        await refusal(await client_of(server, "otto", "wrong password"))
        await asyncio.sleep(0.4)
    assert set(heard.types) == set(audit_types)
    assert unheard.types == []
    written = [e for e in heard.events if e.EventType.Identifier == audit_types[0]]
    assert [(e.ClientUserId, e.OldValue, e.NewValue, e.Status) for e in written][-1] == ("olga", 11.0, 12.0, True)
    assert [e.Status for e in heard.events if e.EventType.Identifier == audit_types[1]].count(False) == 1
    await gate.trail.close()
    gate.trail.path = None
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert path.stat().st_mode & 0o077 == 0
    told = {(line["event"], line["user"], line["status"]) for line in lines}
    good, bad = "0x00000000", f"0x{StatusCodes.BadUserAccessDenied:08X}"
    assert {("write", "olga", good), ("method", "olga", good), ("activate_session", "olga", good)} <= told
    assert ("activate_session", "otto", bad) in told  # who it was said to be: else nobody finds who is being guessed
    assert all(line["address"] == "127.0.0.1" for line in lines)
    assert PASSWORD not in path.read_text()


async def test_demo_lets_everybody_look_and_nobody_write(tmp_path: Path) -> None:
    """Without security anonymous users observe; passwords still travel encrypted; alarms may be answered."""
    gate = make_gate(tmp_path, demo_settings())
    assert gate.users is not None
    gate.users.add("olga", PASSWORD, [Role.OPERATOR])
    async with guarded_server(gate) as server:
        new = ua.DataValue(ua.Variant(7.0))
        async with Client(server.endpoint_url, timeout=30, watchdog_intervall=30) as client:
            assert await client.get_node(VALUE).read_value() is not None
            assert await code_of(client.get_node(VALUE).write_value(new)) == StatusCodes.BadUserAccessDenied
            assert await code_of(client.nodes.objects.call_method(METHOD)) == StatusCodes.BadUserAccessDenied
        client = Client(server.endpoint_url, timeout=30, watchdog_intervall=30)
        client.set_user("olga")
        client.set_password(PASSWORD)
        async with client:
            await client.get_node(VALUE).write_value(new)
    nobody = RemoteUser(roles=frozenset({Role.ANONYMOUS, Role.OBSERVER}))
    acknowledge = ua.NodeId(ua.Int32(9111))
    assert gate.rules.user_executable(nobody, acknowledge, None)
    assert not SecuritySettings().access_rules().user_executable(nobody, acknowledge, None)
