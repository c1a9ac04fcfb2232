"""Log lines on a terminal: what strangers call themselves is text, and nothing that the terminal obeys."""

from __future__ import annotations

import logging

import pytest

from opcua_bms.runtime.logs import visible


@pytest.mark.parametrize(
    "name",
    ["olga\nREADY everything is fine", "\x1b[2J\x1b[31mroot", "a\rb", "tab\there", "\u202eagol", "bell\x07", "\x9b2J"],
)
def test_control_characters_are_escaped(name: str) -> None:
    """A user or application named with escape sequences clears the screen, or writes a line that nobody logged."""
    shown = visible(logging.getLogger("x"), "warning", {"event": "login_refused", "user": name, "count": 3})
    assert shown["user"].isprintable()
    assert shown["user"] == ascii(name)
    assert (shown["event"], shown["count"]) == ("login_refused", 3)


def test_honest_names_stay_as_they_are() -> None:
    """Umlauts and blanks are no control characters; tracebacks keep their lines."""
    event = {"event": "login_refused", "user": "Jörg Müller", "exception": "line\nline"}
    assert visible(logging.getLogger("x"), "warning", dict(event)) == event
