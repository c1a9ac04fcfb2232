"""An OPC UA client for the verbs that ask a running server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from asyncua import ua
from asyncua.client import Client
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError

from opcua_bms.errors import PermissionDeniedError, UnreachableError, UsageError
from opcua_bms.infomodel.flat import Entry, Found, count_numbered, document, paths
from opcua_bms.infomodel.paths import ROOT, name_of
from opcua_bms.infomodel.types import NAMESPACE_URI
from opcua_bms.model.layout import Scope
from opcua_bms.ua.security.certificates import load_certificates, thumbprint

BATCH = 500
_RETRY_S = 0.2
_PATIENCE_S = 10.0
"""How long a busy server may leave a question unanswered before the session is given up."""
_SCAN_COUNTER = f"{ROOT}.Diagnostics.ScanCounter"
_OVERRIDES = f"{ROOT}.Overrides"
_REFUSED = {
    StatusCodes.BadNodeIdUnknown: "there is no such point; opcua-bms tags lists them",
    StatusCodes.BadNotSupported: "no device gives this value itself: name a measured point that it is made of",
    StatusCodes.BadOutOfRange: "the value is outside of the point's range, or the comment is too long",
    StatusCodes.BadTypeMismatch: "the point takes a number of another type",
    StatusCodes.BadNothingToDo: "it is not overridden",
    StatusCodes.BadResourceUnavailable: "the server cannot write it to its disk; nothing has changed",
}


@dataclass(frozen=True, slots=True)
class Login:
    """A user on an encrypted channel; the certificate and key are the client's own."""

    user: str
    password: str
    certificate: Path
    key: Path
    application_uri: str


@asynccontextmanager
async def connected(endpoint: str, wait_s: float, login: Login | None = None) -> AsyncIterator[Client]:
    """A session, without security unless there is a login; tries again until `wait_s` have passed.

    UnreachableError: nobody answers, or nobody lets us in.
    """
    deadline = time.monotonic() + wait_s
    while True:
        client = Client(endpoint, timeout=max(1.0, wait_s), watchdog_intervall=_PATIENCE_S)
        try:
            if login is not None:
                client.application_uri = login.application_uri
                client.set_user(login.user)
                client.set_password(login.password)
                await client.set_security(SecurityPolicyBasic256Sha256, login.certificate, login.key)
            await client.connect()
            break
        except (OSError, TimeoutError, ConnectionError) as error:
            if time.monotonic() >= deadline:
                raise UnreachableError(f"{endpoint} does not answer: {_why(error)}") from None
        except UaError as error:
            raise UnreachableError(f"{endpoint} does not let us in: {_refusal(error, login)}") from None
        await asyncio.sleep(_RETRY_S)
    try:
        yield client
    finally:
        await client.disconnect()


def _why(error: Exception) -> str:
    """What the system's error means to a person."""
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there, the server may not be running"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _refusal(error: UaError, login: Login | None) -> str:
    """Why a server that answers refuses, and what mends it."""
    code = getattr(error, "code", 0)
    if login is None:
        return f"{error}; a server with security wants --user NAME, one of: opcua-bms users list"
    if code in (StatusCodes.BadSecurityChecksFailed, StatusCodes.BadCertificateUntrusted):
        name = thumbprint(load_certificates(login.certificate.read_bytes())[0])
        return f"it does not trust this client's certificate yet; where it runs: opcua-bms certs trust {name}"
    if code in (StatusCodes.BadUserAccessDenied, StatusCodes.BadIdentityTokenRejected):
        return f"name or password of '{login.user}' is wrong"
    return f"{error}; its log says why"


async def flat(endpoint: str, wait_s: float, login: Login | None = None) -> dict[str, Entry]:
    """The user's flat document of a running server, after its first complete scan."""
    deadline = time.monotonic() + wait_s
    async with connected(endpoint, wait_s, login) as client:
        site = await site_index(client)
        while not await _scanned(client, site):
            if time.monotonic() >= deadline:
                raise UnreachableError(f"{endpoint} has no complete scan yet; more time: --wait")
            await asyncio.sleep(_RETRY_S)
        clusters = await cluster_counts(client, site)
        found = await read(client, site, paths(clusters))
        return document(clusters, lambda path: found[path])


async def overrides(endpoint: str, wait_s: float, login: Login | None) -> list[dict[str, str]]:
    """What engineers have forced or disabled: point, kind, value, user, time (UTC), comment."""
    async with connected(endpoint, wait_s, login) as client:
        names = ("Points", "Kinds", "Values", "Users", "Times", "Comments")
        found = await read(client, await site_index(client), [f"{_OVERRIDES}.{name}" for name in names])
        lists = [value if isinstance(value, list) else [] for value, _ in found.values()]
        keys = ("point", "kind", "value", "user", "time", "comment")
        rows = [dict(zip(keys, row, strict=True)) for row in zip(*lists, strict=True)]
        return [row | {"time": row["time"].isoformat(timespec="seconds") + "Z"} for row in rows]


async def override(
    endpoint: str,
    wait_s: float,
    login: Login | None,
    method: str,
    point: str | None,
    value: float | int | None,
    comment: str,
) -> list[object]:
    """Call a Method of the server's Overrides; its output. UsageError, PermissionDeniedError: it refuses."""
    async with connected(endpoint, wait_s, login) as client:
        site = await site_index(client)
        arguments = [] if point is None else [ua.Variant(node_id(point, site), ua.VariantType.NodeId)]
        if isinstance(value, int):
            arguments.append(ua.Variant(value, ua.VariantType.UInt64 if value >= 0 else ua.VariantType.Int64))
        elif value is not None:
            arguments.append(ua.Variant(value, ua.VariantType.Double))
        request = ua.CallMethodRequest()
        request.ObjectId, request.MethodId = node_id(_OVERRIDES, site), node_id(f"{_OVERRIDES}.{method}", site)
        request.InputArguments = [*arguments, ua.Variant(comment, ua.VariantType.String)]
        (result,) = await client.uaclient.call([request])
        code = result.StatusCode.value if result.StatusCode is not None else 0
        if code == StatusCodes.BadUserAccessDenied:
            raise PermissionDeniedError("only a user with the role Engineer may do this; log in with --user")
        if code & 0x8000_0000:
            raise UsageError(f"{point or method}: {_REFUSED.get(code) or result.StatusCode.name}")
        return [one.Value for one in result.OutputArguments or []]


async def read(client: Client, site: int, wanted: Sequence[str]) -> dict[str, Found]:
    """(value, StatusCode) of nodes of the site by the texts of their NodeIds."""
    out: dict[str, Found] = {}
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        rows = await client.uaclient.read_attributes([node_id(p, site) for p in batch], AttributeIds.Value)
        for path, row in zip(batch, rows, strict=True):
            value = row.Value.Value if row.Value is not None else None
            status = row.StatusCode.value if row.StatusCode is not None else 0
            out[path] = (_plain(value), status)
    return out


def node_id(path: str, site: int) -> ua.NodeId:
    return ua.NodeId(ua.String(path), ua.Int16(site))


def _plain(value: object) -> object:
    """Texts as str, so that the flat document needs no OPC UA types."""
    if isinstance(value, list):
        return [item.Text or "" if isinstance(item, ua.LocalizedText) else item for item in value]
    return value


async def site_index(client: Client) -> int:
    """The namespace of the plant's own nodes: that of the BMS object."""
    uris = await client.get_namespace_array()
    if NAMESPACE_URI not in uris:
        raise UnreachableError("the server that answers there is no opcua-bms")
    for child in await client.nodes.objects.get_children():
        if child.nodeid.Identifier == ROOT:
            return int(child.nodeid.NamespaceIndex)
    raise UnreachableError("the server has no BMS object; a client without rights does not see it")


async def _scanned(client: Client, site: int) -> bool:
    found = await read(client, site, [_SCAN_COUNTER])
    value, status = found[_SCAN_COUNTER]
    return not status and isinstance(value, int) and value > 0


async def cluster_counts(client: Client, site: int) -> list[int]:
    """Clusters of each stack."""
    stacks = count_numbered(await _names(client, node_id(ROOT, site)), Scope.STACK)
    nodes = [node_id(f"{ROOT}.{name_of(Scope.STACK, s)}", site) for s in range(1, stacks + 1)]
    return [count_numbered(await _names(client, node), Scope.CLUSTER) for node in nodes]


async def _names(client: Client, node: ua.NodeId) -> list[str]:
    return [r.BrowseName.Name or "" for r in await client.get_node(node).get_children_descriptions()]
