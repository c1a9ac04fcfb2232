"""The JSON documents, what OpenAPI says of them, the history's curves, metrics and findings."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs in the wheel
import numpy as np
from alarm_plant import Plant, small_topology
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from web_rig import FakeHistory, Web, offline, snapshot_of

from opcua_bms.model.history import LOST, Samples
from opcua_bms.model.quality import Quality
from opcua_bms.web.app import Parts, build
from opcua_bms.web.curves import Series, thin
from opcua_bms.web.findings import plant_findings
from opcua_bms.web.needs import Level

NAN = float("nan")


async def test_every_route_is_documented_and_answers_as_documented() -> None:
    """Whoever builds on the API reads the document, not our code."""
    web = Web()
    web.plant.quality(1, Quality.NO_COMMUNICATION)
    web.plant.set("cluster.max_cell_voltage", 3.70, 1)
    await web.remember([t for _ in range(20) for t in web.plant.transitions()])
    power = "BMS.Power"
    web.history = FakeHistory(web.site.every_number[power], samples([1.5, NAN], [0, 4]))
    query = {"/api/history": {"value": power, "start": "1700000000", "end": "1700000010"}}
    web.publish()
    async with web.client() as client:
        paths: dict[str, Any] = (await client.get("/api/openapi.json")).json()["paths"]
        for path, methods in paths.items():
            content = methods["get"]["responses"]["200"]["content"]
            if path == "/api/events":
                continue
            answer = await client.get(path, params=query.get(path))
            assert answer.status_code == 200, path
            media = answer.headers["content-type"].split(";")[0]
            assert media in content, path
            if media == "application/json":
                jsonschema.validate(answer.json(), content[media]["schema"])
                assert answer.json(), f"{path}: an empty answer proves nothing"
        schemas = {m: paths["/api/session"][m]["responses"]["200"]["content"] for m in ("post", "delete")}
        told = await client.post("/api/session", json={"user": "ops", "password": "right-ops"})
        jsonschema.validate(told.json(), schemas["post"]["application/json"]["schema"])
        token = {"x-csrf-token": told.json()["csrf"]}
        wanted = paths["/api/alarms"]["post"]
        row = next(row for row in (await client.get("/api/alarms")).json() if row["active"])
        body = {"id": row["id"], "command": "Acknowledge", "event": row["event"], "comment": None}
        jsonschema.validate(body, wanted["requestBody"]["content"]["application/json"]["schema"])
        done = await client.post("/api/alarms", json=body, headers=token)
        assert done.status_code == 200
        jsonschema.validate(done.json(), wanted["responses"]["200"]["content"]["application/json"]["schema"])
        gone = await client.delete("/api/session", headers=token)
        jsonschema.validate(gone.json(), schemas["delete"]["application/json"]["schema"])
    shield: Any = build(Parts(web.site, web.hub, web.clock, web, web.logins, None, None, ()))  # type: ignore[arg-type]  # only its routes are looked at
    routes = {route.path for route in shield._app.routes if route.path}
    assert routes - {"/api/openapi.json"} == set(paths)


async def test_before_the_first_scan_there_is_nothing_to_show() -> None:
    """Ready means values; alive does not."""
    web = Web()
    async with web.client() as client:
        for path, status in (("/healthz", 200), ("/readyz", 503), ("/api/snapshot", 503), ("/api/flat", 503)):
            assert (await client.get(path)).status_code == status
        web.publish()
        assert (await client.get("/readyz")).status_code == 200


async def test_the_snapshot_is_the_scan() -> None:
    """Values, qualities and ages by NodeId text; cells per cluster; null, never NaN or 0, where there is no value."""
    web = Web()
    plant = web.plant
    plant.set("cell.voltage", 3.456, 17)
    plant.set("cell.voltage", NAN, 3, Quality.SENSOR_FAILURE)
    plant.set("bms.state_of_charge", NAN, quality=Quality.NO_COMMUNICATION)
    plant.bit("bms.alarm_word", 63, True)
    web.publish(7)
    async with web.client() as client:
        found = (await client.get("/api/snapshot")).json()
        assert found["scan"]["counter"] == 7
        spread = found["values"]["BMS.Stack1.Cluster02.CellVoltageSpread"]
        assert spread == {"value": 0.02, "quality": 0, "age_s": 0.3}
        soc = found["values"]["BMS.StateOfCharge"]
        assert soc == {"value": None, "quality": int(Quality.NO_COMMUNICATION), "age_s": 0.3}
        assert found["words"]["BMS.AlarmWord"]["bits"] == 1 << 63
        first, second = found["cells"][:2]
        assert (second["cluster"], second["voltage"][1]) == (2, 3.456), "the second cluster's cells begin at 16"
        assert first["voltage"][3] is None
        assert first["voltage_quality"][3] == int(Quality.SENSOR_FAILURE)
        summary = (await client.get("/api/snapshot?cells=false")).json()
        assert "cells" not in summary
        assert summary["values"] == found["values"]
        flat = (await client.get("/api/flat")).json()
        assert flat == web.site.lookup.flat(snapshot_of(plant, 7).plant)


def samples(values: list[float], quality: list[int]) -> Samples:
    times = (1_700_000_000 + np.arange(len(values), dtype=np.int64)) * 1_000_000_000
    return Samples(times, np.array(values).reshape(-1, 1), np.array(quality, np.uint8).reshape(-1, 1))


async def test_history_answers_with_gaps_as_gaps() -> None:
    """A line drawn across a time without values is a lie."""
    web = Web()
    slot = web.site.every_number["BMS.Stack1.Cluster02.Pack01.Cell03.Voltage"]
    assert slot == 16 + 2
    web.history = FakeHistory(slot, samples([3.1, 3.2, NAN, 3.3, 3.4], [0, 5, 4, LOST, 0]))
    async with web.client() as client:
        query: dict[str, str | float] = {
            "value": "BMS.Stack1.Cluster02.Pack01.Cell03.Voltage",
            "start": 1_700_000_000,
            "end": 1_700_000_010,
        }
        found = (await client.get("/api/history", params=query)).json()
        assert found["unit"] == "V"
        assert found["times"] == [1_700_000_000 + k for k in range(5)]
        assert found["values"] == [3.1, 3.2, None, None, 3.4], "uncertain is shown, bad and lost are not"
        mistakes: tuple[tuple[dict[str, str | float], int], ...] = (
            ({"value": "BMS.Nothing"}, 404),
            ({"value": "BMS.Power"}, 404),
            ({"start": "yesterday"}, 400),
            ({"end": 1}, 400),
            ({"points": 1}, 400),
            ({"points": 1e8}, 400),
        )
        for change, status in mistakes:
            assert (await client.get("/api/history", params=query | change)).status_code == status, change
    web.history = None
    async with web.client() as client:
        assert (await client.get("/api/history", params=query)).status_code == 404


@given(
    st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(NAN)), min_size=1, max_size=400),
    st.integers(4, 60),
)
def test_a_thinned_curve_keeps_peaks_and_gaps(values: list[float], points: int) -> None:
    """A one-second over-voltage in a week is what one looks for."""
    series = Series(np.arange(len(values), dtype=np.int64), np.array(values))
    out = thin(series, points)
    assert (np.diff(out.times_ns) > 0).all()
    assert len(out.times_ns) <= max(points + 3, 4)
    assert (out.times_ns[0], out.times_ns[-1]) == (0, len(values) - 1)
    np.testing.assert_array_equal(out.values, series.values[out.times_ns])
    assert np.isnan(out.values).any() == np.isnan(series.values).any()
    if not np.isnan(series.values).any():
        assert out.values.max() == series.values.max()
        assert out.values.min() == series.values.min()


async def _metrics(web: Web) -> dict[str, Any]:
    async with web.client() as client:
        text = (await client.get("/metrics")).text
    return {family.name: family for family in text_string_to_metric_families(text)}


async def test_metrics_name_devices_and_clusters_and_never_cells() -> None:
    """20,000 cells as labels are the end of any Prometheus."""
    web = Web()
    offline(web.plant, 1)
    web.plant.set("cluster.cell_voltage_spread", NAN, 1, Quality.NO_COMMUNICATION)
    web.history = FakeHistory(0, samples([1.0], [0]))
    web.publish()
    families = await _metrics(web)
    labels = {name for f in families.values() for sample in f.samples for name in sample.labels}
    assert labels == {"device", "block", "code", "cluster", "version", "kind"}
    up = {s.labels["device"]: s.value for s in families["opcua_bms_device_up"].samples}
    assert up == {"cluster01": 1, "cluster02": 0, "cluster03": 1, "master": 1}
    spread = families["opcua_bms_cluster_cell_voltage_spread_volts"].samples
    assert [s.labels["cluster"] for s in spread] == ["Stack1.Cluster01", "Stack1.Cluster03"], (
        "what is not good is left out"
    )
    active = {s.labels["cluster"]: s.value for s in families["opcua_bms_cluster_alarms_active"].samples}
    assert active["Stack1.Cluster02"] == sum(
        s.active and i.source == "BMS.Stack1.Cluster02"
        for i, s in zip(web.site.infos, web.plant.state.conditions, strict=True)
    )
    errors = {(s.labels["device"], s.labels["kind"]): s.value for s in families["opcua_bms_device_errors"].samples}
    assert errors["cluster02", "timeout"] == 3
    refused = families["opcua_bms_block_exceptions"].samples[0]
    assert (refused.labels["block"], refused.labels["code"], refused.value) == ("holding 0..59", "2", 1)
    good = {s.labels["device"]: s.value for s in families["opcua_bms_device_last_good_timestamp_seconds"].samples}
    assert good["cluster01"] == web.plant.now_ns / 1e9
    for name in (
        "device_round_trip_seconds", "device_round_trip_p95_seconds", "device_quarantined_registers",
        "block_requests", "block_timeouts", "block_round_trip_seconds", "block_round_trip_p95_seconds",
        "block_last_good_timestamp_seconds",
        "scans", "scan_duration_seconds", "scan_lateness_seconds", "device_requests", "device_timeouts",
        "device_exceptions", "device_lateness_seconds", "opcua_sessions", "opcua_subscriptions",
        "opcua_monitored_items", "opcua_notifications", "opcua_rejected_requests", "alarms_active",
        "alarms_unacknowledged", "journal_unwritten", "history_lag_seconds", "history_waiting_scans",
    ):  # fmt: skip
        assert f"opcua_bms_{name}" in families, name


async def test_metrics_do_not_grow_with_cells() -> None:
    """Their number depends on devices, their blocks and clusters alone."""
    counts = []
    for cells in (8, 80):
        web = Web(Plant(topology=small_topology(cells=cells)))
        web.publish()
        counts.append(sum(len(f.samples) for f in (await _metrics(web)).values()))
    assert counts[0] == counts[1] < 120


def test_findings_name_what_was_set_by_hand() -> None:
    """A forced value is good by its status and measured by nobody."""
    plant = Plant()
    assert "Overrides" not in {f.part for f in plant_findings(snapshot_of(plant))}
    plant.set("cluster.voltage", 800.0, 1, Quality.FORCED)
    found = {f.part: f for f in plant_findings(snapshot_of(plant))}
    assert found["Overrides"].level is Level.WARNING
    assert found["Overrides"].text == "1 values are set by hand: cluster.voltage"


def test_findings_say_why_a_device_is_not_well() -> None:
    """The status page's point: the reason, not only a red light."""
    plant = Plant()
    offline(plant, 2)
    found = {f.part: f for f in plant_findings(snapshot_of(plant))}
    assert found["Device cluster03"].level is Level.BAD
    assert "does not answer" in found["Device cluster03"].text
    assert found["Device cluster03"].fix
    assert "Devices" not in found
    assert plant_findings(None)[0].level is Level.WARNING
