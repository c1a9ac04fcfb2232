"""A whole plant in one device: clusters at 1300 + 100·n, their cells at 10000 + 500·n, as some masters serve it."""

from __future__ import annotations

import numpy as np
from profile_plants import plant, profile_of

from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import Placement, bind, lint, registers

POINTS = """
[[point]]
name = "cluster_voltage"
target = "cluster.voltage"
address = 1300
divide_by = 10
unit = "V"
repeat = [{ over = "cluster", stride = 100, count = 20 }]

[[point]]
name = "cluster_current"
target = "cluster.current"
address = 1301
divide_by = 10
offset = -3200
unit = "A"
repeat = [{ over = "cluster", stride = 100, count = 20 }]

[[point]]
name = "max_cell_voltage"
target = "reported.cluster.max_cell_voltage"
address = 1310
divide_by = 1000
unit = "V"
repeat = [{ over = "cluster", stride = 100, count = 20 }]

[[point]]
name = "max_cell_voltage_pack"
target = "reported.cluster.max_cell_voltage.pack_index"
address = 1311
field = { first = 8, width = 8 }
repeat = [{ over = "cluster", stride = 100, count = 20 }]

[[point]]
name = "max_cell_voltage_cell"
target = "reported.cluster.max_cell_voltage.cell_index"
address = 1311
field = { first = 0, width = 8 }
repeat = [{ over = "cluster", stride = 100, count = 20 }]

[[point]]
name = "alarms"
target = "cluster.alarm_word"
address = 1320
type = "u32"
repeat = [{ over = "cluster", stride = 100, count = 20 }]

[[point]]
name = "cell_voltage"
target = "cell.voltage"
address = 10000
divide_by = 1000
unit = "V"
sentinels = [0x8000]
repeat = [{ over = "cluster", stride = 500, count = 20 }, { over = "cell", stride = 1, count = 400 }]

[[point]]
name = "temperature"
target = "sensor.temperature"
address = 10400
offset = -50
unit = "°C"
sentinels = [0x00FF]
repeat = [
    { over = "cluster", stride = 500, count = 20 },
    { over = "pack", stride = 4, count = 20 },
    { over = "sensor", stride = 1, count = 4 },
]
"""


def test_strides_over_clusters_packs_and_cells() -> None:
    """A vendor's map of this kind must be a data file, not code."""
    profile = profile_of(POINTS, "max_registers = 50")
    assert [f for f in lint(profile) if f.severity == "error"] == []
    topology, layout = plant(((20, 2), (16, 4)), ((30, 1),), ((5, 0), (7, 3)))
    plan = bind(profile, topology, layout, Placement.whole(topology))
    device = np.zeros(65536, np.uint16)
    voltages, temperatures = np.zeros(topology.n_cells), np.zeros(topology.n_sensors)
    for n in range(3):
        device[1300 + 100 * n] = 10660 + n
        device[1301 + 100 * n] = 32000 - 5 * n
        device[1310 + 100 * n] = 3300 + n
        device[1311 + 100 * n] = (n + 1) << 8 | 10 * n + 7
        device[1321 + 100 * n] = 1 << n
        cells = slice(*topology.cluster_cells[n : n + 2])
        for k in range(cells.stop - cells.start):
            device[10000 + 500 * n + k] = 3200 + 40 * n + k
            voltages[cells.start + k] = (3200 + 40 * n + k) / 1000
        for pack in range(*topology.cluster_packs[n : n + 2]):
            for k in range(topology.pack_sensors[pack], topology.pack_sensors[pack + 1]):
                number, place = pack - topology.cluster_packs[n], k - topology.pack_sensors[pack]
                device[10400 + 500 * n + 4 * number + place] = 70 + k
                temperatures[k] = 20.0 + k
    words = np.concatenate([device[r.address : r.address + r.count] for r in plan.requests])
    decoded = plan.codec.decode(words)
    values = np.full(layout.n_numbers, np.nan)
    values[plan.codec.number_slots] = decoded.values
    bits = np.zeros(layout.n_words, np.uint64)
    bits[plan.codec.word_indices] = decoded.bits

    def read(name: str) -> list[float]:
        return list(values[layout[name].slots].tolist())

    assert read("cell.voltage") == voltages.tolist()
    assert read("sensor.temperature") == temperatures.tolist()
    assert read("cluster.voltage") == [1066.0, 1066.1, 1066.2]
    assert read("cluster.current") == [0.0, -0.5, -1.0]
    assert read("reported.cluster.max_cell_voltage.pack_index") == [1, 2, 3]
    assert read("reported.cluster.max_cell_voltage.cell_index") == [7, 17, 27]
    assert bits[layout.bits_of("cluster.alarm_word")].tolist() == [1, 2, 4]

    addresses, encoded = plan.encode(values, bits)["input"]
    assert (encoded == device[addresses]).all()
    cell = next(row for row in registers(plan) if row.name == "cluster_voltage")
    assert (cell.address, cell.notation, cell.count, cell.stride) == (1300, "301301", 3, 100)


def test_a_value_without_repetition_is_for_one_instance() -> None:
    """A master's container values belong to its own stack, and "sensor 2 of each pack" to no other sensor."""
    points = """
        [[point]]
        name = "average"
        target = "reported.stack.average_cell_temperature"
        address = 2800
        unit = "°C"
        [[point]]
        name = "second_sensor"
        target = "sensor.temperature"
        address = 10
        unit = "°C"
        plausible = [-50, 150]
        index = 2
        repeat = [{ over = "cluster", stride = 100, count = 4 }, { over = "pack", stride = 3, count = 8 }]
    """
    cluster = ClusterShape((PackShape(1, 2), PackShape(1, 1), PackShape(1, 3)))
    topology = Topology((StackShape((cluster,)), StackShape((cluster, cluster))))
    layout = Layout.of(topology)
    profile = profile_of(points)
    whole = bind(profile, topology, layout, Placement.whole(topology))
    second = bind(profile, topology, layout, Placement.stack(topology, 1))
    average, sensor = layout["reported.stack.average_cell_temperature"].start, layout["sensor.temperature"].start
    found = [{e.point.name: (e.addresses.tolist(), e.slots.tolist()) for e in p.elements} for p in (whole, second)]
    assert found == [
        {
            "average": ([2800], [average]),
            "second_sensor": ([10, 16, 110, 116, 210, 216], [sensor + k for k in (1, 4, 7, 10, 13, 16)]),
        },
        {
            "average": ([2800], [average + 1]),
            "second_sensor": ([10, 16, 110, 116], [sensor + k for k in (7, 10, 13, 16)]),
        },
    ]
