"""Instances without memory: names are parsed, nodes made when asked for and forgotten again."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from asyncua import ua
from asyncua.server.address_space import NodeData
from hypothesis import given
from hypothesis import strategies as st
from ua_fixture import Plant, standard

from opcua_bms.errors import InternalError
from opcua_bms.ua.space.binding import Kind
from opcua_bms.ua.space.blueprint import Blueprint, Family, Link, Member, Named, Numbered
from opcua_bms.ua.space.instances import InstanceSpace
from opcua_bms.ua.space.nodes import AddressSpace

INDEX = 2
OBJECTS, SERVER = standard(85), standard(2253)


def string(path: str, index: int = INDEX) -> ua.NodeId:
    return ua.NodeId(ua.String(path), ua.Int16(index))


@pytest.fixture
def plant() -> Plant:
    return Plant(INDEX, tags=40)


@pytest.fixture
def space(plant: Plant) -> InstanceSpace:
    return InstanceSpace(plant.store, plant.families, INDEX, plant.references, cache_size=50)


@pytest.fixture
def aspace(space: InstanceSpace) -> AddressSpace:
    made = AddressSpace()
    for node_id in (OBJECTS, SERVER):
        made[node_id] = NodeData(node_id)
    made.attach(space)
    return made


@pytest.mark.parametrize(
    ("path", "kind", "start", "stop"),
    [
        ("Line2.Level", Kind.SLOT, 1, 2),
        ("Line3.Tag040", Kind.SLOT, 3 + 119, 3 + 120),
        ("Line1.Tag007.Count", Kind.SLOT, 3 + 120 + 6, 3 + 120 + 7),
        ("Line2.Mode.Bit3", Kind.BIT, 244, 245),
        ("Line2.Levels", Kind.RANGE, 43, 83),
        ("Line2.LevelsQuality", Kind.DETAIL, 43, 83),
        ("Line1.Kind", Kind.CONSTANT, 0, 0),
        ("Line1.Alarms.Low.Severity", Kind.COMPUTED, 0, 0),
        ("Line1", Kind.NONE, 0, 0),
    ],
)
def test_resolve(plant: Plant, space: InstanceSpace, path: str, kind: Kind, start: int, stop: int) -> None:
    """A wrong slot would show one tag's value under another's name."""
    binding = space.resolve(plant.id(path))
    assert binding is not None
    assert (binding.kind, binding.start, binding.stop) == (kind, start, stop)


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "Line", "Line0", "Line4", "Line01", "Line1.", "Line1.Tag7", "Line1.Tag0007", "Line1.Tag000",
        "Line1.Tag041", "Line1.Tag007.", "Line1.Tag007.Nothing", "line1", "Line1.Alarms.Other", "Line1.High",
        "Line1.Tag007.Tag007", "Line-1", "Line1.Tag٠٠٧", "Line1" + "0" * 500, "Level", "Tag007",
    ],
)  # fmt: skip
def test_unknown_paths(plant: Plant, space: InstanceSpace, path: str) -> None:
    """Each node has exactly one NodeId: 007 is not 7, and nothing else is a node."""
    assert space.resolve(plant.id(path)) is None
    assert plant.id(path) not in space
    assert space.node(plant.id(path)) is None


@given(st.text(max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    """NodeIds come from clients."""
    plant = Plant(INDEX, tags=3)
    InstanceSpace(plant.store, plant.families, INDEX).resolve(string(f"Line1.{text}"))


def test_only_our_namespace_and_only_strings(space: InstanceSpace) -> None:
    """A numeric id or another namespace is somebody else's."""
    assert space.resolve(string("Line1", INDEX + 1)) is None
    assert space.resolve(ua.NodeId(ua.Int32(1), ua.Int16(INDEX))) is None
    assert space.resolve(ua.NodeId(ua.ByteString(b"Line1"), ua.Int16(INDEX))) is None


def test_every_reference_has_its_inverse(plant: Plant, space: InstanceSpace, aspace: AddressSpace) -> None:
    """Part 3 §5.3: a client that walks up must arrive where it came down from."""
    for path in space.tree.nodes():
        node_id = plant.id(path)
        for reference in aspace[node_id].references:
            if reference.ReferenceTypeId == standard(40):
                continue
            target = aspace[reference.NodeId]
            if aspace.is_real(reference.NodeId):
                assert not reference.IsForward
            assert any(
                back.NodeId == node_id
                and back.ReferenceTypeId == reference.ReferenceTypeId
                and back.IsForward != reference.IsForward
                for back in target.references
            ), (path, reference)


def test_every_node_is_reached_from_the_objects_folder(
    plant: Plant, space: InstanceSpace, aspace: AddressSpace
) -> None:
    """A node that cannot be browsed to does not exist for most clients."""
    found: set[ua.NodeId] = set()
    todo = [OBJECTS]
    while todo:
        for reference in aspace[todo.pop()].references:
            if reference.IsForward and reference.NodeId not in found and reference.NodeId in space:
                found.add(reference.NodeId)
                todo.append(reference.NodeId)
    assert found == {plant.id(path) for path in space.tree.nodes()}


def test_links_of_a_family(plant: Plant, aspace: AddressSpace) -> None:
    """Part 9 §4.12: a condition is found from its source, too, not only below its folder."""
    kinds = {
        (r.ReferenceTypeId.Identifier, r.NodeId.Identifier)
        for r in aspace[plant.id("Line2.Alarms.High")].references
        if not r.IsForward
    }
    assert kinds == {(47, "Line2.Alarms"), (9006, "Line2")}
    assert any(r.NodeId == plant.id("Line1") for r in aspace[SERVER].references)


def test_references_carry_the_names_of_their_targets(plant: Plant, aspace: AddressSpace) -> None:
    """Browse names in references are what clients build paths from."""
    for reference in aspace[plant.id("Line1")].references:
        if reference.IsForward and reference.NodeId.NamespaceIndex == INDEX:
            target = aspace[reference.NodeId].attributes
            for attribute, told in (
                (ua.AttributeIds.BrowseName, reference.BrowseName),
                (ua.AttributeIds.DisplayName, reference.DisplayName),
                (ua.AttributeIds.NodeClass, reference.NodeClass),
            ):
                held = target[attribute].value
                assert held is not None
                assert held.Value is not None
                assert held.Value.Value == told


def test_table_shows_real_nodes_only_when_iterated(plant: Plant, aspace: AddressSpace) -> None:
    """asyncua walks the whole table in places; a million virtual nodes must not appear there."""
    assert set(aspace.keys()) == {OBJECTS, SERVER}
    assert plant.id("Line1") in aspace
    assert aspace.get(plant.id("Line1")) is not None
    assert aspace.get(plant.id("Nothing")) is None
    with pytest.raises(KeyError):
        aspace[plant.id("Nothing")]


def test_a_crawl_leaves_no_memory(plant: Plant, space: InstanceSpace, aspace: AddressSpace) -> None:
    """One curious client must not cost memory for ever."""
    paths = list(space.tree.nodes())
    tracemalloc.start()
    try:
        for path in paths:
            list(aspace[plant.id(path)].references)
        first, _ = tracemalloc.get_traced_memory()
        for path in paths:
            list(aspace[plant.id(path)].references)
        second, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert second < first + 20_000
    assert len(space._cache) == 50


def test_a_forgotten_node_comes_back_the_same(plant: Plant, space: InstanceSpace) -> None:
    """The cache must not show."""
    first = space.node(plant.id("Line1.Tag001"))
    for number in range(1, 41):
        space.node(plant.id(f"Line2.Tag{number:03d}"))
        space.node(plant.id(f"Line3.Tag{number:03d}"))
    again = space.node(plant.id("Line1.Tag001"))
    assert first is not None
    assert again is not None
    assert first is not again
    assert first.references == again.references
    assert first.attributes.keys() == again.attributes.keys()


def test_a_million_instances_cost_nothing() -> None:
    """Issue bar: 1,000,000 cells, at most 100 bytes each for all that is known of them."""
    name = ua.QualifiedName("Cell", INDEX)
    cell = Member("", name, ua.NodeClass.Object, standard(58), standard(47), "Cell")
    root = Member("", name, ua.NodeClass.Object, standard(58), standard(47), "Pack")
    plant = Plant(INDEX, tags=1)
    tracemalloc.start()
    try:
        space = InstanceSpace(
            plant.store,
            (
                Family("pack", Blueprint("Pack", (root,)), Numbered("Pack", 5, np.array([0, 20_000])), (Link(OBJECTS),),
                       parent_node=OBJECTS),
                Family("cell", Blueprint("Cell", (cell,)), Numbered("Cell", 2, np.arange(20_001) * 50),
                       (Link(standard(47)),), parent="pack"),
            ),
            INDEX,
        )  # fmt: skip
        assert string("Pack20000.Cell50") in space
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 2_000_000


def test_eu_range(plant: Plant, space: InstanceSpace) -> None:
    """Part 8 §6.2: a percent deadband is a share of EURange."""
    tag, level = space.resolve(plant.id("Line1.Tag007")), space.resolve(plant.id("Line1.Level"))
    assert tag is not None
    assert level is not None
    assert space.eu_range(tag) == (-10.0, 90.0)
    assert space.eu_range(level) is None


def family(key: str, names: Numbered | Named, parent: str | None) -> Family:
    root = Member("", ua.QualifiedName(key, INDEX), ua.NodeClass.Object, standard(58), standard(47), key)
    return Family(key, Blueprint(key, (root,)), names, (Link(standard(47)),), parent=parent)


@pytest.mark.parametrize(
    ("families", "told"),
    [
        ([family("b", Numbered("B", 0, np.array([0, 1])), "a")], "before its parent"),
        ([family("a", Numbered("A", 0, np.array([0, 1, 2])), None)], "3 offsets for 1 parents"),
        ([family("a", Numbered("A", 0, np.array([0, 1])), None), family("b", Numbered("A", 0, np.array([0, 1])), None)],
         "named 'A'"),
    ],
)  # fmt: skip
def test_impossible_families(families: list[Family], told: str) -> None:
    """A broken plan must fail when it is made, not as wrong values later."""
    with pytest.raises(InternalError, match=told):
        InstanceSpace(Plant(INDEX, tags=1).store, families, INDEX)
