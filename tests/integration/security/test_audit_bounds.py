"""What a client without rights may make the server write to its audit trail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from asyncua import ua
from guarded_server import demo_settings, guarded_server, make_gate
from ua_attacker import RawClient
from ua_requests import METHOD, VALUE, node, write_request

from opcua_bms.ua.security.audit import AuditRecord

pytestmark = pytest.mark.integration

LONG = "x" * 10_000
NUMBERS = ua.Variant([0.5] * 2_500, ua.VariantType.Double)


async def test_long_names_and_values_stay_short_in_the_trail(tmp_path: Path) -> None:
    """Sixty refused requests a minute of four megabytes each would fill a disk in a day.

    The text of half a million numbers would hold the event loop, and events would keep them in memory.
    """
    gate = make_gate(tmp_path, demo_settings())
    gate.trail.path = path = tmp_path / "audit.jsonl"
    kept: list[AuditRecord] = []
    write = write_request(1.0, node(LONG, 2))
    write.Parameters.NodesToWrite[0].IndexRange = LONG
    write.Parameters.NodesToWrite[0].Value = ua.DataValue(NUMBERS)
    call = ua.CallRequest()
    call.Parameters.MethodsToCall = [
        ua.CallMethodRequest(VALUE, METHOD, [ua.Variant(LONG)]),
        ua.CallMethodRequest(node(LONG, 2), node(LONG, 2), [NUMBERS]),
    ]
    async with guarded_server(gate) as server:
        client = await RawClient.login(server.port)
        gate.trail.listeners.append(kept.append)
        for request in (write, call):
            request.RequestHeader.AuditEntryId = LONG
            answer = await client.ask(request, 20.0)
            assert not any(_good(result) for result in answer.Results)
        await client.close()
    lines = path.read_bytes().splitlines()  # stopping writes what waits
    assert {json.loads(line)["event"] for line in lines} >= {"write", "method"}
    assert max(map(len, lines)) < 7_000
    assert len(kept) >= 3
    assert all(len(repr(record)) < 9_000 for record in kept)


def _good(result: ua.StatusCode | ua.CallMethodResult) -> bool:
    code = result.StatusCode if isinstance(result, ua.CallMethodResult) else result
    return code is None or code.is_good()
