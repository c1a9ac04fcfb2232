"""Points forced and disabled by an engineer at the real program: rights, marks, alarms, records, restart."""

from __future__ import annotations

import asyncio
import json
import shlex
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError
from bms_client import read_nodes
from program import Program, free_port, running

from opcua_bms.cli.ua_client import Login, override
from opcua_bms.errors import PermissionDeniedError, UsageError
from opcua_bms.server.app import SERVICE_LEVEL

pytestmark = pytest.mark.integration

CELL = "BMS.Stack1.Cluster02.Pack01.Cell03.Voltage"
MAXIMUM, MINIMUM = "BMS.MaxCellVoltage", "BMS.MinCellVoltage"
LOCAL_OVERRIDE, OUT_OF_SERVICE = 0x00960000, 0x808D0000
PASSWORD = "a password of this test"  # noqa: S105 - of the users of this test


class Plant:
    """A served site over a simulated plant, and a client that may only look."""

    def __init__(self, program: Program, endpoint: str) -> None:
        self.program, self.endpoint = program, endpoint
        self.client = Client(endpoint, timeout=30, watchdog_intervall=30)
        self.site = 0

    async def connect(self) -> None:
        self.client = Client(self.endpoint, timeout=30, watchdog_intervall=30)
        await self.client.connect()
        self.site = await self.client.get_namespace_index("urn:opcua-bms:site:battery-plant")

    def node(self, path: str) -> ua.NodeId:
        return ua.NodeId(ua.String(path), ua.Int16(self.site))

    async def read(self, *paths: str) -> list[tuple[Any, int]]:
        """(value, StatusCode) of each node."""
        rows = await read_nodes(self.client, [self.node(path) for path in paths])
        return [(row.Value.Value if row.Value is not None else None, row.StatusCode.value) for row in rows]

    async def until(self, check: Callable[[], Awaitable[bool]]) -> None:
        """Twenty seconds at most."""
        for _ in range(400):
            if await check():
                return
            await asyncio.sleep(0.05)
        raise AssertionError("not within twenty seconds")

    async def ask(
        self, method: str, point: str | None, value: float | None = None, comment: str = "", user: str = "anna"
    ) -> list[object]:
        """What the command does, without a process for each."""
        folder = self.program.state / "client"
        (certificate,), (key,) = folder.rglob("*.der"), folder.rglob("*.pem")
        login = Login(user, PASSWORD, certificate, key, f"urn:{socket.gethostname().lower()}:opcua-bms:client")
        return await override(self.endpoint, 20, login, method, point, value, comment)

    async def cli(self, line: str, user: str = "anna") -> tuple[int, str, str]:
        """`opcua-bms override …` as a user."""
        login = f"--user {user} --password-file secret" if user else ""
        return await self.program.run("override", *shlex.split(f"{line} --endpoint {self.endpoint} {login}"))


@pytest.fixture(scope="module")
async def plant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plant]:
    folder = tmp_path_factory.mktemp("overrides")
    size = ("--clusters", "2", "--packs", "2", "--port", "0", "--shared-port", "--no-master")
    async with running(folder / "sim", "simulate", *size, "--json") as simulator:
        modbus, endpoint = json.loads(simulator.ready)[0]["port"], f"opc.tcp://127.0.0.1:{free_port()}"
        program = Program(folder / "site", "serve", "site.toml")
        program.state.mkdir()
        (program.state / "secret").write_text(PASSWORD)
        (program.state / "site.toml").write_text(
            f"[opcua]\nendpoint = '{endpoint}'\nanonymous = 'observe'\npolicy_none = true\n[web]\nenabled = false\n"
            "[scan]\nperiod_s = 0.25\n[alarms.rules.cell-over-voltage]\non_delay_s = 0\n"
            "[[stacks]]\nclusters = 2\npacks = 2\n[[devices]]\nprofile = 'cell-cluster'\n"
            f"port = {modbus}\nunit_step = 1\nclusters = '1..2'\ntimeout_s = 5\n"
        )
        for line in (
            "users add anna --role Engineer --password-file secret",
            "users add olga --role Operator --password-file secret",
        ):
            code, _, err = await program.run(*shlex.split(line))
            assert code == 0, err
        await program.start()
        found = Plant(program, endpoint)
        try:
            await found.cli("list")  # makes the client's certificate, which nobody trusts yet
            (certificate,) = (program.state / "client").rglob("*.der")
            code, _, err = await program.run("certs", "trust", str(certificate))
            assert code == 0, err
            await found.connect()
            yield found
            await found.client.disconnect()
        finally:
            await program.stop()


async def test_a_forced_cell_is_marked_and_everything_sees_it(plant: Plant) -> None:
    """An engineer tests an alarm with it: value, mark, place of the extremum, alarm, list and record must be right."""
    ((before, _),) = await plant.read(CELL)
    code, out, err = await plant.cli(f"force {CELL} 3.7 --comment 'test of the trip'")
    assert (code, out.strip()) == (0, f"{CELL} is forced to 3.7"), err

    async def shown() -> bool:
        ((value, _),) = await plant.read(MAXIMUM)
        return bool(value == 3.7)

    await plant.until(shown)
    cell, cluster, pack, index = await plant.read(
        CELL, *(f"{MAXIMUM}.{place}Index" for place in ("Cluster", "Pack", "Cell"))
    )
    assert cell == (pytest.approx(3.7), LOCAL_OVERRIDE)
    assert [cluster[0], pack[0], index[0]] == [2, 1, 3]

    async def raised() -> bool:
        ((active, _),) = await plant.read("BMS.Stack1.Cluster02.Alarms.CellVoltageTrip.ActiveState.Id")
        return bool(active)

    await plant.until(raised)
    names = ("Count", "Points", "Kinds", "Values", "Users", "Comments")
    shown_list = [value for value, _ in await plant.read(*(f"BMS.Overrides.{name}" for name in names))]
    assert shown_list == [1, [CELL], ["forced"], ["3.7"], ["anna"], ["test of the trip"]]
    code, out, _ = await plant.cli("list --json", user="")
    assert json.loads(out)[0] | {"time": ""} == {
        "point": CELL, "kind": "forced", "value": "3.7", "user": "anna", "time": "", "comment": "test of the trip",
    }  # fmt: skip
    level = await plant.client.get_node(SERVICE_LEVEL).read_value()
    assert level == 255, "a plant with a forced value serves as well as before"
    records = [json.loads(line) for line in (plant.program.state / "audit.jsonl").read_text().splitlines()]
    (change,) = [r for r in records if r["event"] == "write" and r.get("source", "").endswith(CELL)]
    assert change["user"] == "anna"
    assert "3.7" in change["NewValue"]
    assert f"{before:.3f}"[:4] in change["OldValue"]
    assert any(r["event"] == "method" and "test of the trip" in r["InputArguments"] for r in records)


async def test_only_engineers_may(plant: Plant) -> None:
    """An operator, or whoever finds the port open, could hide a burning cell; a client must see what it may call."""
    with pytest.raises(PermissionDeniedError, match="Engineer"):
        await plant.ask("ForceValue", CELL, 3.0, user="olga")
    method = plant.client.get_node(plant.node("BMS.Overrides.ForceValue"))
    allowed = await method.read_attribute(AttributeIds.UserExecutable)
    assert allowed.Value is not None
    assert allowed.Value.Value is False
    arguments = await plant.client.get_node(plant.node("BMS.Overrides.ForceValue.InputArguments")).read_value()
    assert [argument.Name for argument in arguments] == ["Point", "Value", "Comment"]
    with pytest.raises(UaStatusCodeError) as refused:
        await plant.client.get_node(plant.node("BMS.Overrides")).call_method(
            plant.node("BMS.Overrides.ReleaseAll"), ua.Variant("", ua.VariantType.String)
        )
    assert refused.value.code == StatusCodes.BadUserAccessDenied


@pytest.mark.parametrize(
    ("method", "point", "value", "why"),
    [
        ("ForceValue", "BMS.Stack1.Cluster09.Voltage", 800, "no such point"),
        ("ForceValue", "BMS.MaxCellVoltage", 3.5, "no device gives"),
        ("ForceValue", CELL, 9.5, "outside"),
        ("ForceValue", "BMS.Stack1.Cluster01.AlarmWord", 0.5, "another type"),
        ("ReleaseForce", "BMS.Stack1.Cluster01.Voltage", None, "not overridden"),
    ],
)
async def test_what_cannot_be_forced_is_refused_with_a_reason(
    plant: Plant, method: str, point: str, value: float | None, why: str
) -> None:
    """A name that was typed wrong must not end in silence, or in another point."""
    with pytest.raises(UsageError, match=why):
        await plant.ask(method, point, value)


async def test_overrides_outlive_the_program_until_they_are_released(plant: Plant) -> None:
    """After a restart a forced value that comes back as measured, without a word, deceives whoever relied on it."""
    await plant.ask("ForceValue", CELL, 3.7)
    await plant.ask("DisablePoint", "BMS.Stack1.Cluster01.Pack02.Cell01.Voltage", comment="broken tap")
    await plant.client.disconnect()
    await plant.program.stop()
    await plant.program.start()
    await plant.connect()

    async def back() -> bool:
        ((value, _),) = await plant.read(MAXIMUM)
        return bool(value == 3.7)

    await plant.until(back)
    cell, disabled, count = await plant.read(
        CELL, "BMS.Stack1.Cluster01.Pack02.Cell01.Voltage", f"{MAXIMUM}.ValidCount"
    )
    assert cell == (pytest.approx(3.7), LOCAL_OVERRIDE)
    assert disabled == (None, OUT_OF_SERVICE)
    assert count[0] == 2 * 2 * 40 - 1
    code, out, err = await plant.cli("release --all --comment done")
    assert (code, out.strip()) == (0, "2 points released"), err

    async def measured() -> bool:
        (cell, status), (_, other) = await plant.read(CELL, "BMS.Stack1.Cluster01.Pack02.Cell01.Voltage")
        return bool(status == 0 and other == 0 and cell < 3.6)

    await plant.until(measured)
    assert (await plant.read("BMS.Overrides.Count"))[0][0] == 0
