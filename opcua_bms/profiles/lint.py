"""What is wrong, or looks wrong, with a profile, before any device is asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from opcua_bms.model.layout import Kind, Layout
from opcua_bms.model.topology import Topology
from opcua_bms.profiles.lint_point import point_findings
from opcua_bms.profiles.placement import nominal_addresses
from opcua_bms.profiles.schema import TYPE_WORDS, Point, Profile


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: severity `error` or `warning`, its kind, where, what, and how to mend it."""

    severity: str
    kind: str
    where: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.mend}"


def lint(profile: Profile) -> list[Finding]:
    """All findings about a profile, errors first; a profile with an error cannot be relied upon."""
    columns = Layout.of(Topology(())).columns
    found = [
        Finding(severity, kind, f"point {point.name}", what, mend)
        for point in profile.point
        for severity, kind, what, mend in point_findings(profile, point, columns)
    ]
    found += _overlaps(profile)
    words = {name for name, column in columns.items() if column.kind is Kind.WORD}
    found += _targets(profile, words)
    found += _labels(profile)
    found += _heartbeat(profile)
    found += _gaps(profile)
    return sorted(found, key=lambda f: f.severity != "error")


def _overlaps(profile: Profile) -> Iterator[Finding]:
    """Registers that two points claim, unless each takes bits of its own."""
    tables: dict[str, list[Point]] = defaultdict(list)
    for point in profile.point:
        tables[point.table].append(point)
    for points in tables.values():
        starts = [nominal_addresses(profile, p) for p in points]
        owner = np.repeat(np.arange(len(points)), [s.size for s in starts])
        start = np.concatenate(starts)
        end = start + np.array([p.words for p in points])[owner]
        order = np.argsort(start, kind="stable")
        owner, start, end = owner[order], start[order], end[order]
        seen: set[tuple[int, int]] = set()
        for gap in range(1, min(owner.size, 17)):  # fields of one register: 16 neighbours at most
            hits = np.flatnonzero(start[gap:] < end[:-gap])
            if not hits.size:
                break
            for i in hits:
                a, b = sorted((int(owner[i]), int(owner[i + gap])))
                if (a, b) not in seen and not _apart(points[a], points[b]):
                    seen.add((a, b))
                    yield _overlap(points[a], points[b], int(start[i + gap]))


def _overlap(a: Point, b: Point, address: int) -> Finding:
    where = f"point {b.name}"
    if a is b:
        return Finding("error", "overlap", where, f"overlaps itself at address {address}", "correct strides or counts")
    what = f"shares {a.table} address {address} with point {a.name}"
    return Finding("error", "overlap", where, what, "correct one address, or give each a field of its own")


def _apart(a: Point, b: Point) -> bool:
    """Whether two points at one address take different bits."""
    if a is b or a.field is None or b.field is None:
        return False
    first, second = sorted((a.field, b.field), key=lambda f: f.first)
    return first.first + first.width <= second.first and a.type == b.type


def _targets(profile: Profile, words: set[str]) -> Iterator[Finding]:
    """Two points for one value; bits of one word from several registers are no conflict."""
    seen: dict[tuple[str, int], Point] = {}
    groups: dict[str, str] = {}
    taken: dict[tuple[str, int], int] = defaultdict(int)
    for point in profile.point:
        if not point.readable:
            continue
        key = (point.target, point.index)
        if point.target not in words:
            if seen.setdefault(key, point) is not point:
                what = f"{point.target} comes from point {seen[key].name} already"
                yield Finding("error", "target-twice", f"point {point.name}", what, "keep one, or correct a target")
            continue
        width = point.field.width if point.field else 16 * TYPE_WORDS[point.type]
        if point.severity is not None:
            width = len(point.severity.levels) * len(point.severity.fields)
        mask = (1 << width) - 1 << point.shift
        if taken[key] & mask:
            what = f"bits of {point.target} come from another point already"
            yield Finding("error", "target-twice", f"point {point.name}", what, "set shift to its place in the word")
        taken[key] |= mask
        if groups.setdefault(point.target, point.group) != point.group:
            what = f"the registers of {point.target} are in different poll groups"
            yield Finding("error", "word-groups", f"point {point.name}", what, "put them in one group")


def _labels(profile: Profile) -> Iterator[Finding]:
    for column, labels in profile.word_labels().items():
        for label, times in Counter(labels.values()).items():
            if times > 1:
                bits = ", ".join(str(bit) for bit, text in labels.items() if text == label)
                what = f"bits {bits} are all called {label!r}"
                yield Finding("warning", "duplicate-bit", f"word {column}", what, "name them apart")
        for bit, label in labels.items():
            if not label.strip():
                yield Finding("error", "empty-label", f"word {column}", f"bit {bit} has no text", "name it or drop it")


def _heartbeat(profile: Profile) -> Iterator[Finding]:
    heartbeat = profile.heartbeat
    points = {p.name: p for p in profile.point}
    watched = points.get(heartbeat.watch or "")
    if heartbeat.watch is not None and (watched is None or not watched.readable or watched.on_device):
        what = f"{heartbeat.watch} is no readable value of the plant"
        yield Finding("error", "heartbeat-watch", "heartbeat.watch", what, "name a point with target ….heartbeat")
    written = points.get(heartbeat.write or "")
    if heartbeat.write is not None and (written is None or not written.writable):
        what = f"{heartbeat.write} cannot be written"
        yield Finding("error", "heartbeat-write", "heartbeat.write", what, "give that point access write")


def _gaps(profile: Profile) -> Iterator[Finding]:
    for i, gap in enumerate(profile.gaps):
        if gap.last < gap.first:
            what = f"ends at {gap.last} before it begins at {gap.first}"
            yield Finding("error", "gap", f"gaps[{i}]", what, "first and last are both included")
        elif gap.first < profile.address_base:
            what = f"address {gap.first} with addresses counted from {profile.address_base}"
            yield Finding("error", "gap", f"gaps[{i}]", what, "correct first")
