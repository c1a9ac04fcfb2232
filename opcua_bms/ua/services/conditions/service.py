"""Binds the condition services to the Methods of the standard types, once for all conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opcua_bms.ua.services.codes import ObjectIds, standard
from opcua_bms.ua.services.conditions.methods import STANDARD_METHODS, GroupMemberships, MethodHandler
from opcua_bms.ua.services.conditions.refresh import Refresh

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer
    from opcua_bms.ua.services.conditions.provider import ConditionProvider


class ConditionServices:
    """Made once the standard types are loaded; nothing else needs to be called."""

    def __init__(self, iserver: InternalServer, provider: ConditionProvider) -> None:
        methods = iserver.method_service
        for served in STANDARD_METHODS:
            handler = MethodHandler(provider, served)
            methods.bind(standard(served.number), handler.call, handler.serves)
        groups = GroupMemberships(provider)
        methods.bind(standard(ObjectIds.AlarmConditionType_GetGroupMemberships), groups.call, groups.serves)
        refresh = Refresh(iserver.subscription_service, provider)
        methods.bind(standard(ObjectIds.ConditionType_ConditionRefresh), refresh.refresh)
        methods.bind(standard(ObjectIds.ConditionType_ConditionRefresh2), refresh.refresh2)
