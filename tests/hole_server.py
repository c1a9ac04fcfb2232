"""A server to attack, as a process of its own: the bare library, or ours. `python hole_server.py bare|ours FOLDER`.

The folder holds `server.der`, `server.pem`, `trusted/*.der`, `crl/*` and `person.der`. Two servers run
in the process: an open one (as it is out of the box; ours: with sessions without security), and one that is as careful
as it can be told to be. The process prints `{"open": port, "careful": port}`; then it answers each line it reads:
`event` (emits one), `sessions` (how many clients' sessions there are), `hashing` (whether passwords were looked at on
the event loop), `ticks` (how often its timer has fired).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.internal_session import InternalSession
from asyncua.server.user_managers import UserManager
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PASSWORD = "a long password"  # noqa: S105 - of the users of these tests
USERS = ("olga", "guessed")
VALUE = ua.NodeId("guarded.value", ua.Int16(2))  # type: ignore[arg-type]  # a plain text is one
LARGE = ua.NodeId("large", ua.Int16(2))  # type: ignore[arg-type]  # as above
SESSIONS = 60
"""how many the bare library allows here: enough for every attack, few enough to be taken"""
Commands = dict[str, Callable[[], Awaitable[Any]]]


class Watch:
    """What the process notices of itself."""

    def __init__(self) -> None:
        self.ticks = 0
        self.on_loop: bool | None = None

    def looked(self) -> None:
        """A password is being looked at: where?"""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.on_loop = False
        else:
            self.on_loop = True

    async def tick(self) -> None:
        """Fire every 20 ms."""
        while True:
            await asyncio.sleep(0.02)
            self.ticks += 1


class Careful(UserManager):
    """Passwords and certificates are checked: all that the library leaves to its user."""

    def __init__(self, watch: Watch, person: bytes) -> None:
        self._watch = watch
        self._person = person

    def get_user(
        self, iserver: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        """A user, by password or by certificate."""
        del iserver
        self._watch.looked()
        named = username in USERS and password == PASSWORD
        known = named or (username is None and certificate == self._person)
        return User(role=UserRole.User, name=username) if known else None


async def bare(folder: Path, watch: Watch, stack: AsyncExitStack) -> tuple[int, int, Commands]:
    """The library alone: once as it comes, once with everything configured that it has."""
    careful = Server(user_manager=Careful(watch, (folder / "person.der").read_bytes()))
    servers = (Server(), careful)
    store = TrustStore([folder / "trusted"], [folder / "crl"])
    await store.load()
    wanted = CertificateValidatorOptions.TRUSTED_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
    for server in servers:
        await server.init()
        server.set_endpoint("opc.tcp://127.0.0.1:0/")
        await server.load_certificate(folder / "server.der")
        await server.load_private_key(folder / "server.pem")
        await server.register_namespace("urn:test:nodes")
        variable = await server.nodes.objects.add_variable(VALUE, "Value", 1.0)
        await variable.set_writable()
        await server.nodes.objects.add_variable(LARGE, "Large", bytes(100_000))
    InternalSession.max_connections = SESSIONS
    careful.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    careful.set_certificate_validator(CertificateValidator(wanted, store))
    for server in servers:
        await stack.enter_async_context(server)
    assert "opcua_bms" not in sys.modules
    emitter = await servers[0].get_event_generator()

    async def event() -> str:
        try:
            await emitter.trigger(message="told")
        except Exception as error:
            return type(error).__name__
        return ""

    async def sessions() -> int:
        return len(servers[0].iserver._external_sessions)

    ports: Any = [server.bserver.port for server in servers if server.bserver is not None]
    return ports[0], ports[1], {"event": event, "sessions": sessions}


async def ours(folder: Path, watch: Watch, stack: AsyncExitStack) -> tuple[int, int, Commands]:
    """Ours: once with sessions without security, once as it comes."""
    import datetime
    from dataclasses import replace

    from guarded_server import guarded_server, make_gate

    from opcua_bms.ua.security.gate import Gate
    from opcua_bms.ua.security.roles import Role
    from opcua_bms.ua.security.settings import SecuritySettings
    from opcua_bms.ua.security.throttle import LoginThrottle
    from opcua_bms.ua.security.users import UserDatabase, UserRecord
    from opcua_bms.ua.services.event import Event

    class Watched(UserDatabase):
        """The user file, with a look at who reads it."""

        def verify(self, name: str, password: str) -> UserRecord | None:
            watch.looked()
            return super().verify(name, password)

    def gate(name: str, settings: SecuritySettings) -> Gate:
        made = make_gate(folder / name, settings)
        assert made.store is not None
        assert made.user_store is not None
        made.certificate = x509.load_der_x509_certificate((folder / "server.der").read_bytes())
        made.key = load_pem_private_key((folder / "server.pem").read_bytes(), None)  # type: ignore[assignment]  # RSA
        for path in (folder / "trusted").iterdir():
            made.store.add("trusted", x509.load_der_x509_certificate(path.read_bytes()))
        for path in (folder / "crl").iterdir():
            (made.store.root / "trusted/crl" / path.name).write_bytes(path.read_bytes())
        made.users = made.authenticator.users = made.authenticator.desk.users = Watched(folder / name / "users.json")
        for user in USERS:
            made.users.add(user, PASSWORD, [Role.OPERATOR])
        person = x509.load_der_x509_certificate((folder / "person.der").read_bytes())
        made.user_store.add("trusted", person)
        made.users.bind_certificate("olga", person)
        made.authenticator.desk.throttle = LoginThrottle(first_s=60.0)  # no race with the wait of a second
        return made

    closed = SecuritySettings()
    wide = replace(closed, none_sessions=True, anonymous=True, anonymous_roles=frozenset({Role.OPERATOR}))
    first = await stack.enter_async_context(guarded_server(gate("open", wide)))
    await first.server.nodes.objects.add_variable(LARGE, "Large", bytes(100_000))
    second = await stack.enter_async_context(guarded_server(gate("careful", closed)))
    now = datetime.datetime.now(datetime.UTC)

    async def event() -> str:
        made = Event.make(ua.NodeId(ua.Int32(2041)), ua.NodeId(ua.Int32(2253)), "Server", "told", 1, now)
        first.iserver.subscription_service.emit(made)
        return ""

    async def sessions() -> int:
        return len(first.iserver.sessions)

    return first.port, second.port, {"event": event, "sessions": sessions}


def tell(answer: Any) -> None:
    """One line for whoever has started this."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main(kind: str, folder: Path) -> None:
    """Serve until the input ends."""
    watch = Watch()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with AsyncExitStack() as stack:
        first, second, commands = await {"bare": bare, "ours": ours}[kind](folder, watch, stack)
        ticking = asyncio.create_task(watch.tick())
        tell({"open": first, "careful": second})
        while line := (await reader.readline()).decode().strip():
            if line in commands:
                answer = await commands[line]()
            else:
                answer = {"ticks": watch.ticks, "hashing": watch.on_loop}[line]
            tell(answer)
        ticking.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
