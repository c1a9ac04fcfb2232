"""The View service set over real sockets (Part 4 §5.9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from ua_fixture import Plant, served, standard
from wire_session import Wire, wire

from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import Limits, ServerSettings

pytestmark = pytest.mark.integration
NULL = ua.NodeId()
HIERARCHICAL, HAS_COMPONENT, HAS_PROPERTY, HAS_TYPE = standard(33), standard(47), standard(46), standard(40)
HAS_CONDITION, AGGREGATES = standard(9006), standard(44)
POINTS = 5
ALL_FIELDS = 63


@pytest.fixture(scope="module")
async def plant_server() -> AsyncIterator[tuple[UaServer, Plant]]:
    limits = Limits(nodes_per_browse=20, references_per_node=30, browse_continuation_points=POINTS,
                    nodes_per_translate=20, nodes_per_register=20)  # fmt: skip
    settings = ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", limits=limits)
    async with served(settings, tags=25) as (server, plant):
        yield server, plant


def description(node_id: ua.NodeId, **more: Any) -> ua.BrowseDescription:
    chosen: dict[str, Any] = {
        "BrowseDirection": ua.BrowseDirection.Forward,
        "ReferenceTypeId": NULL,
        "IncludeSubtypes": True,
        "NodeClassMask": 0,
        "ResultMask": ALL_FIELDS,
        **more,
    }
    return ua.BrowseDescription(NodeId=node_id, **chosen)


def request(*items: ua.BrowseDescription, most: int = 0, view: ua.NodeId = NULL) -> ua.BrowseRequest:
    params = ua.BrowseParameters()
    params.View.ViewId = view
    params.RequestedMaxReferencesPerNode = most
    params.NodesToBrowse = list(items)
    return ua.BrowseRequest(Parameters=params)


async def browse(client: Wire, *items: ua.BrowseDescription, most: int = 0) -> list[ua.BrowseResult]:
    return list((await client.request(request(*items, most=most))).Results)


async def names(client: Wire, node_id: ua.NodeId, **more: Any) -> list[str]:
    (result,) = await browse(client, description(node_id, **more))
    assert result.StatusCode.is_good()
    return [str(reference.BrowseName.Name) for reference in result.References]


async def browse_next(client: Wire, *points: bytes, release: bool = False) -> list[ua.BrowseResult]:
    response = await client.request(ua.BrowseNextRequest(Parameters=ua.BrowseNextParameters(release, list(points))))
    return list(response.Parameters.Results)


async def refused(client: Wire, what: Any) -> int:
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await client.request(what)
    return int(caught.value.code)


# ---- Browse


async def test_direction(client: Wire, plant: Plant) -> None:
    """§5.9.2.2: forward, inverse, both."""
    tag = plant.id("Line1.Tag001")
    forward = await names(client, tag)
    inverse = await names(client, tag, BrowseDirection=ua.BrowseDirection.Inverse)
    both = await names(client, tag, BrowseDirection=ua.BrowseDirection.Both)
    assert forward == ["AnalogUnitRangeType", "EURange", "Count"]
    assert inverse == ["Line1"]
    assert both == forward + inverse


async def test_reference_type_and_subtypes(client: Wire, plant: Plant) -> None:
    """§5.9.2.2: a client that asks for Aggregates wants components and properties, but only with subtypes."""
    tag = plant.id("Line1.Tag001")
    assert await names(client, tag, ReferenceTypeId=HAS_PROPERTY) == ["EURange"]
    assert await names(client, tag, ReferenceTypeId=AGGREGATES) == ["EURange", "Count"]
    assert await names(client, tag, ReferenceTypeId=AGGREGATES, IncludeSubtypes=False) == []
    assert await names(client, plant.id("Line1"), ReferenceTypeId=HAS_CONDITION) == ["High", "Low"]
    assert await names(client, plant.id("Line1.Alarms"), ReferenceTypeId=HIERARCHICAL) == ["High", "Low"]


async def test_node_class_mask(client: Wire, plant: Plant) -> None:
    """§5.9.2.2: 1 Object, 2 Variable, 4 Method, 16 VariableType."""
    line = plant.id("Line1")
    assert await names(client, line, NodeClassMask=4) == ["Reset"]
    assert set(await names(client, line, NodeClassMask=1)) == {"Alarms", "High", "Low"}
    assert await names(client, plant.id("Line1.Tag001"), NodeClassMask=16) == ["AnalogUnitRangeType"]


@pytest.mark.parametrize("mask", [0, 1, 2, 4, 8, 16, 32, 9, 63])
async def test_result_mask(client: Wire, plant: Plant, mask: int) -> None:
    """§5.9.2.2: only the fields that were asked for, others null."""
    item = description(plant.id("Line1"), ReferenceTypeId=HAS_PROPERTY, ResultMask=mask)
    (result,) = await browse(client, item)
    (reference,) = result.References
    assert reference.NodeId == plant.id("Line1.Kind")
    assert (reference.ReferenceTypeId == HAS_PROPERTY) == bool(mask & 1)
    assert reference.IsForward == bool(mask & 2)
    assert (reference.NodeClass == ua.NodeClass.Variable) == bool(mask & 4)
    assert (reference.BrowseName.Name == "Kind") == bool(mask & 8)
    assert (reference.DisplayName.Text == "Kind") == bool(mask & 16)
    assert (reference.TypeDefinition == standard(68)) == bool(mask & 32)


async def test_items_fail_one_by_one(client: Wire, plant: Plant) -> None:
    """§5.9.2.4: operation codes."""
    line = plant.id("Line1")
    results = await browse(
        client,
        description(line),
        description(plant.id("Line7")),
        description(line, ReferenceTypeId=line),
        description(line, ReferenceTypeId=standard(4711)),
        description(line, BrowseDirection=ua.BrowseDirection.Invalid),
        most=3,
    )
    assert [int(result.StatusCode.value) for result in results] == [
        0,
        StatusCodes.BadNodeIdUnknown,
        StatusCodes.BadReferenceTypeIdInvalid,
        StatusCodes.BadReferenceTypeIdInvalid,
        StatusCodes.BadBrowseDirectionInvalid,
    ]


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (request(), StatusCodes.BadNothingToDo),
        (request(*[description(standard(85))] * 21), StatusCodes.BadTooManyOperations),
        (request(description(standard(85)), view=standard(85)), StatusCodes.BadViewIdUnknown),
        (request(description(standard(85)), view=standard(4711)), StatusCodes.BadViewIdUnknown),
    ],
)
async def test_browse_refused_as_a_whole(client: Wire, what: ua.BrowseRequest, code: int) -> None:
    """§5.9.2.3: service results."""
    assert await refused(client, what) == code


# ---- BrowseNext


@pytest.mark.parametrize("most", [1, 7, 29, 0, 1000])
async def test_pages_make_up_the_whole(client: Wire, plant: Plant, most: int) -> None:
    """§5.9.3: every reference once, in pages no longer than the client asked for and the server allows."""
    pages = await browse(client, description(plant.id("Line1")), most=most)
    while pages[-1].ContinuationPoint:
        pages += await browse_next(client, pages[-1].ContinuationPoint)
    sizes = [len(page.References) for page in pages]
    assert max(sizes) <= min(most or 30, 30)
    found = [r.NodeId for page in pages for r in page.References]
    assert len(found) == len(set(found))
    assert len([n for n in found if "Tag" in str(n.Identifier)]) == 25


async def test_continuation_points_work_once_and_are_released(client: Wire, plant: Plant) -> None:
    """§7.9: a used, released or invented point is BadContinuationPointInvalid."""
    (first,) = await browse(client, description(plant.id("Line1")), most=2)
    (second,) = await browse_next(client, first.ContinuationPoint)
    assert len(second.References) == 2
    (used,) = await browse_next(client, first.ContinuationPoint)
    assert used.StatusCode.value == StatusCodes.BadContinuationPointInvalid
    released, invented = await browse_next(client, second.ContinuationPoint, b"12345678", release=True)
    assert released.StatusCode.is_good()
    assert not released.References
    assert invented.StatusCode.value == StatusCodes.BadContinuationPointInvalid
    (gone,) = await browse_next(client, second.ContinuationPoint)
    assert gone.StatusCode.value == StatusCodes.BadContinuationPointInvalid


async def test_continuation_points_are_limited(client: Wire, plant: Plant) -> None:
    """§7.9: a client that never fetches must not fill the server (MaxBrowseContinuationPoints)."""
    items = [description(plant.id("Line1"))] * (POINTS + 2)
    results = await browse(client, *items, most=1)
    codes = [int(result.StatusCode.value) for result in results]
    assert codes == [0] * POINTS + [StatusCodes.BadNoContinuationPoints] * 2
    await browse_next(client, *[result.ContinuationPoint for result in results[:POINTS]], release=True)
    (again,) = await browse(client, items[0], most=1)
    assert again.StatusCode.is_good()


async def test_continuation_points_belong_to_a_session(
    client: Wire, plant: Plant, plant_server: tuple[UaServer, Plant]
) -> None:
    """§7.9: another session's point tells nothing."""
    (first,) = await browse(client, description(plant.id("Line1")), most=2)
    async with wire(plant_server[0].endpoint_url) as other:
        (stolen,) = await browse_next(other, first.ContinuationPoint)
        assert stolen.StatusCode.value == StatusCodes.BadContinuationPointInvalid
    (mine,) = await browse_next(client, first.ContinuationPoint)
    assert mine.StatusCode.is_good()


async def test_browse_next_refused_as_a_whole(client: Wire) -> None:
    """§5.9.3.3."""
    for points, code in (([], StatusCodes.BadNothingToDo), ([b"x"] * 21, StatusCodes.BadTooManyOperations)):
        what = ua.BrowseNextRequest(Parameters=ua.BrowseNextParameters(False, points))
        assert await refused(client, what) == code


# ---- TranslateBrowsePathsToNodeIds


def path(start: ua.NodeId, *steps: Any, index: int = 2, **more: Any) -> ua.BrowsePath:
    elements = []
    for step in steps:
        name = step if isinstance(step, ua.QualifiedName) else ua.QualifiedName(step, index)
        chosen: dict[str, Any] = {"ReferenceTypeId": HIERARCHICAL, "IsInverse": False, "IncludeSubtypes": True, **more}
        elements.append(ua.RelativePathElement(TargetName=name, **chosen))
    return ua.BrowsePath(start, ua.RelativePath(elements))


async def translate(client: Wire, *paths: ua.BrowsePath) -> list[ua.BrowsePathResult]:
    parameters = ua.TranslateBrowsePathsToNodeIdsParameters(list(paths))
    response = await client.request(ua.TranslateBrowsePathsToNodeIdsRequest(Parameters=parameters))
    return list(response.Results)


async def test_translate(client: Wire, plant: Plant) -> None:
    """§5.9.4: how a client finds nodes that it knows by type."""
    objects, line = standard(85), plant.id("Line1")
    found = await translate(
        client,
        path(objects, "Line2", "Tag003", ua.QualifiedName("EURange", 0)),
        path(plant.id("Line1.Tag001"), "Line1", IsInverse=True),
        path(line, "Tag001", ReferenceTypeId=NULL),
        path(line, "High", ReferenceTypeId=HAS_CONDITION),
    )
    assert [[t.TargetId for t in result.Targets] for result in found] == [
        [plant.id("Line2.Tag003.EURange")],
        [line],
        [plant.id("Line1.Tag001")],
        [plant.id("Line1.Alarms.High")],
    ]
    assert {t.RemainingPathIndex for result in found for t in result.Targets} == {0xFFFFFFFF}


async def test_translate_failures(client: Wire, plant: Plant) -> None:
    """§5.9.4.4: operation codes."""
    line = plant.id("Line1")
    results = await translate(
        client,
        path(line, "Nothing"),
        path(line, "Tag001", ReferenceTypeId=HAS_PROPERTY),
        path(line, "Tag001", ReferenceTypeId=AGGREGATES, IncludeSubtypes=False),
        path(line, ua.QualifiedName(None, 0)),
        path(line),
        path(plant.id("Line7"), "Tag001"),
        path(line, "Tag001", ReferenceTypeId=line),
        path(line, *["Tag001"] * 33),
    )
    assert [int(result.StatusCode.value) for result in results] == [
        StatusCodes.BadNoMatch,
        StatusCodes.BadNoMatch,
        StatusCodes.BadNoMatch,
        StatusCodes.BadBrowseNameInvalid,
        StatusCodes.BadNothingToDo,
        StatusCodes.BadNodeIdUnknown,
        StatusCodes.BadReferenceTypeIdInvalid,
        StatusCodes.BadTooManyOperations,
    ]
    assert not any(result.Targets for result in results)


# ---- RegisterNodes, Cancel


async def test_register_nodes(client: Wire, plant: Plant) -> None:
    """§5.9.5: registered ids can be read; unknown ones are refused."""
    tag = plant.id("Line1.Tag001")
    response = await client.request(ua.RegisterNodesRequest(Parameters=ua.RegisterNodesParameters([tag])))
    assert response.Parameters.RegisteredNodeIds == [tag]
    await client.request(ua.UnregisterNodesRequest(Parameters=ua.UnregisterNodesParameters([tag])))
    for nodes, code in (
        ([], StatusCodes.BadNothingToDo),
        ([plant.id("Line7")], StatusCodes.BadNodeIdInvalid),
        ([tag] * 21, StatusCodes.BadTooManyOperations),
    ):
        what = ua.RegisterNodesRequest(Parameters=ua.RegisterNodesParameters(nodes))
        assert await refused(client, what) == code


async def test_cancel(client: Wire) -> None:
    """§5.7.5: a waiting Publish is given back; a request that is not there is counted as none."""
    await client.subscribe(1000.0)
    await client.next()
    waiting = client.publish()
    await browse(client, description(standard(85)))  # by its answer, the Publish request has been sent
    handle = client.client.uaclient.protocol._request_handle
    response = await client.request(ua.CancelRequest(Parameters=ua.CancelParameters(handle)))
    assert response.Parameters.CancelCount == 1
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await waiting
    assert caught.value.code == StatusCodes.BadRequestCancelledByClient
    response = await client.request(ua.CancelRequest(Parameters=ua.CancelParameters(4711)))
    assert response.Parameters.CancelCount == 0
