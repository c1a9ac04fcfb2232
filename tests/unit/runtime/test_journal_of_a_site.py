"""Where a site's journal lies and how long it keeps, from the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from opcua_bms.config.load import validate
from opcua_bms.config.models import Config
from opcua_bms.document import Document
from opcua_bms.errors import ConfigurationError
from opcua_bms.runtime.serve import journal_of

SITE = "[[stacks]]\nclusters = 2\n[[devices]]\nprofile = 'clou-ess'\n"


def config(alarms: str = "") -> Config:
    return validate(Document(SITE + alarms, "site.toml"), {})


def test_the_journal_lies_in_the_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's StateDirectory is what outlives an update of the program."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert journal_of(config().alarms, Path("/etc")).path == tmp_path / "state" / "alarms.sqlite"


def test_the_file_may_name_another_place(tmp_path: Path) -> None:
    """A site with a disk for data wants its journal there; relative to the file, like every path in it."""
    assert journal_of(config("[alarms]\njournal = 'data/a.sqlite'").alarms, tmp_path).path == tmp_path / "data/a.sqlite"
    absolute = config(f"[alarms]\njournal = '{tmp_path}/b.sqlite'").alarms
    assert journal_of(absolute, Path("/etc")).path == tmp_path / "b.sqlite"


@pytest.mark.parametrize("mistake", ["keep_days = 0", "keep_transitions = 10", "journal = 3", "jurnal = 'x'"])
def test_a_mistake_is_refused(mistake: str) -> None:
    """A journal that keeps nothing, or a misspelt path, would show only when it is needed."""
    with pytest.raises(ConfigurationError, match=r"site\.toml:6"):
        config(f"[alarms]\n{mistake}")
