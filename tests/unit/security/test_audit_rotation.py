"""The audit trail beside a program that rotates logs."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from opcua_bms.clock import SystemClock
from opcua_bms.ua.security.audit import AuditKind, AuditRecord, AuditTrail


async def written(trail: AuditTrail, user: str) -> None:
    trail.record(AuditRecord(AuditKind.CREATE_SESSION, trail.now_ns(), 0, user, "127.0.0.1"))
    await trail.close()


def users(path: Path) -> list[str]:
    return [json.loads(line)["user"] for line in path.read_text().splitlines()]


async def test_a_file_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """Without a signal: records must neither go on into the old file nor be lost; the new one is as private."""
    path = tmp_path / "audit.jsonl"
    trail = AuditTrail(SystemClock(), path)
    await written(trail, "anna")
    path.rename(tmp_path / "audit.jsonl.1")
    await written(trail, "bert")
    assert users(tmp_path / "audit.jsonl.1") == ["anna"]
    assert users(path) == ["bert"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert trail.left_out == 0


async def test_a_file_that_was_copied_and_cut_goes_on_at_its_start(tmp_path: Path) -> None:
    """`copytruncate`: an offset that is remembered would leave a hole of zeros."""
    path = tmp_path / "audit.jsonl"
    trail = AuditTrail(SystemClock(), path)
    await written(trail, "anna")
    path.write_bytes(b"")
    await written(trail, "bert")
    assert users(path) == ["bert"]
