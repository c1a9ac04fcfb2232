"""The OPC UA server of a plant: built from its description, fed with snapshots."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from asyncua import ua
from asyncua.server.address_space import AttributeValue
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from opcua_bms.alarms.metrics import AlarmMetrics
from opcua_bms.infomodel.members import WordLabels
from opcua_bms.infomodel.plan import instance_plan
from opcua_bms.infomodel.types import NAMESPACE_URI, NODE_IDS_FILE, NODESET_FILE
from opcua_bms.model.alarm import ConditionInfo, ConditionState, Transition
from opcua_bms.model.image import Points
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import Topology
from opcua_bms.ports import AlarmOperations, History, Journal, PointOverrides
from opcua_bms.resources import nodeset_bytes
from opcua_bms.server import diagnostics, overrides
from opcua_bms.server.alarm_metrics import KeptMetrics, ResetMetrics, metrics_family
from opcua_bms.server.alarm_summary import AlarmSummary
from opcua_bms.server.conditions import ConditionBook
from opcua_bms.server.health import HealthBook
from opcua_bms.server.history import Configurations, PlantHistory
from opcua_bms.server.history_events import PastAlarms
from opcua_bms.server.names import Names, standard
from opcua_bms.server.operations import PlantConditions
from opcua_bms.server.publisher import Publisher
from opcua_bms.server.space import NOTIFIERS, SpaceBuilder
from opcua_bms.server.values import data_value
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.services.conditions import ConditionServices
from opcua_bms.ua.settings import ServerSettings
from opcua_bms.ua.space.instances import InstanceSpace
from opcua_bms.ua.store import ValueStore
from opcua_bms.ua.wiring import DEFAULT, Wiring

SERVICE_LEVEL = standard(ObjectIds.Server_ServiceLevel)


@dataclass(frozen=True, slots=True, eq=False)
class Plant:
    """What a server must know of a plant before the first scan.

    `word_labels` names the bits of words by column, `provided` the columns that some device gives, `devices` the
    devices in the order of `Image.devices`, `infos` the conditions in that of `Snapshot.conditions`; `started_ns`
    (UTC) is the time of configuration values.
    """

    topology: Topology
    layout: Layout
    site_uri: str
    started_ns: int
    word_labels: WordLabels = field(default_factory=dict)
    provided: Collection[str] = ()
    devices: Sequence[str] = ()
    infos: Sequence[ConditionInfo] = ()
    max_shelving_s: float = 86_400.0
    """how long a condition can be shelved"""
    period_s: float = 1.0
    """of the scan"""


@dataclass(frozen=True, slots=True, eq=False)
class BmsServer:
    """A server with the instances of one plant; a Sink of its snapshots and a ConditionSink of what operators do."""

    ua: UaServer
    names: Names
    store: ValueStore
    space: InstanceSpace
    publisher: Publisher
    conditions: ConditionBook

    def publish(self, snapshot: Snapshot) -> None:
        """Show a snapshot: values first, then the events of its transitions."""
        self.publisher.publish(snapshot)

    def publish_points(self, points: Points) -> None:
        """Show fast points between two snapshots."""
        self.publisher.publish_points(points)

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
        """Show conditions that changed between two scans, and send the events of what led to them."""
        self.publisher.publish_conditions(conditions, transitions)

    def revise(self, infos: Sequence[ConditionInfo], max_shelving_s: float) -> None:
        """Show other limits and severities of the same conditions."""
        self.conditions.revise(infos, max_shelving_s)

    @property
    def endpoint_url(self) -> str:
        """Where clients connect; with the real port once started."""
        return self.ua.endpoint_url

    @property
    def node_count(self) -> int:
        """How many nodes the plant has."""
        return self.space.tree.node_count

    async def start(self) -> None:
        """Listen; all values are BadWaitingForInitialData until the first snapshot."""
        await self.ua.start()

    async def stop(self, reason: str = "", seconds_till_shutdown: float = 0.0) -> None:
        """Tell clients, then close every connection."""
        await self.ua.stop(reason, seconds_till_shutdown)


async def build_server(
    settings: ServerSettings,
    plant: Plant,
    wiring: Wiring = DEFAULT,
    operations: AlarmOperations | None = None,
    history: History | None = None,
    journal: Journal | None = None,
    points: PointOverrides | None = None,
    metrics: KeptMetrics | None = None,
) -> BmsServer:
    """A server that is ready to start; `operations` carries out what operators ask of conditions.

    `history` remembers values and `journal` alarms, for clients that ask what was; `points` lets engineers force
    points and take them out of service.
    """
    with _uncollected():
        return await _build(settings, plant, wiring, operations, history, journal, points, metrics)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector away from hundreds of thousands of new objects that all stay: it takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


async def _build(
    settings: ServerSettings,
    plant: Plant,
    wiring: Wiring,
    operations: AlarmOperations | None,
    history: History | None,
    journal: Journal | None,
    points: PointOverrides | None,
    kept_metrics: KeptMetrics | None,
) -> BmsServer:
    server = UaServer(settings, wiring)
    await server.init()
    await server.load_nodeset(nodeset_bytes(NODESET_FILE))
    types = await server.register_namespace(NAMESPACE_URI)
    site = await server.register_namespace(plant.site_uri)
    names = Names.of(types, site, nodeset_bytes(NODE_IDS_FILE))
    layout = plant.layout
    store = ValueStore(layout.n_numbers, layout.size)
    publisher = Publisher(store)

    def now_ns() -> int:
        return publisher.now_ns or plant.started_ns

    def latest() -> Snapshot | None:
        return publisher.latest

    plan = instance_plan(plant.topology, plant.word_labels, plant.provided, plant.devices, plant.infos)
    conditions = ConditionBook(plan, plant.infos, names, publisher, plant.max_shelving_s)
    health = HealthBook(plant.topology, layout, tuple(plant.infos), latest)
    summary = AlarmSummary(plant.topology, plant.infos, now_ns)
    kept = health.readers() | diagnostics.readers(latest) | summary.readers()
    kept |= overrides.readers(lambda: () if points is None else points.overrides, now_ns)
    configurations = None
    if history is not None:
        values = PlantHistory(history, plant.period_s)
        configurations = Configurations(server, names, values, history)
        server.iserver.history.provide(values)
    if journal is not None:
        server.iserver.history.provide_events(PastAlarms(journal, conditions, names, plant.topology))
    more = {Scope.BMS.value: overrides.members(names, plant.started_ns)}
    builder = SpaceBuilder(plan, layout, names, kept, plant.started_ns, configurations, journal is not None, more)
    families = builder.families()
    families += conditions.families(lambda node: _value_of(server, node))
    metrics = AlarmMetrics(plant.started_ns) if kept_metrics is None else kept_metrics.so_far
    families.append(metrics_family(metrics, now_ns, names))
    space = server.attach(store, families, site, NOTIFIERS)
    events = server.iserver.subscription_service

    def tell(transition: Transition) -> None:
        metrics.note(transition)
        summary.note(transition)
        events.emit(conditions.event(transition))

    publisher.on_transition = tell

    def begin(states: Sequence[ConditionState]) -> None:
        metrics.seed(states)
        summary.seed(states)

    publisher.on_first = begin
    ConditionServices(server.iserver, PlantConditions(conditions, operations))
    reset = ResetMetrics(metrics, now_ns, names, kept_metrics)
    server.iserver.method_service.bind(standard(ObjectIds.AlarmMetricsType_Reset), reset.call)
    for method, handler in overrides.OverrideMethods(points, names).handlers():
        server.iserver.method_service.bind(method, handler)
    overrides.restrict(server.iserver.access, names)
    _show_service_level(server, publisher)
    return BmsServer(server, names, store, space, publisher, conditions)


def _value_of(server: UaServer, node: ua.NodeId) -> ua.DataValue | None:
    """The constant value of a node of the standard address space."""
    data = server.iserver.aspace.get(node)
    return None if data is None else data.attributes[AttributeIds.Value].value


def _show_service_level(server: UaServer, publisher: Publisher) -> None:
    node = server.iserver.aspace[SERVICE_LEVEL]
    value = AttributeValue(ua.DataValue())
    value.value = None
    value.value_callback = lambda _node, _attribute: data_value(publisher.service_level(), ua.VariantType.Byte, 0)
    node.attributes[AttributeIds.Value] = value
