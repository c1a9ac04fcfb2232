"""A small plant that is no battery, served by `UaServer`: three lines of tags, with every kind of value.

    Line1 … Line3                      Object; Level (Double, slot), Mode (Word: UInt64), Mode.Bit3 (Boolean), Kind
                                       (String constant), Total (Int32, computed), Levels (Float[], per line),
                                       LevelsQuality (Byte[]), Reset (Method), Alarms (folder, HasNotifier source)
    Line1.Tag001 … Tag040              Variable (AnalogUnitRangeType) Float with EURange −10…90, and Count (UInt16)
    Line1.Alarms.High, .Low            Object, also linked by HasCondition from the line

`Plant.make()` has the store and families; `commit(...)` publishes; `served(...)` is a started server.
NodeIds: `plant.id("Line1.Tag007")`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from asyncua import ua

from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import ServerSettings
from opcua_bms.ua.space.blueprint import (
    Bit,
    Blueprint,
    Computed,
    Constant,
    DetailRange,
    Family,
    Link,
    Member,
    Named,
    Numbered,
    Slot,
    SlotRange,
)
from opcua_bms.ua.space.instances import RootReference
from opcua_bms.ua.store import ValueStore, filetime

URI = "urn:example:plant"
LINES = 3
TAGS = 40


def standard(number: int) -> ua.NodeId:
    """A node of namespace 0."""
    return ua.NodeId(ua.Int32(number))


OBJECT, VARIABLE, METHOD = ua.NodeClass.Object, ua.NodeClass.Variable, ua.NodeClass.Method
HAS_COMPONENT, HAS_PROPERTY, ORGANIZES = standard(47), standard(46), standard(35)
HAS_NOTIFIER, HAS_CONDITION = standard(48), standard(9006)
BASE_OBJECT, FOLDER = standard(58), standard(61)
BASE_DATA_VARIABLE, PROPERTY, ANALOG_UNIT_RANGE = standard(63), standard(68), standard(17570)
T = ua.VariantType


def variable(path: str, name: ua.QualifiedName, vtype: ua.VariantType, value: Any, **more: Any) -> Member:
    """A component that is a variable."""
    return Member(
        path=path,
        browse_name=name,
        node_class=VARIABLE,
        type_definition=more.pop("type_definition", BASE_DATA_VARIABLE),
        reference_type=more.pop("reference_type", HAS_COMPONENT),
        display_name=name.Name,
        data_type=more.pop("data_type", standard(vtype.value)),
        value=value,
        **more,
    )


@dataclass
class Plant:
    """Store and families in namespace `index`."""

    index: int
    tags: int = TAGS
    lines: int = LINES
    store: ValueStore = field(init=False)
    families: Sequence[Family] = field(init=False)
    counter: int = 0

    def __post_init__(self) -> None:
        lines, tags, ns = self.lines, self.lines * self.tags, self.index
        self.level, self.tag, self.count = 0, lines, lines + tags
        self.numbers = lines + 2 * tags
        self.mode = self.numbers
        self.size = self.numbers + lines
        self.store = ValueStore(self.numbers, self.size)
        per_line = np.arange(lines + 1) * self.tags

        def name(text: str) -> ua.QualifiedName:
            return ua.QualifiedName(text, ns)

        line = Blueprint(
            "Line",
            (
                Member(
                    "", name("Line"), OBJECT, BASE_OBJECT, HAS_COMPONENT, "Line", "A production line", event_notifier=1
                ),
                variable("Level", name("Level"), T.Double, Slot(T.Double, self.level), description="How full it is"),
                variable("Mode", name("Mode"), T.UInt64, Slot(T.UInt64, self.mode)),
                variable("Mode.Bit3", name("Bit3"), T.Boolean, Bit(self.mode, 3)),
                variable(
                    "Kind",
                    name("Kind"),
                    T.String,
                    Constant(ua.DataValue(ua.Variant("filler", T.String))),
                    type_definition=PROPERTY,
                    reference_type=HAS_PROPERTY,
                ),
                variable("Total", name("Total"), T.Int32, Computed(self._total)),
                variable("Levels", name("Levels"), T.Float, SlotRange(T.Float, self.tag, per_line), value_rank=1),
                variable("LevelsQuality", name("LevelsQuality"), T.Byte, DetailRange(self.tag, per_line), value_rank=1),
                variable("Setpoint", name("Setpoint"), T.Double, Slot(T.Double, self.level), access_level=3),
                Member("Reset", name("Reset"), METHOD, None, HAS_COMPONENT, "Reset"),
                Member("Alarms", name("Alarms"), OBJECT, FOLDER, HAS_COMPONENT, "Alarms"),
            ),
        )
        limits = Constant(ua.DataValue(ua.Variant(ua.Range(-10.0, 90.0), T.ExtensionObject)))
        tag = Blueprint(
            "Tag",
            (
                variable("", name("Tag"), T.Float, Slot(T.Float, self.tag), type_definition=ANALOG_UNIT_RANGE),
                variable(
                    "EURange",
                    ua.QualifiedName("EURange", 0),
                    T.ExtensionObject,
                    limits,
                    type_definition=PROPERTY,
                    reference_type=HAS_PROPERTY,
                    data_type=standard(884),
                ),
                variable("Count", name("Count"), T.UInt16, Slot(T.UInt16, self.count)),
            ),
        )
        alarm = Blueprint(
            "Alarm",
            (
                Member("", name("Alarm"), OBJECT, BASE_OBJECT, HAS_COMPONENT, "Alarm"),
                variable("Severity", name("Severity"), T.UInt16, Computed(self._severity)),
            ),
        )
        self.families = (
            Family(
                "line",
                line,
                Numbered("Line", 0, np.array([0, lines])),
                (Link(ORGANIZES),),
                parent_node=standard(85),
                root_namespace=ns,
            ),
            Family("tag", tag, Numbered("Tag", 3, per_line), (Link(HAS_COMPONENT),), parent="line", root_namespace=ns),
            Family(
                "alarm",
                alarm,
                Named(("High", "Low") * lines, np.arange(lines + 1) * 2),
                (Link(HAS_COMPONENT, "Alarms"), Link(HAS_CONDITION)),
                parent="line",
                root_namespace=ns,
            ),
        )

    @property
    def references(self) -> tuple[RootReference, ...]:
        return (RootReference(standard(2253), HAS_NOTIFIER, "line"),)

    def _total(self, instance: int) -> ua.DataValue:
        return ua.DataValue(ua.Variant(self.counter * 10 + instance, T.Int32))

    def _severity(self, instance: int) -> ua.DataValue:
        return ua.DataValue(ua.Variant(500 + instance, T.UInt16))

    def id(self, path: str) -> ua.NodeId:
        """The NodeId of a path."""
        return ua.NodeId(ua.String(path), ua.Int16(self.index))

    def commit(
        self,
        values: Any | None = None,
        status: Any | None = None,
        bits: Any | None = None,
        detail: Any | None = None,
        at_ns: int | None = None,
    ) -> None:
        """Publish; what is not given is a ramp of numbers, all Good."""
        self.counter += 1
        ticks = filetime(at_ns if at_ns is not None else time.time_ns())
        self.store.commit(
            np.arange(self.numbers, dtype=float) + self.counter / 8 if values is None else np.array(values, float),
            np.full(self.lines, 8 * (self.counter % 2), np.uint64) if bits is None else np.array(bits, np.uint64),
            np.zeros(self.size, np.uint32) if status is None else np.array(status, np.uint32),
            np.full(self.size, ticks, np.int64),
            np.zeros(self.size, np.uint8) if detail is None else np.array(detail, np.uint8),
            ticks,
        )


@contextlib.asynccontextmanager
async def served(
    settings: ServerSettings | None = None, tags: int = TAGS, lines: int = LINES, **wiring: Any
) -> AsyncIterator[tuple[UaServer, Plant]]:
    """A started server on a free port of 127.0.0.1, with a plant that has not been committed yet."""
    server = UaServer(settings or ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"), **wiring)
    await server.init()
    plant = Plant(await server.register_namespace(URI), tags, lines)
    server.attach(plant.store, plant.families, plant.index, plant.references)
    await server.start()
    try:
        yield server, plant
    finally:
        await server.stop()
