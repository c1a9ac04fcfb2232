"""The fast lane over real sockets: what it serves, and what it leaves to the guarded way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from ua_fixture import Plant, served, standard
from wire_session import Wire

from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration
TAGS = 999


@pytest.fixture(scope="module")
async def plant_server() -> AsyncIterator[tuple[UaServer, Plant]]:
    async with served(tags=TAGS, lines=3) as (server, plant):
        plant.commit()
        yield server, plant


def request(plant: Plant, count: int, *more: ua.NodeId) -> ua.ReadRequest:
    ids = [plant.id(f"Line{1 + k // TAGS}.Tag{1 + k % TAGS:03d}") for k in range(count)]
    items = [ua.ReadValueId(NodeId=node_id, AttributeId=AttributeIds.Value) for node_id in (*ids, *more)]
    return ua.ReadRequest(Parameters=ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, items))


@pytest.mark.parametrize("count", [1, 4, 5, 1000, 2900])
async def test_answers_of_every_size(client: Wire, plant: Plant, count: int) -> None:
    """One value, a few, several chunks in both directions; each time the values of the latest commit."""
    for _ in range(3):
        plant.commit()
        results = (await client.request(request(plant, count))).Results
        expected = plant.store.values[3 : 3 + count].astype("f4").tolist()
        assert [result.Value.Value for result in results] == expected
        assert {result.Value.VariantType for result in results} == {ua.VariantType.Float}


async def test_real_nodes_are_read_along(client: Wire, plant: Plant) -> None:
    """A request may mix bulk nodes with any other."""
    plant.commit()
    state = standard(ObjectIds.Server_ServerStatus_State)
    for _ in range(3):
        results = (await client.request(request(plant, 9, state, plant.id("Nothing")))).Results
        assert [int(r.StatusCode.value) for r in results] == [0] * 10 + [StatusCodes.BadNodeIdUnknown]
        assert results[9].Value.Value == ua.ServerState.Running


async def test_lane_and_service_interleave(client: Wire, plant: Plant) -> None:
    """Sequence numbers of both ways are one series; a client that checks them would drop the connection."""
    browse = ua.BrowseParameters()
    browse.NodesToBrowse = [ua.BrowseDescription(NodeId=plant.id("Line1.Tag001"), ResultMask=63)]
    pending = []
    for _ in range(20):
        pending.append(client.send(request(plant, 3)))
        pending.append(client.send(ua.BrowseRequest(Parameters=browse)))
        pending.append(client.send(request(plant, 1500)))
    answers = await asyncio.gather(*pending)
    assert len(answers) == 60
    assert all(len(answer.Results) == 3 for answer in answers[::3])


async def test_another_token_is_refused(client: Wire, plant: Plant) -> None:
    """Part 4 §7.32: a request must carry the token of the session; the lane compares it before all else."""
    await client.request(request(plant, 1))
    protocol = client.client.uaclient.protocol
    own = protocol.authentication_token
    protocol.authentication_token = ua.NodeId(ua.ByteString(bytes(32)), ua.Int16(0), ua.NodeIdType.ByteString)
    try:
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await client.request(request(plant, 1))
    finally:
        protocol.authentication_token = own
    assert caught.value.code == StatusCodes.BadSessionIdInvalid
    assert (await client.request(request(plant, 1))).Results[0].StatusCode.is_good()


async def test_a_closed_session_is_not_served(client: Wire, plant: Plant) -> None:
    """A plan that outlives its session must not answer for it."""
    await client.request(request(plant, 1))
    await client.client.uaclient.close_session(True)
    with pytest.raises((ua.UaStatusCodeError, ConnectionError)):
        await client.request(request(plant, 1))


async def test_reads_keep_the_session_alive(client: Wire, server: UaServer, plant: Plant) -> None:
    """Part 4 §5.7.2: a client that only reads must not time out."""
    (session,) = [s for s in server.iserver.sessions if s.is_activated() and s.last_contact is not None][-1:]
    before: Any = session._last_activity
    await asyncio.sleep(0.02)
    await client.request(request(plant, 1))
    assert session._last_activity > before
    assert session.requests[ObjectIds.ReadRequest_Encoding_DefaultBinary][0] >= 1
