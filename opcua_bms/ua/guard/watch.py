"""What a running server does about its own certificate, and what it shows of its security to administrators."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AttributeValue
from asyncua.ua.attribute_ids import AttributeIds

from opcua_bms.errors import OpcuaBmsError
from opcua_bms.ua.guard.endpoints import use_certificate
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.services.event import Event

WARN_DAYS = 60.0
LOOK_S = 5.0
_TELL_AGAIN_S = 86_400.0
_SERVER = ua.NodeId(ua.Int32(2253))
_SYSTEM_EVENT = ua.NodeId(ua.Int32(2130))
_NAMESPACE = 1
"""the server's own, named by its ApplicationUri"""


class CertificateWatch:
    """Warns before the own certificate expires, and takes a renewed one from the store without a restart."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._gate: Gate = server.iserver.gate
        self._told_at = -_TELL_AGAIN_S
        self._stamp = self._stamp_of_file()

    async def run(self) -> None:
        """Look every LOOK_S until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look at the store and at the calendar."""
        stamp = await asyncio.to_thread(self._stamp_of_file)
        if stamp != self._stamp and stamp is not None:
            await self._reload(stamp)
        days = self._gate.days_left()
        now = self._gate.clock.monotonic()
        if days is not None and days < WARN_DAYS and now - self._told_at >= _TELL_AGAIN_S:
            self._told_at = now
            self._warn(days)

    def _stamp_of_file(self) -> int | None:
        try:
            return self._gate.store.certificate_path.stat().st_mtime_ns if self._gate.store is not None else None
        except OSError:
            return None

    async def _reload(self, stamp: int) -> None:
        store = self._gate.store
        if store is None:
            return
        try:
            certificate, key = await asyncio.to_thread(store.load_own)
        except OpcuaBmsError as error:  # the other file is being written, or they do not belong together: look again
            self._gate.incidents.notice("own_certificate_unusable", reason=error)
            return
        self._stamp = stamp
        self._told_at = -_TELL_AGAIN_S
        if certificate != self._gate.certificate:
            use_certificate(self._server, certificate, key)
            self._gate.incidents.notice("own_certificate_renewed")

    def _warn(self, days: float) -> None:
        text = (
            f"The server's certificate expires in {days:.0f} days" if days >= 0 else "The server's certificate expired"
        )
        hint = self._gate.settings.renew_hint
        self._gate.incidents.notice("certificate_expires", days_left=round(days, 1), hint=hint)
        at = datetime.datetime.fromtimestamp(self._gate.clock.utc_ns() / 1e9, datetime.UTC)
        severity = 800 if days < 7 else 400
        event = Event.make(_SYSTEM_EVENT, _SERVER, "Server/Certificate", f"{text}. {hint}".strip(), severity, at)
        self._server.iserver.subscription_service.emit(event)


async def show_security(server: Any) -> None:
    """`Server.Security`: days that the own certificate has left, and how often what was refused; for SecurityAdmin."""
    gate: Gate = server.iserver.gate
    v = ua.VariantType
    folder = await server.nodes.server.add_object(ua.NodeId("Security", _NAMESPACE), f"{_NAMESPACE}:Security")  # type: ignore[arg-type]  # a plain number is one
    shown: list[tuple[str, ua.VariantType, int, Callable[[], Any]]] = [
        ("CertificateDaysLeft", v.Double, -1, gate.days_left),
        ("IncidentNames", v.String, 1, lambda: sorted(gate.incidents.counters)),
        ("IncidentCounts", v.UInt64, 1, lambda: [gate.incidents.counters[n] for n in sorted(gate.incidents.counters)]),
        ("AuditRecordsLeftOut", v.UInt64, -1, lambda: gate.trail.left_out),
    ]
    p = ua.PermissionType
    for name, vtype, rank, read in shown:
        node_id = ua.NodeId(f"Security.{name}", _NAMESPACE)  # type: ignore[arg-type]  # as above
        initial = ua.Variant([] if rank == 1 else 0, vtype, is_array=rank == 1)
        await folder.add_variable(node_id, f"{_NAMESPACE}:{name}", initial)
        attributes = server.iserver.aspace[node_id].attributes
        attributes[AttributeIds.Value] = _computed(read, vtype, rank)
        attributes[AttributeIds.ValueRank].value.Value = ua.Variant(rank, v.Int32)
        gate.rules.restrict(node_id, {Role.SECURITY_ADMIN: p.Browse | p.Read | p.ReadRolePermissions})


def _computed(read: Callable[[], Any], vtype: ua.VariantType, rank: int) -> AttributeValue:
    def value(_node: ua.NodeId, _attribute: AttributeIds) -> ua.DataValue:
        now: Any = datetime.datetime.now(datetime.UTC)
        return ua.DataValue(ua.Variant(read(), vtype, is_array=rank == 1), ua.StatusCode(), now, now)

    held = AttributeValue(ua.DataValue())
    held.value = None
    held.value_callback = value
    return held
