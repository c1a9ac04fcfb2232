"""The services of a server, all of them ours: asyncua's InternalServer with every service attribute rebuilt.

Extension points: `settings.access` (roles), `settings.limits`, `wiring` (classes), `attach` (bulk values).
What other parts find here: `limits`, `access`, `space` (None until attached), `store` (None until attached).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from asyncua import ua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer as BaseInternalServer
from asyncua.server.internal_server import ServerDesc
from asyncua.ua.object_ids import ObjectIds

from opcua_bms.ua.security.gate import open_gate
from opcua_bms.ua.security.roles import AccessRules, Role
from opcua_bms.ua.services.diagnostics import Diagnostics
from opcua_bms.ua.services.history_access import HistoryAccess
from opcua_bms.ua.services.read_plan import ReadPlanner
from opcua_bms.ua.services.server_object import ServerObject
from opcua_bms.ua.settings import ServerSettings
from opcua_bms.ua.space.instances import InstanceSpace
from opcua_bms.ua.space.nodes import AddressSpace, NodeManagement
from opcua_bms.ua.store import ValueStore
from opcua_bms.ua.turns import Turns

if TYPE_CHECKING:
    from opcua_bms.ua.services.attribute import Attributes
    from opcua_bms.ua.services.method import Methods
    from opcua_bms.ua.services.subscription import Subscriptions
    from opcua_bms.ua.services.view import Views
    from opcua_bms.ua.session import Session
    from opcua_bms.ua.wiring import Wiring


_WHO_IS_WHO = ua.NodeId(
    ua.Int32(ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray)
)
"""Who is logged in from where is for security administrators only (Part 5 §6.3.4)."""
_BROWSE, _READ = ua.PermissionType.Browse, ua.PermissionType.Read | ua.PermissionType.ReadRolePermissions
_ONLY_SECURITY_ADMIN = {role: _BROWSE | (_READ if role is Role.SECURITY_ADMIN else _BROWSE) for role in Role}


class InternalServer(BaseInternalServer):
    """One per UaServer; made before the address space is loaded."""

    aspace: AddressSpace
    attribute_service: Attributes
    view_service: Views
    method_service: Methods
    subscription_service: Subscriptions
    node_mgt_service: NodeManagement

    def __init__(self, settings: ServerSettings, wiring: Wiring) -> None:
        super().__init__(settings.user_manager)
        self.settings = settings
        self.wiring = wiring
        self.limits = settings.limits
        self.turns = Turns()
        self.gate = settings.gate or open_gate()
        self.access = settings.access if settings.gate is None else self.gate.rules
        if isinstance(self.access, AccessRules):
            self.access.restrict(_WHO_IS_WHO, _ONLY_SECURITY_ADMIN)
        self.store: ValueStore | None = None
        self.space: InstanceSpace | None = None
        self.planner: ReadPlanner | None = None
        self.allow_remote_admin = False
        self.disabled_clock = True  # services.server_object keeps the time
        self.supported_tokens = settings.identity_tokens  # type: ignore[assignment]  # declared as exactly three
        self.max_connections = self.limits.connections
        self.min_session_timeout_ms = self.limits.session_timeout_min_ms
        self.max_session_timeout_ms = self.limits.session_timeout_max_ms
        self.max_subscriptions = self.limits.subscriptions
        self.max_monitored_item_queue_size = self.limits.queue_size
        self.max_lifetime_count = self.limits.lifetime_count_max
        self.max_keep_alive_count = self.limits.keep_alive_count_max
        self.max_unacked_messages_per_subscription = self.limits.retransmission_queue
        self._rebuild_services()

    def _rebuild_services(self) -> None:
        """Replace whatever super().__init__ made; nothing has been loaded into it yet."""
        aspace = self.aspace = AddressSpace()
        self.method_service.stop()
        self.attribute_service = self.wiring.attributes(self)
        self.view_service = self.wiring.views(self)
        self.method_service = self.wiring.methods(self)
        self.node_mgt_service = NodeManagement(aspace)
        self.subscription_service = self.wiring.subscriptions(aspace, self)
        self.history = self.history_manager = self.wiring.history(self)
        self.isession = self.wiring.session(
            self, aspace, self.subscription_service, "Internal", user=User(role=UserRole.Admin)
        )
        self.history_access = HistoryAccess(self)
        self.diagnostics = Diagnostics(self)
        self.server_object = ServerObject(self, self.diagnostics)
        if isinstance(self.access, AccessRules):
            self.access.likeness = self.server_object.sessions.likeness
        self.current_time_node = Node(self.isession, ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_CurrentTime)))
        self.server_status_node = Node(self.isession, ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus)))

    def attach(self, store: ValueStore, space: InstanceSpace) -> None:
        """Serve `space`'s instances with the values of `store`."""
        self.store, self.space = store, space
        self.aspace.attach(space)
        self.planner = ReadPlanner(self, store, space)
        self.subscription_service.attach(store, space)
        if isinstance(self.access, AccessRules):
            self.access.declaration = self.method_service.declaration

    async def start(self) -> None:
        """Serve; the Server object keeps its own time."""
        for endpoint in self.endpoints:
            self._known_servers[endpoint.Server.ApplicationUri] = ServerDesc(endpoint.Server)
        self.server_object.started()

    def create_session(
        self,
        name: str,
        user: User = User(role=UserRole.Anonymous),  # noqa: B008 - as base
        external: bool = False,
    ) -> Session:
        """A session of the wiring's class."""
        return self.wiring.session(self, self.aspace, self.subscription_service, name, user=user, external=external)

    @property
    def sessions(self) -> list[Session]:
        """The sessions of clients, activated or not."""
        return cast("list[Session]", list(self._external_sessions.values()))
