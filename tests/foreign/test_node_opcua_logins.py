"""node-opcua at the door: every endpoint with every way to say who one is, and what each wrong one gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from certificate_forge import DAY, NOW, Forged, forge, revocation_list
from cryptography.hazmat.primitives.serialization import Encoding
from ua_attacker import guarded_server, make_gate

from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.server import UaServer

pytestmark = [pytest.mark.foreign, pytest.mark.integration]

URI = "urn:test:client"
ROOT = forge("root", authority=True)
REVOKED = forge("revoked", issuer=ROOT, uri=URI)
APPLICATIONS = {
    "trusted": forge("trusted", uri=URI),
    "below": forge("below", issuer=ROOT, uri=URI),
    "untrusted": forge("untrusted", uri=URI),
    "expired": forge("expired", uri=URI, start=NOW - 9 * DAY, end=NOW - DAY),
    "revoked": REVOKED,
}
PEOPLE = {"person": forge("person"), "stranger": forge("unknown person")}
PASSWORD = "a long password"  # noqa: S105 - of the users of this test
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
MODES = ("Sign", "SignAndEncrypt")
Run = Callable[..., Any]


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UaServer]:
    root: Path = tmp_path_factory.mktemp("door")
    gate = make_gate(root, SecuritySettings())
    assert gate.store is not None
    assert gate.user_store is not None
    assert gate.users is not None
    for name in ("trusted", "expired"):
        gate.store.add("trusted", APPLICATIONS[name].certificate)
    gate.store.add("trusted", ROOT.certificate)
    (root / "pki/trusted/crl/root.crl").write_bytes(revocation_list(ROOT, REVOKED).public_bytes(Encoding.DER))
    gate.users.add("olga", PASSWORD, [Role.OPERATOR])
    gate.users.add("paul", None, [Role.OBSERVER])
    gate.users.bind_certificate("paul", PEOPLE["person"].certificate)
    gate.user_store.add("trusted", PEOPLE["person"].certificate)
    async with guarded_server(gate) as running:
        yield running


def files(root: Path, forged: Forged) -> dict[str, str]:
    """A certificate and its key as node-opcua reads them."""
    name = forged.certificate.subject.rfc4514_string().replace("=", "_").replace(" ", "_")
    certificate, key = root / f"{name}.pem", root / f"{name}.key.pem"
    certificate.write_bytes(forged.certificate.public_bytes(Encoding.PEM))
    key.write_bytes(forged.key_pem)
    plain = root / f"{name}.der"
    plain.write_bytes(forged.der)
    return {"certificate": str(certificate), "key": str(key), "der": str(plain)}


async def test_the_matrix(server: UaServer, node: Run, tmp_path: Path) -> None:
    """Only the valid combinations enter; each other one is told why, or nothing at all before it is trusted."""
    users: dict[str, tuple[dict[str, str], str]] = {
        "password": ({"name": "olga", "password": PASSWORD}, "in"),
        "person": (files(tmp_path, PEOPLE["person"]), "in"),
        "wrong": ({"name": "olga", "password": "guessed wrong"}, "BadUserAccessDenied"),
        "nobody": ({"name": "nobody", "password": PASSWORD}, "BadUserAccessDenied"),
        "stranger": (files(tmp_path, PEOPLE["stranger"]), "BadIdentityTokenRejected"),
        "anonymous": ({}, ""),
    }
    applications = {name: files(tmp_path, forged) for name, forged in APPLICATIONS.items()}
    wanted, cases = [], []
    for policy in POLICIES:
        for mode in MODES:
            for user in ("password", "person"):
                cases.append(
                    {"policy": policy, "mode": mode, "application": applications["trusted"], "user": users[user][0]}
                )
                wanted.append("in")
    for user in ("wrong", "nobody", "stranger", "anonymous"):
        cases.append(
            {"policy": POLICIES[2], "mode": MODES[1], "application": applications["trusted"], "user": users[user][0]}
        )
        wanted.append(users[user][1])
    for application, answer in (("below", "in"), ("untrusted", ""), ("expired", ""), ("revoked", "")):
        cases.append(
            {
                "policy": POLICIES[0],
                "mode": MODES[1],
                "application": applications[application],
                "user": users["password"][0],
            }
        )
        wanted.append(answer)
    plan = tmp_path / "cases.json"
    plan.write_text(json.dumps(cases))
    results = await asyncio.to_thread(node, "logins.mjs", server.endpoint_url, str(plan), str(tmp_path / "client-pki"))
    for case, answer, result in zip(cases, wanted, results, strict=True):
        assert (result == answer) if answer else (result != "in"), (case, result)
    counters = server.iserver.gate.incidents.counters
    assert counters["certificate_rejected"] >= 3
    assert counters["request_failed"] == 0
