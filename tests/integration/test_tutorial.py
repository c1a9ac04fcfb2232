"""The tutorial, played: its commands in its order, with free ports, on the real program."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import Program, free_port, running

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
ALARM = "Cell over-voltage Cluster01 Pack01 Cell12: 3.700 V > 3.650 V"
LONG_S = 60.0

pytestmark = pytest.mark.integration


class Pages:
    """The commands of the page, taken one by one."""

    def __init__(self) -> None:
        self._left: Iterator[str] = iter(re.findall(r"(?m)^    opcua-bms (.+)$", PAGE.read_text()))

    def next(self, verb: str) -> list[str]:
        """The next command, which must be of this verb."""
        words = next(self._left).split()
        assert " ".join(words).startswith(verb), words
        return words

    def rest(self) -> list[str]:
        return list(self._left)


def edited(site: Path, endpoint: str) -> None:
    """What the reader edits, and the ports that a test may take."""
    text = site.read_text()
    for before, after in (
        ("packs = 25 ", "packs = 1 "),
        ("series = 250 ", "series = 10 "),
        ('name = "Battery plant"', 'name = "Tutorial"'),
        ('endpoint = "opc.tcp://127.0.0.1:4840"', f'endpoint = "{endpoint}"'),
        ("# [web]", "[web]\nport = 0"),
    ):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    site.write_text(text)


@pytest.mark.timeout(300)
async def test_from_zero_to_the_first_alarm(tmp_path: Path) -> None:
    """Who begins here decides within half an hour whether the product is any good."""
    page, endpoint = Pages(), f"opc.tcp://127.0.0.1:{free_port()}"
    secret = tmp_path / "password"
    secret.write_text("correct horse battery\n")
    password = ("--password-file", str(secret))
    async with running(tmp_path, *page.next("simulate"), "--port", "0", "--json") as plant:

        async def run(*words: str) -> str:
            code, out, err = await plant.run(*words)
            assert code == 0, (words, out, err)
            return out

        port = json.loads(plant.ready)[0]["port"]
        await run(*(word.replace("15020", str(port)) for word in page.next("init")))
        site = tmp_path / "plant.toml"
        edited(site, endpoint)
        assert "2 clusters, 2 packs, 80 cells" in await run(*page.next("check"))
        assert "3.2" in await run(*page.next("probe"))
        await run(*page.next("users add"), *password)
        findings = json.loads((await plant.run(*page.next("doctor"), "--json"))[1])
        assert [row for row in findings if not row["ok"] and row["name"] != "disk"] == []
        server = Program(tmp_path, *page.next("serve"))
        try:
            await server.start()
            watch = (*page.next("watch"), "--endpoint", endpoint, "--once", *password)
            code, _, err = await plant.run(*watch)
            assert (code, len(err.splitlines())) == (69, 1), err
            listed = await run(*page.next("certs list"))
            assert "opcua-bms certs trust" in err
            (thumbprint,) = re.findall(r"(?m)^rejected +([0-9A-F]{40})", listed)
            await run(*(thumbprint if word == "THUMBPRINT" else word for word in page.next("certs trust")))
            assert "alarms: none" in await run(*watch)
            await run(*page.next("fault inject"))
            async with asyncio.timeout(LONG_S):
                while ALARM not in await run(*watch):
                    pass  # each look takes a second
            await run(*page.next("fault clear"))
            limits = re.search(r"(?m)^    (\[alarms\.rules.*)\n    (warning = .*)$", PAGE.read_text())
            assert limits is not None
            site.write_text(f"{site.read_text()}\n{limits[1]}\n{limits[2]}\n")
            await run(*page.next("check"))
            assert server.process is not None
            os.kill(server.process.pid, signal.SIGHUP)
            async with asyncio.timeout(LONG_S):
                while '"event": "reloaded"' not in server.errors.read_text():  # noqa: ASYNC110 # another process says it
                    await asyncio.sleep(0.1)
        finally:
            if server.process is not None:
                await server.stop(signal.SIGTERM)
    assert page.rest() == []
