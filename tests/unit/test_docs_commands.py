"""Every command that README and docs show can be typed: the verbs, options and values exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from opcua_bms.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "certs" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"^ +(?:[^ ]*/)?opcua-bms (.+)$|`(?:[^ `]*/)?opcua-bms ([a-z][^`]*)`", re.MULTILINE)
SHELL = re.compile(r"^(\||>|>>|&&|;|2>&1|<)$")


def commands(page: Path) -> list[str]:
    """As they stand there: blocks and words in the text."""
    return [a or b for a, b in COMMAND.findall(page.read_text(encoding="utf-8")) if "…" not in (a or b)]


def words(command: str) -> list[str]:
    """What the program gets of it: without comments, pipes and redirections."""
    out: list[str] = []
    for word in shlex.split(command, comments=True):
        if SHELL.match(word):
            break
        out.append(word)
    return out


class WrongError(Exception):
    """What click says of a command; `missing`: an argument is left out."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.format_message())
        self.missing = type(error).__name__ == "MissingParameter"


def parse(arguments: list[str]) -> None:
    """As the program does it, but for calling the verb."""
    command: Any = typer.main.get_command(app)  # of typer's own copy of click, or of click: versions differ
    try:
        context = command.make_context("opcua-bms", list(arguments))
        while hasattr(command, "resolve_command"):
            rest = [*context._protected_args, *context.args]
            name, command, rest = command.resolve_command(context, rest)
            context = command.make_context(name, rest, parent=context)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise WrongError(error) from None


def mistake(arguments: list[str]) -> WrongError | None:
    """What is wrong with a command."""
    try:
        parse(arguments)
    except WrongError as error:
        return error
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_can_be_typed(page: Path) -> None:
    """An option that was renamed lives on in the docs otherwise, and the reader is the one who finds out."""
    for command in commands(page):
        arguments = words(command)
        if arguments == arguments[:1] and arguments[0] in ("certs", "users", "fault", "history", "override"):
            continue  # the name of a group
        wrong = mistake(arguments)
        in_a_sentence = f"`opcua-bms {command}`" in page.read_text(encoding="utf-8")
        assert wrong is None or (wrong.missing and in_a_sentence), f"{command}: {wrong}"


def test_they_are_found() -> None:
    """A pattern that matches nothing passes everything."""
    found = {str(page.relative_to(ROOT)): len(commands(page)) for page in PAGES}
    assert found["README.md"] >= 8
    assert found["docs/howto.md"] >= 15
    assert found["docs/tutorial.md"] >= 10
    for wrong in (["watch", "--one"], ["tags", "--format", "excel"], ["certs", "trusts", "3F2A"]):
        assert mistake(wrong) is not None
