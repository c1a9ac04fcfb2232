"""From rules and topology to the static tables of the engine: which conditions, comparators and words there are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from opcua_bms.alarms.doubts import Disagreement, Frozen, Stuck
from opcua_bms.alarms.families import families_of
from opcua_bms.alarms.fed import Fed
from opcua_bms.alarms.meanings import Meanings
from opcua_bms.alarms.places import Places
from opcua_bms.alarms.plan import Comparator, Device, Plan, Word
from opcua_bms.alarms.rules import LIMIT_SOURCES, PLANT_SOURCES, WITNESS_SOURCES, Rule
from opcua_bms.alarms.signals import (
    CellSum,
    ClockStep,
    Column,
    Communication,
    Count,
    Flood,
    Imbalance,
    Rise,
    Signal,
    Unwritten,
    WhileCharging,
)
from opcua_bms.alarms.state import I64, Bool
from opcua_bms.alarms.witness_build import WitnessBuilder
from opcua_bms.model.alarm import ConditionInfo, ConditionKind, Level
from opcua_bms.model.layout import Kind, Layout, Scope
from opcua_bms.model.topology import Topology

WORD_BITS = 64
_LIMIT_LEVELS = {
    ("high", "warning"): Level.HIGH,
    ("high", "alarm"): Level.HIGH_HIGH,
    ("low", "warning"): Level.LOW,
    ("low", "alarm"): Level.LOW_LOW,
}
_LIMIT_FIELDS = {Level.HIGH: "high", Level.HIGH_HIGH: "high_high", Level.LOW: "low", Level.LOW_LOW: "low_low"}


def _words_of(name: str) -> str:
    """`CellVoltageSpread` → `Cell voltage spread`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return spaced[:1] + spaced[1:].lower()


def _pascal(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", text) if part)


def _signal(
    rule: Rule, places: Places, devices: Sequence[Device], bound: Bool | None, witnesses: WitnessBuilder
) -> Signal:
    if rule.source in WITNESS_SOURCES:
        return witnesses.signal(rule)
    match rule.source:
        case "limit":
            return Column(places, rule.columns[0])
        case "limit_while_charging":
            return WhileCharging(places, rule.columns[0])
        case "imbalance":
            return Imbalance(places, rule.columns[0])
        case "cell_sum":
            return CellSum(places)
        case "rise":
            t, given = places.topology, places.layout["sensor.temperature"].slots
            has = np.ones(t.n_sensors, bool) if bound is None else bound[given]
            sums = np.concatenate(([0], np.cumsum(has)))
            return Rise(places, rule.window_s, sums[t.cluster_sensors[1:]] > sums[t.cluster_sensors[:-1]])
        case "communication":
            return Communication(places, tuple(d.name for d in devices), tuple(d.clusters for d in devices))
        case "frozen":
            return Frozen(places, rule.columns)
        case "count":
            return Count(places, rule.columns[0])
        case "stuck":
            return Stuck(places, rule.columns[0])
        case "disagreement":
            columns = tuple(name for name in places.layout.columns if name.startswith(rule.columns[0]))
            return Disagreement(places, columns)
        case "clock_step":
            return ClockStep()
        case "flood":
            return Flood(rule.window_s)
        case "journal":
            return Unwritten()
        case _:
            raise ValueError(f"{rule.id}: bits are read by word")


def _instances(
    rule: Rule, places: Places, devices: Sequence[Device], fed: Fed, witnesses: WitnessBuilder
) -> list[tuple[str, str]]:
    """Per instance of a rule's signal: path of its object ("" : no condition), name of its condition."""
    if rule.source == "communication":
        out: list[tuple[str, str]] = []
        for device in devices:
            single = len(device.clusters) == 1
            path = places.path(Scope.CLUSTER, device.clusters[0]) if single else "BMS"
            name = rule.condition if single else f"{_pascal(device.name)}{rule.condition}"
            if (path, name) in out:
                name = f"{_pascal(device.name)}{rule.condition}"
            out.append((path, name))
        return out
    scope = Scope(rule.scope)
    if rule.source in PLANT_SOURCES:
        return [("BMS", rule.condition)]
    if rule.source == "disagreement":
        names = [
            n.replace("disagreement.", "reported.") for n in places.layout.columns if n.startswith(rule.columns[0])
        ]
        alive = np.logical_or.reduce([fed(name) for name in names])
    elif rule.source == "rise":
        alive = fed(rule.columns[1])
    elif rule.source == "cell_sum":
        alive = fed(rule.columns[0]) & fed(rule.columns[1])
    elif rule.source in WITNESS_SOURCES:
        alive = witnesses.alive(rule)
    elif rule.source == "frozen":
        alive = np.logical_or.reduce([fed(c) if "cell" in c else fed.itself(c) for c in rule.columns])
    else:
        alive = np.logical_or.reduce([fed(column) for column in rule.columns])
    return [(places.path(scope, i), rule.condition) if alive[i] else ("", "") for i in range(len(alive))]


class _Builder:
    def __init__(self) -> None:
        self.infos: list[ConditionInfo] = []
        self.index: dict[str, int] = {}
        self.comparators: list[Comparator] = []
        self.of_rule: dict[str, list[int]] = {}
        """conditions that each rule judges"""

    def condition(self, info: ConditionInfo) -> int:
        """Index of the condition with that id; a second rule of the same condition adds its limits."""
        at = self.index.setdefault(info.id, len(self.infos))
        if at == len(self.infos):
            self.infos.append(info)
        elif info.re_alarm_s:  # the rule that is less patient
            known = self.infos[at]
            patience_s = min(known.re_alarm_s or info.re_alarm_s, info.re_alarm_s)
            self.infos[at] = replace(known, re_alarm_s=patience_s)
        return at

    def judges(self, rule: Rule, at: int) -> None:
        """Note that a rule judges a condition."""
        known = self.of_rule.setdefault(rule.id, [])
        if at not in known[-2:]:
            known.append(at)

    def limits(self, at: int, rule: Rule, severity: int, field: str, limit: float) -> None:
        old = self.infos[at]
        if old.kind is not rule.kind:
            raise ValueError(f"{rule.id}: condition {old.id} is of kind {old.kind} already (got {rule.kind})")
        self.infos[at] = replace(old, severity=max(severity, old.severity), **{field: limit})  # type: ignore[arg-type] # the four limit fields are float

    def compare(self, rule: Rule, signal: int, instance: int, path: str, name: str, unit: str) -> None:
        """Conditions and comparators of one rule on one object."""
        base = ConditionInfo(
            id=f"{path}.Alarms.{name}",
            source=path,
            name=name,
            kind=rule.kind,
            label=_words_of(name),
            unit=rule.unit or unit,
            severity=1,
            family=f"{path}.{name}",
            re_alarm_s=rule.re_alarm_s,
        )
        if rule.source not in LIMIT_SOURCES:
            at = self.condition(replace(base, label=rule.title or base.label, severity=rule.severity))
            row = rule.levels.get("warning")
            raises, clears = (row.raise_at, row.clear_at) if row else (0.5, 0.5)
            self._add(at, rule, signal, instance, Level.ACTIVE, rule.severity, raises, clears, "active")
            return
        for level_name, row in rule.levels.items():
            severity = rule.severity_of(level_name)
            if level_name == "trip":
                trip = replace(
                    base,
                    id=f"{base.id}Trip",
                    name=f"{name}Trip",
                    kind=ConditionKind.TRIP,
                    label=f"{base.label} trip",
                    severity=severity,
                    latched=rule.latch,
                )
                at, level = self.condition(trip), Level.ACTIVE
            else:
                level = _LIMIT_LEVELS[rule.side, level_name]
                at = self.condition(base)
                self.limits(at, rule, severity, _LIMIT_FIELDS[level], row.raise_at)
            self._add(at, rule, signal, instance, level, severity, row.raise_at, row.clear_at, level_name)

    def _add(
        self,
        at: int,
        rule: Rule,
        signal: int,
        instance: int,
        level: Level,
        severity: int,
        raises: float,
        clears: float,
        name: str,
    ) -> None:
        self.judges(rule, at)
        self.comparators.append(
            Comparator(at, rule, signal, instance, level, severity, raises, clears, f"{rule.id}.{name}")
        )


def make_plan(
    topology: Topology,
    layout: Layout,
    rules: Sequence[Rule],
    word_labels: Mapping[str, Mapping[int, str]],
    devices: Sequence[Device],
    bound: Bool | None,
    word_widths: Mapping[str, int],
    meanings: Meanings,
) -> Plan:
    """Build everything once; raises ValueError for a rule that names a column that does not exist."""
    places, build = Places(topology, layout), _Builder()
    fed = Fed(places, bound)
    witnesses = WitnessBuilder(places, fed, meanings, word_labels, rules)
    signals: list[Signal] = []
    signal_ids: list[str] = []
    for rule in rules:
        for column in rule.columns:
            if column not in layout and rule.source != "disagreement":
                raise ValueError(f"{rule.id}: there is no column {column!r}")
        if rule.source == "bits" or (rule.only_without and fed(rule.only_without).any()):
            continue
        unit = layout[rule.columns[0]].unit if rule.columns and rule.columns[0] in layout else ""
        before = len(build.comparators)
        for i, (path, name) in enumerate(_instances(rule, places, devices, fed, witnesses)):
            if path:
                build.compare(rule, len(signals), i, path, name, unit)
        if len(build.comparators) > before:
            signal_ids.append(rule.id)
            signals.append(_signal(rule, places, devices, bound, witnesses))
    n_compared = len(build.infos)
    words, slots = _words(places, build, rules, word_labels, bound, word_widths)
    comparators = tuple(sorted(build.comparators, key=lambda c: c.condition))
    starts = np.cumsum([0] + [s.size for s in signals])
    sign = np.array([1.0 if c.rule.side == "high" else -1.0 for c in comparators])
    sources = {source: k for k, source in enumerate(dict.fromkeys(info.source for info in build.infos))}
    families = families_of(rules, build.of_rule, build.infos)
    widths = [word_widths.get(w.rule.columns[0], WORD_BITS) for w in words]
    return Plan(
        infos=tuple(build.infos),
        n_compared=n_compared,
        signals=tuple(signals),
        signal_ids=tuple(signal_ids),
        signal_starts=starts,
        comparators=comparators,
        first_comparator=np.searchsorted([c.condition for c in comparators], np.arange(n_compared + 1)),
        condition=np.array([c.condition for c in comparators], np.int64),
        source=np.array([starts[c.signal] + c.instance for c in comparators], np.int64),
        sign=sign,
        raise_y=sign * np.array([c.raise_at for c in comparators], float),
        clear_y=sign * np.array([c.clear_at for c in comparators], float),
        on_delay_s=np.array([c.rule.on_delay_s for c in comparators], float),
        off_delay_s=np.array([c.rule.off_delay_s for c in comparators], float),
        words=words,
        word_index=slots - layout.n_numbers,
        word_slot=slots,
        word_mask=np.array([(1 << w) - 1 for w in widths], np.uint64),
        word_first=np.array([w.first for w in words], np.int64),
        children=families.children,
        parents=families.parents,
        depth=families.depth,
        group=np.array([sources[info.source] for info in build.infos], np.int64),
    )


def _words(
    places: Places,
    build: _Builder,
    rules: Sequence[Rule],
    labels: Mapping[str, Mapping[int, str]],
    bound: Bool | None,
    widths: Mapping[str, int],
) -> tuple[tuple[Word, ...], I64]:
    """One condition per bit of each word that a device gives, named or not (spare): indices never shift."""
    words: list[Word] = []
    slots: list[int] = []
    for rule in rules:
        if rule.source != "bits":
            continue
        (name,) = rule.columns
        column, named = places.layout[name], labels.get(name, {})
        if column.kind is not Kind.WORD:
            raise ValueError(f"{rule.id}: {name!r} is no bit word")
        word = _pascal(name.split(".")[1])
        for i in range(column.size):
            given = name in labels if bound is None else bool(bound[column.start + i])
            if not given or (column.scope is Scope.CLUSTER and not places.topology.installed[i]):
                continue
            words.append(Word(rule, len(build.infos), i, column.scope))
            slots.append(column.start + i)
            path = places.path(column.scope, i)
            for bit in range(widths.get(name, WORD_BITS)):
                at = build.condition(
                    ConditionInfo(
                        id=f"{path}.Alarms.{word}Bit{bit:02d}",
                        source=path,
                        name=f"{word}Bit{bit:02d}",
                        kind=rule.kind,
                        label=named.get(bit, f"word {word} bit {bit}"),
                        severity=rule.severity,
                        family=f"{path}.{word}Bit{bit:02d}",
                        spare=bit not in named,
                        re_alarm_s=rule.re_alarm_s,
                    )
                )
                build.judges(rule, at)
    return tuple(words), np.array(slots, np.int64)
