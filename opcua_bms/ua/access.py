"""Who may do what: the one seam through which roles reach the services."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole


class AccessPolicy(Protocol):
    """Answers for a user of a session; the server's own session (role Admin) is never asked.

    Every answer must depend on `rights_key(user)` and the node alone, so that it may be cached per key.
    """

    def rights_key(self, user: User) -> Hashable:
        """Users with equal keys get equal answers."""

    def user_access_level(self, user: User, node_id: ua.NodeId, access_level: int) -> int:
        """UserAccessLevel bits (Part 3 §8.57) of a Variable whose AccessLevel is `access_level`; a subset of it."""

    def user_executable(self, user: User, method_id: ua.NodeId, object_id: ua.NodeId | None) -> bool:
        """Whether the user may call an executable Method, on `object_id` if one is given (Part 4 §5.12.2)."""

    def may_browse(self, user: User, node_id: ua.NodeId) -> bool:
        """Whether the user sees the node; if not, it does not exist for him (Part 3 §8.55)."""

    def may_receive_events(self, user: User, node_id: ua.NodeId) -> bool:
        """Whether the user gets events of a source, or of an event type: both must allow it (Part 3 §8.55)."""

    def may_read_role_permissions(self, user: User, node_id: ua.NodeId) -> bool:
        """Whether the user may see what every role may do on the node (Part 3 §8.55)."""

    def role_permissions(self, node_id: ua.NodeId) -> list[ua.RolePermissionType] | None:
        """The RolePermissions attribute of a node; None: it has none."""

    def user_role_permissions(self, user: User, node_id: ua.NodeId) -> list[ua.RolePermissionType] | None:
        """The UserRolePermissions attribute of a node for a user; None: it has none."""


class OpenAccess:
    """Everybody may do what the node allows."""

    def rights_key(self, user: User) -> Hashable:  # noqa: ARG002 - the seam's signature
        return None

    def user_access_level(self, user: User, node_id: ua.NodeId, access_level: int) -> int:  # noqa: ARG002 - as above
        return access_level

    def user_executable(self, user: User, method_id: ua.NodeId, object_id: ua.NodeId | None) -> bool:  # noqa: ARG002
        return True

    def may_browse(self, user: User, node_id: ua.NodeId) -> bool:  # noqa: ARG002 - as above
        return True

    def may_receive_events(self, user: User, node_id: ua.NodeId) -> bool:  # noqa: ARG002 - as above
        return True

    def may_read_role_permissions(self, user: User, node_id: ua.NodeId) -> bool:  # noqa: ARG002 - as above
        return True

    def role_permissions(self, node_id: ua.NodeId) -> list[ua.RolePermissionType] | None:  # noqa: ARG002 - as above
        return None

    def user_role_permissions(
        self,
        user: User,  # noqa: ARG002 - as above
        node_id: ua.NodeId,  # noqa: ARG002 - as above
    ) -> list[ua.RolePermissionType] | None:
        return None


def is_internal(user: User | None) -> bool:
    """Whether this is the server itself: the role Admin is never given to a client."""
    return user is not None and user.role is UserRole.Admin
