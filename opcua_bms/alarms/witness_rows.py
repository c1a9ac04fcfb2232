"""The default rules that compare two witnesses, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opcua_bms.model.alarm import ConditionKind

WARNING_SEVERITY = 450
_SYSTEM = {
    "kind": ConditionKind.SYSTEM,
    "text": "{title} {place}: {detail}",
    "cleared": "{title} {place} cleared after {duration}: {detail}",
    "severity": WARNING_SEVERITY,
    "on_delay_s": 30,
    "off_delay_s": 30,
}


def _at(raises: float, clears: float) -> dict[str, float]:
    return {"raise": raises, "clear": clears}


WITNESS_ROWS: Mapping[str, Mapping[str, Any]] = {
    "current-sum": {
        **_SYSTEM,
        "source": "current_sum",
        "columns": ["bms.bus_current"],
        "condition": "CurrentDiscrepancy",
        "title": "Currents of clusters and bus differ",
        "unit": "A",
        "share": 0.03,
        "warning": _at(20, 10),
    },
    "bus-voltage": {
        **_SYSTEM,
        "source": "bus_voltage",
        "columns": ["cluster.voltage"],
        "condition": "BusVoltageDiscrepancy",
        "title": "Voltages of cluster and bus differ",
        "unit": "V",
        "share": 0.01,
        "tolerance": 5,
        "warning": _at(20, 12),
    },
    "contactor-current": {
        **_SYSTEM,
        "source": "contactor",
        "columns": ["cluster.current"],
        "condition": "ContactorDiscrepancy",
        "title": "Current and contactor contradict each other",
        "unit": "A",
        "warning": _at(5, 2),
        "on_delay_s": 5,
    },
    "energy-share": {
        **_SYSTEM,
        "source": "energy_share",
        "columns": ["bms.state_of_charge"],
        "condition": "EnergyDiscrepancy",
        "title": "State of charge and energies differ",
        "unit": "%",
        "warning": _at(5, 3),
    },
    **{
        f"{scope}-charge-drift": {
            **_SYSTEM,
            "source": "charge_drift",
            "columns": [f"{scope}.state_of_charge"],
            "condition": "ChargeDrift",
            "title": "State of charge does not follow what flows",
            "unit": "%",
            "window_s": 3_600,
            "warning": _at(5, 3),
        }
        for scope in ("bms", "cluster")
    },
    **{
        f"{what}-limit-bits": {
            **_SYSTEM,
            "source": "limit_bits",
            "columns": [f"bms.max_{what}_power_limit"],
            "condition": f"{what.capitalize()}LimitDiscrepancy",
            "title": f"{what.capitalize()} limit and its bits contradict each other",
            "tolerance": 0.1,
        }
        for what in ("charge", "discharge")
    },
    **{
        f"{scope}-bit-value": {
            **_SYSTEM,
            "source": "bit_value",
            "columns": [
                f"{scope}.{name}"
                for name in ("max_cell_voltage", "min_cell_voltage", "max_cell_temperature", "min_cell_temperature")
            ],
            "condition": "BitDiscrepancy",
            "title": "Alarm bits and cells contradict each other",
        }
        for scope in ("bms", "cluster")
    },
}
"""`raise` and `clear` in the unit of what is compared, beyond `share` of the larger value."""
