"""The plant's alarms of the past as events: what the journal remembers, for clients that ask."""

from __future__ import annotations

from asyncua import ua

from opcua_bms.errors import StorageError
from opcua_bms.infomodel.paths import ROOT, object_paths
from opcua_bms.model.layout import Scope
from opcua_bms.model.topology import Topology
from opcua_bms.ports import Journal
from opcua_bms.server.conditions import ConditionBook
from opcua_bms.server.history import within
from opcua_bms.server.names import Names
from opcua_bms.ua.services.event import SERVER
from opcua_bms.ua.services.history_events import PastEvent
from opcua_bms.ua.services.history_provider import HistoryUnavailableError
from opcua_bms.ua.store import EPOCH_TICKS


class PastAlarms:
    """An EventHistoryProvider of what the journal remembers; its notifiers are the Server and what has alarms."""

    def __init__(self, journal: Journal, conditions: ConditionBook, names: Names, topology: Topology) -> None:
        self._journal, self._conditions, self._site = journal, conditions, names.site
        scopes = (Scope.BMS, Scope.STACK, Scope.CLUSTER)
        self._paths = [path for scope in scopes for path in object_paths(topology, scope)]

    def keeps(self, node_id: ua.NodeId) -> bool:
        """The Server, the BMS, stacks and clusters."""
        return node_id == SERVER or (node_id.NamespaceIndex == self._site and node_id.Identifier in self._paths)

    async def events(
        self, node_id: ua.NodeId, start: int, end: int, limit: int, newest_first: bool, after: int | None
    ) -> list[PastEvent]:
        """Transitions of the conditions of an object and of all below it."""
        sources = None
        if node_id != SERVER and node_id.Identifier != ROOT:
            above = str(node_id.Identifier)
            sources = [path for path in self._paths if f"{path}.".startswith(f"{above}.")]
        low, high = within((start - EPOCH_TICKS) * 100), within((end - EPOCH_TICKS + 1) * 100)
        try:
            found = await self._journal.transitions(
                low, high, sources=sources, after=after, limit=limit, newest_first=newest_first
            )
        except StorageError as error:
            raise HistoryUnavailableError(str(error)) from error
        return [PastEvent(r.sequence, self._conditions.past_event(r.info, r.state)) for r in found]
