"""The Methods of the standard condition types, as one table, and what a call of each asks (Part 9 §5.5 to §5.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import ua

from opcua_bms.ua.security.roles import RemoteUser
from opcua_bms.ua.services.codes import ObjectIds as Ids
from opcua_bms.ua.services.codes import StatusCodes, status
from opcua_bms.ua.services.conditions.provider import ConditionMethod, ConditionProvider, ConditionRequest
from opcua_bms.ua.services.method import RefusedCallError
from opcua_bms.ua.session import caller

M = ConditionMethod
COMMENT_LENGTH = 4_000
"""characters; a comment travels in every later event of its condition"""
ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class StandardMethod:
    """A Method node of namespace 0; `takes` names its arguments in order: event_id, comment, shelving."""

    number: int
    method: ConditionMethod
    takes: tuple[str, ...] = ()


_EVENT = ("event_id", "comment")
STANDARD_METHODS = (
    StandardMethod(Ids.ConditionType_Enable, M.ENABLE),
    StandardMethod(Ids.ConditionType_Disable, M.DISABLE),
    StandardMethod(Ids.ConditionType_AddComment, M.ADD_COMMENT, _EVENT),
    StandardMethod(Ids.AcknowledgeableConditionType_Acknowledge, M.ACKNOWLEDGE, _EVENT),
    StandardMethod(Ids.AcknowledgeableConditionType_Confirm, M.CONFIRM, _EVENT),
    StandardMethod(Ids.ShelvedStateMachineType_TimedShelve, M.TIMED_SHELVE, ("shelving",)),
    StandardMethod(Ids.ShelvedStateMachineType_OneShotShelve, M.ONE_SHOT_SHELVE),
    StandardMethod(Ids.ShelvedStateMachineType_Unshelve, M.UNSHELVE),
    StandardMethod(Ids.ShelvedStateMachineType_TimedShelve2, M.TIMED_SHELVE, ("shelving", "comment")),
    StandardMethod(Ids.ShelvedStateMachineType_OneShotShelve2, M.ONE_SHOT_SHELVE, ("comment",)),
    StandardMethod(Ids.ShelvedStateMachineType_Unshelve2, M.UNSHELVE, ("comment",)),
    StandardMethod(Ids.AlarmConditionType_ShelvingState_TimedShelve, M.TIMED_SHELVE, ("shelving",)),
    StandardMethod(Ids.AlarmConditionType_ShelvingState_OneShotShelve, M.ONE_SHOT_SHELVE),
    StandardMethod(Ids.AlarmConditionType_ShelvingState_Unshelve, M.UNSHELVE),
    StandardMethod(Ids.AlarmConditionType_ShelvingState_TimedShelve2, M.TIMED_SHELVE, ("shelving", "comment")),
    StandardMethod(Ids.AlarmConditionType_ShelvingState_OneShotShelve2, M.ONE_SHOT_SHELVE, ("comment",)),
    StandardMethod(Ids.AlarmConditionType_ShelvingState_Unshelve2, M.UNSHELVE, ("comment",)),
    StandardMethod(Ids.AlarmConditionType_Silence, M.SILENCE),
    StandardMethod(Ids.AlarmConditionType_Suppress, M.SUPPRESS),
    StandardMethod(Ids.AlarmConditionType_Suppress2, M.SUPPRESS, ("comment",)),
    StandardMethod(Ids.AlarmConditionType_Unsuppress, M.UNSUPPRESS),
    StandardMethod(Ids.AlarmConditionType_Unsuppress2, M.UNSUPPRESS, ("comment",)),
    StandardMethod(Ids.AlarmConditionType_RemoveFromService, M.REMOVE_FROM_SERVICE),
    StandardMethod(Ids.AlarmConditionType_RemoveFromService2, M.REMOVE_FROM_SERVICE, ("comment",)),
    StandardMethod(Ids.AlarmConditionType_PlaceInService, M.PLACE_IN_SERVICE),
    StandardMethod(Ids.AlarmConditionType_PlaceInService2, M.PLACE_IN_SERVICE, ("comment",)),
    StandardMethod(Ids.AlarmConditionType_Reset, M.RESET),
    StandardMethod(Ids.AlarmConditionType_Reset2, M.RESET, ("comment",)),
)


class MethodHandler:
    """Serves one Method of the table for all conditions."""

    def __init__(self, provider: ConditionProvider, served: StandardMethod) -> None:
        self._provider = provider
        self._served = served

    def serves(self, node: ua.NodeId) -> bool:
        """Whether the Method may be called with this ObjectId, whatever nodes the condition has (Part 9 §5.7.3)."""
        return self._provider.resolve(node) == node

    async def call(self, object_id: ua.NodeId, *arguments: ua.Variant) -> ua.StatusCode:
        """The Method service has checked that the arguments are of their declared types."""
        condition = self._provider.resolve(object_id)
        if condition is None:
            return status(StatusCodes.BadNodeIdInvalid)
        request = ConditionRequest(condition, self._served.method, user_name(), **self._parameters(arguments))
        return await self._provider.perform(request)

    def _parameters(self, arguments: Sequence[ua.Variant]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for place, (name, variant) in enumerate(zip(self._served.takes, arguments, strict=True)):
            if name == "comment":
                found["comment"] = self._comment(variant.Value, place)
            elif name == "event_id":
                found["event_id"] = bytes(variant.Value or b"")
            else:
                found["shelving_ms"] = float(variant.Value)
        return found

    def _comment(self, given: ua.LocalizedText | None, place: int) -> str | None:
        """None for a null LocalizedText; RefusedCallError for one that is too long."""
        if given is None or not (given.Text or given.Locale):
            return None
        words = str(given.Text or "")
        if len(words) > COMMENT_LENGTH:
            codes = [0] * len(self._served.takes)
            codes[place] = StatusCodes.BadOutOfRange
            raise RefusedCallError(StatusCodes.BadInvalidArgument, codes)
        return words


class GroupMemberships:
    """GetGroupMemberships of all conditions: a question, not an operation (Part 9 §5.8.2)."""

    def __init__(self, provider: ConditionProvider) -> None:
        self._provider = provider

    def serves(self, node: ua.NodeId) -> bool:
        """Whether the Method may be called with this ObjectId: of a condition, with nodes or without."""
        return self._provider.resolve(node) == node

    async def call(self, object_id: ua.NodeId) -> list[ua.Variant] | ua.StatusCode:
        """The NodeIds of the groups, as one array."""
        condition = self._provider.resolve(object_id)
        if condition is None:
            return status(StatusCodes.BadNodeIdInvalid)
        return [ua.Variant(list(self._provider.groups(condition)), ua.VariantType.NodeId, is_array=True)]


def user_name() -> str:
    """The ClientUserId of the session that calls (Part 5 §6.4.3)."""
    session = caller()
    user = session.user if session is not None else None
    name = user.name if isinstance(user, RemoteUser) else getattr(user, "name", None)
    return str(name) if name else ANONYMOUS
