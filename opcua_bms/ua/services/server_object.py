"""The Server object (Part 5 §8.3.2): what the server can do, how it is, what goes on in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.address_space import AttributeValue
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from opcua_bms.ua.services.content_filter import MAX_ELEMENTS
from opcua_bms.ua.services.diagnostics import Diagnostics
from opcua_bms.ua.services.event import SERVER, Event
from opcua_bms.ua.services.event_filter import MAX_SELECT_CLAUSES
from opcua_bms.ua.services.session_nodes import SessionNodes
from opcua_bms.ua.space.standard import constant

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer

A = AttributeIds
C = StatusCodes
T = ua.VariantType
Ids = ObjectIds

SAMPLING_MS = 1_000.0
"""how often a client may look at what changes all the time"""
_EPOCH_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_READ_WRITE = 3


class ServerObject:
    """Fills the Server object and keeps it true; time and counts are computed when they are read."""

    def __init__(self, iserver: InternalServer, diagnostics: Diagnostics) -> None:
        self._iserver = iserver
        self._diagnostics = diagnostics
        self._nodes = iserver.aspace
        self.sessions = SessionNodes(iserver.aspace, diagnostics, lambda: self.diagnostics_enabled)
        self._started = datetime.now(UTC)
        self._state = ua.ServerState.Unknown
        self._reason = ua.LocalizedText()
        self._shutdown_at: float | None = None

    # ---- once, after namespace 0 is loaded

    def fill(self) -> None:
        """Capabilities, limits, diagnostics and status."""
        self._capabilities()
        self._history_capabilities()
        self._status()
        self._diagnostics_nodes()
        self.sessions.show()
        self._set(Ids.Server_Auditing, self._iserver.settings.auditing, T.Boolean)
        self._set(Ids.Server_ServerRedundancy_RedundancySupport, ua.RedundancySupport.None_, T.Int32)
        self._set(Ids.Server_UrisVersion, int((self._started - _EPOCH_2000).total_seconds()), T.UInt32)
        self._set(Ids.OPCUANamespaceMetadata_StaticStringNodeIdPattern, "", T.String)
        zone = ua.TimeZoneDataType(ua.Int16(-time.timezone // 60), bool(time.daylight))
        self._set(Ids.Server_LocalTime, zone, T.ExtensionObject)

    def _capabilities(self) -> None:
        settings, limits = self._iserver.settings, self._iserver.limits
        c = "Server_ServerCapabilities_"
        self._set(c + "ServerProfileArray", list(settings.server_profiles), T.String, is_array=True)
        self._set(c + "LocaleIdArray", list(settings.locale_ids), T.String, is_array=True)
        self._set(c + "MinSupportedSampleRate", limits.publishing_interval_min_ms, T.Double)
        self._set(c + "MaxBrowseContinuationPoints", limits.browse_continuation_points, T.UInt16)
        self._set(c + "MaxQueryContinuationPoints", 0, T.UInt16)
        self._set(c + "MaxHistoryContinuationPoints", limits.history_continuation_points, T.UInt16)
        self._set(c + "SoftwareCertificates", [], T.ExtensionObject, is_array=True)
        units = [ua.QualifiedName(name, 0) for name in settings.conformance_units]
        self._set(c + "ConformanceUnits", units, T.QualifiedName, is_array=True)
        for name, number in (
            ("MaxArrayLength", limits.array_length),
            ("MaxStringLength", limits.string_length),
            ("MaxByteStringLength", limits.string_length),
            ("MaxSessions", limits.sessions),
            ("MaxSubscriptions", limits.subscriptions),
            ("MaxMonitoredItems", limits.monitored_items),
            ("MaxSubscriptionsPerSession", limits.subscriptions_per_session),
            ("MaxMonitoredItemsPerSubscription", limits.monitored_items_per_session),
            ("MaxSelectClauseParameters", MAX_SELECT_CLAUSES),
            ("MaxWhereClauseParameters", MAX_ELEMENTS),
            ("MaxMonitoredItemsQueueSize", limits.queue_size),
            ("OperationLimits_MaxNodesPerRead", limits.nodes_per_read),
            ("OperationLimits_MaxNodesPerWrite", limits.nodes_per_write),
            ("OperationLimits_MaxNodesPerHistoryReadData", limits.nodes_per_history_read),
            ("OperationLimits_MaxNodesPerHistoryReadEvents", limits.nodes_per_history_read),
            ("OperationLimits_MaxNodesPerHistoryUpdateData", 0),
            ("OperationLimits_MaxNodesPerHistoryUpdateEvents", 0),
            ("OperationLimits_MaxNodesPerMethodCall", limits.nodes_per_call),
            ("OperationLimits_MaxNodesPerBrowse", limits.nodes_per_browse),
            ("OperationLimits_MaxNodesPerRegisterNodes", limits.nodes_per_register),
            ("OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds", limits.nodes_per_translate),
            ("OperationLimits_MaxNodesPerNodeManagement", 0),
            ("OperationLimits_MaxMonitoredItemsPerCall", limits.monitored_items_per_call),
        ):
            self._set(c + name, number, T.UInt32)

    def _history_capabilities(self) -> None:
        """Nothing, until a history says otherwise (`announce`)."""
        h = "HistoryServerCapabilities_"
        for name in _HISTORY_FLAGS:
            self._set(h + name, False, T.Boolean)
        self._set(h + "MaxReturnDataValues", 0, T.UInt32)
        self._set(h + "MaxReturnEventValues", 0, T.UInt32)

    def announce(self, name: str, value: Any) -> None:
        """Say what a history can do: a property of HistoryServerCapabilities (Part 11 §5.4.2)."""
        vtype = T.UInt32 if name.startswith("Max") else T.Boolean
        self._set(f"HistoryServerCapabilities_{name}", value, vtype)

    def _status(self) -> None:
        s = "Server_ServerStatus"
        self._compute(s, self._server_status, T.ExtensionObject)
        self._compute(f"{s}_StartTime", lambda: self._started, T.DateTime)
        self._compute(f"{s}_CurrentTime", lambda: datetime.now(UTC), T.DateTime)
        self._compute(f"{s}_State", lambda: self._state, T.Int32)
        self._compute(f"{s}_SecondsTillShutdown", self._seconds_left, T.UInt32)
        self._compute(f"{s}_ShutdownReason", lambda: self._reason, T.LocalizedText)
        self._compute(f"{s}_BuildInfo", self._build_info, T.ExtensionObject)
        build = self._build_info()
        for name in ("ProductUri", "ManufacturerName", "ProductName", "SoftwareVersion", "BuildNumber"):
            self._set(f"{s}_BuildInfo_{name}", getattr(build, name), T.String)
        self._set(f"{s}_BuildInfo_BuildDate", build.BuildDate, T.DateTime)

    def _diagnostics_nodes(self) -> None:
        d = "Server_ServerDiagnostics_"
        diagnostics = self._diagnostics
        self._set(d + "EnabledFlag", True, T.Boolean)
        flag = self._nodes[_id(d + "EnabledFlag")].attributes
        flag[A.AccessLevel] = flag[A.UserAccessLevel] = constant(_READ_WRITE, T.Byte)
        summary = d + "ServerDiagnosticsSummary"
        self._compute(summary, diagnostics.summary, T.ExtensionObject, switched=True)
        for name in _SUMMARY:
            self._compute(f"{summary}_{name}", _field(diagnostics, name), T.UInt32, switched=True)
        sessions = d + "SessionsDiagnosticsSummary_"
        for path, read in (
            (sessions + "SessionDiagnosticsArray", diagnostics.session_array),
            (sessions + "SessionSecurityDiagnosticsArray", diagnostics.security_array),
            (d + "SubscriptionDiagnosticsArray", diagnostics.subscription_array),
        ):
            self._compute(path, read, T.ExtensionObject, is_array=True, switched=True)

    # ---- while it runs

    def started(self) -> None:
        """The server listens from now on."""
        self._started = datetime.now(UTC)
        self._state = ua.ServerState.Running

    def stopping(self, reason: str, seconds: float) -> None:
        """The server ends in `seconds`; clients see why (Part 5 §12.10)."""
        self._state = ua.ServerState.Shutdown
        self._reason = ua.LocalizedText(reason, "en") if reason else ua.LocalizedText("")
        self._shutdown_at = time.monotonic() + seconds
        text = f"The server stops: {reason}" if reason else "The server stops"
        state = {"SystemState": ua.Variant(int(self._state), T.Int32)}
        kind = _id("SystemStatusChangeEventType")
        event = Event.make(kind, SERVER, "Server/ServerStatus", text, 500, datetime.now(UTC), fields=state)
        self._iserver.subscription_service.emit(event)

    async def set_service_level(self, level: int) -> None:
        """0–255 (Part 4 §6.6.2.4.2); written, and thus told to subscribers, only when it changes."""
        node_id = _id("Server_ServiceLevel")
        current = self._nodes.read_attribute_value(node_id, A.Value).Value
        if current is None or current.Value != level:
            now: Any = datetime.now(UTC)
            value = ua.DataValue(ua.Variant(level, T.Byte), ua.StatusCode(), now, now)
            await self._nodes.write_attribute_value(node_id, A.Value, value)

    def _server_status(self) -> ua.ServerStatusDataType:
        return ua.ServerStatusDataType(
            self._started, datetime.now(UTC), self._state, self._build_info(), self._seconds_left(), self._reason
        )

    def _seconds_left(self) -> ua.UInt32:
        return ua.UInt32(0 if self._shutdown_at is None else max(0, round(self._shutdown_at - time.monotonic())))

    def _build_info(self) -> ua.BuildInfo:
        settings = self._iserver.settings
        build = settings.build
        return ua.BuildInfo(
            settings.product_uri,
            build.manufacturer_name,
            build.product_name,
            build.software_version,
            build.build_number,
            build.build_date,
        )

    # ---- nodes

    @property
    def diagnostics_enabled(self) -> bool:
        """Whether clients get diagnostics; they switch it (EnabledFlag)."""
        flag = self._nodes.read_attribute_value(_id("Server_ServerDiagnostics_EnabledFlag"), A.Value).Value
        return flag is not None and bool(flag.Value)

    def _set(self, name: str | int, value: Any, vtype: ua.VariantType, is_array: bool = False) -> None:
        started: Any = self._started
        held = constant(value, vtype, is_array)
        assert held.value is not None  # noqa: S101 - just made
        held.value.SourceTimestamp = started
        self._nodes[_id(name)].attributes[A.Value] = held

    def _compute(
        self,
        name: str,
        read: Callable[[], Any],
        vtype: ua.VariantType,
        is_array: bool = False,
        switched: bool = False,
    ) -> None:
        """Let a node's value be computed when it is read; `switched`: only while diagnostics are enabled."""

        def value(_node: ua.NodeId, _attribute: AttributeIds) -> ua.DataValue:
            if switched and not self.diagnostics_enabled:
                return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(C.BadNotReadable)))
            now: Any = datetime.now(UTC)
            return ua.DataValue(ua.Variant(read(), vtype, is_array=is_array), ua.StatusCode(), now, now)

        held = AttributeValue(ua.DataValue())
        held.value = None
        held.value_callback = value
        attributes = self._nodes[_id(name)].attributes
        attributes[A.Value] = held
        attributes[A.MinimumSamplingInterval] = constant(SAMPLING_MS, T.Double)


_HISTORY_FLAGS = (
    "AccessHistoryDataCapability",
    "AccessHistoryEventsCapability",
    "InsertDataCapability",
    "ReplaceDataCapability",
    "UpdateDataCapability",
    "DeleteRawCapability",
    "DeleteAtTimeCapability",
    "InsertEventCapability",
    "ReplaceEventCapability",
    "UpdateEventCapability",
    "DeleteEventCapability",
    "InsertAnnotationCapability",
    "ServerTimestampSupported",
)
_SUMMARY = (
    "ServerViewCount",
    "CurrentSessionCount",
    "CumulatedSessionCount",
    "SecurityRejectedSessionCount",
    "RejectedSessionCount",
    "SessionTimeoutCount",
    "SessionAbortCount",
    "PublishingIntervalCount",
    "CurrentSubscriptionCount",
    "CumulatedSubscriptionCount",
    "SecurityRejectedRequestsCount",
    "RejectedRequestsCount",
)


def _id(name: str | int) -> ua.NodeId:
    number: int = getattr(Ids, name) if isinstance(name, str) else name
    return ua.NodeId(ua.Int32(number))


def _field(diagnostics: Diagnostics, name: str) -> Callable[[], Any]:
    return lambda: getattr(diagnostics.summary(), name)
