"""Files of the state directory that others can read: restored from a backup, or made by hand."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from opcua_bms.config.models import Config
from opcua_bms.runtime.serve import private_files
from opcua_bms.runtime.state import tighten


def test_wide_files_are_tightened_and_told(tmp_path: Path) -> None:
    """A mode is kept when a file is opened again: without this an audit trail once made 0644 stays readable to all."""
    wide, group, own = (tmp_path / name for name in ("audit.jsonl", "users.json", "alarms.sqlite"))
    for path, mode in ((wide, 0o644), (group, 0o640), (own, 0o600)):
        path.write_text("kept")
        path.chmod(mode)
    with capture_logs() as lines:
        tighten([wide, group, own, tmp_path / "never made"])
    assert [stat.S_IMODE(path.stat().st_mode) for path in (wide, group, own)] == [0o600] * 3
    assert [(line["event"], line["path"], line["mode"]) for line in lines] == [
        ("file_was_open_to_others", str(wide), "0644"),
        ("file_was_open_to_others", str(group), "0640"),
    ]
    assert wide.read_text() == "kept"
    with capture_logs() as lines:
        tighten([wide, group, own])
    assert lines == []


def test_every_store_is_among_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is forgotten here keeps the mode that it was restored with."""
    monkeypatch.setenv("OPCUA_BMS_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    config = Config.model_construct(
        **{
            name: field.get_default(call_default_factory=True)
            for name, field in Config.model_fields.items()
            if not field.is_required()
        }
    )
    names = {path.name for path in private_files(config, tmp_path)}
    assert {
        "users.json",
        "audit.jsonl",
        "overrides.json",
        "alarms.sqlite",
        "alarms.sqlite-wal",
        "history.sqlite",
    } <= names
