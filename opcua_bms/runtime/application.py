"""The running program: acquisition feeds the pipeline, the pipeline feeds every sink, once per scan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from opcua_bms.acquire.acquisition import Acquisition, bound_slots
from opcua_bms.acquire.settings import DeviceSettings
from opcua_bms.alarms.engine import AlarmEngine
from opcua_bms.alarms.plan import Device
from opcua_bms.alarms.rules import Rule
from opcua_bms.infomodel.points import Points
from opcua_bms.model.image import Image
from opcua_bms.model.image import Points as FastPoints
from opcua_bms.pipeline import Pipeline
from opcua_bms.ports import ConditionSink, History, Journal, PointSink, Sink
from opcua_bms.reduce import Reducer
from opcua_bms.reduce.settings import ReduceSettings, StatisticsSettings
from opcua_bms.runtime.alarm_desk import AlarmDesk
from opcua_bms.runtime.collector import Collector
from opcua_bms.runtime.freshness import Freshness
from opcua_bms.runtime.override_desk import OverrideDesk
from opcua_bms.runtime.override_store import OverrideStore
from opcua_bms.runtime.plant import Plant
from opcua_bms.runtime.ports import ensure_free
from opcua_bms.runtime.source import LiveSource, Source
from opcua_bms.server.alarm_metrics import KeptMetrics
from opcua_bms.server.app import BmsServer, build_server
from opcua_bms.server.app import Plant as ServedPlant
from opcua_bms.ua.settings import ServerSettings


def alarm_engine(plant: Plant, rules: Sequence[Rule]) -> AlarmEngine:
    """All conditions that the site's devices can raise."""
    return AlarmEngine(
        plant.topology,
        plant.layout,
        rules,
        plant.labels,
        [Device(d.name, p.clusters) for d, p in zip(plant.devices, plant.placed, strict=True)],
        bound=bound_slots(plant.devices, plant.layout),
        meanings=plant.meanings,
        max_shelving_s=plant.config.alarms.max_shelving_s,
        branches=plant.config.alarms.branches,
    )


class Application:
    """One site, from its devices to its clients; `journal` remembers its alarms, `history` its values.

    `overrides` remembers what engineers forced; None: only while it runs.

    `source`: where frames come from, None: the real devices.
    """

    def __init__(
        self,
        plant: Plant,
        rules: Sequence[Rule],
        settings: ServerSettings,
        journal: Journal,
        history: History | None = None,
        source: Source | None = None,
        overrides: OverrideStore | None = None,
    ) -> None:
        self.plant = plant
        self.rules = tuple(rules)
        self.history = history
        self._settings = settings
        scan = plant.config.scan
        bound = bound_slots(plant.devices, plant.layout)
        statistics = StatisticsSettings(**plant.config.statistics.model_dump())
        reducing = ReduceSettings(scan.required_share, scan.least_share, statistics)
        self._bound = bound
        self._source = source or LiveSource(plant.config.scan.period_s)
        self._pace = self._source.pace
        reducer = Reducer(plant.topology, plant.layout, bound, plant.steps, reducing)
        self._pipeline = Pipeline(reducer, alarm_engine(plant, rules))
        self.alarms = AlarmDesk(self._pipeline, journal, self._pace)
        self.freshness = Freshness(self._pace, scan.period_s, lambda: self.alarms.waiting_s)
        self.reload_refused = ""
        """why the last reload of the configuration changed nothing"""
        points = Points(plant.topology, plant.layout, reducer.source)
        self.overrides = OverrideDesk(points, plant.layout.n_numbers, overrides or OverrideStore(None), self._pace)
        """points that engineers forced or took out of service"""
        self.server: BmsServer | None = None
        self._collector = Collector(scan.period_s)
        self._sinks: list[Sink] = []

    @property
    def engine(self) -> AlarmEngine:
        """All conditions."""
        return self.alarms.engine

    def add_sink(self, sink: Sink) -> None:
        """Show every snapshot to `sink` too; the server comes first."""
        self._sinks.append(sink)
        if isinstance(sink, ConditionSink):
            self.alarms.add_sink(sink)

    async def start(self) -> BmsServer:
        """Open the endpoint; values are BadWaitingForInitialData until the first scan, alarms are as they were.

        AddressInUseError: its port is taken, which is found out before anything is built.
        """
        ensure_free(self._settings.endpoint_url)
        await self.alarms.restore()
        self.overrides.restore()
        plant, bound = self.plant, self._bound
        served = ServedPlant(
            plant.topology,
            plant.layout,
            plant.config.site.namespace_uri,
            time.time_ns(),
            plant.labels,
            [name for name, column in plant.layout.columns.items() if bound[column.slots].any()],
            [device.name for device in plant.devices],
            self.engine.infos,
            self.engine.max_shelving_s,
            plant.config.scan.period_s,
        )
        server = await build_server(
            self._settings,
            served,
            operations=self.alarms,
            history=self.history,
            journal=self.alarms.journal,
            points=self.overrides,
            metrics=KeptMetrics(self.alarms.metrics.copy(self.alarms.conditions), self.alarms.reset_metrics),
        )
        server.publish_conditions(self.alarms.conditions, ())
        await server.start()
        if self.history is not None:
            await self.history.start()
            self.add_sink(self.history)
        self.server = server
        self._sinks.insert(0, server)
        self.alarms.add_sink(server)
        self._collector.start()
        return server

    async def run(self, devices: Sequence[DeviceSettings] | None = None) -> None:
        """Scan and publish until cancelled; `devices` are the plant's own, at the addresses known by now."""
        plant, scan, pace = self.plant, self.plant.config.scan, self._pace
        acquisition = Acquisition(
            devices or plant.devices,
            plant.topology,
            plant.layout,
            scan.period_s,
            self._source.driver_for,
            pace,
            freeze_phase=scan.freeze_fraction,
            hard_limit_periods=scan.hard_limit_periods,
            fast_period_s=scan.fast_period_s,
            statistics_s=plant.config.log.statistics_s,
        )
        await acquisition.run(self._on_image, self._on_points)

    async def revise(self, engine: AlarmEngine) -> None:
        """Judge by another engine with the same conditions, and show clients its limits."""
        self._pipeline = replace(self._pipeline, engine=engine)
        await self.alarms.revise(self._pipeline)
        if self.server is not None:
            self.server.revise(engine.infos, engine.max_shelving_s)

    async def stop(self, reason: str) -> None:
        """Tell clients, and close."""
        await self.alarms.flush()
        if self.server is not None:
            await self.server.stop(reason)
        if self.history is not None:
            await self.history.close()
        await self.alarms.close()
        self._source.close()
        self._collector.stop()

    def _on_image(self, image: Image) -> None:
        snapshot = self.alarms.advance(image, self.overrides.table)
        self.overrides.seen(snapshot.plant)
        for sink in self._sinks:
            sink.publish(snapshot)
        self.freshness.note()
        self._collector.scanned()

    def _on_points(self, points: FastPoints) -> None:
        for sink in self._sinks:
            if isinstance(sink, PointSink):
                sink.publish_points(points)
