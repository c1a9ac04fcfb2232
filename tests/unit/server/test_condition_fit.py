"""The alarm engine's conditions of a plant, and the nodes that the server has for them."""

from __future__ import annotations

import bms_plant as bp
import pytest
from asyncua import ua

from opcua_bms.alarms import AlarmEngine, Device, default_rules
from opcua_bms.infomodel.plan import InstancePlan, instance_plan
from opcua_bms.infomodel.types import NODE_IDS_FILE
from opcua_bms.model.alarm import ConditionInfo, ConditionKind, ConditionState
from opcua_bms.model.layout import Layout
from opcua_bms.resources import nodeset_bytes
from opcua_bms.server.conditions import ConditionBook
from opcua_bms.server.names import Names
from opcua_bms.server.publisher import Publisher
from opcua_bms.server.space import SpaceBuilder
from opcua_bms.ua.space.tree import Tree
from opcua_bms.ua.store import ValueStore

LAYOUT = Layout.of(bp.RAGGED)
NAMES = Names.of(2, 3, nodeset_bytes(NODE_IDS_FILE))


@pytest.fixture(scope="module")
def infos() -> tuple[ConditionInfo, ...]:
    devices = [Device("cluster01", (0,)), Device("master")]
    return AlarmEngine(bp.RAGGED, LAYOUT, default_rules(), bp.LABELS, devices).infos


@pytest.fixture(scope="module")
def plan(infos: tuple[ConditionInfo, ...]) -> InstancePlan:
    return instance_plan(bp.RAGGED, bp.LABELS, (), ("cluster01", "master"), infos)


@pytest.fixture(scope="module")
def book(plan: InstancePlan, infos: tuple[ConditionInfo, ...]) -> ConditionBook:
    return ConditionBook(plan, infos, NAMES, Publisher(ValueStore(LAYOUT.n_numbers, LAYOUT.size)), 86_400.0)


@pytest.fixture(scope="module")
def tree(plan: InstancePlan, book: ConditionBook) -> Tree:
    kept = {(f.key, row.path): lambda _: ua.DataValue() for f in plan.objects for row in f.rows}
    families = SpaceBuilder(plan, LAYOUT, NAMES, kept, bp.STARTED_NS).families()
    return Tree([*families, *book.families(lambda _: None)])


def test_every_condition_of_the_default_rules_has_its_node(tree: Tree, infos: tuple[ConditionInfo, ...]) -> None:
    """Without it an alarm could be raised whose ConditionId no client can use."""
    assert any(info.spare for info in infos)
    for info in infos:
        found = tree.find(info.id)
        assert found is not None, info.id
        branch, instance, _ = found
        assert branch.display_name(instance) == info.label
        assert branch.members[""].type_definition == NAMES.type(info.kind.value)


def test_limits_point_at_the_variable_that_they_judge(
    tree: Tree, book: ConditionBook, infos: tuple[ConditionInfo, ...]
) -> None:
    """Without it "go to the source" in an alarm client leads nowhere."""
    without = {ConditionKind.SYSTEM, ConditionKind.COMMUNICATION_LOSS}
    for index, info in enumerate(infos):
        event = book.event_of(index, ConditionState())
        node = event.value("InputNode")
        if node == ua.NodeId():
            assert info.kind in without, info.id
        else:
            assert tree.find(node.Identifier) is not None, info.id


def test_every_field_has_a_type_that_can_be_sent(book: ConditionBook, infos: tuple[ConditionInfo, ...]) -> None:
    """Without it one field that cannot be encoded is silently null for every client."""
    for index in range(0, len(infos), 7):
        event = book.event_of(index, ConditionState(event_id=b"0123456789abcdef", time_ns=bp.FROZEN_NS))
        for key, variant in event.fields.items():
            empty = variant.Value in ("", ua.LocalizedText("", "en"))
            assert empty or event.encoded(key) != b"\x00", (infos[index].id, key)


def test_a_condition_of_an_unknown_object_is_refused() -> None:
    """Without it a mistake in a rule would show as an alarm without a source."""
    stray = ConditionInfo("BMS.Stack9.Alarms.X", "BMS.Stack9", "X", ConditionKind.SYSTEM, "stray")
    with pytest.raises(ValueError, match=r"BMS\.Stack9\.Alarms\.X"):
        instance_plan(bp.RAGGED, {}, infos=[stray])
