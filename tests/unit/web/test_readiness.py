"""/readyz: what a load balancer and a container's health check go by."""

from __future__ import annotations

import httpx
from web_rig import FakeAround, Web

from opcua_bms.web.app import Parts, build


async def test_values_that_stand_still_are_not_ready() -> None:
    """They look good for ever otherwise; the reason saves the first question."""
    web = Web()
    web.publish()
    around = FakeAround()
    app = build(Parts(web.site, web.hub, web.clock, web, web.logins, around, None, {"plant.local"}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://plant.local") as client:
        assert (await client.get("/readyz")).text == "ok\n"
        around.reason = "the last scan is 12 s old, one is due every 1 s"
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "the last scan is 12 s old, one is due every 1 s\n")
        assert (await client.get("/healthz")).status_code == 200, "the loop lives"
