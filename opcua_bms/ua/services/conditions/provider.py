"""What the condition services must know of conditions: the one seam to whoever keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from asyncua import ua

from opcua_bms.ua.services.event import Event


class ConditionMethod(StrEnum):
    """What a client asks of a condition; the value is the BrowseName of the Method, without a 2 at its end."""

    ACKNOWLEDGE = "Acknowledge"
    CONFIRM = "Confirm"
    ADD_COMMENT = "AddComment"
    ENABLE = "Enable"
    DISABLE = "Disable"
    TIMED_SHELVE = "TimedShelve"
    ONE_SHOT_SHELVE = "OneShotShelve"
    UNSHELVE = "Unshelve"
    SUPPRESS = "Suppress"
    UNSUPPRESS = "Unsuppress"
    REMOVE_FROM_SERVICE = "RemoveFromService"
    PLACE_IN_SERVICE = "PlaceInService"
    SILENCE = "Silence"
    RESET = "Reset"


@dataclass(frozen=True, slots=True)
class ConditionRequest:
    """One call of one user.

    `comment` None leaves the present comment, an empty one removes it (Part 9 §5.5.6). `event_id` comes with
    Acknowledge, Confirm and AddComment, `shelving_ms` with TimedShelve, as the client sent it: any number.
    """

    condition: ua.NodeId
    method: ConditionMethod
    user: str
    comment: str | None = None
    event_id: bytes = b""
    shelving_ms: float = 0.0


class ConditionProvider(Protocol):
    """All conditions of a server. Called on the event loop; must be quick."""

    def resolve(self, node: ua.NodeId) -> ua.NodeId | None:
        """The ConditionId that a client means, who may also name the condition's ShelvingState; None: no condition.

        A condition need not have a node (Part 9 §5.7.3).
        """

    def groups(self, condition: ua.NodeId) -> Sequence[ua.NodeId]:
        """The AlarmGroups of which a condition is a member, by its ConditionId (Part 9 §5.8.2)."""

    def retained(self) -> Iterator[Event]:
        """The last event of each retained condition, with its own EventId and Time (Part 9 §5.5.7).

        Lazy: each is of the moment at which it is taken, and the caller may pause in between.
        """

    async def perform(self, request: ConditionRequest) -> ua.StatusCode:
        """Carry out a call, its events delivered before the answer."""
