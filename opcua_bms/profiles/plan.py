"""A profile bound to a plant: the read plan, the codec and the writes of one device."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from opcua_bms.errors import ConfigurationError
from opcua_bms.model.layout import Kind, Layout
from opcua_bms.model.topology import Topology
from opcua_bms.profiles.codec import Codec, NumberSegment, WordSegment
from opcua_bms.profiles.convert import F64, I64, U16, U64, Form, Scaling
from opcua_bms.profiles.lint import lint
from opcua_bms.profiles.placement import Elements, Instances, Placement, nominal_addresses, place
from opcua_bms.profiles.planner import Request, Spans, joined, plan_requests
from opcua_bms.profiles.schema import BIT_TABLES, DEVICE_PREFIX, Point, Profile


@dataclass(frozen=True, slots=True, eq=False)
class WritePoint:
    """A register that we may write: zero-based `address` in table holding (or coil)."""

    name: str
    target: str
    table: str
    address: int
    count: int
    form: Form
    scaling: Scaling

    def registers(self, value: float) -> U16:
        """uint16[count]: the registers that say `value`; saturates at the type's limits."""
        words = np.zeros(self.count, np.uint16)
        NumberSegment(self.form, np.zeros(1, np.int64), 0, self.scaling).encode(np.array([value], np.float64), words)
        return words

    @property
    def modulus(self) -> int:
        """Where a counter in this register wraps to 0."""
        return 1 << 16 * self.form.words


@dataclass(frozen=True, slots=True)
class DevicePoint:
    """A value of the device itself; `offset` of its first register in the buffer of words."""

    name: str
    point: Point
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class DevicePlan:
    """Everything that reading one device takes.

    `requests` in order of group, table and address fill a buffer of `n_words` uint16; `elements` says where each
    point of the profile lies. `heartbeat_position` indexes the codec's slots, None: the device has none.
    `life` is our heartbeat to the device. `device_points` are read with `device_values`.
    """

    profile: Profile
    placement: Placement
    requests: tuple[Request, ...]
    n_words: int
    codec: Codec
    elements: tuple[Elements, ...]
    writes: Mapping[str, WritePoint]
    life: WritePoint | None
    heartbeat_position: int | None
    device_points: tuple[DevicePoint, ...]
    atoms: tuple[Spans, ...] = ()
    """of each request, ascending: the ranges of its registers that belong together and must not be cut"""

    def requests_of(self, group: str) -> tuple[int, ...]:
        """Indices of the requests of one poll group."""
        return tuple(k for k, r in enumerate(self.requests) if r.group == group)

    def encode(self, values: F64, bits: U64) -> dict[str, tuple[I64, U16]]:
        """Registers per table of a device in which `values` and `bits` (of a whole Image) are true.

        {table: (zero-based addresses int64[k], registers uint16[k])}; addresses ascend.
        """
        return self.by_table(self.codec.encode(values, bits))

    def by_table(self, words: U16) -> dict[str, tuple[I64, U16]]:
        """A buffer of words as {table: (zero-based addresses, registers)}."""
        out: dict[str, tuple[I64, U16]] = {}
        for table in dict.fromkeys(r.table for r in self.requests):
            own = [r for r in self.requests if r.table == table]
            addresses = np.concatenate([np.arange(r.address, r.address + r.count) for r in own])
            registers = np.concatenate([words[r.offset : r.offset + r.count] for r in own])
            order = np.argsort(addresses, kind="stable")
            out[table] = (addresses[order], registers[order])
        return out


def bind(
    profile: Profile,
    topology: Topology,
    layout: Layout,
    placement: Placement,
    separate: Collection[str] = (),
) -> DevicePlan:
    """Bind a profile to the part of the plant that one device serves.

    `separate` names the poll groups (`fast`, `slow`) that have a schedule of their own: their points get requests of
    their own; the points of all other groups share the requests of `normal`. ConfigurationError: `lint` finds an error
    in the profile, or profile and plant do not fit.
    """
    errors = [f for f in lint(profile) if f.severity == "error"]
    if errors:
        raise ConfigurationError("\n".join(f"profile {profile.name}, {finding}" for finding in errors))
    instances = Instances(topology, placement)
    elements = tuple(place(profile, p, layout, instances) for p in profile.point)
    readable = _readable(profile)
    requests: list[Request] = []
    atoms: list[Spans] = []
    offset = 0
    for group in ("fast", "normal", "slow"):
        for table in ("holding", "input", "coil", "discrete"):
            own = [e for e in elements if e.point.table == table and _group(e.point, separate) == group]
            limit = profile.max_bits if table in BIT_TABLES else profile.max_registers
            spans = joined([_atoms(e) for e in own if e.point.readable and e.addresses.size])
            planned = plan_requests(table, spans, readable.get(table, joined([])), limit, group, offset)
            requests += planned
            atoms += [spans.merged().within(r.address, r.address + r.count) for r in planned]
            offset += sum(r.count for r in planned)
    builder = _Builder(profile, layout, tuple(requests), separate)
    for element in elements:
        if element.point.readable and element.addresses.size:
            builder.add(element)
    codec = builder.codec(offset)
    writes = {e.point.name: _write_point(profile, e) for e in elements if e.point.writable and e.addresses.size}
    heartbeat = profile.heartbeat
    position = None
    if heartbeat.watch is not None:
        watched = [e.slots for e in elements if e.point.name == heartbeat.watch]
        hits = np.flatnonzero(np.isin(codec.slots, watched))
        position = int(hits[0]) if hits.size else None
    return DevicePlan(
        profile=profile,
        placement=placement,
        requests=tuple(requests),
        n_words=offset,
        codec=codec,
        elements=elements,
        writes=writes,
        life=writes.get(heartbeat.write) if heartbeat.write is not None else None,
        heartbeat_position=position,
        device_points=tuple(builder.device_points),
        atoms=tuple(atoms),
    )


def _group(point: Point, separate: Collection[str]) -> str:
    return point.group if point.group in separate else "normal"


def _atoms(element: Elements) -> Spans:
    starts = element.addresses
    ends = starts + element.point.words
    return Spans(starts, ends) if element.point.splittable else Spans(starts.min()[None], ends.max()[None])


def _readable(profile: Profile) -> dict[str, Spans]:
    """What may be read although the plan needs it not: gaps that the profile names, and places of absent instances."""
    spans: dict[str, list[Spans]] = {}
    for gap in profile.gaps:
        first, last = gap.first - profile.address_base, gap.last - profile.address_base
        spans.setdefault(gap.table, []).append(Spans(np.array([first]), np.array([last + 1])))
    for point in profile.point:
        if point.readable:
            starts = nominal_addresses(profile, point)
            spans.setdefault(point.table, []).append(Spans(starts, starts + point.words))
    return {table: joined(own) for table, own in spans.items()}


def _write_point(profile: Profile, element: Elements) -> WritePoint:
    point = element.point
    return WritePoint(
        name=point.name,
        target=point.target,
        table=point.table,
        address=int(element.addresses[0]),
        count=point.words,
        form=Form.of(profile, point),
        scaling=_scaling(profile, [(point, 1)]),
    )


def _scaling(profile: Profile, points: list[tuple[Point, int]]) -> Scaling:
    return Scaling.of(points, reversed_flow=profile.positive_current == "charging")


class _Builder:
    """Collects elements by form and turns them into the codec's segments."""

    def __init__(
        self, profile: Profile, layout: Layout, requests: tuple[Request, ...], separate: Collection[str]
    ) -> None:
        self._profile = profile
        self._layout = layout
        self._requests = requests
        self._separate = separate
        self._numbers: dict[Form, list[tuple[Point, I64, I64, I64]]] = {}
        self._words: list[tuple[Point, I64, I64, I64]] = []
        self.device_points: list[DevicePoint] = []

    def add(self, element: Elements) -> None:
        """Take a readable point."""
        point = element.point
        request = self._request_of(point, element.addresses)
        starts = np.array([r.address for r in self._requests])
        bases = np.array([r.offset for r in self._requests])
        offsets = bases[request] + element.addresses - starts[request]
        if point.on_device:
            self.device_points.append(DevicePoint(point.target.removeprefix(DEVICE_PREFIX), point, int(offsets[0])))
        elif self._layout[point.target].kind is Kind.NUMBER:
            form = Form.of(self._profile, point)
            self._numbers.setdefault(form, []).append((point, offsets, element.slots, request))
        else:
            self._words.append((point, offsets, element.slots, request))

    def _request_of(self, point: Point, addresses: I64) -> I64:
        """int[n]: index of the request that reads each address."""
        group = _group(point, self._separate)
        own = [k for k, r in enumerate(self._requests) if r.table == point.table and r.group == group]
        starts = np.array([self._requests[k].address for k in own])
        return np.array(own)[np.searchsorted(starts, addresses, side="right") - 1]

    def codec(self, n_words: int) -> Codec:
        """The finished codec."""
        segments: list[NumberSegment] = []
        slots: list[I64] = []
        feeds: list[I64] = []
        start = 0
        for form, points in self._numbers.items():
            offsets = np.concatenate([o for _, o, _, _ in points])
            scaling = _scaling(self._profile, [(p, o.size) for p, o, _, _ in points])
            segments.append(NumberSegment(form, offsets, start, scaling))
            slots += [s for _, _, s, _ in points]
            feeds += [r for _, _, _, r in points]
            start += offsets.size
        number_slots = _concatenate(slots)
        word_slots = np.unique(_concatenate([s for _, _, s, _ in self._words]))
        if np.unique(number_slots).size != number_slots.size:
            values, counts = np.unique(number_slots, return_counts=True)
            raise ConfigurationError(
                f"profile {self._profile.name}: two points give {self._name_of(int(values[counts > 1][0]))}, keep one"
            )
        words: list[WordSegment] = []
        pairs: list[tuple[I64, I64]] = [(np.arange(start), _concatenate(feeds))]
        for point, offsets, own, request in self._words:
            places = np.searchsorted(word_slots, own)
            severity = point.severity
            packed = (severity.width, len(severity.levels), len(severity.fields)) if severity else None
            words.append(WordSegment(Form.of(self._profile, point), offsets, places, point.shift, packed))
            pairs.append((start + places, request))
        all_slots = np.concatenate([number_slots, word_slots])
        positions = np.concatenate([p for p, _ in pairs])
        request = np.concatenate([r for _, r in pairs])
        per_request = tuple(np.unique(positions[request == k]) for k in range(len(self._requests)))
        return Codec(
            n_words=n_words,
            number_slots=number_slots,
            word_slots=word_slots,
            slots=all_slots,
            word_indices=word_slots - self._layout.n_numbers,
            request_positions=per_request,
            request_slots=tuple(all_slots[p] for p in per_request),
            numbers=tuple(segments),
            words=tuple(words),
        )

    def _name_of(self, slot: int) -> str:
        return next(c.name for c in self._layout.columns.values() if c.start <= slot < c.start + c.size)


def _concatenate(arrays: list[I64]) -> I64:
    return np.concatenate([np.zeros(0, np.int64), *arrays])
