"""node-opcua at the door: every endpoint with every way to say who one is, and what each wrong one gets."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from certificate_forge import DAY, NOW, Forged, forge, revocation_list
from cryptography.hazmat.primitives.serialization import Encoding
from guarded_server import guarded_server, make_gate

from opcua_bms.ua.security.certificates import thumbprint
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.incidents import Incidents
from opcua_bms.ua.security.pki import PkiStore
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.security.validation import ValidationRules

pytestmark = [pytest.mark.foreign, pytest.mark.integration]

Run = Callable[..., Any]
URI = "urn:test:client"
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
ENDPOINTS = tuple(product(POLICIES, ("Sign", "SignAndEncrypt")))
PASSWORD = "a long password"  # noqa: S105 - of the users of this test
PAST, FUTURE = {"start": NOW - 9 * DAY, "end": NOW - DAY}, {"start": NOW + DAY}
ROOT, LISTLESS, UNKNOWN = (forge(name, authority=True) for name in ("root", "root without list", "unknown root"))
HIDDEN = "BadSecurityChecksFailed"
"""until the trust list has passed, nothing else is told (OPC 10000-4 §6.1.3)"""
TRUST, COMPLETE, ANEW = "certs trust ", "add its authority's certificate", "make the certificate anew"


@dataclass(frozen=True)
class Shown:
    """A certificate, what it gets, the words of the log line's hint, and whether the trust list has it itself."""

    forged: Forged
    gets: str = "in"
    hint: str = ""
    listed: bool = True


def kinds(name: str, hidden: str, told: dict[str, str]) -> dict[str, Shown]:
    """Certificates of every kind; `hidden`, `told`: the codes of refusals before and after the trust list."""

    def make(kind: str, **options: Any) -> Forged:
        return forge(f"{name} {kind}", uri=URI, **options)

    issued = make("issued", issuer=ROOT)
    return {
        "self-signed": Shown(make("self-signed")),
        "issued": Shown(issued, listed=False),
        "issued, no list": Shown(make("issued without list", issuer=LISTLESS), listed=False),
        "unlisted": Shown(make("unlisted"), hidden, TRUST, listed=False),
        "self-signed for issued": Shown(forge(f"{name} issued", uri=URI, bits=3072), hidden, TRUST, listed=False),
        "unknown authority": Shown(make("orphan", issuer=UNKNOWN), hidden, COMPLETE, listed=False),
        "expired": Shown(make("expired", **PAST), told["time"], "set the clocks"),
        "early": Shown(make("early", **FUTURE), told["time"], "set the clocks"),
        "weak": Shown(make("weak", bits=1024), hidden, ANEW),
        "revoked": Shown(make("revoked", issuer=ROOT), told["revoked"], "its authority has revoked it", listed=False),
    }


APPLICATIONS = kinds("app", HIDDEN, {"time": "BadCertificateTimeInvalid", "revoked": "BadCertificateRevoked"})
_REJECTED = "BadIdentityTokenRejected"
PEOPLE = kinds("person", _REJECTED, {"time": _REJECTED, "revoked": _REJECTED})
OTHER_URI = Shown(forge("another uri", uri="urn:test:another"), "BadCertificateUriInvalid", "ApplicationUri")


def fill(store: PkiStore, shown: dict[str, Shown]) -> None:
    """Trust the authorities and what is listed; one authority has a revocation list."""
    store.create_folders()
    for forged in (ROOT, LISTLESS, *(s.forged for s in shown.values() if s.listed)):
        store.add("trusted", forged.certificate)
    crl = revocation_list(ROOT, shown["revoked"].forged).public_bytes(Encoding.DER)
    (store.root / "trusted/crl/root.crl").write_bytes(crl)


def gate_of(root: Path, settings: SecuritySettings) -> Gate:
    """Everybody of this test; each refusal gets its line, however many there are."""
    gate = make_gate(root, settings)
    assert gate.store is not None
    assert gate.user_store is not None
    assert gate.users is not None
    gate.incidents = gate.authenticator._incidents = Incidents(gate.clock, period_s=0.0)
    fill(gate.store, APPLICATIONS)
    gate.store.add("trusted", OTHER_URI.forged.certificate)
    fill(gate.user_store, PEOPLE)
    for number in range(len(ENDPOINTS)):
        gate.users.add(f"olga{number}", PASSWORD, [Role.OPERATOR])
    for number, shown in enumerate(PEOPLE.values()):
        gate.users.add(f"paul{number}", None, [Role.OBSERVER])
        gate.users.bind_certificate(f"paul{number}", shown.forged.certificate)
    return gate


class Files:
    """Certificates and keys as node-opcua reads them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, dict[str, str]] = {}

    def of(self, forged: Forged) -> dict[str, str]:
        """The paths of one certificate."""
        name = thumbprint(forged.certificate)
        if name not in self._made:
            paths = {kind: self._folder / f"{name}.{kind}" for kind in ("certificate", "key", "der")}
            paths["certificate"].write_bytes(forged.certificate.public_bytes(Encoding.PEM))
            paths["key"].write_bytes(forged.key_pem)
            paths["der"].write_bytes(forged.der)
            self._made[name] = {kind: str(path) for kind, path in paths.items()}
        return self._made[name]


@dataclass(frozen=True)
class Case:
    """One attempt: `line` are the fields of the log line that it must leave."""

    policy: str
    mode: str
    application: Shown
    user: dict[str, str]
    gets: str
    line: tuple[str, str, str] | None
    uri: str | None = None

    def plan(self, files: Files) -> dict[str, Any]:
        """What node-opcua is told."""
        application = files.of(self.application.forged)
        return {"policy": self.policy, "mode": self.mode, "application": application, "user": self.user} | (
            {"uri": self.uri} if self.uri else {}
        )


def matrix(files: Files) -> list[Case]:
    """Every endpoint × application × way to log in, and with the right application every wrong user."""
    found = []
    good = APPLICATIONS["self-signed"]
    for number, (policy, mode) in enumerate(ENDPOINTS):
        ways: tuple[dict[str, str], ...] = (
            {},
            {"name": f"olga{number}", "password": PASSWORD},
            files.of(PEOPLE["self-signed"].forged),
        )
        for application, user in product(APPLICATIONS.values(), ways):
            line = None if application.gets == "in" else certificate_line("certificate_rejected", application)
            found.append(Case(policy, mode, application, user, application.gets, line))
        for user in ways:
            line = certificate_line("certificate_rejected", OTHER_URI)
            found.append(Case(policy, mode, OTHER_URI, user, OTHER_URI.gets, line, URI))
        for person in PEOPLE.values():
            line = None if person.gets == "in" else certificate_line("user_certificate_rejected", person)
            found.append(Case(policy, mode, good, files.of(person.forged), person.gets, line))
        for name in (f"olga{number}", f"nobody{number}"):
            user = {"name": name, "password": "guessed wrong"}
            line = ("login_refused", name, f"set a password for {name!r}, or add the user")
            found.append(Case(policy, mode, good, user, "BadUserAccessDenied", line))
    return found


def certificate_line(event: str, shown: Shown) -> tuple[str, str, str]:
    """Event, thumbprint and hint."""
    return event, thumbprint(shown.forged.certificate), shown.hint


async def attempts(node: Run, gate: Gate, cases: list[Case], files: Files, folder: Path) -> list[str]:
    """What each case gets, from one run of node-opcua."""
    certificate, plan = folder / "server.der", folder / "cases.json"
    certificate.write_bytes(gate.certificate_der or b"")
    plan.write_text(json.dumps({"cases": [case.plan(files) for case in cases], "serverCertificate": str(certificate)}))
    async with guarded_server(gate) as server:
        pki = str(folder / "client-pki")
        results: list[str] = await asyncio.to_thread(
            node, "logins.mjs", server.endpoint_url, str(plan), pki, timeout=300
        )
    return results


async def test_the_matrix(node: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Only the valid enter; each other one gets the code that it may know, and leaves a line that says what to do."""
    files = Files(tmp_path)
    cases = matrix(files)
    settings = SecuritySettings(
        anonymous=True,
        anonymous_roles=frozenset({Role.OBSERVER}),
        trust_hint=lambda name: f"certs trust {name}",
        user_trust_hint=lambda name: f"certs trust --users {name}",
    )
    gate = gate_of(tmp_path / "server", settings)
    with caplog.at_level(logging.WARNING, "opcua_bms.ua.security"):
        results = await attempts(node, gate, cases, files, tmp_path)
    wrong = [(case, result) for case, result in zip(cases, results, strict=True) if result != case.gets]
    assert wrong == []
    assert results.count("in") == len(ENDPOINTS) * (3 * 3 + 3)
    assert gate.incidents.counters["request_failed"] == 0
    lines = [vars(record) for record in caplog.records]
    told = {(line["msg"], line.get("thumbprint") or line.get("user")): line.get("hint", "") for line in lines}
    for case in cases:
        if case.line is not None:
            event, subject, hint = case.line
            assert hint in told[event, subject], case
    refused = {case.line[1] for case in cases if case.line is not None}
    entered = {subject for _, subject in told} - refused - {None}
    assert entered == set()  # nobody who came in is told of


async def test_authorities_must_have_a_list_where_that_is_asked(
    node: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a revocation list is required, an authority without one vouches for nobody; anonymous users stay out."""
    files = Files(tmp_path)
    user = {"name": "olga0", "password": PASSWORD}
    known, listless = APPLICATIONS["issued"], APPLICATIONS["issued, no list"]
    hint = "current revocation list"
    line = ("certificate_rejected", thumbprint(listless.forged.certificate), hint)
    cases = [
        Case(*ENDPOINTS[0], known, user, "in", None),
        Case(*ENDPOINTS[0], APPLICATIONS["self-signed"], user, "in", None),
        Case(*ENDPOINTS[0], listless, user, "BadCertificateRevocationUnknown", line),
        Case(*ENDPOINTS[0], known, {}, "", None),
    ]
    settings = SecuritySettings(validation=ValidationRules(require_revocation_list=True))
    gate = gate_of(tmp_path / "server", settings)
    with caplog.at_level(logging.WARNING, "opcua_bms.ua.security"):
        results = await attempts(node, gate, cases, files, tmp_path)
    assert results[:3] == [case.gets for case in cases[:3]]
    assert results[3] != "in"  # node-opcua itself refuses: no endpoint announces anonymous users
    (told,) = [vars(r) for r in caplog.records if r.getMessage() == "certificate_rejected"]
    assert told["thumbprint"] == line[1]
    assert hint in told["hint"]


def test_the_impostor_shares_the_name() -> None:
    """A self-signed certificate in the name of one that an authority has issued, with a key of its own."""
    issued, forged = APPLICATIONS["issued"].forged, APPLICATIONS["self-signed for issued"].forged
    assert issued.certificate.subject == forged.certificate.subject
    assert issued.key != forged.key
    assert forged.certificate.issuer != issued.certificate.issuer
