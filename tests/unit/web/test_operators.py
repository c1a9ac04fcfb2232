"""Who may look, who may answer alarms, and how a login ends."""

from __future__ import annotations

import httpx
import pytest
import structlog
from alarm_plant import Plant
from web_rig import Web

from opcua_bms.model.alarm import Command, Result

CELL = "BMS.Stack1.Cluster02.Alarms.CellVoltage"


def overvoltage() -> Plant:
    plant = Plant()
    plant.set("cluster.max_cell_voltage", 3.70, 1)
    plant.place("max_cell_voltage", 2, 5, 1)
    plant.scans(20)
    assert plant.of(CELL).active
    return plant


async def login(client: httpx.AsyncClient, name: str) -> str:
    answer = await client.post("/api/session", json={"user": name, "password": f"right-{name}"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["csrf"])


async def test_an_operator_acknowledges_and_shelves() -> None:
    """The point of the page's logins: the engine gets the command, the user's name and the comment."""
    web = Web(overvoltage())
    web.publish()
    async with web.client() as client:
        rows = {row["id"]: row for row in (await client.get("/api/alarms")).json()}
        row = rows[CELL]
        assert (row["active"], row["acked"], row["value"], row["place"]) == (
            True,
            False,
            3.7,
            "Cluster02 Pack02 Cell05",
        )
        headers = {"x-csrf-token": await login(client, "ops")}
        body = {"id": CELL, "command": "Acknowledge", "event": row["event"], "comment": "seen"}
        assert (await client.post("/api/alarms", json=body, headers=headers)).json() == {"result": "good"}
        state = web.plant.of(CELL)
        assert (state.acked, state.client_user, state.comment) == (True, "ops", "seen")
        again = await client.post("/api/alarms", json=body, headers=headers)
        assert again.status_code == 409
        assert again.json()["error"]
        told = [(user, address, o.command, o.comment, result) for user, address, o, result in web.trail]
        assert told == [
            ("ops", "127.0.0.1", Command.ACKNOWLEDGE, "seen", Result.GOOD),
            ("ops", "127.0.0.1", Command.ACKNOWLEDGE, "seen", Result.ALREADY_ACKED),
        ]
        shelve = {"id": CELL, "command": "TimedShelve", "minutes": 15}
        assert (await client.post("/api/alarms", json=shelve, headers=headers)).status_code == 200
        rows = {row["id"]: row for row in (await client.get("/api/alarms")).json()}
        assert rows[CELL]["shelved"] == "timed"
        assert rows[CELL]["unshelve_at"] == web.plant.now_ns // 1_000_000 + 900_000


async def test_nobody_else_may() -> None:
    """Without a login, without the token, without the role, after the user is gone: nothing changes."""
    web = Web(overvoltage())
    web.publish()
    body = {"id": CELL, "command": "Acknowledge", "event": web.plant.of(CELL).event_id.hex()}
    async with web.client() as client:
        assert (await client.post("/api/alarms", json=body)).status_code == 401
        csrf = await login(client, "ops")
        assert (await client.post("/api/alarms", json=body)).status_code == 403
        assert (
            await client.post("/api/alarms", json=body, headers={"x-csrf-token": "x" * len(csrf)})
        ).status_code == 403
        assert (await client.delete("/api/session")).status_code == 403, "nor does another site log anybody out"
        del web.logins.people["ops"]
        assert (await client.post("/api/alarms", json=body, headers={"x-csrf-token": csrf})).status_code == 401
    async with web.client() as client:
        headers = {"x-csrf-token": await login(client, "eve")}
        answer = await client.post("/api/alarms", json=body, headers=headers)
        assert (answer.status_code, "eve may look" in answer.text) == (403, True)
    assert [(user, result) for user, _, _, result in web.trail] == [("eve", None)]
    assert not web.plant.of(CELL).acked


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"id": "BMS.Nothing"}, 404),
        ({"command": "Disable"}, 400),
        ({"command": "Suppress"}, 400),
        ({"event": "zz"}, 400),
        ({"event": 7}, 400),
        ({"comment": ["x"]}, 400),
        ({"comment": "x" * 1001}, 400),
        ({"command": "TimedShelve", "minutes": "soon"}, 400),
        ({"command": "TimedShelve", "minutes": -1}, 400),
        ({"command": "TimedShelve", "minutes": 1e9}, 400),
        ({"event": "00" * 16}, 409),
    ],
)
async def test_nonsense_is_refused(change: dict[str, object], status: int) -> None:
    """What comes over the network is checked before the engine sees it."""
    web = Web(overvoltage())
    before = web.plant.state
    async with web.client() as client:
        headers = {"x-csrf-token": await login(client, "ops")}
        body = {"id": CELL, "command": "Acknowledge", "event": web.plant.of(CELL).event_id.hex()} | change
        assert (await client.post("/api/alarms", json=body, headers=headers)).status_code == status
    assert web.plant.state.conditions == before.conditions


async def test_the_cookie_is_for_our_page_alone() -> None:
    """A script or another site that gets at the cookie is the operator."""
    async with Web().client() as client:
        answer = await client.post("/api/session", json={"user": "ops", "password": "right-ops"})
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/" in cookie
        assert "secure" not in cookie, "over http on loopback it would never come back"
        first = answer.cookies["opcua_bms"]
        again = await client.post("/api/session", json={"user": "ops", "password": "right-ops"})
        assert again.cookies["opcua_bms"] != first, "a token from before the login is never taken over"
        client.cookies.set("opcua_bms", first)
        assert (await client.get("/api/session")).json()["user"] is None
    async with Web(encrypted=True).client() as client:
        answer = await client.post("/api/session", json={"user": "ops", "password": "right-ops"})
        assert "secure" in answer.headers["set-cookie"].lower()


async def test_passwords_travel_encrypted_or_not_at_all() -> None:
    """From another machine over http anybody on the way reads them."""
    async with Web(address="192.0.2.7").client() as client:
        answer = await client.post("/api/session", json={"user": "ops", "password": "right-ops"})
        assert answer.status_code == 403
        assert (await client.get("/api/plant")).status_code == 200, "to look is free"
    async with Web(address="192.0.2.7", encrypted=True).client() as client:
        assert (await client.post("/api/session", json={"user": "ops", "password": "right-ops"})).status_code == 200


async def test_guessing_is_slowed_down() -> None:
    """The answer says how long to wait."""
    async with Web().client() as client:
        for _ in range(3):
            answer = await client.post("/api/session", json={"user": "ops", "password": "guess-guess"})
            assert answer.status_code == 401
        answer = await client.post("/api/session", json={"user": "ops", "password": "right-ops"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "31")


async def test_logout_and_time_end_a_session() -> None:
    """And the server knows, not only the browser."""
    web = Web()
    async with web.client() as client:
        csrf = await login(client, "ops")
        token = client.cookies["opcua_bms"]
        assert (await client.get("/api/session")).json()["operates"] is True
        assert (await client.delete("/api/session", headers={"x-csrf-token": csrf})).status_code == 200
        client.cookies.set("opcua_bms", token)
        assert (await client.get("/api/session")).json()["user"] is None
        await login(client, "ops")
        web.clock.now_s += 3 * 3600
        assert (await client.get("/api/session")).json()["user"] is None


async def test_the_status_names_people_only_to_people() -> None:
    """Who is connected from where is nothing for whoever comes by."""
    web = Web()
    web.publish()
    async with web.client() as client:
        anonymous = (await client.get("/api/status")).json()
        assert {"part": "Disk", "level": "bad", "text": "full", "fix": "make room"} in anonymous
        assert not any(f["part"] == "OPC UA client" for f in anonymous)
        await login(client, "eve")
        assert any(f["part"] == "OPC UA client" for f in (await client.get("/api/status")).json())


def test_every_command_of_the_page_is_one_of_the_engine() -> None:
    """Enabling and suppressing stay an engineer's, over OPC UA."""
    from opcua_bms.web.operate import COMMANDS

    assert set(COMMANDS).isdisjoint({Command.ENABLE, Command.DISABLE, Command.SUPPRESS, Command.REMOVE_FROM_SERVICE})


async def test_guesses_with_many_names_write_few_lines() -> None:
    """A made-up name for each guess passes the brake on guessing; it must not fill the disk with log lines too."""
    with structlog.testing.capture_logs() as lines:
        async with Web().client() as client:
            for number in range(3):
                body = {"user": f"name{number}", "password": "guess-guess"}
                assert (await client.post("/api/session", json=body)).status_code == 401
    (line,) = [entry for entry in lines if entry["event"] == "web_login_refused"]
    assert (line["user"], line["suppressed"]) == ("name0", 0)
