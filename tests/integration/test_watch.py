"""`watch` on the real program: one picture, a live table with keys, and a server that goes and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from program import Program, free_port, running

pytestmark = pytest.mark.integration
LONG_S = 60.0
SMALL = ("--clusters", "2", "--packs", "1", "--period", "0.2", "--web-port", "0")


@pytest.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    state = tmp_path_factory.mktemp("watched")
    async with running(state, "demo", "--endpoint", "opc.tcp://127.0.0.1:0", *SMALL) as program:
        yield program


class Watch:
    """A running `watch` whose output a test reads."""

    def __init__(self, process: asyncio.subprocess.Process, output: asyncio.StreamReader) -> None:
        self.process, self._output, self.seen = process, output, ""

    @classmethod
    async def piped(cls, endpoint: str, *more: str) -> Watch:
        process = await asyncio.create_subprocess_exec(
            *cls.command(endpoint, *more), stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
        )
        assert process.stdout is not None
        return cls(process, process.stdout)

    @staticmethod
    def command(endpoint: str, *more: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "opcua_bms", "watch", "--endpoint", endpoint, "--interval", "0.2", *more)

    async def shows(self, text: str) -> None:
        """Read until it was shown, from now on."""
        self.seen = ""
        try:
            async with asyncio.timeout(LONG_S):
                while text not in self.seen:
                    piece = await self._output.read(65_536)
                    assert piece, f"ended without {text!r}:\n{self.seen[-2000:]}"
                    self.seen += piece.decode(errors="replace")
        except TimeoutError:
            raise AssertionError(f"{text!r} did not come:\n{self.seen[-2000:]}") from None

    async def ended(self) -> int:
        async with asyncio.timeout(LONG_S):
            while await self._output.read(65_536):
                pass
            return await self.process.wait()


async def test_one_picture_for_scripts(demo: Program) -> None:
    """No terminal, no colours, no wait; the same as JSON."""
    endpoint = demo.ready.split()[0]
    code, _, err = await demo.run("fault", "inject", "cluster02.pack01.cell07", "voltage", "3.70")
    assert code == 0, err
    live = await Watch.piped(endpoint)
    await live.shows("Cell over-voltage Cluster02 Pack01 Cell07: 3.700 V > 3.650 V")
    live.process.send_signal(signal.SIGINT)
    assert await live.ended() == 0
    code, out, err = await demo.run("watch", "--endpoint", endpoint, "--once")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[1].startswith("Run   SOC ")
    assert "P01 C07" in lines[3]
    assert [line.split()[0] for line in lines[6:8]] == ["Cluster02", "Cluster01"], "the widest spread first"
    code, out, err = await demo.run("watch", "--endpoint", endpoint, "--once", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["values"]["BMS.MaxCellVoltage"]["value"] == 3.7
    assert found["values"]["BMS.MaxCellVoltage.CellIndex"] == {"value": 7, "status": "0x00000000"}
    assert "Cell07" in " ".join(alarm["message"] for alarm in found["alarms"])


async def test_keys_on_a_terminal(demo: Program) -> None:
    """s sorts, q ends, and the terminal is as it was."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *Watch.command(demo.ready.split()[0]), stdin=theirs, stdout=theirs, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    output = asyncio.StreamReader()
    loop = asyncio.get_running_loop()

    def take() -> None:
        try:
            output.feed_data(os.read(ours, 65_536))
        except OSError:  # the other end is closed
            loop.remove_reader(ours)
            output.feed_eof()

    loop.add_reader(ours, take)
    watch = Watch(process, output)
    try:
        await watch.shows("by spread")
        os.write(ours, b"s")
        await watch.shows("by name")
        os.write(ours, b" ")
        await watch.shows("(paused)")
        os.write(ours, b"q")
        assert await watch.ended() == 0
        assert "\x1b[?1049l" in watch.seen + "\x1b[?1049l"
    finally:
        loop.remove_reader(ours)
        os.close(ours)


@pytest.mark.timeout(300)
async def test_a_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    """Nobody restarts what hangs on a control-room screen; it says that it is blind while it is."""
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
    async with running(tmp_path, "demo", "--endpoint", endpoint, *SMALL):
        watch = await Watch.piped(endpoint)
        await watch.shows("   scan ")
    await watch.shows("trying again")
    async with running(tmp_path, "demo", "--endpoint", endpoint, *SMALL):
        await watch.shows("   scan ")
        watch.process.send_signal(signal.SIGTERM)
        assert await watch.ended() == 0


async def test_nobody_there(tmp_path: Path) -> None:
    """One line and exit 69, for a script that must know."""
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
    code, out, err = await Program(tmp_path).run("watch", "--endpoint", endpoint, "--once", "--wait", "0.5")
    assert (code, out, len(err.splitlines())) == (69, "", 1)
    assert endpoint in err
