"""Every contradiction between two witnesses, from the simulator's registers to a client's condition."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from bms_client import read_nodes
from program import free_port, running

from opcua_bms.sim.control import Running, choose, send

pytestmark = pytest.mark.integration

CLUSTER = "BMS.Stack1.Cluster02.Alarms"
RULES = (
    "current-sum", "bus-voltage", "contactor-current", "energy-share", "bms-charge-drift", "cluster-charge-drift",
    "charge-limit-bits", "discharge-limit-bits", "bms-bit-value", "cluster-bit-value", "bms-disagreement",
    "voltage-discrepancy",
)  # fmt: skip


@dataclass
class Rig:
    """A served plant whose devices a test makes lie."""

    client: Client
    simulator: Running
    site: int

    def fault(self, words: str) -> None:
        send(self.simulator, {"command": "inject", "words": words.split()})

    def clear(self) -> None:
        send(self.simulator, {"command": "clear"})

    async def read(self, *paths: str) -> list[Any]:
        rows = await read_nodes(self.client, [ua.NodeId(ua.String(path), ua.Int16(self.site)) for path in paths])
        return [row.Value.Value if row.Value is not None else None for row in rows]

    async def until(self, condition: str, active: bool) -> None:
        """Twenty seconds at most."""
        for _ in range(400):
            (now,) = await self.read(f"{condition}.ActiveState.Id")
            if now is active:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{condition} is not {'active' if active else 'inactive'} within twenty seconds")


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("witnesses")
    size = ("--clusters", "3", "--packs", "2", "--port", "0", "--tick", "0.1", "--move")
    async with running(folder / "sim", "simulate", *size, "--json") as simulator:
        devices = json.loads(simulator.ready)
        endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
        lines = [
            f"[opcua]\nendpoint = '{endpoint}'\nanonymous = 'observe'\npolicy_none = true\n[web]\nenabled = false",
            "[scan]\nperiod_s = 0.25",
            "[[stacks]]\nclusters = 3\npacks = 2\nseries = 20\nparallel = 4\ncapacity_ah = 240",
        ]
        for d in devices:
            lines.append(f"[[devices]]\nname = '{d['name']}'\nprofile = '{d['profile']}'\nunit = {d['unit']}")
            lines.append(f"port = {d['port']}\ntimeout_s = 5")
            if d["cluster"] is not None:
                lines.append(f"clusters = '{d['cluster'] + 1}'")
        lines += [f"[alarms.rules.{rule}]\non_delay_s = 0.6\noff_delay_s = 0.6" for rule in RULES]
        (folder / "site.toml").write_text("\n".join(lines))
        async with (
            running(folder / "served", "serve", str(folder / "site.toml")),
            Client(endpoint, timeout=30, watchdog_intervall=30) as client,
        ):
            site = await client.get_namespace_index("urn:opcua-bms:site:battery-plant")
            yield Rig(client, choose(None, folder / "sim" / "run"), site)


async def active(rig: Rig) -> list[str]:
    """Ids of all conditions that are active."""
    counts = await rig.read("BMS.Alarms.ActiveCount")
    return [f"{counts[0]} active"] if counts[0] else []


FAULTS = [
    ("master current 900", "BMS.Alarms.CurrentDiscrepancy", "bus 900.0 A", None),
    ("cluster02 voltage 150", f"{CLUSTER}.BusVoltageDiscrepancy", "cluster 150.0 V", 150.0),
    ("cluster02 voltage 120", f"{CLUSTER}.VoltageDiscrepancy", "cluster 120.0 V", None),
    ("cluster02 contactor 0", f"{CLUSTER}.ContactorDiscrepancy", "through a contactor that reads open", None),
    ("master soc 20", "BMS.Alarms.EnergyDiscrepancy", "state of charge 20.0 %", 20.0),
    ("master soc 21", "BMS.Alarms.ChargeDrift", "state of charge 21.0 %", 21.0),
    ("cluster02 soc 90", f"{CLUSTER}.ChargeDrift", "state of charge 90.0 %", 90.0),
    ("master limit 0", "BMS.Alarms.ChargeLimitDiscrepancy", "limit 0.00 kW, no bit says zero", 0.0),
    ("master bit power_limit_state 53", "BMS.Alarms.DischargeLimitDiscrepancy", "Discharge under-temp zero", None),
    ("cluster02 bit alarm_word 0", f"{CLUSTER}.BitDiscrepancy", "bit cell over voltage is set", None),
    ("master bit fault_word 34", "BMS.Alarms.BitDiscrepancy", "bit cell over voltage is set", None),
    ("master wrong-place", "BMS.Alarms.Disagreement", "not in Cluster", None),
]


async def test_a_healthy_plant_has_no_finding(rig: Rig) -> None:
    """With delays of half a second, and devices that are read one after the other: the tolerances must bear it."""
    start = (await rig.read("BMS.Diagnostics.ScanCounter"))[0]
    while (await rig.read("BMS.Diagnostics.ScanCounter"))[0] < start + 20:
        assert await active(rig) == []
        await asyncio.sleep(0.2)


@pytest.mark.parametrize(("fault", "condition", "words", "first"), FAULTS)
async def test_a_fault_of_the_simulator_is_found_and_mended(
    rig: Rig, fault: str, condition: str, words: str, first: float | None
) -> None:
    """From a register on the wire to a field of the condition: scaling, signs and delays included."""
    rig.fault(fault)
    await rig.until(condition, active=True)
    message, one, other = await rig.read(*(f"{condition}.{n}" for n in ("Message", "FirstWitness", "SecondWitness")))
    assert words in message.Text
    assert math.isfinite(one)
    assert math.isfinite(other)
    if first is not None:
        assert one == pytest.approx(first, abs=0.06)
    rig.clear()
    await rig.until(condition, active=False)
