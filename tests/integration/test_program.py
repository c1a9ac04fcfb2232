"""The real program from start to end: how it starts, what it says when it cannot, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from loose_ua import Client, UaError
from program import Program, free_port, running

EXPECTED = Path(__file__).parents[1] / "data" / "golden" / "expected.json"
SMALL = ("--clusters", "2", "--packs", "1", "--period", "0.2")
ANY = "opc.tcp://127.0.0.1:0"
END_S = 20.0
"""A program that hangs; how long it really takes is told."""

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    async with running(tmp_path_factory.mktemp("demo"), "demo", "--endpoint", ANY, *SMALL) as program:
        yield program


def family(program: Program) -> list[psutil.Process]:
    """The program and its children."""
    assert program.process is not None
    parent = psutil.Process(program.process.pid)
    return [parent, *parent.children(recursive=True)]


def runs(process: psutil.Process) -> bool:
    """Whether it still does something; a zombie waits for an init that does not reap."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def survivors(processes: list[psutil.Process], limit_s: float) -> list[psutil.Process]:
    """Those that still run after the limit."""
    deadline = time.monotonic() + limit_s
    left = processes
    while time.monotonic() < deadline:
        left = [process for process in left if runs(process)]
        if not left:
            break
        await asyncio.sleep(0.05)
    return left


async def ended(program: Program, number: int) -> None:
    """A signal ends it and all its children soon, exit 0, with nothing left in the state directory's run/."""
    processes = family(program)
    assert len(processes) == 2
    note = next(n for n in (program.state / "run").glob("*.json") if n.name.startswith(f"{processes[1].pid}-"))
    begun = time.monotonic()
    assert await program.stop(number) == 0, program.errors.read_text()
    assert await survivors(processes[1:], END_S) == []
    print(f"ended after {time.monotonic() - begun:.2f} s")  # noqa: T201 — a figure, not a condition: machines differ
    assert not await asyncio.to_thread(note.exists), "the note by which `fault` finds a simulator"
    assert "Traceback" not in program.errors.read_text()


async def test_a_killed_demo_takes_its_simulator_along(tmp_path: Path) -> None:
    """Nobody can clean up after SIGKILL: the simulator must notice by itself."""
    demo = Program(tmp_path, "demo", "--endpoint", ANY, *SMALL)
    await demo.start()
    processes = family(demo)
    await demo.stop(signal.SIGKILL)
    assert await survivors(processes[1:], END_S) == []


async def test_two_demos_run_side_by_side(demo: Program) -> None:
    """The second one moves to free ports; `fault` wants to know which is meant; systemd's stop ends it alone."""
    other = Program(demo.state, "demo", "--endpoint", ANY, *SMALL)
    try:
        await other.start()
        assert other.ready.split()[0] != demo.ready.split()[0]
        code, out, err = await other.run("snapshot", "--endpoint", other.ready.split()[0])
        assert code == 0, err
        assert json.loads(out)["bms_soc"] > 0
        code, _, err = await other.run("fault", "list")
        assert code == 2
        assert "--simulator" in err
        port = json.loads(next((other.state / "run").glob("*.json")).read_text())["ports"][0]
        assert (await other.run("fault", "list", "--simulator", str(port)))[:2] == (0, "no faults\n")
        await ended(other, signal.SIGTERM)
    finally:
        await other.stop(signal.SIGKILL)


async def test_a_healthy_demo_fills_every_key(demo: Program) -> None:
    """The user's own document: exactly the keys of the sample, for as many clusters as there are, and none null."""
    code, out, err = await demo.run("snapshot", "--endpoint", demo.ready.split()[0], "--format", "flat")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    sample = json.loads(EXPECTED.read_text())
    fitted = tuple(f"cluster_no_{n}_" for n in (1, 2))
    assert found.keys() == {key for key in sample if not key.startswith("cluster_no_") or key.startswith(fitted)}
    assert [key for key, value in found.items() if value is None] == []


async def test_the_usual_demo_has_every_key_of_the_sample(tmp_path: Path) -> None:
    """Twenty clusters, as the user has them; the time from start to READY is told, and Ctrl-C ends it."""
    begun = time.monotonic()
    async with running(tmp_path, "demo", "--endpoint", ANY, "--packs", "2") as demo:
        print(f"READY after {time.monotonic() - begun:.2f} s")  # noqa: T201 — a figure, not a condition: machines differ
        code, out, err = await demo.run("snapshot", "--endpoint", demo.ready.split()[0])
        assert code == 0, err
        await ended(demo, signal.SIGINT)
    found = json.loads(out)
    assert found.keys() == json.loads(EXPECTED.read_text()).keys()
    assert None not in found.values()


async def one_line(state: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and the one line on stderr."""
    code, out, err = await Program(state).run(*arguments)
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("opcua-bms: ")
    return code, err


async def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """Exit 75, and the line names the port; an explicit endpoint is never replaced by another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = await one_line(tmp_path, "demo", "--endpoint", f"opc.tcp://127.0.0.1:{port}", *SMALL)
    assert code == 75
    assert str(port) in line


async def test_a_snapshot_of_nothing_is_told(tmp_path: Path) -> None:
    """Exit 69: no server, and a script can tell it from a mistake of its own."""
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
    code, line = await one_line(tmp_path, "snapshot", "--endpoint", endpoint, "--wait", "0.5")
    assert code == 69
    assert endpoint in line


async def test_insecure_access_stays_on_this_machine(tmp_path: Path) -> None:
    """A plant without security on the network: refused with exit 78, whatever the operator types."""
    await Program(tmp_path).run("init", "--device", "127.0.0.1:1502", "--clusters", "2", "--output", "site.toml")
    for host in ("0.0.0.0", "192.0.2.1"):  # noqa: S104 — refused, never listened on
        endpoint = f"opc.tcp://{host}:{free_port()}"
        serve = ("serve", "site.toml", "--endpoint", endpoint, "--insecure-demo-access")
        code, line = await one_line(tmp_path, *serve)
        assert code == 78
        assert "--insecure-demo-access" in line
    assert (await one_line(tmp_path, "demo", "--endpoint", "opc.tcp://0.0.0.0:4840"))[0] == 2


async def test_serve_refuses_who_is_neither_known_nor_encrypted(tmp_path: Path) -> None:
    """Without a flag nobody reads anything without signature and encryption."""
    await Program(tmp_path).run("init", "--device", "127.0.0.1:1", "--clusters", "1", "--output", "site.toml")
    async with running(tmp_path, "serve", "site.toml", "--endpoint", ANY) as server:
        with pytest.raises((UaError, ConnectionError)):
            async with Client(server.ready.split()[0], timeout=5):
                pytest.fail("let in")


@pytest.mark.parametrize(
    "words",
    [
        "cluster99 no-comm",
        "cluster02.pack01.cell05",
        "cluster02 no-such-fault",
        "cluster02.pack01.cell05 voltage high",
        "cluster02.pack01.cell05 temperature 30",
        "nothing voltage 3",
        "cluster02 bit alarm_word 99",
    ],
)
async def test_a_mistaken_fault_is_told(demo: Program, words: str) -> None:
    """Exit 2 and one line; nothing is broken in the plant by a typing error."""
    code, out, err = await demo.run("fault", "inject", *words.split())
    assert (code, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    assert (await demo.run("fault", "list"))[1] == "no faults\n"
