"""What operators ask of conditions over OPC UA, handed to the alarm engine; and what ConditionRefresh shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asyncua import ua

from opcua_bms.model.alarm import Command, Operation
from opcua_bms.ports import AlarmOperations
from opcua_bms.server.conditions import ConditionBook
from opcua_bms.ua.services.codes import StatusCodes, status
from opcua_bms.ua.services.conditions import ConditionRequest
from opcua_bms.ua.services.event import Event


class PlantConditions:
    """The plant's ConditionProvider. Without `operations` conditions can be seen, but nobody answers them."""

    def __init__(self, book: ConditionBook, operations: AlarmOperations | None) -> None:
        self._book = book
        self._operations = operations

    def resolve(self, node: ua.NodeId) -> ua.NodeId | None:
        """By the NodeId of a condition or of its ShelvingState."""
        index = self._book.condition_of(node)
        return None if index is None else self._book.node(index)

    def groups(self, condition: ua.NodeId) -> Sequence[ua.NodeId]:
        """One, with or without a node of the condition's own."""
        index = self._book.condition_of(condition)
        return () if index is None else self._book.groups(index)

    def retained(self) -> Iterator[Event]:
        """In the order of the engine's conditions."""
        for index in range(len(self._book.infos)):
            state = self._book.state(index)
            if state.retain:
                yield self._book.event_of(index, state)
                for branch in state.branches:
                    yield self._book.event_of(index, branch)

    async def perform(self, request: ConditionRequest) -> ua.StatusCode:
        """The engine's result is the StatusCode."""
        index = self._book.condition_of(request.condition)
        if index is None:
            return status(StatusCodes.BadNodeIdInvalid)
        if self._operations is None:
            return status(StatusCodes.BadNotSupported)
        result = await self._operations.operate(
            Operation(
                condition=index,
                command=Command(request.method.value),
                user=request.user,
                comment=request.comment,
                event_id=request.event_id,
                shelving_s=request.shelving_ms / 1000.0,
            )
        )
        return status(int(result))
