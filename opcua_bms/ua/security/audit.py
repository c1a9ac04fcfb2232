"""Who did what, from where, with what result: one record per action, to a file that only grows and to event clients."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import orjson
from asyncua import ua

from opcua_bms.clock import Clock

MOST_BYTES = 1 << 30
_MOST_WAITING = 20_000
_MOST_TEXT = 2_000
_MOST_ADDRESSES = 1_000
_NOBODY = ("", "anonymous")


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
            "user": _plain(self.user),
            "address": self.address,
            "session": self.session,
            "application": _plain(self.application),
            "audit_entry_id": _plain(self.entry_id),
        }
        if self.source is not None:
            content["source"] = _plain(self.source.to_string())
        content.update({name: _plain(value) for name, value in self.fields.items()})
        return orjson.dumps(content) + b"\n"


Listener = Callable[[AuditRecord], None]


class AuditTrail:
    """`listeners` get every record at once; the file gets them in batches, written by a thread.

    What strangers can cause at will counts against their address, so that a flood does not fill the disk: refusals
    (`refusals_a_minute`), and what nobody in particular did (`unnamed_a_minute`: channels, sessions without a user).
    What is left out is counted in `left_out`; `trouble` hears of a file that cannot be written, or is full: one of
    `most_bytes` becomes `….old`, in place of the one before.
    """

    def __init__(
        self,
        clock: Clock,
        path: Path | None = None,
        *,
        refusals_a_minute: int = 60,
        unnamed_a_minute: int = 600,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.path = path
        self.listeners: list[Listener] = []
        self.left_out = 0
        self.trouble: Callable[[str, str], None] = lambda _event, _reason: None
        self._clock = clock
        self._taken: dict[tuple[str, bool], int] = {}
        self._minute = 0
        self._most = {True: refusals_a_minute, False: unnamed_a_minute}
        self._most_bytes = most_bytes
        self._waiting: list[bytes] = []
        self._writer: asyncio.Task[None] | None = None

    def record(self, record: AuditRecord) -> None:
        """Take a record; never raises, never waits."""
        refused = bool(record.code & 0x8000_0000)
        if (refused or record.user in _NOBODY) and not self._admit(record.address, refused):
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

    def _admit(self, address: str, refused: bool) -> bool:
        minute = int(self._clock.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._taken = minute, {}
        count = self._taken.get((address, refused), 0)
        if count >= self._most[refused] or len(self._taken) > _MOST_ADDRESSES:
            return False
        self._taken[address, refused] = count + 1
        return True

    async def _write(self) -> None:
        while self._waiting and self.path is not None:
            batch, self._waiting = self._waiting, []
            try:
                full = await asyncio.to_thread(_append, self.path, b"".join(batch), self._most_bytes)
            except OSError as error:  # a full disk must not stop the server
                self.left_out += len(batch)
                self.trouble("audit_not_written", f"{self.path}: {error.strerror or error}")
            else:
                if full:
                    self.trouble("audit_file_full", f"{self.path} has begun anew; rotate it before that")


def _append(path: Path, data: bytes, most: int) -> bool:
    """Add whole lines; True: the file was full, and a new one is begun. OSError: not all could be written."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":  # a disk was full, or the machine stopped
            data = b"\n" + data
        while data:
            data = data[os.write(descriptor, data) :]
            size = os.fstat(descriptor).st_size
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if size < most:
        return False
    path.replace(path.with_name(f"{path.name}.old"))
    return True


def bounded(value: Any) -> Any:
    """What is recorded of a value that a client sent: the value, or how much it was."""
    if _left(value, _MOST_TEXT) >= 0:
        return value
    if isinstance(value, str):
        return value[:_MOST_TEXT]
    if isinstance(value, ua.NodeId):
        return ua.NodeId()
    held = value.Value if isinstance(value, ua.Variant) else value
    count = f"{len(held)} elements of " if isinstance(held, list | str | bytes) else ""
    name = value.VariantType.name if isinstance(value, ua.Variant) else type(value).__name__
    return ua.Variant(f"{count}{name}, too long to be recorded", ua.VariantType.String)


def _left(value: Any, most: int) -> int:
    """What is left of `most` characters and numbers after a value, below 0: nothing; no more work than that."""
    if isinstance(value, str | bytes):
        return most - len(value)
    if isinstance(value, list | tuple):
        parts: Any = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = (getattr(value, f.name) for f in dataclasses.fields(value))
    else:
        return most - 1
    for part in parts:
        most = _left(part, most - 1)
        if most < 0:
            break
    return most


def _plain(value: Any) -> Any:
    """A value as JSON can hold it, bounded."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return value[:64].hex()
    return str(value)[:_MOST_TEXT].encode("utf-8", "replace").decode()
