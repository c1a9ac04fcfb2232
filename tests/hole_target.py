"""The server that is attacked (`holes.py`): its process, and clients of it, honest and otherwise."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties
from certificate_forge import DAY, NOW, Forged, forge, revocation_list
from cryptography.hazmat.primitives.serialization import Encoding
from hole_server import PASSWORD

SERVER = forge("attacked", uri="urn:test:server")
ROOT = forge("root of the plant", authority=True)
TRUSTED = forge("trusted", issuer=ROOT)
OTHER = forge("another that is trusted", issuer=ROOT)
REVOKED = forge("revoked", issuer=ROOT)
WEAK = forge("weak", issuer=ROOT, bits=1024)
STRANGER = forge("stranger")
LATE_PERSON = forge("late person", start=NOW - 9 * DAY, end=NOW - DAY)


def lay_out(folder: Path) -> None:
    """Write what `hole_server.py` reads."""
    (folder / "trusted").mkdir(parents=True)
    (folder / "crl").mkdir()
    (folder / "server.der").write_bytes(SERVER.der)
    (folder / "server.pem").write_bytes(SERVER.key_pem)
    (folder / "person.der").write_bytes(LATE_PERSON.der)
    (folder / "trusted/root.der").write_bytes(ROOT.der)
    (folder / "crl/root.crl").write_bytes(revocation_list(ROOT, REVOKED).public_bytes(Encoding.DER))


@dataclass
class Target:
    """A running `hole_server.py`; `port` is the open server's, `careful` the other's."""

    process: asyncio.subprocess.Process
    port: int
    careful: int
    log: Path

    @classmethod
    async def start(cls, kind: str, folder: Path) -> Self:
        """`kind`: bare or ours; `folder` is filled here."""
        lay_out(folder)
        log = folder / "log.txt"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("hole_server.py")),
                kind,
                str(folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        assert line, log.read_text()[-3000:]
        ports = json.loads(line)
        return cls(process, ports["open"], ports["careful"], log)

    async def stop(self) -> None:
        """End it; what has locked itself up is killed."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def ask(self, question: str) -> Any:
        """One of the commands of `hole_server.py`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(question.encode() + b"\n")
        async with asyncio.timeout(20):
            return json.loads(await self.process.stdout.readline())

    async def within(self, ticks: int, holds: Callable[[], Awaitable[bool]]) -> bool:
        """Whether something comes true before the server's own timer fired so often: a late one is waited for."""
        before = await self.ask("ticks")
        while not await holds():
            if await self.ask("ticks") - before >= ticks:
                return False
            await asyncio.sleep(0.02)
        return True

    def memory(self, what: str = "VmRSS") -> int:
        """Bytes of the process; VmHWM: the most that it ever had."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) << 10
        raise AssertionError(what)

    async def client(
        self, forged: Forged = TRUSTED, name: str | None = None, person: Forged | None = None, *, careful: bool = True
    ) -> Client:
        """The library's client on an encrypted channel, not connected yet; as `olga` unless told otherwise."""
        client = Client(f"opc.tcp://127.0.0.1:{self.careful if careful else self.port}/")
        client.application_uri = "urn:test:client"
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            CertProperties(forged.der, "der"),
            CertProperties(forged.key_pem, "pem"),
            server_certificate=CertProperties(SERVER.der, "der"),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
        if person is None:
            client.set_user(name or "olga")
            client.set_password(PASSWORD)
        else:
            client.user_certificate, client.user_private_key = person.certificate, person.key
        return client
