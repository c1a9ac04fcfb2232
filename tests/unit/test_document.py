"""Positions and words of configuration mistakes."""

from __future__ import annotations

import pytest

from opcua_bms.document import Document, Problem, did_you_mean
from opcua_bms.errors import ConfigurationError

TEXT = '''
title = """
[not a table]
"""
[server]
endpoint = "x"
tls.port = 3

[[devices]]
name = "a"

[[devices]]
name = "b"
  [[devices.points]]
  address = 1
  [[devices.points]]
  address = 2
'''


@pytest.mark.parametrize(
    ("location", "where"),
    [
        (("server", "endpoint"), "f.toml:6 server.endpoint"),
        (("server", "tls", "port"), "f.toml:7 server.tls.port"),
        (("devices", 1, "name"), "f.toml:13 devices[1].name"),
        (("devices", 1, "points", 1, "address"), "f.toml:17 devices[1].points[1].address"),
        (("devices", 0, "port"), "f.toml:9 devices[0].port"),
        (("web",), "f.toml: web"),
    ],
)
def test_a_key_is_told_with_its_line(location: tuple[str | int, ...], where: str) -> None:
    """Without it a person searches a long file for a key."""
    assert Document(TEXT, "f.toml").where(location) == where


def test_syntax_and_encoding_errors_say_where() -> None:
    """A traceback or a bare 'invalid' would leave the engineer guessing."""
    with pytest.raises(ConfigurationError, match=r"f\.toml:2:\d+: not valid TOML"):
        Document("a = 1\nb = = 2\n", "f.toml")
    with pytest.raises(ConfigurationError, match=r"f\.toml:2: not UTF-8 text \(byte 0xff\)"):
        Document.of_bytes(b"a = 1\nb = '\xff'\n", "f.toml")


def test_every_problem_is_one_line() -> None:
    """Several mistakes are told at once, so that a file is mended in one go."""
    error = Document(TEXT, "f.toml").error([Problem(("server", "endpoint"), "bad"), Problem(("x",), "worse")])
    assert str(error) == "f.toml:6 server.endpoint: bad\nf.toml: x: worse"


def test_did_you_mean() -> None:
    """A typing mistake is mended faster when the right word is offered."""
    assert did_you_mean("endpiont", ["endpoint", "port"]) == " (did you mean 'endpoint'?)"
    assert did_you_mean("zzz", ["endpoint"]) == ""
