"""Numbers of the standard as the classes that asyncua wants, in one import."""

from __future__ import annotations

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

__all__ = ["SECURITY_CODES", "AttributeIds", "ObjectIds", "StatusCodes", "standard", "status"]


SECURITY_CODES = frozenset(
    {
        StatusCodes.BadUserAccessDenied,
        StatusCodes.BadSecurityChecksFailed,
        StatusCodes.BadSecurityPolicyRejected,
        StatusCodes.BadIdentityTokenInvalid,
        StatusCodes.BadIdentityTokenRejected,
        StatusCodes.BadSessionIdInvalid,
    }
)
"""What refuses a request for want of rights"""


def standard(number: int) -> ua.NodeId:
    """A node of namespace 0."""
    return ua.NodeId(ua.Int32(number))


def status(code: int) -> ua.StatusCode:
    """A StatusCode."""
    return ua.StatusCode(ua.UInt32(code))
