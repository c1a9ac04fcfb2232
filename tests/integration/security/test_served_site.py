"""The real program with a site's configuration: commands, log, audit file and roles as `docs/security.md` says."""

from __future__ import annotations

import datetime
import json
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError
from certificate_forge import Forged, forge
from cryptography.hazmat.primitives.serialization import Encoding
from program import Program, free_port
from register_device import RegisterDevice
from ua_requests import event_fields, monitor_request, monitored, sent, subscribe_request

from opcua_bms.ua.security.pki import PkiStore
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import ChannelPolicy
from opcua_bms.ua.security.users import UserDatabase

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
PASSWORD = "a password of this test"  # noqa: S105 - of the users of this test
POLICY = ChannelPolicy.AES256_SHA256_RSA_PSS
PANEL = forge("panel", uri="urn:test:panel")
STATION = forge("station", uri="urn:test:station")
DESK = forge("desk", uri="urn:test:desk")
PERSON = forge("person")
URIS = {"station": "urn:test:station", "panel": "urn:test:panel", "desk": "urn:test:desk"}
DIAGNOSTICS_FLAG = ua.NodeId(ua.Int32(2294))
"""ServerDiagnostics.EnabledFlag: a variable that can be written at all"""
APPLICATIONS = """
[[opcua.applications]]
uri = "urn:test:station"
roles = ["Engineer"]
"""


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """`serve` without any flag, and the users that the commands of the page have made."""
    folder = tmp_path_factory.mktemp("site")
    device = RegisterDevice({"input": {}, "holding": {}})
    port = await device.start()
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
    program = Program(folder, "serve", "site.toml", "--endpoint", endpoint)
    (folder / "secret").write_text(PASSWORD)
    (folder / "person.pem").write_bytes(PERSON.certificate.public_bytes(Encoding.PEM))
    (folder / "station.der").write_bytes(STATION.der)
    for line in (
        f"init --profile clou-ess --device 127.0.0.1:{port} --output site.toml",
        "users add olga --role Operator --password-file secret",
        "users add otto --role Observer --password-file secret",
        "users add paul --role Observer --no-password --certificate person.pem",
        "certs init",
        "certs trust station.der",
    ):
        code, _, err = await program.run(*shlex.split(line))
        assert code == 0, (line, err)
    users = UserDatabase(folder / "users.json")
    users.add("anna", PASSWORD, [Role.ENGINEER])
    users.add("sara", PASSWORD, [Role.SECURITY_ADMIN])
    PkiStore(folder / "pki").add("trusted", DESK.certificate)
    toml = folder / "site.toml"
    toml.write_text(toml.read_text() + APPLICATIONS + "\n[web]\nenabled = false\n" * ("[web]" not in toml.read_text()))
    restored = folder / "audit.jsonl"  # as a backup gives it back
    restored.touch()
    restored.chmod(0o644)
    try:
        await program.start()
        yield program
    finally:
        if program.process is not None and program.process.returncode is None:
            await program.stop()
        await device.stop()


async def client_of(site: Program, application: Forged, name: str | None, person: Forged | None = None) -> Client:
    """A client of the site, not connected yet."""
    url = site.ready.split()[0]
    client = Client(url, timeout=30, watchdog_intervall=30)
    certificate = (site.state / "pki/own/certs/server.der").read_bytes()
    (name_of_application,) = application.certificate.subject
    client.application_uri = URIS[str(name_of_application.value)]
    await client.set_security(
        POLICY.value,
        CertProperties(application.der, "der"),
        CertProperties(application.key_pem, "pem"),
        server_certificate=CertProperties(certificate, "der"),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    if name is not None:
        client.set_user(name)
        client.set_password(PASSWORD)
    if person is not None:
        client.user_certificate, client.user_private_key = person.certificate, person.key
    return client


def log_lines(site: Program) -> list[dict[str, Any]]:
    """What it logged, one JSON object a line."""
    return [json.loads(line) for line in site.errors.read_text().splitlines()]


async def test_a_refused_client_enters_by_the_command_of_the_log_line(site: Program) -> None:
    """The line names subject, thumbprint and command; the command works as it stands, without a restart."""
    client = await client_of(site, PANEL, "olga")
    with pytest.raises((UaStatusCodeError, ConnectionError, TimeoutError)):
        await client.connect()
    (line,) = [entry for entry in log_lines(site) if entry["event"] == "certificate_rejected"]
    assert line["certificate"] == "CN=panel"
    program, *command = shlex.split(line["hint"])
    assert program == "opcua-bms"
    code, _, err = await site.run(*command)
    assert code == 0, err
    async with await client_of(site, PANEL, "olga") as client:
        assert await client.get_node(ua.NodeId(ua.Int32(2259))).read_value() == 0


async def rights(client: Client, attribute: AttributeIds) -> Any:
    """An attribute of a variable that may be written by some."""
    found: Any = await client.get_node(DIAGNOSTICS_FLAG).read_attribute(attribute)
    return found.Value.Value


async def test_rights_are_told_true_for_each_session(site: Program) -> None:
    """A user's role, an application's role and both ways to log in; what the attributes say is what a Write gets."""
    for application, name, person, writes in (
        (STATION, "otto", None, True),
        (STATION, None, PERSON, True),
        (DESK, "otto", None, False),
        (DESK, "olga", None, True),
    ):
        async with await client_of(site, application, name, person) as client:
            level = await rights(client, AttributeIds.UserAccessLevel)
            assert bool(level & 2) is writes, (name, level)
            mine = await rights(client, AttributeIds.UserRolePermissions)
            roles = {p.RoleId for p in mine}
            assert (Role.ENGINEER.node_id in roles) is (application is STATION)
            node = client.get_node(DIAGNOSTICS_FLAG)
            if writes:
                await node.write_value(ua.DataValue(ua.Variant(True)))
            else:
                with pytest.raises(UaStatusCodeError):
                    await node.write_value(ua.DataValue(ua.Variant(True)))


def node(identifier: Any, namespace: int = 0) -> ua.NodeId:
    """A NodeId of plain Python values."""
    return ua.NodeId(identifier, ua.Int16(namespace))


LEVEL = node("BMS.BusVoltage", 3)
CONDITION = node("BMS.Alarms.AlarmWordBit03", 3)
HIDDEN = node("Security.CertificateDaysLeft", 1)
ACKNOWLEDGE, ENABLE, TRUST_LIST, OPEN = node(9111), node(9027), node(12642), node(12647)
CONDITION_TYPE, REFRESH, SERVER = node(2782), node(3875), node(2253)
ROLES: dict[str, dict[str, bool]] = {
    user: {"write": w, "acknowledge": w, "enable": e, "history": h, "security": s}
    for user, w, e, h, s in (
        ("otto", False, False, True, False),
        ("olga", True, False, True, False),
        ("anna", True, True, True, False),
        ("sara", False, False, False, True),
    )
}
"""Observer, Operator, Engineer, SecurityAdmin: what each may do"""


async def attribute(client: Client, place: ua.NodeId, which: AttributeIds) -> Any:
    """One attribute, whatever its status."""
    (found,) = await client.uaclient.read_attributes([place], which)
    return found


async def call(client: Client, place: ua.NodeId, method: ua.NodeId, *arguments: ua.Variant) -> int:
    """The code of a call."""
    request = ua.CallRequest()
    request.Parameters.MethodsToCall = [ua.CallMethodRequest(place, method, list(arguments))]
    return int((await sent(client, request)).Results[0].StatusCode.value)


async def monitor(client: Client, subscription: int, place: ua.NodeId, chosen: ua.EventFilter | None = None) -> int:
    """The code of CreateMonitoredItems."""
    attribute = AttributeIds.EventNotifier if chosen is not None else AttributeIds.Value
    item = monitored(place, attribute, QueueSize=ua.UInt32(1000), Filter=chosen)
    return int((await sent(client, monitor_request(subscription, item))).Results[0].StatusCode.value)


async def event_types(client: Client, until: ua.NodeId) -> set[ua.NodeId]:
    """Publish until an event of a type comes; all types on the way."""
    found: set[ua.NodeId] = set()
    while until not in found:
        message = (await sent(client, ua.PublishRequest())).Parameters.NotificationMessage
        for part in message.NotificationData or ():
            found |= {event.EventFields[0].Value for event in getattr(part, "Events", ())}
    return found


def test_a_restored_audit_trail_is_made_private(site: Program) -> None:
    """Opening a file keeps its mode: what was readable to all would stay so."""
    assert (site.state / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    told = [line for line in log_lines(site) if line.get("event") == "file_was_open_to_others"]
    assert [Path(line["path"]).name for line in told] == ["audit.jsonl"]


@pytest.mark.parametrize("user", ROLES)
async def test_each_role_in_each_service(site: Program, user: str) -> None:
    """Read, Write, Browse, Call, HistoryRead, monitored values and events: as the role says, and as attributes tell."""
    may = ROLES[user]
    denied = (StatusCodes.BadUserAccessDenied, StatusCodes.BadNodeIdUnknown)
    async with await client_of(site, DESK, user) as client:
        assert (await attribute(client, LEVEL, AttributeIds.Value)).StatusCode.value not in denied
        shown = (await attribute(client, HIDDEN, AttributeIds.Value)).StatusCode.value
        assert (shown not in denied) is may["security"]

        level = (await attribute(client, DIAGNOSTICS_FLAG, AttributeIds.UserAccessLevel)).Value.Value
        (written,) = await client.uaclient.write_attributes(
            [DIAGNOSTICS_FLAG], [ua.DataValue(ua.Variant(True))], AttributeIds.Value
        )
        assert bool(level & 2) is may["write"]
        assert written.is_good() is may["write"]
        assert written.is_good() or written.value == StatusCodes.BadUserAccessDenied

        for place, method, allowed, arguments in (
            (CONDITION, ACKNOWLEDGE, may["acknowledge"], (ua.Variant(b"x" * 16), ua.Variant(ua.LocalizedText("")))),
            (CONDITION, ENABLE, may["enable"], ()),
            (TRUST_LIST, OPEN, may["security"], (ua.Variant(1, ua.VariantType.Byte),)),
            (CONDITION_TYPE, REFRESH, True, (ua.Variant(1, ua.VariantType.UInt32),)),
        ):
            told = (await attribute(client, method, AttributeIds.UserExecutable)).Value
            assert bool(told is not None and told.Value) is allowed, method  # none for who may not see it
            assert (await call(client, place, method, *arguments) not in denied) is allowed, method

        history = ua.HistoryReadRequest()
        details = ua.ReadRawModifiedDetails()
        details.StartTime, details.NumValuesPerNode = datetime.datetime.now(datetime.UTC), ua.UInt32(1)
        history.Parameters.HistoryReadDetails = details
        history.Parameters.NodesToRead = [ua.HistoryReadValueId(NodeId=LEVEL)]
        (read,) = (await sent(client, history)).Results
        assert (read.StatusCode.value != StatusCodes.BadUserAccessDenied) is may["history"], read
        told = (await attribute(client, LEVEL, AttributeIds.UserAccessLevel)).Value.Value
        assert bool(told & 4) is may["history"]

        children = await client.get_node(TRUST_LIST).get_children()
        assert (OPEN in {child.nodeid for child in children}) is may["security"]
        mine = (await attribute(client, LEVEL, AttributeIds.UserRolePermissions)).Value.Value
        assert {p.RoleId for p in mine} <= {role.node_id for role in Role}
        for place in (LEVEL, SERVER, ACKNOWLEDGE, *((TRUST_LIST, HIDDEN) if may["security"] else ())):
            everybody = await attribute(client, place, AttributeIds.RolePermissions)  # Part 3 §5.2.9, §8.55
            if may["security"]:
                assert everybody.Value.Value, place
            else:
                assert everybody.StatusCode.value == StatusCodes.BadUserAccessDenied, place
                assert everybody.Value is None or everybody.Value.Value is None
            assert (await attribute(client, place, AttributeIds.UserRolePermissions)).Value.Value, place

        number = (await sent(client, subscribe_request())).Parameters.SubscriptionId
        assert await monitor(client, number, LEVEL) == 0
        assert (await monitor(client, number, HIDDEN) not in denied) is may["security"]
        assert await monitor(client, number, SERVER, event_fields("EventType")) == 0
        async with await client_of(site, DESK, "olga") as other:  # what is recorded for security administrators
            await other.get_node(DIAGNOSTICS_FLAG).write_value(ua.DataValue(ua.Variant(True)))
        assert await call(client, CONDITION_TYPE, REFRESH, ua.Variant(number, ua.VariantType.UInt32)) == 0
        kinds = await event_types(client, until=node(ObjectIds.RefreshEndEventType))
        assert (node(ObjectIds.AuditWriteUpdateEventType) in kinds) is may["security"]


async def test_audit_file_and_log_hold_no_secret(site: Program) -> None:
    """Who did what is on record from the first minute; passwords and keys are nowhere; files are the owner's."""
    wrong = await client_of(site, STATION, "olga")
    wrong.set_password("a wrong guess of this test")
    with pytest.raises(UaStatusCodeError):
        await wrong.connect()
    audit = site.state / "audit.jsonl"
    for path in (audit, site.state / "users.json", site.state / "pki/own/private/server.pem"):
        assert path.stat().st_mode & 0o077 == 0, path
    records = [json.loads(line) for line in audit.read_text().splitlines()]
    assert {"activate_session", "open_secure_channel", "write"} <= {r["event"] for r in records}
    assert {"olga", "otto", "paul"} <= {r["user"] for r in records}
    everything = audit.read_text() + site.errors.read_text() + "".join(site.lines)
    for secret in (PASSWORD, "a wrong guess", "PRIVATE KEY", "scrypt$"):
        assert secret not in everything


def test_the_repository_holds_no_secret() -> None:
    """Private keys and passwords of real machines do not belong into sources, examples or test data."""
    key = re.compile(rb"-----BEGIN (RSA |EC |ENCRYPTED )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}")
    assignment = re.compile(
        rb"^\s*(password|passwd|secret|token|api_key)\s*=\s*[\"'][^\"'\s]{6,}", re.MULTILINE | re.IGNORECASE
    )
    for folder in ("opcua_bms", "docs", "deploy", "certs", "tests/data", "nodesets"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.stat().st_size < 4 << 20 and "node_modules" not in path.parts:
                data = path.read_bytes()
                assert not key.search(data), path
                assert not assignment.search(data), path
