"""Whole random register maps, read as planned and decoded, against the bytes of a device's memory."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_plants import plant, profile_of

from opcua_bms.model.layout import Kind, Layout, Scope
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import Topology
from opcua_bms.profiles import Placement, bind
from opcua_bms.profiles.planner import FUNCTIONS

STRUCT = {
    "u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "float32": "f", "float64": "d",
}  # fmt: skip
COUNTED = ("_index", "heartbeat", "life", "contactor_state", "count")
COLUMNS = [
    (c.name, c.unit)
    for c in Layout.of(Topology(())).columns.values()
    if c.kind is Kind.NUMBER and c.scope is Scope.BMS and not c.name.endswith(COUNTED)
]


@dataclass(frozen=True)
class Entry:
    """One point of a map and how its value is to be computed."""

    target: str
    unit: str
    table: str
    address: int
    kind: str
    word_order: str
    byte_order: str
    divide_by: int
    offset: int
    sentinel: int | None
    failed: bool
    """its registers are to hold the sentinel"""

    @property
    def size(self) -> int:
        return 1 if self.kind == "bool" else struct.calcsize(STRUCT[self.kind]) // 2

    def text(self, number: int, base: int) -> str:
        sentinel = "" if self.sentinel is None else f"sentinels = [{self.sentinel}]\n"
        return (
            f'[[point]]\nname = "p{number}"\ntarget = "{self.target}"\nunit = "{self.unit}"\ntable = "{self.table}"\n'
            f'address = {self.address + base}\ntype = "{self.kind}"\nword_order = "{self.word_order}"\n'
            f'byte_order = "{self.byte_order}"\ndivide_by = {self.divide_by}\noffset = {self.offset}\n{sentinel}'
        )

    def put(self, memory: np.ndarray) -> None:
        """The sentinel into the memory of its table, if it is to be there."""
        if self.failed and self.sentinel is not None:
            data = self.sentinel.to_bytes(2 * self.size, "big")
            words = [data[i : i + 2] for i in range(0, len(data), 2)]
            words = words if self.word_order == "big" else words[::-1]
            order = "big" if self.byte_order == "big" else "little"
            memory[self.address : self.address + self.size] = [int.from_bytes(w, order) for w in words]  # type: ignore[arg-type]

    def value(self, memory: np.ndarray) -> float:
        """What the memory says, NaN: nothing."""
        words = memory[self.address : self.address + self.size].tolist()
        if self.kind == "bool":
            return float(words[0]) / self.divide_by + self.offset
        words = words if self.word_order == "big" else words[::-1]
        data = b"".join(struct.pack(">H" if self.byte_order == "big" else "<H", w) for w in words)
        if self.sentinel is not None and int.from_bytes(data, "big") == self.sentinel:
            return math.nan
        (raw,) = struct.unpack(">" + STRUCT[self.kind], data)
        return float(raw) / self.divide_by + self.offset if math.isfinite(raw) else math.nan


@st.composite
def maps(draw: st.DrawFn) -> list[Entry]:
    """Points of all tables, at the beginning of the addresses or up to their end, with holes and neighbours."""
    out = []
    free = {table: draw(st.sampled_from([0, 3, 65400])) for table in FUNCTIONS}
    order = st.sampled_from(["big", "little"])
    for target, unit in draw(st.permutations(COLUMNS))[: draw(st.integers(1, 14))]:
        table = draw(st.sampled_from(list(FUNCTIONS)))
        kind = "bool" if table in ("coil", "discrete") else draw(st.sampled_from(list(STRUCT)))
        size = 1 if kind == "bool" else struct.calcsize(STRUCT[kind]) // 2
        address = free[table] + draw(st.sampled_from([0, 0, 0, 1, 5, 60]))
        if address + size > 65536 or draw(st.integers(0, 9)) == 0:
            address = 65536 - size
        if address < free[table]:
            continue
        free[table] = address + size
        sentinel = None if kind == "bool" else draw(st.none() | st.integers(0, (1 << 16 * size) - 1))
        failed = sentinel is not None and draw(st.booleans())
        scale = draw(st.sampled_from([1, 10, 1000])), draw(st.sampled_from([0, -40, -3200]))
        out.append(Entry(target, unit, table, address, kind, draw(order), draw(order), *scale, sentinel, failed))
    return out


@given(maps(), st.integers(0, 2**32), st.sampled_from([4, 20, 125]), st.sampled_from([0, 1]))
@settings(max_examples=200, deadline=None)
def test_a_map_is_read_as_the_memory_of_the_device_says(entries: list[Entry], seed: int, most: int, base: int) -> None:
    """Table, address, order, scale and sentinel of each point, whatever lies beside it and however it is read."""
    dice = np.random.default_rng(seed)
    memory = {
        t: dice.integers(0, 2 if t in ("coil", "discrete") else 65536, 65536).astype(np.uint16) for t in FUNCTIONS
    }
    for entry in entries:
        entry.put(memory[entry.table])
    points = "".join(e.text(k, base) for k, e in enumerate(entries))
    topology, layout = plant(())
    head = f"address_base = {base}\nmax_registers = {most}\nmax_bits = {most}"
    plan = bind(profile_of(points, head), topology, layout, Placement.whole(topology))
    words = np.zeros(plan.n_words, np.uint16)
    asked: list[tuple[str, int]] = []
    for r in plan.requests:
        assert r.count <= most
        words[r.offset : r.offset + r.count] = memory[r.table][r.address : r.address + r.count]
        asked += [(r.table, a) for a in range(r.address, r.address + r.count)]
    wanted = {(e.table, a) for e in entries for a in range(e.address, e.address + e.size)}
    assert len(asked) == len(wanted), "each once"
    assert set(asked) == wanted, "none that the map does not have"
    decoded = plan.codec.decode(words)
    slots = plan.codec.number_slots.tolist()
    assert len(slots) == len(entries)
    for entry in entries:
        at = slots.index(layout[entry.target].start)
        value = entry.value(memory[entry.table])
        assert decoded.quality[at] == (Quality.SENSOR_FAILURE if math.isnan(value) else Quality.GOOD)
        np.testing.assert_allclose(decoded.values[at], value, rtol=1e-12, atol=1e-9)
