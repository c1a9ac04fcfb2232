"""The condition services of Part 9: methods of the standard condition types, and ConditionRefresh.

`ConditionServices(iserver, provider)` binds them once for all conditions; what a condition is, and what becomes of
it, the provider knows.
"""

from opcua_bms.ua.services.conditions.provider import ConditionMethod, ConditionProvider, ConditionRequest
from opcua_bms.ua.services.conditions.service import ConditionServices

__all__ = ["ConditionMethod", "ConditionProvider", "ConditionRequest", "ConditionServices"]
