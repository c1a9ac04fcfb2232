"""What a NodeId of an instance means: which member of which instance, and where its value comes from."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from asyncua import ua

from opcua_bms.ua.space.blueprint import Bit, Computed, Constant, DetailRange, Family, Member, Slot, SlotRange


class Kind(IntEnum):
    """Where a value comes from."""

    NONE = 0
    """the node has no Value"""
    SLOT = 1
    """the store's slot `start`, encoded as `vtype`"""
    BIT = 2
    """bit `bit` of the store's slot `start`"""
    RANGE = 3
    """slots [start, stop) as an array of `vtype`"""
    DETAIL = 4
    """`detail` of slots [start, stop) as Byte[]"""
    CONSTANT = 5
    """`member.value.value`"""
    COMPUTED = 6
    """`member.value.read(instance)`"""


class Binding(NamedTuple):
    """One node of one instance; slots are absolute positions in the ValueStore."""

    kind: Kind
    start: int
    stop: int
    vtype: ua.VariantType
    bit: int
    member: Member
    instance: int
    family: Family

    @property
    def constant(self) -> ua.DataValue:
        """The value of a CONSTANT."""
        value = self.member.value
        assert isinstance(value, Constant)  # noqa: S101 - callers look at `kind` first
        return value.value

    @property
    def read(self) -> Callable[[int], ua.DataValue]:
        """The reader of a COMPUTED value, to be called with `instance`."""
        value = self.member.value
        assert isinstance(value, Computed)  # noqa: S101 - callers look at `kind` first
        return value.read


_NULL = ua.VariantType.Null


def bind(family: Family, instance: int, member: Member) -> Binding:
    """The binding of `member` of `instance`."""
    value = member.value
    if isinstance(value, Slot):
        slot = value.start + instance
        return Binding(Kind.SLOT, slot, slot + 1, value.vtype, 0, member, instance, family)
    if isinstance(value, Bit):
        slot = value.start + instance
        return Binding(Kind.BIT, slot, slot + 1, ua.VariantType.Boolean, value.bit, member, instance, family)
    if isinstance(value, SlotRange):
        start, stop = value.start + int(value.offsets[instance]), value.start + int(value.offsets[instance + 1])
        return Binding(Kind.RANGE, start, stop, value.vtype, 0, member, instance, family)
    if isinstance(value, DetailRange):
        start, stop = value.start + int(value.offsets[instance]), value.start + int(value.offsets[instance + 1])
        return Binding(Kind.DETAIL, start, stop, ua.VariantType.Byte, 0, member, instance, family)
    if isinstance(value, Constant):
        return Binding(Kind.CONSTANT, 0, 0, _NULL, 0, member, instance, family)
    if isinstance(value, Computed):
        return Binding(Kind.COMPUTED, 0, 0, _NULL, 0, member, instance, family)
    return Binding(Kind.NONE, 0, 0, _NULL, 0, member, instance, family)
