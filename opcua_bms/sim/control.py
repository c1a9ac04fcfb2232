"""How `opcua-bms fault` finds the demo or simulator that runs here and talks to it.

Every simulator listens on a Unix socket and leaves a note about itself in the user's run directory, both for the
user's eyes alone (0600 in a directory of 0700). A request is one line of JSON, so is its answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opcua_bms.errors import PermissionDeniedError, UnreachableError, UsageError

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

_LONGEST_LINE = 65536
_PATIENCE_S = 5.0
_LONGEST_SOCKET_PATH = 100
"""sun_path of sockaddr_un holds 107 bytes"""


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that runs here: `kind` is the verb that started it (demo, simulate)."""

    kind: str
    pid: int
    ports: tuple[int, ...]
    socket: Path
    note: Path

    def __str__(self) -> str:
        ports = f"port {self.ports[0]}" if len(self.ports) == 1 else f"ports {self.ports[0]} to {self.ports[-1]}"
        return f"{self.kind} (process {self.pid}, Modbus {ports})"


def run_directories() -> list[Path]:
    """Where notes may lie, best first: $STATE_DIRECTORY or $OPCUA_BMS_STATE_DIR alone, else the user's directories."""
    told = os.environ.get("STATE_DIRECTORY", "").split(":")[0] or os.environ.get("OPCUA_BMS_STATE_DIR", "")
    if told:
        return [Path(told) / "run"]
    out: list[Path] = []
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        out.append(Path(runtime) / "opcua-bms")
    with suppress(RuntimeError):  # a user without a home
        out.append(Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "opcua-bms" / "run")
    out.append(Path(tempfile.gettempdir()) / f"opcua-bms-{os.getuid()}")
    return out


class ControlServer:
    """The simulator's end. `directory` None: the first of `run_directories` that can be written."""

    def __init__(self, handler: Handler, directory: Path | None = None) -> None:
        self._handler, self._directory = handler, directory
        self._server: asyncio.Server | None = None
        self._files: list[Path] = []

    async def start(self, kind: str, ports: Sequence[int]) -> None:
        """Listen, then leave the note. PermissionDeniedError: nowhere to put it."""
        directory = _usable([self._directory] if self._directory else run_directories())
        name = f"{os.getpid()}-{ports[0] if ports else 0}"
        path = directory / f"{name}.sock"
        if len(bytes(path)) > _LONGEST_SOCKET_PATH:
            path = Path(tempfile.mkdtemp(prefix="opcua-bms-")) / "control.sock"
            self._files.append(path.parent)
        self._files.insert(0, path)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path, limit=_LONGEST_LINE)
        path.chmod(0o600)
        note = directory / f"{name}.json"
        text = json.dumps({"kind": kind, "pid": os.getpid(), "ports": list(ports), "socket": str(path)})
        fresh = note.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: ASYNC230 — a hundred bytes, once
            file.write(text)
        self._files.insert(0, note)
        fresh.replace(note)

    async def stop(self) -> None:
        """Stop listening and take the note away."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for path in self._files:
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        self._files.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                line = await reader.readline()
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, ValueError, OSError):
            pass  # a client that says nothing, too much, or goes away
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            request = json.loads(line)
        except ValueError:
            return {"ok": False, "error": "a request is one line of JSON"}
        if not isinstance(request, dict):
            return {"ok": False, "error": "a request is one JSON object"}
        try:
            return {"ok": True, **await self._handler(request)}
        except UsageError as error:
            return {"ok": False, "error": str(error)}


def _usable(directories: Sequence[Path]) -> Path:
    reasons: list[str] = []
    for directory in directories:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)  # refused if the directory is someone else's
        except OSError as error:
            reasons.append(f"{directory}: {error.strerror}")
            continue
        if os.access(directory, os.W_OK):
            return directory
        reasons.append(f"{directory}: not writable")
    raise PermissionDeniedError(
        f"no directory for the control socket ({'; '.join(reasons)}), set OPCUA_BMS_STATE_DIR to a writable one"
    )


def list_running(directory: Path | None = None) -> list[Running]:
    """Simulators of this user that answer, oldest note first; notes that nobody stands behind are removed."""
    found: list[tuple[float, Running]] = []
    for folder in [directory] if directory else run_directories():
        for note in sorted(folder.glob("*.json")):
            with suppress(OSError):
                running = _read(note)
                if running is not None and _connects(running.socket):
                    found.append((note.stat().st_mtime, running))
                else:
                    note.unlink(missing_ok=True)
                    if running is not None:
                        running.socket.unlink(missing_ok=True)
    return [running for _, running in sorted(found, key=lambda pair: pair[0])]


def _read(note: Path) -> Running | None:
    try:
        data = json.loads(note.read_text(encoding="utf-8"))
        return Running(
            str(data["kind"]), int(data["pid"]), tuple(int(p) for p in data["ports"]), Path(data["socket"]), note
        )
    except (ValueError, KeyError, TypeError):
        return None


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_PATIENCE_S)
        try:
            sock.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True  # busy, but there
    return True


def choose(port: int | None = None, directory: Path | None = None) -> Running:
    """The simulator that runs here, or the one with this Modbus port.

    UnreachableError: none runs (there). UsageError: several run, with their list.
    """
    running = list_running(directory)
    if port is not None:
        running = [r for r in running if port in r.ports]
    if not running:
        where = f" with port {port}" if port is not None else ""
        raise UnreachableError(f"no demo or simulator{where} runs here, start one: opcua-bms demo")
    if len(running) > 1:
        rows = "; ".join(f"--simulator {r.ports[0] if r.ports else 0}: {r}" for r in running)
        raise UsageError(f"{len(running)} simulators run here, say which: {rows}")
    return running[0]


def send(target: Running, command: Mapping[str, Any]) -> dict[str, Any]:
    """One request and its answer (without `ok`). UsageError: refused, in the simulator's words. UnreachableError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_PATIENCE_S)
            sock.connect(str(target.socket))
            sock.sendall(json.dumps(command).encode() + b"\n")
            with sock.makefile("rb") as lines:
                answer = json.loads(lines.readline(_LONGEST_LINE * 16))
    except (OSError, ValueError) as error:
        raise UnreachableError(f"{target} does not answer: {error}") from None
    if not answer.pop("ok", False):
        raise UsageError(str(answer.get("error", "refused without a reason")))
    return dict(answer)
