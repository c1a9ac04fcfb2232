"""What the engine may cost: a scan has a second, and everything else in the house needs it too."""

from __future__ import annotations

from time import perf_counter, thread_time

from alarm_plant import Plant, small_topology

from opcua_bms.model.alarm import What


def best_of(plant: Plant, scans: int) -> float:
    """Seconds of the fastest of some scans: the machine may be busy, the engine is the same."""
    times = []
    for _ in range(scans):
        start = perf_counter()
        plant.scan()
        times.append(perf_counter() - start)
    return min(times)


def test_two_thousand_idle_conditions_cost_less_than_five_milliseconds() -> None:
    """The steady cost decides how often a plant can be scanned."""
    plant = Plant(topology=small_topology(20, 2, 8, 4))
    assert len(plant.engine.infos) > 2000
    plant.scan()
    assert best_of(plant, 20) < 0.005


def test_a_flood_of_five_thousand_is_complete() -> None:
    """All bits of forty clusters in one scan: each is a transition, and the scan is not late by a period."""
    plant = Plant({"alarm-flood": {"enabled": False}}, small_topology(40, 1, 4, 2))
    plant.scan()
    for column in ("cluster.alarm_word", "cluster.fault_word"):
        plant.image.bits[plant.layout.bits_of(column)] = 2**64 - 1
    start = perf_counter()
    happened = plant.scan()
    assert perf_counter() - start < 3.0
    assert len(happened) == len({id_ for id_, _ in happened}) == 40 * 2 * 64
    assert {what for _, what in happened} == {What.RAISED}
    assert plant.scan() == []


def test_a_flood_is_judged_in_short_parts() -> None:
    """Each part is a stretch of the event loop in which no client is answered; ten milliseconds are the limit."""
    plant = Plant({"alarm-flood": {"enabled": False}}, small_topology(40, 1, 4, 2))
    plant.scan()
    for column in ("cluster.alarm_word", "cluster.fault_word"):
        plant.image.bits[plant.layout.bits_of(column)] = 2**64 - 1
    before, image = plant.state, plant.frozen(1.0)
    longest = []
    for _ in range(3):
        steps = plant.engine.stepping(before, image, plant.now_s, plant.now_ns)
        parts, start = [], thread_time()
        while True:
            try:
                next(steps)
            except StopIteration as done:
                state, transitions = done.value
                break
            finally:
                parts.append(thread_time() - start)
                start = thread_time()
        longest.append(max(parts))
        assert len(transitions) == 5120
    assert min(longest) < 0.010
    straight, same = plant.engine.step(before, image, plant.now_s, plant.now_ns)
    assert same == transitions
    assert straight.conditions == state.conditions
