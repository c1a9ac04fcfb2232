"""How devices are doing, as clients read it."""

from __future__ import annotations

from asyncua import ua

from opcua_bms.infomodel import objects as o
from opcua_bms.infomodel.plan import DEVICE
from opcua_bms.model.image import BlockHealth, DeviceHealth, DeviceState, Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import Topology
from opcua_bms.server.diagnostics import readers
from opcua_bms.server.values import moment

DEVICE_HEALTH = DeviceHealth(
    "cluster01",
    DeviceState.ONLINE,
    faults=(("exception_2", 3), ("timeout", 1)),
    quarantined=(("input", 101, 1), ("holding", 7, 4)),
    overruns=2,
    lateness_s=0.001,
    blocks=(
        BlockHealth("input", 100, 125, "normal", 9, 1, ((2, 3), (6, 1)), 0.004, 0.009, 5_000_000_000),
        BlockHealth("holding", 0, 1, "slow", 1, 0, (), 0.003, 0.003, 0),
    ),
    values=(("serial_number", "AB12"),),
)


def read(health: DeviceHealth) -> dict[str, ua.DataValue]:
    """All values of one device."""
    image = Image.blank(Layout.of(Topology(())), ScanInfo(1, 1.0, 6_000_000_000, 1.0))
    image = Image(
        image.layout, image.values, image.bits, image.quality, image.stamp_ns, image.measured_s, image.scan, (health,)
    )
    kept = readers(lambda: Snapshot(image, (), ()))
    return {name: reader(0) for (family, name), reader in kept.items() if family == DEVICE}


def test_blocks_and_faults_are_parallel_arrays() -> None:
    """Which block is slow or refused must be readable without parsing a log."""
    values = {name: v.Value.Value for name, v in read(DEVICE_HEALTH).items() if v.Value is not None}
    assert values["BlockNames"] == ["input 100..224", "holding 0"]
    assert values["BlockRequests"] == [9, 1]
    assert values["BlockTimeouts"] == [1, 0]
    assert values["BlockExceptions"] == ["2: 3, 6: 1", ""]
    assert values["BlockRoundTripP50"] == [0.004, 0.003]
    assert values["BlockRoundTripP95"] == [0.009, 0.003]
    assert values["BlockLastGood"] == [moment(5_000_000_000), moment(0)]
    assert values["FaultNames"] == ["exception_2", "timeout"]
    assert values["FaultCounts"] == [3, 1]
    assert values["QuarantinedRegisters"] == ["input 101", "holding 7..10"]
    assert (values["Overruns"], values["Lateness"], values["SerialNumber"]) == (2, 0.001, "AB12")


def test_a_device_without_a_clock_has_no_offset() -> None:
    """NaN with a good status goes into a trend as a hole that nobody can explain."""
    value = read(DEVICE_HEALTH)["ClockOffset"]
    assert value.Value is None or value.Value.Value is None
    assert value.StatusCode == ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNotSupported))


def test_every_declared_member_is_kept_and_has_its_declared_type() -> None:
    """A member without a reader stops the server from starting; an array of another type is refused by clients."""
    got = read(DEVICE_HEALTH)
    rows = {row.path: row for row in o.DEVICE_DIAGNOSTICS.rows}
    assert set(got) == set(rows)
    for name, row in rows.items():
        variant = got[name].Value
        if variant is None or variant.Value is None or row.data_type.endswith("Enumeration"):
            continue
        assert variant.VariantType.name == row.data_type
        assert variant.is_array == (row.rank == 1)
