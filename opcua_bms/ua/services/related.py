"""RelatedTo: whether a node is of a type and references lead from it to one of another type (Part 4 §7.7.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from asyncua import ua

from opcua_bms.ua.services.filter_values import plain
from opcua_bms.ua.services.relations import Budget, Relations

Eval = Callable[[Any, list[Any]], Any]
_MOST_VERDICTS = 1_000


@dataclass(slots=True)
class _Question:
    """One evaluation: the event, what its elements gave, and how many references may still be looked at."""

    event: Any
    memo: list[Any]
    budget: Budget = field(default_factory=Budget)


class RelatedTo:
    """One element; `first` and `second` give a type's NodeId, or are other RelatedTo elements (a chain).

    `rest` gives reference type, hops, and whether subtypes of the types and of the reference type count. What is no
    such value is not related. Verdicts are kept, so that the graph is walked for the first event of a source only.
    """

    def __init__(
        self, relations: Relations, first: Eval | RelatedTo, second: Eval | RelatedTo, rest: list[Eval]
    ) -> None:
        self._relations = relations
        self._first, self._second = first, second
        self._rest = rest
        self._verdicts: dict[Any, bool] = {}
        self._generation = -1

    def matches(self, nodes: tuple[ua.NodeId, ...], event: Any, memo: list[Any]) -> bool:
        """Whether one of the nodes that an event is about is related as asked."""
        question = _Question(event, memo)
        return any(self._holds(node, self._relations.type_of(node), question) for node in nodes)

    def _holds(self, node: ua.NodeId, own: ua.NodeId, question: _Question) -> bool:
        operands = self._operands(question)
        reference, hops, of_types, of_reference = operands[2:]
        if (
            not isinstance(reference, ua.NodeId)
            or type(hops) is not int
            or hops < 0
            or not isinstance(of_types, bool)
            or not isinstance(of_reference, bool)
        ):
            return False
        generation = self._relations.generation
        if generation != self._generation or len(self._verdicts) > _MOST_VERDICTS:
            self._generation = generation
            self._verdicts.clear()
        key = (node, *operands)
        known = self._verdicts.get(key)
        if known is None:
            known = self._verdicts[key] = self._is(operands[0], node, own, of_types, question) and any(
                self._is(operands[1], end, kind, of_types, question)
                for end, kind in self._relations.ends(node, reference, of_reference, hops, question.budget)
            )
        return known

    def _operands(self, question: _Question) -> list[Any]:
        found: list[Any] = [
            one if isinstance(one, RelatedTo) else one(question.event, question.memo)
            for one in (self._first, self._second)
        ]
        return found + [plain(get(question.event, question.memo)) for get in self._rest]

    def _is(self, wanted: Any, node: ua.NodeId, own: ua.NodeId, subtypes: bool, question: _Question) -> bool:
        if isinstance(wanted, RelatedTo):
            return wanted._holds(node, own, question)
        return isinstance(wanted, ua.NodeId) and self._relations.derives(own, wanted, subtypes)
