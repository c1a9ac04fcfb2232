"""A client whose connection breaks loses nothing: session, subscription and queues wait for it (OPC 10000-4 §6.7)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from certificate_forge import forge
from guarded_server import demo_settings, guarded_server, make_gate
from outage_rig import Heard, Teller, by_wire
from ua_requests import monitor_request, monitored, sent, subscribe_request
from ua_secure_attacker import secure_client

from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import ChannelPolicy
from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration

OUTAGE_S = 3.0
PASSWORD = "a long password"  # noqa: S105 - of the users of this test
APPLICATION = forge("application")
NOTHING = {f"{what}_{how}": 0 for what in ("values", "events") for how in ("lost", "doubled", "disordered")}


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UaServer]:
    root: Path = tmp_path_factory.mktemp("outages")
    gate = make_gate(root, demo_settings())
    assert gate.store is not None
    assert gate.users is not None
    gate.store.add("trusted", APPLICATION.certificate)
    gate.users.add("olga", PASSWORD, [Role.OPERATOR])
    async with guarded_server(gate) as running:
        yield running


async def test_nothing_is_lost_and_nothing_comes_twice(server: UaServer) -> None:
    """The session is activated on a new channel, Republish gives what was under way, the queues the rest.

    The longer run is `python -m benchmarks.outage`.
    """
    last, heard = await by_wire(server, OUTAGE_S)
    assert last > 20
    assert heard.missing(last) == NOTHING
    assert heard.republished >= 1  # something was under way when the line went silent
    assert heard.overflows == 0


async def test_what_does_not_fit_is_told(server: UaServer) -> None:
    """Queues that are too short for the outage lose the oldest, in order, and say so in both ways (§7.22, §7.21)."""
    last, heard = await by_wire(server, OUTAGE_S, queue=5)
    missing = heard.missing(last)
    assert missing["values_lost"] > 0
    assert missing["events_lost"] > 0
    assert {name: n for name, n in missing.items() if not name.endswith("lost")} == {
        name: 0 for name in NOTHING if not name.endswith("lost")
    }
    assert heard.overflows >= 2  # the Overflow bit, and EventQueueOverflowEventType
    assert heard.values[-1] == heard.events[-1] == last


async def test_a_new_session_of_the_same_user_takes_the_subscription_over(server: UaServer) -> None:
    """Where the session is lost too: TransferSubscriptions, Republish of what was not acknowledged, then the rest."""

    async def login() -> Client:
        client = await secure_client(server, APPLICATION, ChannelPolicy.AES256_SHA256_RSA_PSS)
        client.set_user("olga")
        client.set_password(PASSWORD)
        await client.connect()
        return client

    teller = Teller(server)
    await teller.tell()
    first = await login()
    number = (await sent(first, subscribe_request(lifetime=10_000))).Parameters.SubscriptionId
    await sent(first, monitor_request(number, monitored(QueueSize=ua.UInt32(1000))))
    heard = Heard()
    first_number = 0
    while not heard.values:
        await teller.tell()
        message = (await sent(first, ua.PublishRequest())).Parameters.NotificationMessage  # never acknowledged
        first_number = first_number or message.SequenceNumber
        take(heard, message)
    first.disconnect_socket()
    for _ in range(20):
        await teller.tell()
    second = await login()
    request = ua.TransferSubscriptionsRequest()
    request.Parameters.SubscriptionIds = [number]
    (moved,) = (await sent(second, request)).Parameters.Results
    assert moved.StatusCode.is_good()
    assert moved.AvailableSequenceNumbers[0] == first_number
    again = Heard()
    for available in moved.AvailableSequenceNumbers:
        republish = ua.RepublishRequest()
        republish.Parameters.SubscriptionId = number
        republish.Parameters.RetransmitSequenceNumber = available
        take(again, (await sent(second, republish)).NotificationMessage)
    assert again.values[: len(heard.values)] == heard.values
    last = await teller.end()
    while again.values[-1:] != [last]:
        take(again, (await sent(second, ua.PublishRequest())).Parameters.NotificationMessage)
    assert again.values == list(range(1, last + 1))
    await second.disconnect()


def take(heard: Heard, message: Any) -> None:
    """The numbers of a message."""
    for part in message.NotificationData or ():
        numbers = (int(item.Value.Value.Value) for item in part.MonitoredItems)
        heard.values += [number for number in numbers if number >= 1]
