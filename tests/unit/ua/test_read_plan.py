"""The encoded answers of the read plan say the same as the generic path."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.crypto.permission_rules import User
from asyncua.server.address_space import NodeData
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st
from ua_fixture import Plant, standard

from opcua_bms.ua.internal_server import InternalServer
from opcua_bms.ua.services.read_plan import ReadPlanner
from opcua_bms.ua.services.read_request import parse
from opcua_bms.ua.settings import Limits, ServerSettings
from opcua_bms.ua.space.instances import InstanceSpace
from opcua_bms.ua.wiring import DEFAULT

TAGS = 12
USER = User()
OBJECTS = standard(85)
GOOD, UNCERTAIN, BAD = 0, 0x40A40000, 0x80050000
PATHS = [
    *(f"Line{line}.Tag{tag:03d}" for line in (1, 2) for tag in range(1, 7)),
    *(f"Line1.Tag{tag:03d}.Count" for tag in range(1, 5)),
    "Line1.Level",
    "Line2.Mode",
    "Line3.Mode.Bit3",
    "Line1.Mode.Bit3",
    "Line1.Kind",
    "Line2.Total",
    "Line1.Levels",
    "Line2.LevelsQuality",
    "Line1.Tag002.EURange",
    "Line9.Level",
    "Line1.Tag013",
    "Line1",
]


class Bench:
    """Both paths over one store; no address space is loaded and nothing listens."""

    def __init__(self, access: Any = None, limits: Limits | None = None) -> None:
        more = {} if access is None else {"access": access}
        self.iserver = InternalServer(ServerSettings(limits=limits or Limits(), **more), DEFAULT)
        self.plant = Plant(2, TAGS)
        self.iserver.aspace[OBJECTS] = NodeData(OBJECTS)
        space = InstanceSpace(self.plant.store, self.plant.families, 2)
        self.iserver.aspace.attach(space)
        self.planner = ReadPlanner(self.iserver, self.plant.store, space)

    def request(self, *items: tuple[str, int, str], times: int = 2) -> ua.ReadParameters:
        nodes = [
            ua.ReadValueId(NodeId=self.plant.id(path), AttributeId=attribute, IndexRange=index_range or None)
            for path, attribute, index_range in items
        ]
        return ua.ReadParameters(MaxAge=0.0, TimestampsToReturn=ua.TimestampsToReturn(times), NodesToRead=nodes)

    def planned(self, params: ua.ReadParameters) -> list[Any] | None:
        answer = self.planner.answer(struct_to_binary(params), USER)
        if answer is None:
            return None
        response = ua.ReadResponse()
        head = struct_to_binary(response)[:-8]
        results: list[Any] = struct_from_binary(ua.ReadResponse, Buffer(head + answer)).Results
        return results

    def generic(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        return [
            struct_from_binary(ua.DataValue, Buffer(struct_to_binary(value)))
            for value in self.iserver.attribute_service.read(params, USER)
        ]


def told(value: ua.DataValue, timed: bool) -> Any:
    """What a client learns; the time of reading is not compared where that is the timestamp."""
    number = value.Value.Value if value.Value is not None else None
    same = ("nan",) if isinstance(number, float) and math.isnan(number) else number
    same = [("nan",) if isinstance(x, float) and math.isnan(x) else x for x in same] if isinstance(same, list) else same
    stamps = (value.SourceTimestamp, value.ServerTimestamp)
    return (
        same,
        value.Value.VariantType if value.Value is not None else None,
        value.Value.is_array if value.Value is not None else None,
        value.StatusCode.value if value.StatusCode is not None else 0,
        stamps if timed else [stamp is None for stamp in stamps],
    )


NUMBERS = [0.0, -0.5, 1.0, 7.25, 65535.0, 65536.0, 1e39, 3.5e9, math.nan, math.inf, -math.inf]
CODES = [UNCERTAIN, BAD, 0x80320000]
item = st.tuples(
    st.sampled_from(PATHS),
    st.sampled_from([13, 13, 13, 13, 13, 13, 4, 3, 17, 0, 99]),
    st.sampled_from(["", "", "", "", "0", "1:3", "90", "x"]),
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@settings(max_examples=120, deadline=None)
@given(
    items=st.lists(item, min_size=1, max_size=30),
    times=st.integers(0, 3),
    seed=st.integers(0, 10_000),
    bad_share=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    ticks_missing=st.booleans(),
)
def test_plan_equals_generic(
    bench: Bench, items: list[tuple[str, int, str]], times: int, seed: int, bad_share: float, ticks_missing: bool
) -> None:
    """Without this, a client could read something else through the fast lane than through the service."""
    plant, store = bench.plant, bench.plant.store
    random = np.random.default_rng(seed)
    params = bench.request(*items, times=times)
    for _ in range(3):  # a plan is kept from the second time on: the third answer comes from it
        status = np.where(random.random(plant.size) < bad_share, random.choice(CODES, plant.size), GOOD)
        plant.commit(
            random.choice(NUMBERS, store.n_numbers),
            status,
            random.integers(0, 2**64, plant.lines, np.uint64),
            random.integers(0, 255, plant.size),
        )
        if ticks_missing:
            assert isinstance(store.source_ticks, np.ndarray)
            store.source_ticks[::3] = 0
        planned, generic = bench.planned(params), bench.generic(params)
        assert planned is not None
        assert len(planned) == len(generic)
        for (path, attribute, _), fast, slow in zip(items, planned, generic, strict=True):
            timed = attribute == 13 and path not in ("Line1.Kind", "Line2.Total", "Line1.Tag002.EURange")
            timed = timed and not ticks_missing  # the service gives the server's time for a missing source time
            assert told(fast, timed)[:4] == told(slow, timed)[:4], path
            if timed:
                assert told(fast, timed)[4] == told(slow, timed)[4], path


def test_bad_carries_no_value(bench: Bench) -> None:
    """Part 4 §7.11: a client must not take the last value of a dead device for a measurement."""
    bench.plant.commit(status=[BAD] * bench.plant.size)
    for count in (1, 9):
        values = bench.planned(bench.request(*[("Line1.Tag001", 13, "")] * count))
        assert values is not None
        assert all(v.Value is None or v.Value.Value is None for v in values)
        assert {v.StatusCode.value for v in values} == {BAD}


def test_before_the_first_commit_everything_waits() -> None:
    """Zeros before the first scan would be false measurements."""
    values = Bench().planned(
        Bench().request(("Line1.Tag001", 13, ""), ("Line1.Levels", 13, ""), ("Line1.Mode", 13, ""))
    )
    assert values is not None
    assert [v.StatusCode.value for v in values] == [0x80320000] * 3


def test_plans_are_bounded(bench: Bench) -> None:
    """A client that never repeats a request must not fill the memory."""
    for number in range(ReadPlanner.MOST_PLANS + 50):
        for _ in range(2):
            bench.planned(bench.request((f"Line1.Tag{number:03d}", 13, "")))
    assert len(bench.planner._plans) == ReadPlanner.MOST_PLANS
    assert bench.planner._held <= ReadPlanner.MOST_BYTES


def test_a_request_that_comes_once_leaves_no_plan() -> None:
    """A crawl asks for every node once; keeping plans of that would push out those that are used."""
    bench = Bench()
    for number in range(1, 5):
        bench.planned(bench.request((f"Line1.Tag{number:03d}", 13, "")))
    assert not bench.planner._plans


def test_plans_belong_to_rights() -> None:
    """A plan made for an operator must not answer a guest who may not read."""

    class Named:
        """Only alice reads."""

        def rights_key(self, user: User) -> str | None:
            return user.name

        def user_access_level(self, user: User, node_id: ua.NodeId, access_level: int) -> int:  # noqa: ARG002
            return access_level if user.name == "alice" else 0

        def user_executable(self, user: User, method_id: ua.NodeId, object_id: ua.NodeId | None) -> bool:  # noqa: ARG002
            return False

        def may_browse(self, user: User, node_id: ua.NodeId) -> bool:  # noqa: ARG002
            return True

        def may_read_role_permissions(self, user: User, node_id: ua.NodeId) -> bool:  # noqa: ARG002
            return False

        def role_permissions(self, node_id: ua.NodeId) -> None:  # noqa: ARG002
            return None

        def user_role_permissions(self, user: User, node_id: ua.NodeId) -> None:  # noqa: ARG002
            return None

    bench = Bench(access=Named())
    bench.plant.commit()
    request = struct_to_binary(bench.request(("Line1.Tag001", 13, "")))
    names = ("alice", "alice", "bob", "bob", "alice", "bob")
    answers = [bench.planner.answer(request, User(name=name)) for name in names]
    values: list[Any] = [struct_from_binary(ua.DataValue, Buffer(a[4:-4])) for a in answers if a is not None]
    codes = [value.StatusCode.value for value in values]
    assert codes == [0 if name == "alice" else ua.StatusCodes.BadUserAccessDenied for name in names]


@pytest.mark.parametrize("cut", range(0, 49, 6))
def test_broken_requests_are_left_to_the_decoder(bench: Bench, cut: int) -> None:
    """A truncated request must be answered by the service, which knows the right error, not crash the lane."""
    data = struct_to_binary(bench.request(("Line1.Tag001", 13, "")))
    request = parse(data[:cut], 10)
    if request is not None:
        with pytest.raises(ValueError, match=r"as usual|left over"):
            list(request.items)
    assert bench.planner.answer(data[:cut], USER) is None


def test_too_many_items_are_left_to_the_service() -> None:
    """OperationLimits hold in the fast lane too."""
    bench = Bench(limits=Limits(nodes_per_read=2))
    assert bench.planned(bench.request(*[("Line1.Tag001", 13, "")] * 3)) is None
    assert bench.planned(bench.request(*[("Line1.Tag001", 13, "")] * 2)) is not None
