"""The words for faults: every mistake gets one helpful line, every fault does what it says to the readings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from opcua_bms.errors import ConfigurationError, UsageError
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.sim.faults import HEALTHY, FaultBoard
from opcua_bms.sim.plant import Plant
from opcua_bms.sim.readings import Readings
from opcua_bms.sim.script import parse_script
from opcua_bms.sim.target import parse_target
from opcua_bms.sim.verbs import VERBS, Grammar

CLUSTER = ClusterShape((PackShape(4, 2), PackShape(4, 2)), 8, 1)
ONE = Topology((StackShape((CLUSTER,) * 3),))
TWO = Topology((StackShape((CLUSTER,) * 2), StackShape((CLUSTER,) * 2)))
WIDTHS = {"cluster.alarm_word": 32, "bms.alarm_word": 64, "container.emmu_alarm_word": 64, "bms.system_state": 16}


class World:
    """A small plant with a board of faults."""

    def __init__(self, topology: Topology = ONE) -> None:
        self.layout = Layout.of(topology)
        self.plant = Plant(topology, 1)
        self.board = FaultBoard(topology, self.layout, Grammar(topology, self.layout, WIDTHS))
        self.readings = Readings(self.plant, self.layout, 1)
        self.pass_time()

    def pass_time(self) -> None:
        self.plant.connect(~self.board.absent)
        self.plant.advance(1.0)
        self.readings.measure(self.board)

    def with_fault(self, words: str) -> World:
        self.board.inject(words.split())
        self.pass_time()
        return self

    def __getitem__(self, name: str) -> np.ndarray:
        return self.readings.values[self.layout[name].slots].copy()

    def word(self, name: str) -> list[int]:
        return [int(b) for b in self.readings.bits[self.layout.bits_of(name)]]


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("cluster02", "stack1.cluster02"),
        ("Cluster2", "stack1.cluster02"),
        ("stack1.cluster02", "stack1.cluster02"),
        ("cluster03.pack02.cell04", "stack1.cluster03.pack02.cell04"),
        ("cluster03.pack02.sensor01", "stack1.cluster03.pack02.sensor01"),
        ("master", "master"),
        ("bms", "master"),
        ("stack1", "stack1"),
    ],
)
def test_targets_are_found(text: str, full: str) -> None:
    """What product.md shows must work as typed."""
    assert parse_target(text, ONE).text == full


def test_a_target_knows_its_cells() -> None:
    """An offset by one would disturb the neighbour."""
    target = parse_target("stack2.cluster01.pack02.cell03", TWO)
    assert list(target.clusters) == [2]
    assert list(target.cells) == [2 * 8 + 4 + 2]
    assert list(parse_target("stack2.cluster01.pack01", TWO).sensors) == [8, 9]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "wants a target and a verb"),
        ("cluster01", "wants a target and a verb"),
        ("clustre01 no-comm", "did you mean 'cluster'"),
        ("cluster no-comm", "did you mean 'cluster'"),
        ("cluster04 no-comm", "there are 1 to 3"),
        ("cluster00 no-comm", "there are 1 to 3"),
        ("stack2.cluster01 no-comm", "there are 1 to 1"),
        ("cluster01.pack03 sensor-failed", "there are 1 to 2"),
        ("cluster01.cell03 voltage 3", "leaves a step out"),
        ("pack01.cell03 voltage 3", "leaves a step out"),
        ("cluster01.stack1 no-comm", "leaves a step out"),
        ("cluster01.cluster02 no-comm", "names two clusters"),
        ("7 no-comm", "for example cluster07"),
        ("cluster01 nocomm", "did you mean 'no-comm'"),
        ("cluster01 explode", "known are voltage"),
        ("cluster01 no-comm 3", "no-comm is used as: <cluster|stack|master> no-comm"),
        ("cluster01.pack01.cell01 voltage", "voltage is used as"),
        ("cluster01.pack01.cell01 voltage high", "must be a number (got 'high')"),
        ("cluster01.pack01.cell01 voltage nan", "must be a number"),
        ("cluster01.pack01.cell01 voltage inf", "must be a number"),
        ("cluster01.pack01.cell01 voltage -1", "must be 0 to 6000"),
        ("cluster01.pack01.cell01 temperature 60", "cells have no thermometer"),
        ("cluster01.pack01.cell01 no-comm", "does not apply to a cell"),
        ("master frozen", "applies to: cluster, stack"),
        ("master bit alarm_word 64", "must be 0 to 63"),
        ("master bit alarm_word 1.5", "must be a whole number"),
        ("master bit system_state 16", "bits 0 to 15"),
        ("master bit alarmword 3", "did you mean 'alarm_word'"),
        ("cluster01 bit emmu_alarm_word 3", "serves no word"),
        ("cluster01 bit fault_word 3", "serves no word"),
        ("cluster01 exception 12", "must be 1 to 11"),
        ("cluster01 slow 61", "must be 0 to 60"),
        ("cluster01 soc 101", "must be 0 to 100"),
    ],
)
def test_mistakes_are_told_in_one_line(words: str, says: str) -> None:
    """A typing error on the command line must be mended without reading the manual (product.md)."""
    world = World()
    with pytest.raises(UsageError) as caught:
        world.board.inject(words.split())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not world.board.active


def test_with_several_stacks_the_stack_must_be_said() -> None:
    """Cluster 1 of which stack? A guess would disturb the wrong one."""
    with pytest.raises(UsageError, match=r"stack1\.cluster01"):
        parse_target("cluster01", TWO)


def test_a_cell_voltage_reaches_cell_cluster_and_master() -> None:
    """Both witnesses see what is there; otherwise one injected fault would look like two."""
    world = World().with_fault("cluster03.pack02.cell04 voltage 3.70")
    assert world["cell.voltage"][2 * 8 + 7] == 3.7
    assert world["reported.cluster.max_cell_voltage"][2] == 3.7
    assert world["reported.bms.max_cell_voltage"][0] == 3.7
    place = [world[f"reported.bms.max_cell_voltage.{p}_index"][0] for p in ("stack", "cluster", "pack", "cell")]
    assert place == [1, 3, 2, 4]
    world.board.clear()
    world.pass_time()
    assert world["reported.bms.max_cell_voltage"][0] < 3.5


def test_value_faults_change_what_they_name_and_nothing_else() -> None:
    """Each verb of the grammar has an effect that a client can see."""
    for words, column, index, value in (
        ("cluster02 voltage 700", "cluster.voltage", 1, 700.0),
        ("cluster02 current 250", "cluster.current", 1, 250.0),
        ("cluster02 soc 3", "cluster.state_of_charge", 1, 3.0),
        ("master voltage 900", "bms.bus_voltage", 0, 900.0),
        ("master current -5", "bms.bus_current", 0, -5.0),
        ("master soc 99", "bms.state_of_charge", 0, 99.0),
        ("cluster01.pack02.sensor01 temperature 61.26", "sensor.temperature", 2, 61.3),
    ):
        world = World()
        before = world[column]
        after = world.with_fault(words)[column]
        assert after[index] == value
        others = np.delete(np.arange(after.size), index)
        np.testing.assert_allclose(after[others], before[others], atol=1.0)


def test_a_failed_sensor_is_in_no_extremum() -> None:
    """A sentinel must not become the lowest cell of the plant (domain.md, quality)."""
    world = World().with_fault("cluster01 sensor-failed")
    assert np.isnan(world["cell.voltage"][:8]).all()
    assert np.isnan(world["sensor.temperature"][:4]).all()
    assert math.isnan(world["reported.cluster.max_cell_voltage"][0])
    assert world["reported.bms.min_cell_voltage.cluster_index"][0] in (2, 3)


def test_bits_are_set_beside_those_that_are_set() -> None:
    """A simulated alarm must not wipe out another."""
    world = World(TWO).with_fault("master bit alarm_word 16").with_fault("master bit bms.alarm_word 25")
    assert world.word("bms.alarm_word") == [(1 << 16) | (1 << 25)]
    world.with_fault("stack2 bit emmu_alarm_word 5")
    assert world.word("container.emmu_alarm_word") == [0, 1 << 5]
    world.with_fault("master bit emmu_alarm_word 63")
    assert world.word("container.emmu_alarm_word") == [1 << 63, (1 << 5) | (1 << 63)]
    world.with_fault("stack1.cluster02 bit alarm_word 31")
    assert world.word("cluster.alarm_word") == [0, 1 << 31, 0, 0]


def test_frozen_cells_stay_and_the_heartbeat_goes_on() -> None:
    """Stuck data behind a live controller is what this fault is for (domain.md, quality to StatusCode)."""
    world = World()
    cells, beat = world["cell.voltage"], world["cluster.heartbeat"]
    world.with_fault("cluster02 frozen")
    world.pass_time()
    np.testing.assert_array_equal(world["cell.voltage"][8:16], cells[8:16])
    assert (world["cell.voltage"][:8] != cells[:8]).any()
    np.testing.assert_array_equal(world["cluster.heartbeat"], beat + 2)


def test_a_frozen_heartbeat_stops_alone() -> None:
    """The other devices must not look frozen too."""
    world = World().with_fault("cluster02 heartbeat-frozen").with_fault("master heartbeat-frozen")
    beats, master = world["cluster.heartbeat"], world["bms.heartbeat"]
    world.pass_time()
    np.testing.assert_array_equal(world["cluster.heartbeat"] - beats, [1, 0, 1])
    assert world["bms.heartbeat"] == master


def test_an_absent_cluster_is_all_zero_for_the_master() -> None:
    """The rule of the absent slot: voltage, extremes and their packs 0 together (domain.md)."""
    world = World().with_fault("cluster02 absent")
    for name, column in world.layout.columns.items():
        if name.startswith("reported.cluster."):
            value = world.readings.values[column.start + 1]
            assert value == 0.0 or name.endswith("deviation"), name
    assert world["cluster.current"][1] == 0.0
    assert world["cluster.installed"].tolist() == [1.0, 0.0, 1.0]
    assert world.word("bms.circuit_breaker_control_word") == [0b101]
    assert world["reported.bms.min_cell_voltage"][0] > 3.0


def test_the_master_keeps_what_it_heard_last_of_a_lost_cluster() -> None:
    """Zeros would make the lost cluster look absent, its extremes would contradict those of the cells still read."""
    world = World()
    world.with_fault("cluster01.pack01.cell01 voltage 3.4")
    world.with_fault("cluster01 no-comm")
    heard = world["reported.cluster.voltage"]
    for _ in range(3):
        world.plant.advance(120.0)
        world.pass_time()
    assert world["reported.cluster.voltage"][0] == heard[0]
    assert world["reported.cluster.voltage"][1] != heard[1]
    assert world["reported.bms.max_cell_voltage"][0] < 3.4


def test_line_faults_go_to_their_device_only() -> None:
    """One sick device stays one sick device."""
    world = World()
    for verb in VERBS.values():
        if verb.line:
            values = ["2", "3"][: len(verb.numbers)]
            world.board.inject(["cluster02", verb.name, *values])
    line = world.board.line_of_cluster(1)
    assert line.dead
    assert line.silent
    assert (line.delay_s, line.drip_s, line.exception, line.illegal) == (2.0, 2.0, 2, (range(2, 5),))
    assert (line.zeros, line.deaf, line.clock_s) == (True, True, 2.0)
    assert line.manner == "reset"
    assert world.board.line_of_cluster(0) == world.board.line_of_master() == HEALTHY
    world.board.inject(["stack1", "no-comm"])
    assert world.board.line_of_cluster(0).dead
    assert not world.board.line_of_master().dead


def test_clear_takes_a_target_and_what_is_below_it() -> None:
    """`fault clear cluster07` must leave the other clusters' faults alone."""
    world = World()
    for words in ("cluster01 no-comm", "cluster01.pack01.cell01 voltage 3", "cluster02 slow 1", "master soc 5"):
        world.board.inject(words.split())
    assert world.board.clear("cluster01") == 2
    assert [str(f) for f in world.board.active] == ["stack1.cluster02 slow 1", "master soc 5"]
    assert world.board.clear("cluster01") == 0
    assert world.board.clear() == 2
    assert world.board.line_of_cluster(1) == HEALTHY


def test_a_fault_replaces_its_like() -> None:
    """A second voltage for the same cell is a correction, two bits are two faults."""
    world = World()
    for words in (
        "cluster01 voltage 700",
        "cluster01 voltage 710",
        "master bit alarm_word 1",
        "master bit alarm_word 2",
    ):
        world.board.inject(words.split())
    assert [f.values for f in world.board.active] == [(710.0,), (1.0,), (2.0,)]


def test_a_script_begins_and_ends_faults_on_time() -> None:
    """A scripted run is what the long tests and a customer's rehearsal rely on."""
    world = World()
    grammar = Grammar(ONE, world.layout, WIDTHS)
    script = parse_script(
        b"""
        [[fault]]
        at = 20
        target = "cluster01.pack01.cell01"
        fault = "voltage"
        value = 3.7
        [[fault]]
        at = 10
        until = 20
        target = "cluster01.pack01.cell01"
        fault = "voltage"
        value = 3.6
        [[fault]]
        target = "master"
        fault = "bit"
        value = ["alarm_word", 16]
        until = 15.5
        """,
        "faults.toml",
        grammar,
    )
    seen = []
    for now in (0.0, 9.9, 10.0, 15.5, 19.9, 20.0, 1000.0):
        script.advance(now, world.board)
        seen.append(sorted(f.values[0] for f in world.board.active))
    assert seen == [[16], [16], [3.6, 16], [3.6], [3.6], [3.7], [3.7]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[fault]", "faults.toml:1"),
        ("[[faults]]\nat = 1", "faults.toml:1 faults[0]"),
        ("[fault]\nat = 1", "write [[fault]]"),
        ("[[fault]]\ntarget = 'master'\nfault = 'silent'\nuntill = 3", "faults.toml:4 fault[0].untill: unknown key"),
        ("[[fault]]\ntarget = 'master'", "faults.toml:1 fault[0].fault: is missing"),
        ("[[fault]]\ntarget = 7\nfault = 'silent'", "faults.toml:2 fault[0].target: must be a text"),
        ("[[fault]]\nat = -1\ntarget = 'master'\nfault = 'silent'", "faults.toml:2 fault[0].at: must be seconds"),
        ("[[fault]]\nat = 'x'\ntarget = 'master'\nfault = 'silent'", "faults.toml:2 fault[0].at: must be seconds"),
        ("[[fault]]\nat = 5\nuntil = 5\ntarget = 'master'\nfault = 'silent'", "fault[0].until: must be later"),
        ("[[fault]]\ntarget = 'cluster9'\nfault = 'silent'", "fault[0]: target 'cluster9': cluster 9 does not exist"),
        ("[[fault]]\ntarget = 'master'\nfault = 'slent'", "did you mean 'silent'"),
    ],
)
def test_mistakes_in_a_script_are_told_with_their_line(text: str, says: str) -> None:
    """Exit 78 with file and line (product.md, conventions)."""
    with pytest.raises(ConfigurationError) as caught:
        parse_script(text.encode(), "faults.toml", Grammar(ONE, Layout.of(ONE), WIDTHS))
    assert says in str(caught.value)
