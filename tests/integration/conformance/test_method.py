"""The Method service set over real sockets (Part 4 §5.12)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from ua_fixture import Plant, served, standard
from wire_session import Wire, wire

from opcua_bms.ua.server import UaServer
from opcua_bms.ua.session import caller
from opcua_bms.ua.settings import Limits, ServerSettings

pytestmark = pytest.mark.integration
T = ua.VariantType


class Machine:
    """A type with a method, an instance of it, and what was called."""

    type_id: ua.NodeId
    declaration: ua.NodeId
    instance: ua.NodeId
    instance_method: ua.NodeId
    locked: ua.NodeId

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def start(self, object_id: ua.NodeId, speed: ua.Variant, names: ua.Variant) -> Any:
        session = caller()
        self.calls.append((object_id, speed.Value, names.Value, session is not None and session.external))
        if speed.Value > 100:
            raise ua.UaStatusCodeError(StatusCodes.BadOutOfRange)  # type: ignore[no-untyped-call]  # untyped there
        if speed.Value < 0:
            raise ValueError("a handler's own mistake")
        return [ua.Variant(speed.Value * 2, T.Double)]

    def plain(self, object_id: ua.NodeId) -> ua.StatusCode:
        self.calls.append((object_id, caller() is not None))
        return ua.StatusCode(ua.UInt32(StatusCodes.GoodNoData))

    async def reset(self, object_id: ua.NodeId) -> None:
        self.calls.append((object_id,))


@pytest.fixture(scope="module")
async def made() -> AsyncIterator[tuple[UaServer, Plant, Machine]]:
    settings = ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", limits=Limits(nodes_per_call=3))
    async with served(settings, tags=3) as (server, plant):
        machine = Machine()
        ns, nodes = plant.index, server.server.nodes
        kind = await nodes.base_object_type.add_object_type(plant.id("MachineType"), f"{ns}:MachineType")
        arguments = [
            ua.Argument("Speed", standard(11), -1, [], ua.LocalizedText("rpm")),
            ua.Argument("Names", standard(12), 1, [0], ua.LocalizedText()),
        ]
        results = [ua.Argument("Twice", standard(11), -1, [], ua.LocalizedText())]
        method = await kind.add_method(plant.id("MachineType.Start"), f"{ns}:Start", None, arguments, results)
        await method.add_reference(standard(78), standard(37))
        plain = await kind.add_method(plant.id("MachineType.Plain"), f"{ns}:Plain", None, [], [])
        await plain.add_reference(standard(78), standard(37))
        instance = await nodes.objects.add_object(plant.id("Machine"), f"{ns}:Machine", kind.nodeid)
        machine.type_id, machine.declaration, machine.instance = kind.nodeid, method.nodeid, instance.nodeid
        machine.instance_method = (await instance.get_child(f"{ns}:Start")).nodeid
        locked = await instance.add_method(plant.id("Machine.Locked"), f"{ns}:Locked", None, [], [])
        await locked.write_attribute(AttributeIds.Executable, ua.DataValue(ua.Variant(False, T.Boolean)))
        machine.locked = locked.nodeid
        await instance.add_method(plant.id("Machine.Unbound"), f"{ns}:Unbound", None, [], [])
        server.bind_method(method.nodeid, machine.start)
        server.bind_method(plain.nodeid, machine.plain)
        server.iserver.method_service.bind_member("line", "Reset", machine.reset)
        yield server, plant, machine


@pytest.fixture
async def client(made: tuple[UaServer, Plant, Machine]) -> AsyncIterator[Wire]:
    async with wire(made[0].endpoint_url) as session:
        yield session


@pytest.fixture
def plant(made: tuple[UaServer, Plant, Machine]) -> Plant:
    return made[1]


@pytest.fixture
def machine(made: tuple[UaServer, Plant, Machine]) -> Machine:
    made[2].calls.clear()
    return made[2]


SPEED, NAMES = ua.Variant(21.0, T.Double), ua.Variant(["a", "b"], T.String)


async def test_one_handler_serves_type_and_instance(client: Wire, machine: Machine) -> None:
    """§5.12.2.2: MethodId may be the type's method or the instance's own; both mean the same."""
    for method in (machine.declaration, machine.instance_method):
        result = await client.call(machine.instance, method, SPEED, NAMES)
        assert result.StatusCode.is_good()
        assert result.OutputArguments == [ua.Variant(42.0, T.Double)]
        assert not result.InputArgumentResults
    assert machine.calls == [(machine.instance, 21.0, ["a", "b"], True)] * 2


async def test_handler_of_a_family(client: Wire, plant: Plant, machine: Machine) -> None:
    """A method of lazy instances is bound once for all of them."""
    for line in ("Line1", "Line3"):
        result = await client.call(plant.id(line), plant.id(f"{line}.Reset"))
        assert result.StatusCode.is_good()
    assert machine.calls == [(plant.id("Line1"),), (plant.id("Line3"),)]


async def test_a_plain_function_is_called_too(client: Wire, plant: Plant, machine: Machine) -> None:
    """Outside of the event loop, and still knowing its caller."""
    result = await client.call(machine.instance, plant.id("MachineType.Plain"))
    assert result.StatusCode.value == StatusCodes.GoodNoData
    assert machine.calls == [(machine.instance, True)]


@pytest.mark.parametrize(
    ("arguments", "code", "results"),
    [
        ((), StatusCodes.BadArgumentsMissing, []),
        ((SPEED,), StatusCodes.BadArgumentsMissing, []),
        ((SPEED, NAMES, NAMES), StatusCodes.BadTooManyArguments, []),
        ((ua.Variant(1, T.Int32), NAMES), StatusCodes.BadInvalidArgument, [StatusCodes.BadTypeMismatch, 0]),
        ((SPEED, ua.Variant("a", T.String)), StatusCodes.BadInvalidArgument, [0, StatusCodes.BadTypeMismatch]),
        ((ua.Variant([1.0], T.Double), ua.Variant(1, T.Int32)), StatusCodes.BadInvalidArgument,
         [StatusCodes.BadTypeMismatch] * 2),
    ],
)  # fmt: skip
async def test_arguments_are_checked(
    client: Wire, machine: Machine, arguments: tuple[ua.Variant, ...], code: int, results: list[int]
) -> None:
    """§5.12.2.4: number and types, each argument told apart; the handler is not reached."""
    result = await client.call(machine.instance, machine.declaration, *arguments)
    assert result.StatusCode.value == code
    assert [int(c.value) for c in result.InputArgumentResults] == results
    assert machine.calls == []


@pytest.mark.parametrize(("speed", "code"), [(101.0, StatusCodes.BadOutOfRange), (-1.0, StatusCodes.BadInternalError)])
async def test_what_a_handler_raises(client: Wire, machine: Machine, speed: float, code: int) -> None:
    """A StatusCode is the answer; a mistake of ours is BadInternalError and ends nothing."""
    result = await client.call(machine.instance, machine.declaration, ua.Variant(speed, T.Double), NAMES)
    assert result.StatusCode.value == code
    assert not result.OutputArguments


async def test_method_must_belong_to_the_object(client: Wire, plant: Plant, machine: Machine) -> None:
    """§5.12.2.4: a right on one object must not be a right on all."""
    acknowledge, shelve = standard(9111), standard(2949)
    for object_id, method_id, code in (
        (plant.id("Line1"), machine.declaration, StatusCodes.BadMethodInvalid),
        (plant.id("Line1"), plant.id("Line2.Reset"), StatusCodes.BadMethodInvalid),
        (machine.instance, plant.id("Line1.Reset"), StatusCodes.BadMethodInvalid),
        (machine.instance, acknowledge, StatusCodes.BadMethodInvalid),
        (machine.instance, shelve, StatusCodes.BadMethodInvalid),
        (machine.instance, machine.instance, StatusCodes.BadMethodInvalid),
        (machine.instance, plant.id("Nothing"), StatusCodes.BadMethodInvalid),
        (plant.id("Line7"), plant.id("Line1.Reset"), StatusCodes.BadNodeIdUnknown),
        (machine.instance, machine.locked, StatusCodes.BadNotExecutable),
        (machine.instance, plant.id("Machine.Unbound"), StatusCodes.BadNotImplemented),
    ):
        result = await client.call(object_id, method_id)
        assert result.StatusCode.value == code, (object_id, method_id)
    assert machine.calls == []


async def test_calls_fail_one_by_one(client: Wire, plant: Plant, machine: Machine) -> None:
    """§5.12.2.2: one failed call does not stop the others."""
    good = ua.CallMethodRequest(plant.id("Line1"), plant.id("Line1.Reset"), [])
    bad = ua.CallMethodRequest(plant.id("Line1"), machine.declaration, [])
    response = await client.request(ua.CallRequest(Parameters=ua.CallParameters([bad, good])))
    assert [int(r.StatusCode.value) for r in response.Results] == [StatusCodes.BadMethodInvalid, 0]
    for calls, code in (([], StatusCodes.BadNothingToDo), ([good] * 4, StatusCodes.BadTooManyOperations)):
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await client.request(ua.CallRequest(Parameters=ua.CallParameters(calls)))
        assert caught.value.code == code
