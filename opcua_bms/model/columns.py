"""Names and units of the columns that the deeper statistics fill, in the order in which they lie."""

from __future__ import annotations

Named = tuple[tuple[str, str], ...]

QUANTITY_UNITS = {"voltage": "V", "temperature": "°C"}
RATE_UNITS = {"voltage": "mV/min", "temperature": "°C/min"}
HELD = {"voltage": ("weakest", "strongest"), "temperature": ("coldest", "hottest")}
"""What the cell that stays lowest, and the one that stays highest, is called."""
_WITHIN = ("pack_index", "cell_index")


def _placed(name: str, unit: str, places: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, unit), *((f"{name}.{place}", "") for place in places)]


def cluster_statistics(quantity: str) -> Named:
    """(name, unit) of the statistics of one quantity of a cluster."""
    unit, cell = QUANTITY_UNITS[quantity], f"cell_{quantity}"
    out = [(f"median_{cell}", unit), (f"{cell}_median_absolute_deviation", unit), (f"{cell}_outlier_count", "")]
    out += _placed(f"worst_{cell}_outlier", "", _WITHIN)
    out += _placed(f"fastest_{cell}_change", RATE_UNITS[quantity], _WITHIN)
    for held in HELD[quantity]:
        out += [*_placed(f"{held}_{cell}", unit, _WITHIN), (f"{held}_{cell}.duration", "s")]
    out += _placed(f"largest_pack_{cell}_spread", unit, _WITHIN[:1])
    out += _placed(f"{cell}_sensors_off", "", _WITHIN)
    return tuple(out)


OPEN_WIRES: Named = tuple(_placed("cell_voltage_open_wires", "", _WITHIN))
"""Of a cluster, behind the statistics of both quantities."""

CLUSTER_STATISTICS: Named = (*cluster_statistics("voltage"), *cluster_statistics("temperature"), *OPEN_WIRES)

ENERGISED_SIDES = ("max", "min")
STATES = ("state_of_charge", "state_of_health")


def _above() -> Named:
    out: list[tuple[str, str]] = [("energised_cluster_count", "")]
    for quantity, unit in QUANTITY_UNITS.items():
        for side in ENERGISED_SIDES:
            name = f"energised_{side}_cell_{quantity}"
            out += _placed(name, unit, ("stack_index", "cluster_index", *_WITHIN))
    for state in STATES:
        for side in ENERGISED_SIDES:
            out += _placed(f"{side}_cluster_{state}", "%", ("stack_index", "cluster_index"))
        out.append((f"average_cluster_{state}", "%"))
    return tuple(out)


ABOVE_STATISTICS: Named = _above()
"""Of a stack and of the BMS, made of their clusters."""
