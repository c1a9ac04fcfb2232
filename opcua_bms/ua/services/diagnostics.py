"""ServerDiagnostics (Part 5 §6.3.3): computed when somebody reads them, so that they cost nothing else."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.internal_session import SessionState
from asyncua.ua.object_ids import ObjectIds

from opcua_bms.ua.services.codes import SECURITY_CODES
from opcua_bms.ua.structures import SessionSecurityDiagnosticsDataType

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer
    from opcua_bms.ua.services.publishing import Subscription
    from opcua_bms.ua.session import Session

Ids = ObjectIds

_COUNTERS: dict[int, str] = {
    Ids.ReadRequest_Encoding_DefaultBinary: "ReadCount",
    Ids.HistoryReadRequest_Encoding_DefaultBinary: "HistoryReadCount",
    Ids.WriteRequest_Encoding_DefaultBinary: "WriteCount",
    Ids.HistoryUpdateRequest_Encoding_DefaultBinary: "HistoryUpdateCount",
    Ids.CallRequest_Encoding_DefaultBinary: "CallCount",
    Ids.CreateMonitoredItemsRequest_Encoding_DefaultBinary: "CreateMonitoredItemsCount",
    Ids.ModifyMonitoredItemsRequest_Encoding_DefaultBinary: "ModifyMonitoredItemsCount",
    Ids.SetMonitoringModeRequest_Encoding_DefaultBinary: "SetMonitoringModeCount",
    Ids.SetTriggeringRequest_Encoding_DefaultBinary: "SetTriggeringCount",
    Ids.DeleteMonitoredItemsRequest_Encoding_DefaultBinary: "DeleteMonitoredItemsCount",
    Ids.CreateSubscriptionRequest_Encoding_DefaultBinary: "CreateSubscriptionCount",
    Ids.ModifySubscriptionRequest_Encoding_DefaultBinary: "ModifySubscriptionCount",
    Ids.SetPublishingModeRequest_Encoding_DefaultBinary: "SetPublishingModeCount",
    Ids.PublishRequest_Encoding_DefaultBinary: "PublishCount",
    Ids.RepublishRequest_Encoding_DefaultBinary: "RepublishCount",
    Ids.TransferSubscriptionsRequest_Encoding_DefaultBinary: "TransferSubscriptionsCount",
    Ids.DeleteSubscriptionsRequest_Encoding_DefaultBinary: "DeleteSubscriptionsCount",
    Ids.BrowseRequest_Encoding_DefaultBinary: "BrowseCount",
    Ids.BrowseNextRequest_Encoding_DefaultBinary: "BrowseNextCount",
    Ids.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary: "TranslateBrowsePathsToNodeIdsCount",
    Ids.RegisterNodesRequest_Encoding_DefaultBinary: "RegisterNodesCount",
    Ids.UnregisterNodesRequest_Encoding_DefaultBinary: "UnregisterNodesCount",
}
"""Which counter of SessionDiagnosticsDataType counts a request"""

_REJECTED_SESSIONS = ("login_refused", "session_theft", "application_signature_invalid", "certificate_rejected")
_REJECTED_CONNECTIONS = ("connection_refused", "sessions_full")


class Diagnostics:
    """What the server counts about itself."""

    def __init__(self, iserver: InternalServer) -> None:
        self._iserver = iserver
        self.rejected_requests = 0
        self.security_rejected_requests = 0
        self._ended_sessions = 0
        self._timed_out_sessions = 0
        self._aborted_sessions = 0
        self._first_subscription = iserver.subscription_service._sub_id_counter

    def session_ended(self, timed_out: bool, aborted: bool) -> None:
        """An activated session is gone: by its client's wish, for lack of requests, or with its connection."""
        self._ended_sessions += 1
        self._timed_out_sessions += timed_out
        self._aborted_sessions += aborted

    def rejected(self, code: int) -> None:
        """A request was answered by a ServiceFault."""
        self.rejected_requests += 1
        self.security_rejected_requests += code in SECURITY_CODES

    @property
    def sessions(self) -> list[Session]:
        """Activated sessions of clients."""
        return [session for session in self._iserver.sessions if session.state is SessionState.Activated]

    @property
    def subscriptions(self) -> list[Subscription]:
        """All subscriptions."""
        return list(self._iserver.subscription_service.subscriptions.values())

    def summary(self) -> ua.ServerDiagnosticsSummaryDataType:
        """Part 5 §12.9."""
        sessions, subscriptions = self.sessions, self.subscriptions
        counters = self._iserver.gate.incidents.counters
        insecure = sum(counters[name] for name in _REJECTED_SESSIONS)
        summary = ua.ServerDiagnosticsSummaryDataType()
        summary.CurrentSessionCount = ua.UInt32(len(sessions))
        summary.CumulatedSessionCount = ua.UInt32(len(sessions) + self._ended_sessions)
        summary.SecurityRejectedSessionCount = ua.UInt32(insecure)
        summary.RejectedSessionCount = ua.UInt32(insecure + sum(counters[name] for name in _REJECTED_CONNECTIONS))
        summary.SessionTimeoutCount = ua.UInt32(self._timed_out_sessions)
        summary.SessionAbortCount = ua.UInt32(self._aborted_sessions)
        summary.CurrentSubscriptionCount = ua.UInt32(len(subscriptions))
        opened = self._iserver.subscription_service._sub_id_counter - self._first_subscription
        summary.CumulatedSubscriptionCount = ua.UInt32(opened)
        summary.PublishingIntervalCount = ua.UInt32(len({s.parameters.interval_ms for s in subscriptions}))
        summary.SecurityRejectedRequestsCount = ua.UInt32(self.security_rejected_requests)
        summary.RejectedRequestsCount = ua.UInt32(self.rejected_requests)
        return summary

    def session_array(self) -> list[ua.SessionDiagnosticsDataType]:
        """One entry per session (Part 5 §12.13)."""
        return [self.of_session(session) for session in self.sessions]

    def session(self, ident: uuid.UUID) -> Session | None:
        """The activated session of this id."""
        return next((s for s in self.sessions if s.session_id.Identifier == ident), None)

    def of_session(self, session: Session) -> ua.SessionDiagnosticsDataType:
        """Part 5 §12.13."""
        mine = self._iserver.subscription_service.of_session(session.session_id)
        entry = ua.SessionDiagnosticsDataType()
        entry.SessionId = session.session_id
        entry.SessionName = session.name if isinstance(session.name, str) else str(session.name)
        entry.ClientDescription = session.client_description or ua.ApplicationDescription()
        entry.ServerUri = self._iserver.settings.application_uri
        entry.EndpointUrl = session.endpoint_url
        entry.LocaleIds = list(session.locale_ids)
        entry.MaxResponseMessageSize = ua.UInt32(session.most_response_bytes)
        entry.UnauthorizedRequestCount = ua.UInt32(session.unauthorized)
        entry.ActualSessionTimeout = ua.Double((session.session_timeout or 0) * 1000)
        entry.ClientConnectionTime = session.connected_at
        entry.ClientLastContactTime = session.last_contact
        entry.CurrentSubscriptionsCount = ua.UInt32(len(mine))
        entry.CurrentMonitoredItemsCount = ua.UInt32(sum(len(s.items) for s in mine))
        entry.CurrentPublishRequestsInQueue = ua.UInt32(len(self._iserver.subscription_service.queue_of(session)))
        total = errors = 0
        for number, (count, failed) in session.requests.items():
            total, errors = total + count, errors + failed
            name = _COUNTERS.get(number)
            if name is not None:
                setattr(entry, name, ua.ServiceCounterDataType(ua.UInt32(count), ua.UInt32(failed)))
        entry.TotalRequestCount = ua.ServiceCounterDataType(ua.UInt32(total), ua.UInt32(errors))
        return entry

    def security_array(self) -> list[SessionSecurityDiagnosticsDataType]:
        """Who is behind each session (Part 5 §12.14)."""
        return [self.security_of(session) for session in self.sessions]

    def security_of(self, session: Any) -> SessionSecurityDiagnosticsDataType:
        """Part 5 §12.14."""
        name = session.user.name
        mechanism = "Certificate" if getattr(session.user, "certificate", "") else "UserName" if name else "Anonymous"
        return SessionSecurityDiagnosticsDataType(
            session.session_id,
            ClientUserIdOfSession=name,
            ClientUserIdHistory=list(session.user_names),
            AuthenticationMechanism=ua.String(mechanism),
            EncodingName=ua.String("UA Binary"),
            TransportProtocol=ua.String("opc.tcp"),
            SecurityMode=session.mode,
            SecurityPolicyUri=session.policy_uri,
            ClientCertificate=session.peer,
        )

    def subscription_array(self) -> list[ua.SubscriptionDiagnosticsDataType]:
        """One entry per subscription (Part 5 §12.15)."""
        return [_subscription(subscription) for subscription in self.subscriptions]

    def subscriptions_of(self, session: Session) -> list[ua.SubscriptionDiagnosticsDataType]:
        """The same for one session."""
        return [_subscription(s) for s in self._iserver.subscription_service.of_session(session.session_id)]


def _subscription(subscription: Subscription) -> ua.SubscriptionDiagnosticsDataType:
    parameters, counts, items = subscription.parameters, subscription.counts, subscription.items
    entry = ua.SubscriptionDiagnosticsDataType()
    entry.SessionId = subscription.session_id
    entry.SubscriptionId = ua.UInt32(subscription.ident)
    entry.Priority = ua.Byte(parameters.priority)
    entry.PublishingInterval = ua.Double(parameters.interval_ms)
    entry.MaxKeepAliveCount = ua.UInt32(parameters.keep_alive_count)
    entry.MaxLifetimeCount = ua.UInt32(parameters.lifetime_count)
    entry.MaxNotificationsPerPublish = ua.UInt32(parameters.max_notifications)
    entry.PublishingEnabled = subscription.enabled
    entry.UnacknowledgedMessageCount = ua.UInt32(len(subscription.unacknowledged))
    entry.MonitoredItemCount = ua.UInt32(len(items))
    entry.NextSequenceNumber = ua.UInt32(subscription.sequence)
    for name, count in (
        ("ModifyCount", counts.modified),
        ("EnableCount", counts.enabled),
        ("DisableCount", counts.disabled),
        ("RepublishRequestCount", counts.republish_requests),
        ("RepublishMessageRequestCount", counts.republish_requests),
        ("RepublishMessageCount", counts.republished),
        ("TransferRequestCount", counts.transfers),
        ("TransferredToAltClientCount", counts.to_other_client),
        ("TransferredToSameClientCount", counts.to_same_client),
        ("PublishRequestCount", subscription.sent_messages),
        ("DataChangeNotificationsCount", counts.data_changes),
        ("EventNotificationsCount", counts.events),
        ("NotificationsCount", subscription.sent_notifications),
        ("LatePublishRequestCount", counts.late),
        ("CurrentKeepAliveCount", subscription.keep_alive_count),
        ("CurrentLifetimeCount", subscription.lifetime_count),
        ("DiscardedMessageCount", subscription.unacknowledged.discarded),
        ("DisabledMonitoredItemCount", items.disabled),
        ("MonitoringQueueOverflowCount", items.overflows.values),
        ("EventQueueOverflowCount", items.overflows.events),
    ):
        setattr(entry, name, ua.UInt32(count & 0xFFFF_FFFF))
    return entry
