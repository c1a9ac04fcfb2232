"""Rules come from the configuration: single numbers can be changed, mistakes name the row."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from alarm_plant import LABELS, Plant, small_topology
from pydantic import ValidationError

from opcua_bms.alarms import AlarmEngine, Device, default_rules, load_rules
from opcua_bms.model.alarm import What
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology

ALARM = "BMS.Stack1.Cluster02.Alarms.CellVoltage"


def test_single_numbers_can_be_changed() -> None:
    """A site with other cells changes one number, and nothing else moves."""
    changes = tomllib.loads(
        """
        [cell-over-voltage]
        on_delay_s = 0.2
        off_delay_s = 0.5
        warning.raise = 3.48
        alarm = { severity = 700 }
        [soc-low]
        enabled = false
        """
    )
    rules = {rule.id: rule for rule in load_rules(changes)}
    old = {rule.id: rule for rule in default_rules()}
    rule = rules["cell-over-voltage"]
    assert (rule.on_delay_s, rule.off_delay_s) == (0.2, 0.5)
    assert [level.raise_at for level in rule.levels.values()] == [3.48, 3.60, 3.65]
    assert [rule.severity_of(name) for name in rule.levels] == [450, 700, 900]
    assert rules.keys() == old.keys() - {"soc-low"}
    assert all(rules[id_] == old[id_] for id_ in rules.keys() - {"cell-over-voltage"})
    plant = Plant(changes)
    plant.scan(0.1)
    plant.set("cluster.max_cell_voltage", 3.49, 1)
    ((at_s, id_, what),) = plant.scans(1, every=0.1)
    assert (round(at_s, 6), id_, what) == (0.2, ALARM, What.RAISED)


def test_a_rule_can_be_added() -> None:
    """An engineer adds a limit on any column without touching code."""
    rule = {
        "source": "limit",
        "columns": ["cluster.insulation_resistance"],
        "condition": "Insulation",
        "kind": "BmsDiagnosticAlarmType",
        "side": "low",
        "title": "Insulation low",
        "digits": 0,
        "warning": {"raise": 100_000, "clear": 150_000},
    }
    plant = Plant({"insulation-low": rule})
    plant.set("cluster.insulation_resistance", 1e6)
    plant.scan()
    plant.set("cluster.insulation_resistance", 5e4, 2)
    id_ = "BMS.Stack1.Cluster03.Alarms.Insulation"
    assert plant.scans(5) == [(3, id_, What.RAISED)]
    assert plant.of(id_).message == "Insulation low Cluster03: 50000 Ω < 100000 Ω"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cell-over-voltage": {"on_delay": 3}}, "on_delay"),
        ({"cell-over-voltage": {"on_delay_s": -1}}, "on_delay_s"),
        ({"cell-over-voltage": {"on_delay_s": "soon"}}, "on_delay_s"),
        ({"cell-over-voltage": {"warning": {"raise": 3.4}}}, "wrong side"),
        ({"cell-under-voltage": {"warning": {"clear": 2.9}}}, "wrong side"),
        ({"cell-over-voltage": {"warning": {"raise": 3.62}}}, "not beyond the level below"),
        ({"cell-over-voltage": {"warning": {"raise": float("nan")}}}, "warning"),
        ({"cell-over-voltage": {"warning": {"raises": 3.4}}}, "raises"),
        ({"cell-over-voltage": {"alarm": {"severity": 400}}}, "severity"),
        ({"cell-over-voltage": {"text": "{titel}"}}, "titel"),
        ({"cell-over-voltage": {"text": "{value:.1f}"}}, "value"),
        ({"cell-over-voltage": {"side": "low"}}, "cell-over-voltage"),
        ({"cell-over-voltage": 3}, "cell-over-voltage"),
        ({"cell-overvoltage": {"on_delay_s": 3}}, "source"),
        ({"Cell": {"source": "bits"}}, "id"),
        ({"communication-loss": {"warning": {"raise": 1, "clear": 0}}}, "has no levels"),
        ({"clock-step": {"warning": None}}, "needs a level"),
        (
            {"second": {"source": "bits", "columns": ["bms.alarm_word"], "condition": "Bit", "kind": "BmsAlarmType"}},
            "bms-alarm-word",
        ),
        (
            {
                "second": {
                    "source": "limit",
                    "columns": ["cluster.max_cell_voltage"],
                    "condition": "CellVoltage",
                    "kind": "CellVoltageAlarmType",
                    "warning": {"raise": 3.5, "clear": 3.4},
                }
            },
            "cell-over-voltage already judges",
        ),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], words: str) -> None:
    """A limit that is silently ignored or on the wrong side is worse than none."""
    with pytest.raises(ValueError, match=words) as caught:
        load_rules(changes)
    (id_,) = changes
    if isinstance(caught.value, ValidationError):
        assert caught.value.errors()[0]["loc"][0] == id_
    else:
        assert str(caught.value).startswith(f"{id_}: ")


def test_a_column_that_does_not_exist_is_named() -> None:
    """A typing mistake in a column would make a rule that never judges anything."""
    with pytest.raises(ValueError, match=r"soc-low: there is no column 'cluster.soc'"):
        Plant({"soc-low": {"columns": ["cluster.soc"]}})


def test_one_condition_has_one_kind() -> None:
    """Two rules of one condition must agree about its type."""
    with pytest.raises(ValueError, match="is of kind"):
        Plant({"cell-under-voltage": {"kind": "CellTemperatureAlarmType"}})


@pytest.mark.parametrize("sources", [set(), {"bits"}, {"limit"}, {"communication"}])
@pytest.mark.parametrize(
    "topology",
    [
        small_topology(),
        Topology((StackShape(()),)),
        Topology((StackShape((ClusterShape((), 10), ClusterShape((), 10, 1, False))),)),
        Topology((StackShape((ClusterShape((PackShape(0, 0),), 10),)), StackShape(()))),
    ],
)
def test_any_selection_of_rules_runs_on_any_plant(sources: set[str], topology: Topology) -> None:
    """A site that turns rules off, or has no cells, sensors or clusters, must still be served."""
    layout = Layout.of(topology)
    rules = [rule for rule in default_rules() if rule.source in sources]
    engine = AlarmEngine(topology, layout, rules, LABELS, [Device("master")])
    image = Image.blank(layout, ScanInfo(1, 10.0, 1, 1.0), Quality.GOOD)
    image.values[:] = 0.0
    state, _ = engine.step(engine.initial(b"\x00" * 8), image.freeze(), 10.0, 1)
    state = engine.restore(engine.header(state), engine.rows(state), 10.0, 1)
    engine.step(state, image, 11.0, 1_000_000_001)
    assert not [i.id for i in engine.infos if ".Cluster02." in i.id and not topology.installed[1]]
