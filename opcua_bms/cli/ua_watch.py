"""The subscription behind `watch`: values and events of a running server into a board, over lost connections too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC
from typing import Any, NoReturn

from asyncua import ua
from asyncua.client import Client
from asyncua.common.events import Event
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeNotif
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError

from opcua_bms.cli.ua_client import BATCH, Login, cluster_counts, connected, node_id, read, site_index
from opcua_bms.cli.watch_board import WORDS, Alarm, Board, Reading
from opcua_bms.errors import UnreachableError
from opcua_bms.infomodel.paths import ROOT

AGAIN_S = 2.0
"""Between two tries after a lost connection."""
_FIELDS = ("Time", "Severity", "SourceName", "Message", "BranchId", "Retain", "ActiveState/Id", "AckedState/Id")


async def follow(
    board: Board, wait_s: float, login: Login | None, interval_s: float, changed: Callable[[], None]
) -> NoReturn:
    """Keep the board up to date until cancelled. UnreachableError: the first connection failed."""
    first = True
    while True:
        try:
            await _connection(board, wait_s, login, interval_s, changed)
        except (UnreachableError, UaError, OSError, TimeoutError) as error:
            if first and isinstance(error, UnreachableError):
                raise
            reason = str(error) or type(error).__name__
        else:
            reason = "the connection is lost"
        first = False
        board.problem = f"{reason}; trying again"
        changed()
        await asyncio.sleep(AGAIN_S)


async def _connection(
    board: Board, wait_s: float, login: Login | None, interval_s: float, changed: Callable[[], None]
) -> None:
    """One connection, until it is lost."""
    async with connected(board.endpoint, wait_s, login) as client:
        lost = asyncio.Event()

        async def is_lost(_: Exception) -> None:
            lost.set()

        client.connection_lost_callback = is_lost
        site = await site_index(client)
        words = {f"{ROOT}.{word}.OptionSetValues": word for word in WORDS}
        found = await read(client, site, list(words))
        labels = {word: found[path][0] for path, word in words.items()}
        board.begin(await cluster_counts(client, site), {w: v for w, v in labels.items() if isinstance(v, list)})
        subscription = await client.create_subscription(interval_s * 1000, _Handler(board, changed, lost))
        wanted = board.wanted
        for start in range(0, len(wanted), BATCH):
            nodes = [client.get_node(node_id(path, site)) for path in wanted[start : start + BATCH]]
            for path, item in zip(
                wanted[start:],
                await subscription.subscribe_data_change(nodes, sampling_interval=ua.Double(-1.0)),
                strict=False,
            ):
                if isinstance(item, ua.StatusCode):  # not in this plant
                    board.take(path, Reading(None, item.value))
        await subscription.subscribe_events(evfilter=_filter(), queuesize=1000)
        await _refresh(client, subscription.subscription_id)
        board.problem = ""
        changed()
        await lost.wait()


async def _refresh(client: Client, subscription: int | None) -> None:
    """Ask for the conditions that want attention (Part 9 §5.5.7)."""
    request = ua.CallMethodRequest()
    request.ObjectId = ua.NodeId(ua.Int32(ObjectIds.ConditionType))
    request.MethodId = ua.NodeId(ua.Int32(ObjectIds.ConditionType_ConditionRefresh))
    request.InputArguments = [ua.Variant(subscription, ua.VariantType.UInt32)]
    await client.uaclient.call([request])


def _filter() -> ua.EventFilter:
    """The fields that are shown, then the ConditionId; only of conditions."""
    base = ua.NodeId(ua.Int32(ObjectIds.BaseEventType))
    condition = ua.NodeId(ua.Int32(ObjectIds.ConditionType))
    out = ua.EventFilter()
    out.SelectClauses = [
        ua.SimpleAttributeOperand(base, [ua.QualifiedName(name) for name in path.split("/")], AttributeIds.Value)
        for path in _FIELDS
    ]
    out.SelectClauses.append(ua.SimpleAttributeOperand(condition, [], AttributeIds.NodeId))
    operand = ua.LiteralOperand(ua.Variant(condition, ua.VariantType.NodeId))
    out.WhereClause.Elements = [ua.ContentFilterElement(ua.FilterOperator.OfType, [operand])]
    return out


class _Handler:
    """What asyncua calls with each notification."""

    def __init__(self, board: Board, changed: Callable[[], None], lost: asyncio.Event) -> None:
        self._board, self._changed, self._lost = board, changed, lost

    def datachange_notification(self, node: Node, val: Any, data: DataChangeNotif) -> None:
        value = data.monitored_item.Value
        status = value.StatusCode.value if value.StatusCode is not None else 0
        self._board.take(str(node.nodeid.Identifier), Reading(val, status))
        self._changed()

    def event_notification(self, event: Event) -> None:
        time, severity, source, message, branch, retain, active, acked, condition = (
            variant.Value for variant in event.event_fields or ()
        )
        if condition is None:  # the marks around a refresh
            return
        alarm = Alarm(time.replace(tzinfo=UTC), severity, source, message.Text or "", bool(active), bool(acked))
        branch_text = "" if branch is None or branch.is_null() else str(branch.Identifier)
        self._board.happened((str(condition.Identifier), branch_text), alarm, bool(retain))
        self._changed()

    def status_change_notification(self, status: ua.StatusChangeNotification) -> None:
        """The server has given the subscription up."""
        del status
        self._lost.set()
