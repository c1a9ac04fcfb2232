"""node-opcua behind a line that breaks: its own way back must find everything (OPC 10000-4 §6.7)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from guarded_server import demo_settings, guarded_server, make_gate
from outage_rig import by_program

pytestmark = [pytest.mark.foreign, pytest.mark.integration]


async def test_nothing_is_lost_and_nothing_comes_twice(
    node_command: Callable[[str], list[str]], tmp_path: Path
) -> None:
    """A client that many use, which nobody told about this server: whole and in order by the messages' numbers."""
    async with guarded_server(make_gate(tmp_path, demo_settings())) as server:
        last, heard = await by_program(server, 3.0, node_command("outage.mjs"))
        assert last > 20
        assert set(heard.missing(last).values()) == {0}, heard.missing(last)
        assert heard.overflows == heard.contradictions == 0
