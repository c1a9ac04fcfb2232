"""The alarm engine: rules as rows, one condition's state machine, and the engine over all conditions. Pure."""

from opcua_bms.alarms.engine import AlarmEngine
from opcua_bms.alarms.plan import Device
from opcua_bms.alarms.rules import Rule, default_rules, load_rules
from opcua_bms.alarms.state import EngineState

__all__ = ["AlarmEngine", "Device", "EngineState", "Rule", "default_rules", "load_rules"]
