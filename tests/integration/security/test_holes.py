"""Each hole of the library is real, and closed: the same attack enters there and is refused here.

The bare library runs in a process that has nothing of ours in it. An attack that fails there proves nothing, so that
is an error too: the row has lost its meaning, with an upgrade of the library for instance.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import hole_entry_attacks  # noqa: F401 - enters its attacks in HOLES
import hole_service_attacks  # noqa: F401 - so does this
import pytest
from hole_target import Target
from holes import HOLES, Hole, enters

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[3] / "docs" / "security.md"
ATTACKS = pytest.mark.parametrize("hole", HOLES, ids=[hole.name for hole in HOLES])


@pytest.fixture(scope="module")
async def ours(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    target = await Target.start("ours", tmp_path_factory.mktemp("ours") / "pki")
    yield target
    await target.stop()


class Bare:
    """The library's server; a new one after each attack that spoils it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        self._target: Target | None = None

    async def target(self) -> Target:
        """One that is whole."""
        if self._target is None:
            self._made += 1
            self._target = await Target.start("bare", self._folder / str(self._made))
        return self._target

    async def spoiled(self) -> None:
        """Let it go."""
        if self._target is not None:
            await self._target.stop()
            self._target = None


@pytest.fixture(scope="module")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bare]:
    made = Bare(tmp_path_factory.mktemp("bare"))
    yield made
    await made.spoiled()


@ATTACKS
async def test_the_library_alone_is_open(bare: Bare, hole: Hole) -> None:
    """Without the fix the attack works; so the test of the fix would notice if the fix were gone."""
    target = await bare.target()
    try:
        assert await hole.attack(target), hole.name
    finally:
        if hole.spoils:
            await bare.spoiled()


@ATTACKS
async def test_ours_is_closed(ours: Target, hole: Hole) -> None:
    """With the fix the same attack fails."""
    assert not await hole.attack(ours), hole.name


async def test_after_all_attacks_the_server_is_unharmed(ours: Target) -> None:
    """An honest client enters, timers fire, and the log tells incidents, not tracebacks."""
    assert await enters(await ours.client())
    before = await ours.ask("ticks")
    assert await enters(await ours.client())
    assert await ours.ask("ticks") > before
    assert "Traceback" not in ours.log.read_text()


def test_every_row_of_the_page_is_attacked() -> None:
    """`docs/security.md` names each attack beside the hole that it goes for, and none that does not exist."""
    section = PAGE.read_text().split("## What the library leaves open")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`([a-z_]+)`", row[-1]) for row in rows]
    assert all(named), [row[0] for row, names in zip(rows, named, strict=True) if not names]
    assert sorted(name for names in named for name in names) == sorted(hole.name for hole in HOLES)


def test_every_test_that_the_page_names_exists() -> None:
    """A requirement that points to a test which was renamed is a promise that nothing keeps."""
    here, tests = Path(__file__).parent, PAGE.parents[1]
    named = set(re.findall(r"`((?:tests/[a-z_/]+/)?test_[a-z0-9_]+\.py)`", PAGE.read_text()))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (here / name).exists() and not (tests / name).exists()] == []
