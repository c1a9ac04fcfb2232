"""Who did what, from where, with what result: one record per action, to a file that only grows and to event clients."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import orjson

from opcua_bms.clock import Clock

_MOST_WAITING = 20_000
_MOST_TEXT = 2_000


class AuditKind(Enum):
    """The event types that are recorded, by their numbers (OPC 10000-5 §6.4, OPC 10000-9 §5.10, OPC 10000-12)."""

    OPEN_SECURE_CHANNEL = 2060
    CREATE_SESSION = 2071
    ACTIVATE_SESSION = 2075
    CLOSE_SESSION = 2069
    CERTIFICATE_UNTRUSTED = 2087
    CERTIFICATE_EXPIRED = 2085
    CERTIFICATE_REVOKED = 2088
    CERTIFICATE_MISMATCH = 2089
    CERTIFICATE_INVALID = 2086
    WRITE = 2100
    METHOD = 2127
    CONDITION_ENABLE = 2803
    CONDITION_COMMENT = 2829
    CONDITION_ACKNOWLEDGE = 8944
    CONDITION_CONFIRM = 8961
    CONDITION_SHELVING = 11093
    CONDITION_RESET = 15013
    CONDITION_SUPPRESSION = 17225
    CONDITION_SILENCE = 17242
    CONDITION_OUT_OF_SERVICE = 17259

    @property
    def label(self) -> str:
        """`open_secure_channel`: how the file names it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One action. `code`: StatusCode, 0 good. `fields`: what the kind adds, by the standard's field names."""

    kind: AuditKind
    at_ns: int
    code: int
    user: str
    address: str
    session: str = ""
    application: str = ""
    entry_id: str = ""
    source: Any = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """One JSON object; times in UTC."""
        content = {
            "time": datetime.datetime.fromtimestamp(self.at_ns / 1e9, datetime.UTC).isoformat(),
            "event": self.kind.label,
            "status": f"0x{self.code:08X}",
            "user": self.user,
            "address": self.address,
            "session": self.session,
            "application": self.application,
            "audit_entry_id": self.entry_id,
        }
        if self.source is not None:
            content["source"] = str(self.source.to_string())
        content.update({name: _plain(value) for name, value in self.fields.items()})
        return orjson.dumps(content) + b"\n"


Listener = Callable[[AuditRecord], None]


class AuditTrail:
    """`listeners` get every record at once; the file gets them in batches, written by a thread.

    A record of a refusal counts against its address (`refusals_a_minute`), so that a flood does not fill the disk:
    what is left out is counted in `left_out`.
    """

    def __init__(self, clock: Clock, path: Path | None = None, refusals_a_minute: int = 60) -> None:
        self.path = path
        self.listeners: list[Listener] = []
        self.left_out = 0
        self._clock = clock
        self._refusals: dict[str, int] = {}
        self._minute = 0
        self._most = refusals_a_minute
        self._waiting: list[bytes] = []
        self._writer: asyncio.Task[None] | None = None

    def record(self, record: AuditRecord) -> None:
        """Take a record; never raises, never waits."""
        if record.code & 0x8000_0000 and not self._admit(record.address):
            self.left_out += 1
            return
        for listener in self.listeners:
            listener(record)
        if self.path is None:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self.left_out += 1
            return
        self._waiting.append(record.line())
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write())

    def now_ns(self) -> int:
        """The time of a record."""
        return self._clock.utc_ns()

    async def close(self) -> None:
        """Write what waits."""
        while self._writer is not None and not self._writer.done():
            await self._writer

    def _admit(self, address: str) -> bool:
        minute = int(self._clock.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._refusals = minute, {}
        count = self._refusals.get(address, 0)
        if count >= self._most or len(self._refusals) > 1000:
            return False
        self._refusals[address] = count + 1
        return True

    async def _write(self) -> None:
        while self._waiting and self.path is not None:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(_append, self.path, b"".join(batch))
            except OSError:  # a full disk must not stop the server
                self.left_out += len(batch)


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    """A value as JSON can hold it, bounded."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return value[:64].hex()
    return str(value)[:_MOST_TEXT].encode("utf-8", "replace").decode()
