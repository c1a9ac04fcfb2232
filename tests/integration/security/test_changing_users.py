"""Sessions whose user changes, or whose user's roles do, while they are open (OPC 10000-4 §5.7.3, 10000-2 §6.20)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua.ua.status_codes import StatusCodes
from certificate_forge import forge
from guarded_server import SERVER_URI, make_gate
from loose_ua import UaStatusCodeError, ua
from subscription_rig import item
from ua_fixture import Plant, served
from ua_secure_attacker import secure_client
from wire_session import Wire, data_changes

from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import ChannelPolicy, SecuritySettings
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.services.event import Event
from opcua_bms.ua.settings import ServerSettings

pytestmark = pytest.mark.integration
APPLICATION = forge("application")
PASSWORD = "correct horse äöü"  # noqa: S105 - of the users of this test
LIMIT_S = 20.0
Served = tuple[UaServer, Plant]


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """Anonymous users may look at namespace 0 only; operators at everything."""
    gate = make_gate(tmp_path_factory.mktemp("users"), SecuritySettings(anonymous=True))
    assert gate.users is not None
    assert gate.store is not None
    gate.store.add("trusted", APPLICATION.certificate)
    gate.users.add("sam", PASSWORD, [Role.SECURITY_ADMIN])
    for name in ("olga", "otto", "rita"):
        gate.users.add(name, PASSWORD, [Role.OPERATOR])
    settings = ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", application_uri=SERVER_URI, gate=gate)
    async with served(settings, tags=3) as (server, plant):
        plant.commit()
        yield server, plant


async def login(server: UaServer, name: str) -> Wire:
    client = await secure_client(
        server, APPLICATION, ChannelPolicy.BASIC256SHA256, ua.MessageSecurityMode.SignAndEncrypt
    )
    client.set_user(name)
    client.set_password(PASSWORD)
    await client.connect()
    return Wire(client)


async def until(client: Wire, fits: Callable[[dict[int, list[Any]]], bool]) -> dict[int, list[Any]]:
    """Publish until the data changes so far, by client handle, fit."""
    found: dict[int, list[Any]] = {}
    async with asyncio.timeout(LIMIT_S):
        while not fits(found):
            for note in data_changes(await client.next()):
                found.setdefault(note.ClientHandle, []).append(note.Value)
    return found


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """The server looks at the user file once a second: there is nothing to wait for but its effect."""
    async with asyncio.timeout(LIMIT_S):
        while not await holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.1)


def codes(values: list[Any]) -> list[int]:
    return [v.StatusCode.value for v in values]


async def test_monitored_items_follow_the_user(site: Served) -> None:
    """What the new user may not read reports BadUserAccessDenied, once, and comes back with a user who may."""
    server, plant = site
    client = await login(server, "olga")
    try:
        subscription = await client.subscribe(50.0)
        time_node = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
        chosen = ua.EventFilter(
            [ua.SimpleAttributeOperand(ua.NodeId(2041), [ua.QualifiedName("Message", 0)], 13, None)]
        )
        made = await client.monitor(
            subscription,
            item(plant.id("Line1.Level"), 1),
            item(plant.id("Line1.Mode"), 2),
            item(plant.id("Line1.Levels"), 3),
            item(plant.id("Line1.Kind"), 4),
            item(time_node, 5),
            item(plant.id("Line1"), 6, data_filter=chosen, attribute=ua.AttributeIds.EventNotifier),
            item(plant.id("Line1.Level"), 7, mode=ua.MonitoringMode.Disabled),
        )
        assert [r.StatusCode.value for r in made] == [0] * 7
        await until(client, lambda seen: len(seen) == 5)
        plant.commit()
        emit = server.iserver.subscription_service.emit
        await client.client.activate_session()
        plant.commit()
        emit(Event.make(ua.NodeId(2130), plant.id("Line1"), "Line1", "secret", 500, datetime.now(UTC)))
        denied = await until(client, lambda seen: len(seen.get(5, [])) >= 2 and all(k in seen for k in (1, 2, 3, 4)))
        assert {k: codes(denied[k]) for k in (1, 2, 3, 4)} == {
            k: [StatusCodes.BadUserAccessDenied] for k in (1, 2, 3, 4)
        }
        plant.commit()
        more = await until(client, lambda seen: len(seen.get(5, [])) >= 2)
        assert set(more) == {5}, "the values of a user who has gone, or his events"
        await client.client.activate_session("olga", PASSWORD)
        again = await until(client, lambda seen: all(k in seen for k in (1, 2, 3, 4)))
        assert all(codes(again[k])[0] == 0 for k in (1, 2, 3, 4))
    finally:
        await client.client.disconnect()


async def test_who_is_who_is_for_security_administrators(site: Served) -> None:
    """Part 5 §6.3.5: operators see that there are sessions, not who is behind them."""
    server, _ = site
    operator, admin = await login(server, "olga"), await login(server, "sam")
    try:
        session = next(s for s in server.iserver.sessions if s.user.name == "olga")
        guid = session.session_id.Identifier
        seen: dict[str, list[int]] = {}
        for name in ("SessionDiagnostics.ReadCount", "SessionSecurityDiagnostics", "CurrentRoleIds"):
            for client in (operator, admin):
                node = ua.NodeId(f"{guid!s}/{name}", 1)
                asked = ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, [ua.ReadValueId(node, 13)])
                (result,) = (await client.request(ua.ReadRequest(Parameters=asked))).Results
                seen.setdefault(name, []).append(result.StatusCode.value)
        refused = [StatusCodes.BadUserAccessDenied, 0]
        assert seen == {
            "SessionDiagnostics.ReadCount": [0, 0],
            "SessionSecurityDiagnostics": refused,
            "CurrentRoleIds": refused,
        }
        told = server.iserver.diagnostics.security_of(session)
        assert (told.ClientUserIdOfSession, told.AuthenticationMechanism) == ("olga", "UserName")
        assert server.iserver.diagnostics.of_session(session).UnauthorizedRequestCount == 0
    finally:
        await operator.client.disconnect()
        await admin.client.disconnect()


async def test_calls_are_audited(site: Served) -> None:
    """Part 5 §6.4.12: who called which Method with which arguments, and how it ended, as AuditUpdateMethodEventType."""
    server, _ = site
    operator, admin = await login(server, "olga"), await login(server, "sam")
    try:
        watching = await admin.subscribe(50.0)
        kind = ua.NodeId(ua.ObjectIds.AuditUpdateMethodEventType)
        names = ("MethodId", "InputArguments", "ClientUserId", "Status", "SourceNode")
        selected = [ua.SimpleAttributeOperand(kind, [ua.QualifiedName(name, 0)], 13, None) for name in names]
        of_type = ua.ContentFilterElement(ua.FilterOperator.OfType, [ua.LiteralOperand(ua.Variant(kind))])
        chosen = ua.EventFilter(selected, ua.ContentFilter([of_type]))
        node = ua.NodeId(ua.ObjectIds.Server)
        await admin.monitor(watching, item(node, 1, data_filter=chosen, attribute=ua.AttributeIds.EventNotifier))
        method = ua.NodeId(ua.ObjectIds.Server_GetMonitoredItems)
        argument = ua.Variant(await operator.subscribe(1000.0), ua.VariantType.UInt32)
        assert (await operator.call(node, method, argument)).StatusCode.is_good()
        assert not (await operator.call(node, method)).StatusCode.is_good()
        good, bad = [[v.Value for v in e.EventFields] for e in await admin.events(2)]
        assert good[0] == bad[0] == method
        assert [v.Value for v in good[1]] == [argument.Value]
        assert (good[2], good[3], bad[3], good[4]) == ("olga", True, False, node)
    finally:
        await operator.client.disconnect()
        await admin.client.disconnect()


async def test_continuation_points_follow_the_user(site: Served) -> None:
    """The rest of an answer to one user is not for the next; nor is what a message to him held (Republish)."""
    server, plant = site
    client = await login(server, "olga")
    try:
        subscription = await client.subscribe(50.0)
        await client.monitor(subscription, item(plant.id("Line1.Level"), 1))
        message = (await client.next()).NotificationMessage
        wanted = ua.BrowseDescription(plant.id("Line1"), ua.BrowseDirection.Forward, ua.NodeId(31), True, 0, 63)
        browse = ua.BrowseParameters(ua.ViewDescription(), 1, [wanted])
        (page,) = (await client.request(ua.BrowseRequest(Parameters=browse))).Results
        assert page.ContinuationPoint
        await client.client.activate_session()
        rest = ua.BrowseNextParameters(False, [page.ContinuationPoint])
        (page,) = (await client.request(ua.BrowseNextRequest(Parameters=rest))).Parameters.Results
        assert page.StatusCode.value == StatusCodes.BadContinuationPointInvalid
        again = ua.RepublishParameters(subscription, message.SequenceNumber)
        with pytest.raises(UaStatusCodeError) as caught:
            await client.request(ua.RepublishRequest(Parameters=again))
        assert caught.value.code == StatusCodes.BadMessageNotAvailable
    finally:
        await client.client.disconnect()


async def test_a_lost_role_is_lost_at_once(site: Served) -> None:
    """OPC 10000-18 §4.3: an operator who is one no more writes no more, without being asked to log in again."""
    server, plant = site
    users = server.iserver.gate.users
    assert users is not None
    client = await login(server, "otto")
    try:
        node = client.client.get_node(plant.id("Line1.Setpoint"))

        async def writes() -> bool:
            return bool((await node.read_attribute(ua.AttributeIds.UserAccessLevel)).Value.Value & 2)

        async def writes_not() -> bool:
            return not await writes()

        assert await writes()
        await asyncio.to_thread(users.set_roles, "otto", [Role.OBSERVER])
        await eventually(writes_not)
        assert (await node.read_attribute(ua.AttributeIds.Value)).StatusCode.is_good()
        await asyncio.to_thread(users.set_roles, "otto", [Role.OPERATOR])
        await eventually(writes)
    finally:
        await client.client.disconnect()
    assert server.iserver.gate.incidents.counters["roles_changed"] == 2


async def test_a_removed_user_is_out(site: Served) -> None:
    """His session ends with its subscriptions; other people's go on."""
    server, plant = site
    users = server.iserver.gate.users
    assert users is not None
    other, client = await login(server, "olga"), await login(server, "rita")
    try:
        await client.subscribe(1000.0)
        before = len(server.iserver.subscription_service.subscriptions)
        await asyncio.to_thread(users.remove, "rita")

        async def gone() -> bool:
            return all(s.user.name != "rita" for s in server.iserver.sessions)

        await eventually(gone)
        with pytest.raises((UaStatusCodeError, ConnectionError)):
            await client.client.get_node(plant.id("Line1.Level")).read_value()
        assert len(server.iserver.subscription_service.subscriptions) == before - 1
        assert await other.client.get_node(plant.id("Line1.Level")).read_value() is not None
    finally:
        await other.client.disconnect()
        client.client.uaclient.disconnect_socket()
