"""Alarm rules as rows: what is judged, at which limits, with which delays, severities and texts."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from opcua_bms.alarms.defaults import ALARM_SEVERITY, DEFAULT_ROWS, TRIP_SEVERITY, WARNING_SEVERITY
from opcua_bms.model.alarm import ConditionKind

Source = Literal[
    "limit",
    "limit_while_charging",
    "imbalance",
    "cell_sum",
    "rise",
    "communication",
    "frozen",
    "stuck",
    "count",
    "disagreement",
    "clock_step",
    "flood",
    "journal",
    "bits",
    "current_sum",
    "bus_voltage",
    "contactor",
    "energy_share",
    "charge_drift",
    "limit_bits",
    "bit_value",
]
LIMIT_SOURCES = frozenset({"limit", "limit_while_charging", "imbalance", "cell_sum", "rise"})
"""Sources whose conditions are exclusive limit alarms; all others have two states."""
PLANT_SOURCES = frozenset({"clock_step", "flood", "journal"})
"""Sources with one condition for the whole plant."""
MEASURED_WITNESSES = frozenset({"current_sum", "bus_voltage", "contactor", "energy_share", "charge_drift"})
WITNESS_SOURCES = MEASURED_WITNESSES | {"limit_bits", "bit_value"}
"""Sources that compare two witnesses; the former have a number of how far these are apart."""
COUNTED_SOURCES = frozenset({"clock_step", "flood", "stuck", "count"}) | MEASURED_WITNESSES
"""Two-state conditions that are raised by a number all the same."""
TEXT_FIELDS = frozenset({"title", "place", "value", "sign", "limit", "duration", "detail", "window"})
LEVELS = (("warning", WARNING_SEVERITY), ("alarm", ALARM_SEVERITY), ("trip", TRIP_SEVERITY))

Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Severity = Annotated[int, Field(ge=401, le=1000)]
"""Part 9 §4.6 wants alarms above 400."""
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Row(BaseModel):
    """A part of a rule: no unknown key, no change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class LevelRow(Row):
    """One level: raised beyond `raise`, cleared at or within `clear`; severity by level unless given."""

    raise_at: Finite = Field(alias="raise")
    clear_at: Finite = Field(alias="clear")
    severity: Severity | None = None


class Rule(Row):
    """One row of the table of alarms.

    `columns` are those of the layout that the source judges (a prefix for `disagreement`); the condition's id is
    `<object>.Alarms.<condition>`, and level 3 (`trip`) is a latched condition `<condition>Trip` beside it. A delay
    that is not given is 3 s / 30 s for limits and 0 s for everything else.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    enabled: bool = True
    source: Source
    columns: tuple[str, ...] = ()
    """of the layout"""
    only_without: str = ""
    """the row is left out of plants where some device gives this column"""
    condition: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$")]
    kind: ConditionKind
    side: Literal["high", "low"] = "high"
    title: str = ""
    unit: str | None = None
    digits: Annotated[int, Field(ge=0, le=6)] = 3
    warning: LevelRow | None = None
    alarm: LevelRow | None = None
    trip: LevelRow | None = None
    severity: Severity = ALARM_SEVERITY
    """of conditions with two states"""
    latch: bool = True
    """level 3 stays latched until it is reset"""
    suppressed_by: tuple[str, ...] = ()
    """ids of rules: while a condition of theirs is active on the same object or on one above it"""
    on_delay_s: Seconds = 0.0
    off_delay_s: Seconds = 0.0
    window_s: Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)] = 60.0
    """of `rise`, `flood` and `charge_drift`"""
    share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0
    """of two witnesses: part of the larger value by which they may differ besides"""
    tolerance: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)] = 0.0
    """of two witnesses: a limit, or a current, that counts as none"""
    re_alarm_s: Seconds = 0.0
    """tell an alarm that stays active again after this time, unacknowledged; 0: never"""
    text: Text = ""
    cleared: Text = ""

    @model_validator(mode="before")
    @classmethod
    def _defaults_by_source(cls, row: Any) -> Any:
        if not isinstance(row, Mapping):
            return row
        limit = row.get("source") in LIMIT_SOURCES
        number = "{value}" if limit else ""
        return {
            "on_delay_s": 3.0 if limit else 0.0,
            "off_delay_s": 30.0 if limit or row.get("source") == "clock_step" else 0.0,
            "text": "{title} {place}: {value} {sign} {limit}" if limit else "{title} {place}",
            "cleared": "{title} {place} cleared after {duration}" + (f": {number}" if limit else ""),
            **row,
        }

    @field_validator("suppressed_by", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("text", "cleared")
    @classmethod
    def _known_fields(cls, text: str) -> str:
        for _, name, spec, conversion in Formatter().parse(text):
            if name is not None and (name not in TEXT_FIELDS or spec or conversion):
                raise ValueError(f"may use {{{'}, {'.join(sorted(TEXT_FIELDS))}}} only (got {{{name}}})")
        return text

    @model_validator(mode="after")
    def _levels_make_sense(self) -> Rule:
        wants = self.source in LIMIT_SOURCES | COUNTED_SOURCES
        if wants != bool(self.levels):
            raise ValueError(f"a rule with source {self.source!r} {'needs a level' if wants else 'has no levels'}")
        sign = 1.0 if self.side == "high" else -1.0
        last: float | None = None
        for name, level in self.levels.items():
            if sign * level.clear_at > sign * level.raise_at:
                raise ValueError(f"{name}: clears at {level.clear_at}, on the wrong side of its raise {level.raise_at}")
            if last is not None and sign * level.raise_at <= sign * last:
                raise ValueError(f"{name}: raises at {level.raise_at}, not beyond the level below it ({last})")
            last = level.raise_at
        return self

    @property
    def levels(self) -> dict[str, LevelRow]:
        """The levels that the row has, lowest first."""
        return {name: row for name, _ in LEVELS if (row := getattr(self, name)) is not None}

    @property
    def scope(self) -> str:
        """What there is one condition for: bms, stack or cluster ("" : device)."""
        parts = (self.columns[0] if self.columns else "bms.").split(".")
        name = parts[1] if parts[0] == "disagreement" else parts[0]
        if self.source == "communication":
            return ""
        return {"sensor": "cluster", "cell": "cluster", "container": "stack"}.get(name, name)

    def severity_of(self, level: str) -> int:
        """Severity of a level, or of the condition where it has two states."""
        if self.source not in LIMIT_SOURCES:
            return self.severity
        row = self.levels[level]
        return row.severity if row.severity is not None else dict(LEVELS)[level]


_TABLE = TypeAdapter(dict[str, Rule])


def _merged(row: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`change` laid over `row`, tables key by key."""
    out = dict(row)
    for key, value in change.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def load_rules(changes: Mapping[str, Any] | None = None) -> tuple[Rule, ...]:
    """The default rules with `changes` {rule id: {key: value}} laid over them; an unknown id adds a row.

    Rows with `enabled = false` are left out. Raises pydantic.ValidationError, whose locations begin with the rule's
    id, or ValueError where rows contradict each other, whose text does.
    """
    changes = changes or {}
    for id_, change in changes.items():
        if not isinstance(change, Mapping):
            raise ValueError(f"{id_}: a table of changes is needed (got {change!r})")  # noqa: TRY004 # a bad value of the file
    rows = {id_: _merged(row, changes.get(id_, {})) for id_, row in DEFAULT_ROWS.items()}
    rows |= {id_: dict(change) for id_, change in changes.items() if id_ not in rows}
    rules = tuple(_TABLE.validate_python({id_: {**row, "id": id_} for id_, row in rows.items()}).values())
    _check_suppression({rule.id: rule for rule in rules})
    seen: dict[tuple[str, ...], Rule] = {}
    for rule in rules:
        if not rule.enabled:
            continue
        key = (rule.scope, *rule.columns) if rule.source == "bits" else (rule.scope, rule.condition, rule.side)
        if (other := seen.setdefault(key, rule)) is not rule:
            raise ValueError(f"{rule.id}: {other.id} already judges {' '.join(key[1:])}")
    return tuple(rule for rule in rules if rule.enabled)


def _check_suppression(rules: Mapping[str, Rule]) -> None:
    """ValueError for a parent that does not exist, and for rules that wait for each other."""
    for rule in rules.values():
        above = list(rule.suppressed_by)
        for parent in above:  # grows
            if parent not in rules:
                raise ValueError(f"{rule.id}: suppressed_by names no rule: {parent!r}")
            if parent == rule.id:
                raise ValueError(f"{rule.id}: suppressed_by leads back to the rule itself")
            above += [p for p in rules[parent].suppressed_by if p not in above]


def default_rules() -> tuple[Rule, ...]:
    """The table of limits for LFP cells, plus one row per alarm-like word, communication and diagnostics."""
    return load_rules()
