"""`/metrics` of the devices and of each of their blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from opcua_bms.model.image import BlockHealth, DeviceHealth, DeviceState

_DEVICE: tuple[tuple[str, str, Callable[[DeviceHealth], float]], ...] = (
    ("device_requests", "Requests to a device since start.", lambda d: d.requests),
    ("device_timeouts", "Requests to a device that timed out.", lambda d: d.timeouts),
    ("device_exceptions", "Requests that a device refused.", lambda d: d.exceptions),
    ("device_overruns", "Scans of a device left out because the one before took too long.", lambda d: d.overruns),
)
_DEVICE_NOW: tuple[tuple[str, str, Callable[[DeviceHealth], float]], ...] = (
    ("device_up", "Whether a device answers.", lambda d: d.state in (DeviceState.ONLINE, DeviceState.MISSED)),
    ("device_round_trip_seconds", "Median round trip.", lambda d: d.round_trip_p50_s),
    ("device_round_trip_p95_seconds", "95 % of the round trips are shorter.", lambda d: d.round_trip_p95_s),
    ("device_lateness_seconds", "How late the last scan of a device began.", lambda d: d.lateness_s),
    ("device_quarantined_registers", "Registers that a device refuses.", lambda d: sum(q[2] for q in d.quarantined)),
)
_BLOCK: tuple[tuple[str, str, Callable[[BlockHealth], float]], ...] = (
    ("block_requests", "Requests for a block since start.", lambda b: b.requests),
    ("block_timeouts", "Requests for a block that timed out.", lambda b: b.timeouts),
)
_BLOCK_NOW: tuple[tuple[str, str, Callable[[BlockHealth], float]], ...] = (
    ("block_round_trip_seconds", "Median round trip of a block.", lambda b: b.round_trip_p50_s),
    ("block_round_trip_p95_seconds", "95 % of a block's round trips are shorter.", lambda b: b.round_trip_p95_s),
)
_LAST_GOOD = "when it last arrived, since 1970."


def device_metrics(devices: Sequence[DeviceHealth]) -> Iterator[Metric]:
    """All families; what never arrived has no time."""
    for name, text, read in _DEVICE:
        yield _counter(name, text, ("device",), [((d.name,), read(d)) for d in devices])
    for name, text, read in _DEVICE_NOW:
        yield _gauge(name, text, ("device",), [((d.name,), read(d)) for d in devices])
    arrived = [((d.name,), d.last_good_ns / 1e9) for d in devices if d.last_good_ns]
    yield _gauge("device_last_good_timestamp_seconds", f"Of a device, {_LAST_GOOD}", ("device",), arrived)
    faults = [((d.name, kind), float(count)) for d in devices for kind, count in d.faults]
    yield _counter("device_errors", "Faults of a device by kind.", ("device", "kind"), faults)
    yield from _blocks([((d.name, str(b)), b) for d in devices for b in d.blocks])


def _blocks(blocks: Sequence[tuple[tuple[str, str], BlockHealth]]) -> Iterator[Metric]:
    own = ("device", "block")
    for name, text, count in _BLOCK:
        yield _counter(name, text, own, [(labels, count(b)) for labels, b in blocks])
    refusals = [((*labels, str(code)), float(n)) for labels, b in blocks for code, n in b.exceptions]
    yield _counter("block_exceptions", "Refusals of a block by exception code.", (*own, "code"), refusals)
    for name, text, read in _BLOCK_NOW:
        yield _gauge(name, text, own, [(labels, read(b)) for labels, b in blocks])
    arrived = [(labels, b.last_good_ns / 1e9) for labels, b in blocks if b.last_good_ns]
    yield _gauge("block_last_good_timestamp_seconds", f"Of a block, {_LAST_GOOD}", own, arrived)


_Rows = Sequence[tuple[tuple[str, ...], float]]


def _counter(name: str, text: str, labels: Sequence[str], rows: _Rows) -> Metric:
    family = CounterMetricFamily(f"opcua_bms_{name}", text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], rows: _Rows) -> Metric:
    family = GaugeMetricFamily(f"opcua_bms_{name}", text, labels=labels)
    for values, number in rows:
        family.add_metric(values, float(number))
    return family
