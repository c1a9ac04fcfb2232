"""HistoryRead (Part 4 §5.11.3): who may read which history; values come from `history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from opcua_bms.ua.access import is_internal
from opcua_bms.ua.space.standard import value_of

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer
    from opcua_bms.ua.session import Session

HISTORY_READ_BIT = 0x04
"""of AccessLevel (a Variable's values) and of EventNotifier (an Object's events)"""


class HistoryAccess:
    """Asks the history only for what the user may read."""

    def __init__(self, iserver: InternalServer) -> None:
        self._iserver = iserver

    async def read(self, params: ua.HistoryReadParameters, session: Session) -> list[ua.HistoryReadResult]:
        """One result per node, refused or read."""
        nodes = params.NodesToRead
        if not nodes:
            raise ServiceError(StatusCodes.BadNothingToDo)
        internal = is_internal(session.user)
        if not internal and len(nodes) > self._iserver.limits.nodes_per_history_read:
            raise ServiceError(StatusCodes.BadTooManyOperations)
        if params.TimestampsToReturn not in (0, 1, 2):
            raise ServiceError(StatusCodes.BadTimestampsToReturnInvalid)
        codes = [0 if internal else self._refusal(node.NodeId, session.user) for node in nodes]
        history, details = self._iserver.history, params.HistoryReadDetails
        results = [_refused(code) for code in codes]
        ours = [k for k, code in enumerate(codes) if not code and history.knows(nodes[k], details)]
        if ours:
            for k, result in zip(ours, await history.read(params, ours, session), strict=True):
                results[k] = result
        real = [k for k, code in enumerate(codes) if not code and k not in set(ours)]
        if real:
            for k, result in zip(real, await self._ask(params, [nodes[k] for k in real]), strict=True):
                results[k] = result
        return results

    async def _ask(
        self, params: ua.HistoryReadParameters, nodes: list[ua.HistoryReadValueId]
    ) -> list[ua.HistoryReadResult]:
        """Nodes that are held in memory have the history of the library, if any."""
        asked = ua.HistoryReadParameters(
            params.HistoryReadDetails, params.TimestampsToReturn, params.ReleaseContinuationPoints, nodes
        )
        return list(await self._iserver.history_manager.read_history(asked))

    def _refusal(self, node_id: ua.NodeId, user: User) -> int:
        access = self._iserver.access
        node = self._iserver.aspace.get(node_id)
        if node is None or not access.may_browse(user, node_id):
            return StatusCodes.BadNodeIdUnknown
        level = value_of(node, AttributeIds.AccessLevel) or value_of(node, AttributeIds.EventNotifier) or 0
        if not level & HISTORY_READ_BIT:
            return StatusCodes.BadHistoryOperationUnsupported
        if not access.user_access_level(user, node_id, HISTORY_READ_BIT) & HISTORY_READ_BIT:
            return StatusCodes.BadUserAccessDenied
        return 0


def _refused(code: int) -> ua.HistoryReadResult:
    result = ua.HistoryReadResult()
    result.StatusCode = ua.StatusCode(ua.UInt32(code))
    return result
