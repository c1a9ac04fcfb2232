"""`/metrics`: what runs how well, for Prometheus; labelled by device and cluster, never by cell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from opcua_bms.infomodel.paths import object_paths
from opcua_bms.model.history import HistoryHealth
from opcua_bms.model.layout import Scope
from opcua_bms.model.override import OverrideKind
from opcua_bms.model.quality import IS_GOOD
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.ports import History
from opcua_bms.web.device_metrics import device_metrics
from opcua_bms.web.hub import Hub
from opcua_bms.web.needs import Surroundings
from opcua_bms.web.site import Site

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PLANT = (
    ("state_of_charge_percent", "BMS.StateOfCharge", "State of charge of the plant."),
    ("power_kilowatts", "BMS.Power", "Power of the plant, positive while it discharges."),
    ("bus_voltage_volts", "BMS.BusVoltage", "Voltage of the DC bus."),
    ("bus_current_amperes", "BMS.BusCurrent", "Current of the DC bus, positive while the battery discharges."),
)
_CLUSTER = (
    ("cluster_cell_voltage_spread_volts", "CellVoltageSpread", "Highest less lowest cell voltage of a cluster."),
    ("cluster_max_cell_voltage_volts", "MaxCellVoltage", "Highest cell voltage of a cluster."),
    ("cluster_min_cell_voltage_volts", "MinCellVoltage", "Lowest cell voltage of a cluster."),
    ("cluster_max_cell_temperature_celsius", "MaxCellTemperature", "Highest temperature of a cluster."),
    ("cluster_state_of_charge_percent", "StateOfCharge", "State of charge of a cluster."),
    ("cluster_age_seconds", "Age", "How old the oldest value of a cluster is."),
)


class PlantCollector(Collector):
    """Reads the last snapshot when asked; values that are not good are left out."""

    def __init__(self, site: Site, hub: Hub, around: Surroundings, history: History | None) -> None:
        self._site, self._hub, self._around, self._history = site, hub, around, history
        self._clusters = object_paths(site.topology, Scope.CLUSTER)

    def collect(self) -> Iterator[Metric]:
        """All families."""
        info = InfoMetricFamily("opcua_bms", "The program.")
        info.add_metric([], {"version": self._site.version})
        yield info
        facts = self._around.facts()
        yield _gauge("opcua_sessions", "OPC UA sessions.", facts.sessions)
        yield _gauge("opcua_subscriptions", "OPC UA subscriptions.", facts.subscriptions)
        yield _gauge("opcua_monitored_items", "OPC UA monitored items.", facts.items)
        yield _counter("opcua_notifications", "Notifications sent to OPC UA clients.", facts.notifications)
        yield _counter("opcua_rejected_requests", "Requests of OPC UA clients refused.", facts.rejected_requests)
        yield _gauge("journal_unwritten", "Changes of alarms that are not on disk yet.", facts.unwritten)
        yield _gauge("web_viewers", "Browsers that watch.", self._hub.viewers)
        yield _counter("web_skips", "Times that a browser was too slow and missed scans.", self._hub.skipped)
        snapshot = self._hub.snapshot
        if self._history is not None:
            yield from _written(self._history.health, snapshot)
        if snapshot is not None:
            yield from self._scan(snapshot)
            yield from self._alarms()
            yield from self._values(snapshot)

    def _scan(self, snapshot: Snapshot) -> Iterator[Metric]:
        scan, devices = snapshot.plant.scan, snapshot.plant.devices
        yield _counter("scans", "Scans since start.", scan.counter)
        yield _gauge("scan_duration_seconds", "How long the last scan took.", scan.duration_s)
        yield _gauge("scan_lateness_seconds", "How late the last scan began.", scan.lateness_s)
        yield _gauge("scan_timestamp_seconds", "When the last scan was frozen, since 1970.", scan.frozen_ns / 1e9)
        yield from device_metrics(devices)
        by_hand = GaugeMetricFamily("opcua_bms_overrides", "Points forced or out of service.", labels=["kind"])
        for kind in OverrideKind:
            by_hand.add_metric([kind.value], sum(one.kind is kind for one in snapshot.overrides))
        yield by_hand

    def _alarms(self) -> Iterator[Metric]:
        states = self._hub.conditions
        yield _gauge("alarms_active", "Conditions that are active.", sum(s.active for s in states))
        unanswered = sum(s.retain and not s.acked for s in states)
        yield _gauge("alarms_unacknowledged", "Conditions that nobody has acknowledged.", unanswered)
        active = dict.fromkeys(self._clusters, 0)
        for info, state in zip(self._site.infos, states, strict=False):
            if state.active:
                cluster = ".".join(info.source.split(".", 3)[:3])
                if cluster in active:
                    active[cluster] += 1
        family = GaugeMetricFamily("opcua_bms_cluster_alarms_active", "Active conditions.", labels=["cluster"])
        for cluster, count in active.items():
            family.add_metric([cluster.removeprefix("BMS.")], count)
        yield family

    def _values(self, snapshot: Snapshot) -> Iterator[Metric]:
        plant, slots = snapshot.plant, self._site.values
        for name, path, text in _PLANT:
            slot = slots[path]
            if IS_GOOD[plant.quality[slot]]:
                yield _gauge(name, text, float(plant.values[slot]))
        for name, member, text in _CLUSTER:
            family = GaugeMetricFamily(f"opcua_bms_{name}", text, labels=["cluster"])
            for cluster in self._clusters:
                slot = slots[f"{cluster}.{member}"]
                value = float(plant.values[slot])
                if IS_GOOD[plant.quality[slot]] and not np.isnan(value):
                    family.add_metric([cluster.removeprefix("BMS.")], value)
            yield family


def _written(health: HistoryHealth, snapshot: Snapshot | None) -> Iterator[Metric]:
    if snapshot is not None and health.last_written_ns:
        lag_s = max(snapshot.plant.scan.frozen_ns - health.last_written_ns, 0) / 1e9
        yield _gauge("history_lag_seconds", "How far the history on disk is behind the last scan.", lag_s)
    yield _gauge("history_waiting_scans", "Scans that wait for the disk.", health.waiting)
    yield _counter("history_refused_scans", "Scans that are missing in the history.", health.refused)
    yield _gauge("history_size_bytes", "Size of the history on disk.", health.size_bytes)


def registry(site: Site, hub: Hub, around: Surroundings, history: History | None) -> CollectorRegistry:
    """A registry of our own: nothing of other libraries is in it."""
    out = CollectorRegistry()
    out.register(PlantCollector(site, hub, around, history))
    return out


def text(of: CollectorRegistry) -> bytes:
    """The exposition format."""
    return generate_latest(of)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"opcua_bms_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"opcua_bms_{name}", text, value=value)
