"""Well-known roles (OPC 10000-18 §4.2), what each may do by default, and the rules that services ask."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import Enum

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from cryptography import x509

P = ua.PermissionType
Grants = Mapping["Role", ua.PermissionType]


def _node(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number), ua.Int16(0))


class Role(Enum):
    """The well-known roles; the value is the numeric NodeId in namespace 0."""

    ANONYMOUS = 15644
    AUTHENTICATED_USER = 15656
    OBSERVER = 15668
    OPERATOR = 15680
    ENGINEER = 16036
    SUPERVISOR = 15692
    CONFIGURE_ADMIN = 15716
    SECURITY_ADMIN = 15704

    @property
    def label(self) -> str:
        """The BrowseName of the role, which is also how users write it: `SecurityAdmin`."""
        return "".join(part.capitalize() for part in self.name.split("_"))

    @property
    def node_id(self) -> ua.NodeId:
        return _node(self.value)

    @classmethod
    def parse(cls, text: str) -> Role:
        """The role called `text`, whatever its case; ValueError with the names that exist."""
        for role in cls:
            if role.label.lower() == text.replace("_", "").replace("-", "").strip().lower():
                return role
        raise ValueError(f"no role {text!r}: one of {', '.join(r.label for r in ASSIGNABLE)}")


ASSIGNABLE = (
    Role.OBSERVER,
    Role.OPERATOR,
    Role.ENGINEER,
    Role.SUPERVISOR,
    Role.CONFIGURE_ADMIN,
    Role.SECURITY_ADMIN,
)
"""What a user can be given; Anonymous and AuthenticatedUser follow from how one comes in."""

_SEE = P.Browse | P.Read | P.ReadHistory | P.ReceiveEvents
_OPERATE = _SEE | P.Write | P.Call

DEFAULT_GRANTS: Grants = {
    Role.OBSERVER: _SEE,
    Role.OPERATOR: _OPERATE,
    Role.ENGINEER: _OPERATE | P.WriteAttribute | P.WriteHistorizing,
    Role.SUPERVISOR: _SEE | P.Call,
    Role.CONFIGURE_ADMIN: _OPERATE | P.WriteAttribute | P.WriteHistorizing,
    Role.SECURITY_ADMIN: P.Browse | P.Read | P.ReceiveEvents | P.ReadRolePermissions,
}
"""On every node that no other rule names. A variable's AccessLevel still decides what can be written at all."""

BASE_GRANTS: Grants = {Role.ANONYMOUS: P.Browse | P.Read}
"""In namespace 0 every session may look: no client can work without the type system and the Server object."""

CONDITION_METHODS = frozenset(
    _node(number)
    for number in (
        9111,  # AcknowledgeableConditionType.Acknowledge
        9113,  # AcknowledgeableConditionType.Confirm
        9029,  # ConditionType.AddComment
        2947,  # ShelvedStateMachineType.Unshelve
        2948,  # ShelvedStateMachineType.OneShotShelve
        2949,  # ShelvedStateMachineType.TimedShelve
        9211,  # AlarmConditionType.ShelvingState.Unshelve
        9212,  # AlarmConditionType.ShelvingState.OneShotShelve
        9213,  # AlarmConditionType.ShelvingState.TimedShelve
        24756,  # ShelvedStateMachineType.TimedShelve2
        24758,  # ShelvedStateMachineType.Unshelve2
        24760,  # ShelvedStateMachineType.OneShotShelve2
        24738,  # AlarmConditionType.ShelvingState.TimedShelve2
        24740,  # AlarmConditionType.ShelvingState.Unshelve2
        24742,  # AlarmConditionType.ShelvingState.OneShotShelve2
        16402,  # AlarmConditionType.Silence
        16403,  # AlarmConditionType.Suppress
        17868,  # AlarmConditionType.Unsuppress
        17869,  # AlarmConditionType.RemoveFromService
        17870,  # AlarmConditionType.PlaceInService
        18199,  # AlarmConditionType.Reset
        24316,  # AlarmConditionType.Suppress2
        24318,  # AlarmConditionType.Unsuppress2
        24320,  # AlarmConditionType.RemoveFromService2
        24322,  # AlarmConditionType.PlaceInService2
        24324,  # AlarmConditionType.Reset2
    )
)
"""Condition methods with which an operator answers alarms; Enable and Disable are an engineer's."""

OWN_SESSION_METHODS = frozenset(
    _node(number)
    for number in (
        3875,  # ConditionType.ConditionRefresh
        12912,  # ConditionType.ConditionRefresh2
        11492,  # Server.GetMonitoredItems
        11489,  # ServerType.GetMonitoredItems
        12873,  # Server.ResendData
        12871,  # ServerType.ResendData
    )
)
"""Methods that touch the caller's own subscriptions only: whoever may receive events may call them."""

READING_METHODS = frozenset({_node(24744)})  # AlarmConditionType.GetGroupMemberships
"""Methods that only tell what is: whoever may read an object may call them."""

ENABLE_METHODS = frozenset(_node(number) for number in (9027, 9028))
"""ConditionType.Enable and Disable."""

ALARM_ROLES = frozenset({Role.OPERATOR, Role.ENGINEER, Role.SUPERVISOR})
"""Who answers alarms."""


@dataclass
class RemoteUser(User):
    """Who came in over the network. `role` never is the library's Admin, which would pass every write check."""

    role: UserRole = UserRole.User
    name: str | None = None
    roles: frozenset[Role] = frozenset({Role.ANONYMOUS})
    anonymous: bool = True
    application_uri: str = ""
    certificate: str = ""
    """fingerprint of the user certificate, if the user came in with one"""
    chain: tuple[x509.Certificate, ...] = ()
    """that certificate with what came with it"""

    def __post_init__(self) -> None:
        self.role = UserRole.Anonymous if self.anonymous else UserRole.User

    def same_person(self, other: User) -> bool:
        """Whether both are the same user: what re-activation and TransferSubscriptions ask (OPC 10000-4 §5.7.3)."""
        return (
            isinstance(other, RemoteUser)
            and self.name == other.name
            and self.anonymous == other.anonymous
            and (not self.anonymous or self.application_uri == other.application_uri)
        )


def _itself(node: ua.NodeId) -> ua.NodeId:
    return node


class AccessRules:
    """Which role may do what on which node: the answers that services ask for, and the role attributes.

    The first of these that names a node decides: `restrict`ed nodes, the method sets, namespace 0, the defaults.
    `declaration`: Method node of an instance → Method of its type, set by whoever makes instances.
    """

    def __init__(
        self,
        defaults: Grants = DEFAULT_GRANTS,
        base: Grants = BASE_GRANTS,
        alarm_roles: frozenset[Role] = ALARM_ROLES,
        declaration: Callable[[ua.NodeId], ua.NodeId] = _itself,
    ) -> None:
        self.declaration = declaration
        self.likeness: Callable[[ua.NodeId], ua.NodeId] = _itself
        """a node of the server's own namespace → the node whose rights it shares, set by whoever makes such nodes"""
        self._defaults = dict(defaults)
        self._nodes: dict[ua.NodeId, Grants] = {}
        standard = dict(defaults)
        for role, grant in base.items():
            standard[role] = standard.get(role, P(0)) | grant
        self._standard = standard
        receivers = [role for role, grant in standard.items() if grant & P.ReceiveEvents]
        readers = [role for role, grant in defaults.items() if grant & P.Read]
        for methods, callers in (
            (CONDITION_METHODS, alarm_roles),
            (OWN_SESSION_METHODS, receivers),
            (READING_METHODS, readers),
            (ENABLE_METHODS, (Role.ENGINEER, Role.CONFIGURE_ADMIN)),
        ):
            grants = {role: grant & ~P.Call for role, grant in standard.items()}
            for role in callers:
                grants[role] = grants.get(role, P(0)) | P.Call
            self._nodes.update(dict.fromkeys(methods, grants))
        self._granted: dict[tuple[frozenset[Role], int], ua.PermissionType] = {}

    def restrict(self, node: ua.NodeId, grants: Grants) -> None:
        """Let only these roles do only this on a node; roles that are not named may do nothing."""
        self._nodes[node] = dict(grants)
        self._granted.clear()

    def grants(self, node: ua.NodeId) -> Grants:
        """The permissions of each role on a node (a method: its declaration on the type)."""
        named = self._nodes.get(node)
        if named is not None:
            return named
        if node.NamespaceIndex == 1:
            other = self.likeness(node)
            if other is not node:
                return self.grants(other)
        return self._defaults if node.NamespaceIndex else self._standard

    def permissions(self, user: User | None, node: ua.NodeId) -> ua.PermissionType:
        """Everything that a user may do on a node; the server itself may do all."""
        if not isinstance(user, RemoteUser):
            return _ALL if user is not None and user.role is UserRole.Admin else P(0)
        grants = self.grants(node)
        key = (user.roles, id(grants))
        granted = self._granted.get(key)
        if granted is None:
            granted = P(0)
            for role, grant in grants.items():
                if role in user.roles:
                    granted |= grant
            if len(self._granted) > 4096:
                self._granted.clear()
            self._granted[key] = granted
        return granted

    def may(self, user: User | None, wanted: ua.PermissionType, node: ua.NodeId) -> bool:
        """Whether a user has all of the `wanted` permissions on a node."""
        return self.permissions(user, node) & wanted == wanted

    def may_browse(self, user: User, node_id: ua.NodeId) -> bool:
        """Whether the user sees the node; if not, it does not exist for him (OPC 10000-3 §8.55)."""
        return bool(self.permissions(user, node_id) & P.Browse)

    def may_receive_events(self, user: User, node_id: ua.NodeId) -> bool:
        """Whether the user gets the events of a source or type."""
        return bool(self.permissions(user, node_id) & P.ReceiveEvents)

    def may_read_role_permissions(self, user: User, node_id: ua.NodeId) -> bool:
        """Whether the user may see what every role may do; his own part is UserRolePermissions, for all."""
        return bool(self.permissions(user, node_id) & P.ReadRolePermissions)

    def rights_key(self, user: User) -> Hashable:
        """Users with equal keys get equal answers."""
        return user.roles if isinstance(user, RemoteUser) else user.role

    def user_executable(self, user: User, method_id: ua.NodeId, object_id: ua.NodeId | None) -> bool:
        """Whether the user may call a Method; an instance's own Method node is judged as what `declaration` says."""
        del object_id
        return self.may(user, P.Call, self.declaration(method_id))

    def user_access_level(self, user: User | None, node_id: ua.NodeId, access_level: int) -> int:
        """The UserAccessLevel bits: AccessLevel without what the user may not do (OPC 10000-3 §5.6.2)."""
        granted = self.permissions(user, node_id)
        level = access_level
        for bit, needed in _ACCESS_BITS:
            if level & bit and not granted & needed:
                level &= ~bit
        return level

    def role_permissions(self, node_id: ua.NodeId) -> list[ua.RolePermissionType] | None:
        """The RolePermissions attribute (OPC 10000-3 §5.2.9)."""
        return [
            ua.RolePermissionType(RoleId=role.node_id, Permissions=grant)
            for role, grant in self.grants(node_id).items()
        ]

    def user_role_permissions(self, user: User, node_id: ua.NodeId) -> list[ua.RolePermissionType] | None:
        """The UserRolePermissions attribute: the same, reduced to the session's roles (OPC 10000-3 §5.2.10)."""
        roles = user.roles if isinstance(user, RemoteUser) else frozenset[Role]()
        return [
            ua.RolePermissionType(RoleId=role.node_id, Permissions=grant)
            for role, grant in self.grants(node_id).items()
            if role in roles
        ]


_ACCESS_BITS = ((0x01, P.Read), (0x02, P.Write), (0x04, P.ReadHistory), (0x08, P.ModifyHistory))
_ALL = P(0)
for _permission in P:
    _ALL |= _permission
