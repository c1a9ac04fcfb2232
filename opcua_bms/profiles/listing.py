"""A profile as a list of registers, for people: every address in both notations."""

from __future__ import annotations

from dataclasses import dataclass

from opcua_bms.profiles.plan import DevicePlan

_FIRST_DIGIT = {"coil": "0", "discrete": "1", "input": "3", "holding": "4"}


@dataclass(frozen=True, slots=True)
class Register:
    """One point as bound: zero-based addresses of its first and last register, and the first in 1-based notation."""

    name: str
    target: str
    table: str
    address: int
    last_address: int
    notation: str
    count: int
    """elements"""
    stride: int
    """registers from one element to the next; 0: one element, or not evenly spaced"""
    words: int
    type: str
    unit: str
    group: str
    access: str
    note: str


def notation(table: str, address: int) -> str:
    """The six-digit notation: zero-based input register 2130 is 302131."""
    return f"{_FIRST_DIGIT[table]}{address + 1:05d}"


def registers(plan: DevicePlan) -> list[Register]:
    """All points that the device serves here, by table and address."""
    rows = []
    for element in plan.elements:
        point, addresses = element.point, element.addresses
        if not addresses.size:
            continue
        steps = set((addresses[1:] - addresses[:-1]).tolist())
        rows.append(
            Register(
                name=point.name,
                target=point.target,
                table=point.table,
                address=int(addresses[0]),
                last_address=int(addresses.max()) + point.words - 1,
                notation=notation(point.table, int(addresses[0])),
                count=addresses.size,
                stride=steps.pop() if len(steps) == 1 else 0,
                words=point.words,
                type=point.type,
                unit=point.unit,
                group=point.group,
                access=point.access,
                note=point.note,
            )
        )
    return sorted(rows, key=lambda r: (r.table, r.address, r.name))
