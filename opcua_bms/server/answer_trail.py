"""Answers to conditions that operators gave elsewhere than over OPC UA, in its audit trail like its own."""

from __future__ import annotations

from typing import Any

from asyncua import ua

from opcua_bms.model.alarm import Command, Operation, Result
from opcua_bms.server.conditions import ConditionBook
from opcua_bms.ua.security.audit import AuditKind
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.services.codes import StatusCodes

_KINDS = {
    Command.ACKNOWLEDGE: AuditKind.CONDITION_ACKNOWLEDGE,
    Command.CONFIRM: AuditKind.CONDITION_CONFIRM,
    Command.ADD_COMMENT: AuditKind.CONDITION_COMMENT,
    Command.TIMED_SHELVE: AuditKind.CONDITION_SHELVING,
    Command.ONE_SHOT_SHELVE: AuditKind.CONDITION_SHELVING,
    Command.UNSHELVE: AuditKind.CONDITION_SHELVING,
    Command.SILENCE: AuditKind.CONDITION_SILENCE,
    Command.RESET: AuditKind.CONDITION_RESET,
    Command.ENABLE: AuditKind.CONDITION_ENABLE,
    Command.DISABLE: AuditKind.CONDITION_ENABLE,
    Command.SUPPRESS: AuditKind.CONDITION_SUPPRESSION,
    Command.UNSUPPRESS: AuditKind.CONDITION_SUPPRESSION,
    Command.REMOVE_FROM_SERVICE: AuditKind.CONDITION_OUT_OF_SERVICE,
    Command.PLACE_IN_SERVICE: AuditKind.CONDITION_OUT_OF_SERVICE,
}


class AnswerTrail:
    """Recorded like calls of the condition's Methods (OPC 10000-9 §5.10); `way` names where they came from."""

    def __init__(self, book: ConditionBook, gate: Gate, way: str) -> None:
        self._book, self._gate, self._way = book, gate, way

    def answered(self, user: str, address: str, operation: Operation, result: Result | None) -> None:
        """An answer with its result; None: the user may not."""
        fields: dict[str, Any] = {"SourceName": f"{self._way}/{operation.command.value}"}
        if operation.event_id:
            fields["ConditionEventId"] = ua.Variant(operation.event_id, ua.VariantType.ByteString)
        if operation.comment:
            fields["Comment"] = ua.Variant(ua.LocalizedText(operation.comment), ua.VariantType.LocalizedText)
        if operation.shelving_s:
            fields["ShelvingTime"] = ua.Variant(operation.shelving_s * 1000.0, ua.VariantType.Double)
        self._gate.audit(
            _KINDS[operation.command],
            int(StatusCodes.BadUserAccessDenied) if result is None else int(result),
            address,
            user=user,
            source=self._book.node(operation.condition),
            **fields,
        )
