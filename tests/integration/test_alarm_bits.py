"""Every named bit of the controller's words, raised and cleared through Modbus and seen by an OPC UA client."""

from __future__ import annotations

import csv
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import UTC
from pathlib import Path

import pytest
from alarm_client import AlarmClient, Row, session, standard
from alarm_program import Recorder, running
from asyncua.ua.object_ids import ObjectIds as Ids
from register_device import RegisterDevice

from opcua_bms.model.alarm import What
from opcua_bms.runtime.application import Application

pytestmark = pytest.mark.integration
DATA = Path(__file__).parents[1] / "data"
CONFIG = """
[scan]
period_s = 0.1
[[stacks]]
clusters = 20
packs = 0
[[devices]]
profile = "clou-ess"
host = "127.0.0.1"
port = {port}
timeout_s = 3
[alarms.rules.alarm-flood]
enabled = false
"""
# word of the bit list → word of the model, its object, severity of its conditions (0: a state)
WORDS = {
    "bms_alarms": ("AlarmWord", "BMS", 600),
    "bms_faults": ("FaultWord", "BMS", 900),
    "com_status": ("CommunicationStatus", "BMS", 600),
    "power_limit_state": ("PowerLimitState", "BMS", 450),
    "emmu_alarms": ("EmmuAlarmWord", "BMS.Stack1", 600),
    "emmu_faults": ("EmmuFaultWord", "BMS.Stack1", 900),
    "operation_status": ("OperationStatus", "BMS", 0),
    "system_state": ("SystemState", "BMS", 0),
}
Bit = tuple[str, int]
LABELS: Mapping[Bit, str] = {
    (row["word"], int(row["bit"])): row["label"]
    for row in csv.DictReader((DATA / "clou_ess_bits.csv").open(encoding="utf-8"))
}
ALARMS = [bit for bit in LABELS if WORDS[bit[0]][2]]
STATES = [bit for bit in LABELS if not WORDS[bit[0]][2]]
REGISTERS = {row["key"]: row for row in csv.DictReader((DATA / "clou_ess_registers.csv").open(encoding="utf-8"))}


class Controller(RegisterDevice):
    """The golden controller, whose words a test sets."""

    def set(self, bits: set[Bit]) -> None:
        """Exactly these bits of all words, between two requests."""
        for word in WORDS:
            row = REGISTERS[word]
            value = sum(1 << bit for name, bit in bits if name == word)
            count, address = int(row["words"]), int(row["address"])
            for k in range(count):  # most significant register first
                self.tables[row["table"]][address + k] = value >> (16 * (count - 1 - k)) & 0xFFFF


@pytest.fixture(scope="module")
async def controller(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Controller, Application, Recorder]]:
    image = json.loads((DATA / "golden" / "registers.json").read_text())
    device = Controller({t: {int(a): r for a, r in rs.items()} for t, rs in image.items()}, (("input", 2001),))
    device.set(set())
    port = await device.start()
    base = tmp_path_factory.mktemp("bits")
    try:
        async with running(CONFIG.format(port=port), base) as (app, recorder):
            yield device, app, recorder
    finally:
        await device.stop()


def condition(bit: Bit) -> tuple[str, str]:
    """Path of the object and name of the condition of a bit."""
    word, source, _ = WORDS[bit[0]]
    return source, f"{word}Bit{bit[1]:02d}"


class Watch:
    """A client that sets bits and expects the events of exactly those that changed."""

    def __init__(self, device: Controller, app: Application, client: AlarmClient) -> None:
        assert app.server is not None
        self.device, self.client = device, client
        node = app.server.names.node
        self.by_node = {node(".Alarms.".join(condition(bit))): bit for bit in LABELS}
        self.bits: set[Bit] = set()
        self.count: Counter[Bit] = Counter()

    async def change(self, bits: set[Bit]) -> None:
        """Set these bits and no other; every change is one event, and right."""
        expected = {bit: bit in bits for bit in bits ^ self.bits if WORDS[bit[0]][2]}
        before, before_bits = time.time(), self.bits
        self.device.set(bits)
        self.bits = bits
        while expected:
            event = await self.client.event()
            if (bit := self.by_node.get(event["ConditionId"])) is None:
                assert event["ConditionName"].endswith("CommunicationLoss"), "a busy machine may miss a scan"
                continue
            on = bool(event["ActiveState/Id"])
            if expected.get(bit) is not on:
                assert on is (bit in before_bits), "its quality may change, its state may not"
                continue
            del expected[bit]
            self._check(bit, event, on)
            at = event["Time"].replace(tzinfo=UTC)
            assert before - 0.2 <= at.timestamp() <= time.time(), "the time of the scan that saw it"
            self.count[bit] += 1

    def _check(self, bit: Bit, event: Row, on: bool) -> None:
        word, source, severity = WORDS[bit[0]]
        assert event["ConditionName"] == f"{word}Bit{bit[1]:02d}"
        assert event["SourceName"] == source.removeprefix("BMS.")
        text, words = f"{LABELS[bit]} {source.rpartition('.')[2]}", event["Message"].Text
        assert words == text if on else words.startswith(f"{text} cleared after ")
        assert event["Severity"] == severity


CHANGES = (What.RAISED, What.CLEARED)


def recorded(recorder: Recorder) -> list[tuple[str, What]]:
    """All that was raised or cleared, by condition, in the order of the conditions of the list."""
    order = {".Alarms.".join(condition(bit)): k for k, bit in enumerate(LABELS)}
    found = [
        (t.info.id, t.what)
        for t in recorder.transitions
        if t.what in CHANGES and not t.info.name.endswith("CommunicationLoss")
    ]
    return sorted(found, key=lambda pair: order[pair[0]])


async def test_each_bit_alone_and_at_random(controller: tuple[Controller, Application, Recorder]) -> None:
    """Without it some fault of the plant is shown as another one, twice, or never (must-hold 4)."""
    device, app, recorder = controller
    assert app.server is not None
    chance = random.Random(4)
    async with session(app.server.endpoint_url) as wire:
        client = await AlarmClient.at(wire, standard(Ids.Server))
        watch = Watch(device, app, client)
        for bit in ALARMS:
            states = {s for s in STATES if chance.random() < 0.5}
            await watch.change({bit} | states)
        await watch.change(set())
        assert watch.count == dict.fromkeys(ALARMS, 2), "each raised once and cleared once"
        assert recorded(recorder) == [(".Alarms.".join(condition(bit)), what) for bit in ALARMS for what in CHANGES]
        for _ in range(20):
            await watch.change({bit for bit in LABELS if chance.random() < 0.4})
        await watch.change(set())
        assert sum(watch.count.values()) == len(recorded(recorder)), "none twice"
        # what must not have come would have come before this
        assert await client.refresh() == 0
        retained = await client.refreshed()
        found = [watch.by_node.get(e["ConditionId"]) for e in retained if "Bit" in e["ConditionName"]]
        assert sorted(bit for bit in found if bit) == sorted(ALARMS), "all of them, once, and no state"
        assert not any(e["ActiveState/Id"] for e in retained)


def test_the_bit_list_is_covered() -> None:
    """Without it a word of the list that nobody sorted would be tested by nobody."""
    assert {word for word, _ in LABELS} == set(WORDS)
    assert (len(ALARMS), len(STATES)) == (95, 7)
