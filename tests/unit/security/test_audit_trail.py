"""What the audit trail does when strangers are many, values long and disks full."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from opcua_bms.clock import SystemClock
from opcua_bms.ua.security.audit import AuditKind, AuditRecord, AuditTrail, bounded

REFUSED = 0x801F_0000


class Minute(SystemClock):
    """A clock that stands still, until it is set."""

    at_s = 1000.0

    def monotonic(self) -> float:
        return self.at_s


def record(user: str = "", code: int = 0, address: str = "192.0.2.1", **fields: Any) -> AuditRecord:
    return AuditRecord(AuditKind.OPEN_SECURE_CHANNEL, 0, code, user, address, fields=fields)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_what_nobody_in_particular_does_is_bounded(tmp_path: Path) -> None:
    """A trusted application without a user may open channels and sessions all day: that must not fill the disk.

    What users do is recorded all the same, and other addresses have budgets of their own.
    """
    clock = Minute()
    trail = AuditTrail(clock, tmp_path / "audit.jsonl", refusals_a_minute=2, unnamed_a_minute=5)
    for _ in range(9):
        trail.record(record())
        trail.record(record("anonymous"))
        trail.record(record("olga", REFUSED))
        trail.record(record("olga"))
    trail.record(record(address="192.0.2.2"))
    assert trail.left_out == 18 - 5 + 9 - 2
    clock.at_s += 60
    trail.record(record())
    await trail.close()
    found = [(line["user"], line["status"] == "0x00000000") for line in lines(tmp_path / "audit.jsonl")]
    assert len(found) == 5 + 2 + 9 + 1 + 1
    assert found.count(("olga", True)) == 9


async def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """An audit trail that ends unnoticed is none (IEC 62443-4-2 CR 2.10)."""
    told: list[tuple[str, str]] = []
    path = tmp_path / "folder" / "audit.jsonl"
    trail = AuditTrail(SystemClock(), path)
    trail.trouble = lambda event, reason: told.append((event, reason))
    trail.record(record("olga"))
    await trail.close()
    ((event, reason),) = told
    assert event == "audit_not_written"
    assert str(path) in reason
    assert trail.left_out == 1
    path.parent.mkdir()
    trail.record(record("olga"))
    await trail.close()
    assert len(lines(path)) == 1


async def test_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    """A disk that was full, or a machine that stopped, leaves half a line: the next record begins one of its own."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"time": "2026-')
    trail = AuditTrail(SystemClock(), path)
    trail.record(record("olga"))
    await trail.close()
    torn, whole = path.read_bytes().splitlines()
    assert torn == b'{"time": "2026-'
    assert json.loads(whole)["user"] == "olga"


async def test_a_full_file_begins_anew(tmp_path: Path) -> None:
    """Where nobody rotates it, the newest two files are kept, and it is told."""
    told: list[str] = []
    path = tmp_path / "audit.jsonl"
    trail = AuditTrail(SystemClock(), path, most_bytes=600)
    trail.trouble = lambda event, _reason: told.append(event)
    for number in range(10):
        trail.record(record(f"user{number}"))
        await trail.close()
    old = tmp_path / "audit.jsonl.old"
    assert set(os.listdir(tmp_path)) <= {path.name, old.name}
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    kept = [line["user"] for file in (old, path) if file.exists() for line in lines(file)]
    assert kept == [f"user{number}" for number in range(10 - len(kept), 10)]
    assert 600 <= old.stat().st_size < 900
    assert set(told) == {"audit_file_full"}


def test_values_that_are_too_long_are_named_instead() -> None:
    """A refused Write of four megabytes must not be kept for events, written to the disk, or even made a text."""
    v = ua.VariantType
    for small in (ua.Variant(1.5), ua.Variant("a text"), ua.Variant([1.0] * 100), ua.NodeId(), "a text", 7, None):
        assert bounded(small) is small
    for large, told in (
        (ua.Variant([0.5] * 400_000, v.Double), "400000 elements of Double, too long to be recorded"),
        (ua.Variant(bytes(1 << 20), v.ByteString), "1048576 elements of ByteString, too long to be recorded"),
        (
            ua.Variant(ua.Argument(Name="x" * 5000), v.ExtensionObject),
            "ExtensionObject, too long to be recorded",
        ),
        (ua.Variant([ua.Variant(["x" * 999] * 3)], v.Variant), "1 elements of Variant, too long to be recorded"),
    ):
        assert bounded(large) == ua.Variant(told, v.String)
    assert bounded("x" * 5000) == "x" * 2000
    assert bounded(ua.NodeId("x" * 5000, ua.Int16(2))) == ua.NodeId()  # type: ignore[arg-type]  # a plain text is one


@pytest.mark.parametrize("field", ["user", "application", "entry_id"])
def test_no_field_of_a_line_is_long(field: str) -> None:
    """Each comes from a client."""
    texts: dict[str, Any] = {"user": "", "address": "", field: "x" * 100_000}
    made = AuditRecord(AuditKind.WRITE, 0, 0, **texts)
    assert len(made.line()) < 3_000
