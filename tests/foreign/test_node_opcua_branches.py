"""node-opcua's alarm client against a plant that keeps unanswered activations as branches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from asyncua import ua
from condition_plant import PCS, STUCK, served

from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.settings import ServerSettings

pytestmark = [pytest.mark.foreign, pytest.mark.integration]
STEPS = ("TFTT", "FTTT", "TFTT", "TFTT", "TTFT", "TTFT", "TTTF", "TTTT", "FTTF")
"""Raised; cleared; its branch; raised again; branch and condition acknowledged; both confirmed; cleared."""
ANSWERS = {2: "acknowledgeCondition", 3: "acknowledgeCondition", 4: "confirmCondition", 5: "confirmCondition"}


def written(node: ua.NodeId) -> str:
    """As node-opcua writes it."""
    return f"ns={node.NamespaceIndex};s={node.Identifier!s}"


async def test_a_branch_is_answered_like_a_condition(node: Callable[..., Any]) -> None:
    """Without it an independent client cannot answer an activation that is over (Part 9 B.1.3)."""
    roles = frozenset({Role.OPERATOR, Role.ENGINEER})
    gate = Gate(SecuritySettings(policies=(), none_sessions=True, anonymous=True, anonymous_roles=roles))
    async with served(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", gate=gate), branches=True) as (s, plant):
        notifiers = ["i=2253", written(s.names.node("BMS.Stack1.Cluster01"))]
        condition = written(s.names.node(STUCK))
        plant.fault(PCS, True)
        arguments = (s.endpoint_url, condition, "AlarmConditionType", json.dumps(ANSWERS), str(len(STEPS)))
        script = asyncio.create_task(asyncio.to_thread(node, "conditions.mjs", *arguments, *notifiers))
        script.add_done_callback(lambda _: plant.operated.set())

        async def until(reached: Callable[[], bool]) -> None:
            async with asyncio.timeout(60):
                while not (script.done() or reached()):
                    await plant.operated.wait()
                    plant.operated.clear()

        await until(lambda: plant.of(PCS).comment == "ready")
        for on in (True, False, True):
            plant.fault(STUCK, on)
        await until(lambda: plant.of(STUCK).acked and plant.of(STUCK).confirmed and not plant.of(STUCK).branches)
        plant.fault(STUCK, False)
        found = await script
    lists = found["lists"]
    assert [row["state"] for row in lists[notifiers[0]]] == list(STEPS)
    assert lists[notifiers[0]] == lists[notifiers[1]]
    assert found["calls"][1:] == [f"{answer} Good" for answer in ANSWERS.values()]
