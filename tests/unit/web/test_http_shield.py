"""Headers of every answer, and requests that are not meant for us."""

from __future__ import annotations

import pytest
from web_rig import Web

PATHS = ("/", "/js/main.js", "/api/plant", "/api/nothing", "/healthz", "/metrics", "/api/snapshot", "/../app.py")


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_carries_the_security_headers(path: str) -> None:
    """One route without them is the one that is framed, sniffed or scripted."""
    async with Web().client() as client:
        answer = await client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] in ("no-store", "no-cache")
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("plant.local", 200),
        ("PLANT.local:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
async def test_only_our_names_are_answered(host: str, status: int) -> None:
    """A foreign site that points its name at us (DNS rebinding) could read the plant through a visitor's browser."""
    async with Web().client() as client:
        assert (await client.get("/healthz", headers={"host": host})).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-length": "20000"}, 413),
        ({"origin": "http://127.0.0.1"}, 401),
        ({}, 401),
    ],
)
async def test_what_changes_something_comes_from_our_page(headers: dict[str, str], status: int) -> None:
    """Another site must not log in, or acknowledge, with a visitor's cookie."""
    async with Web().client() as client:
        body = {"user": "ops", "password": "wrong-password"}
        assert (await client.post("/api/session", json=body, headers=headers)).status_code == status


async def test_a_form_of_another_site_is_no_login() -> None:
    """A plain form can be sent across sites; JSON cannot without asking first."""
    async with Web().client() as client:
        answer = await client.post("/api/session", data={"user": "ops", "password": "right-ops"})
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers
