"""A simulated device answers requests as the Modbus Application Protocol V1.1b3 §6 says, without a socket."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from opcua_bms.document import Document
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import Placement, Profile, bind, device_values
from opcua_bms.sim.registers import Registers, word_widths
from opcua_bms.sim.simulator import shipped

TOPOLOGY = Topology((StackShape((ClusterShape((PackShape(4, 2), PackShape(4, 2)), 8, 1),)),))
LAYOUT = Layout.of(TOPOLOGY)
COILS = b"""
name = "coils"
title = "A device with a coil"
serves = "cluster"
[[point]]
name = "closed"
target = "cluster.contactor_state"
table = "discrete"
type = "bool"
address = 3
[[point]]
name = "close"
target = "device.close"
table = "coil"
type = "bool"
address = 7
access = "read_write"
"""


def request(function: int, address: int, second: int, more: bytes = b"") -> bytes:
    return struct.pack(">BHH", function, address, second) + more


@pytest.fixture
def cluster() -> Registers:
    plan = bind(shipped("cell-cluster"), TOPOLOGY, LAYOUT, Placement.cluster(0))
    registers = Registers(plan, {"serial_number": "SIM-0001", "cell_count": 8})
    registers.update(np.full(LAYOUT.n_numbers, 3.3), np.zeros(LAYOUT.n_words, np.uint64))
    return registers


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (request(4, 1000, 2), bytes.fromhex("04040ce40ce4")),
        (request(4, 1000, 126), bytes.fromhex("8403")),
        (request(4, 1000, 0), bytes.fromhex("8403")),
        (request(4, 1000, 1, b"x"), bytes.fromhex("8403")),
        (request(4, 500, 1), bytes.fromhex("8402")),
        (request(4, 24, 2), bytes.fromhex("8402")),
        (request(4, 65535, 1), bytes.fromhex("8402")),
        (request(4, 65535, 125), bytes.fromhex("8402")),
        (request(3, 1000, 1), bytes.fromhex("8302")),
        (request(1, 0, 1), bytes.fromhex("8102")),
        (request(8, 0, 0), bytes.fromhex("8801")),
        (b"\x04\x00", bytes.fromhex("8403")),
        (b"\x2b", bytes.fromhex("ab01")),
        (request(6, 0, 77), request(6, 0, 77)),
        (request(6, 1, 77), bytes.fromhex("8602")),
        (request(16, 0, 1, b"\x02\x00\x4d"), request(16, 0, 1)),
        (request(16, 0, 2, b"\x04\x00\x4d\x00\x4d"), bytes.fromhex("9002")),
        (request(16, 0, 1, b"\x02\x00"), bytes.fromhex("9003")),
        (request(16, 0, 1, b"\x03\x00\x00"), bytes.fromhex("9003")),
        (request(16, 0, 124, b"\xf8" + bytes(248)), bytes.fromhex("9003")),
    ],
)
def test_answers(cluster: Registers, asked: bytes, answer: bytes) -> None:
    """A client's handling of exceptions is worth nothing against a device that never raises them."""
    assert cluster.answer(asked) == answer


def test_addresses_can_be_made_illegal(cluster: Registers) -> None:
    """A block that touches one illegal register is refused as a whole: that is what quarantine is for."""
    assert cluster.answer(request(4, 1000, 4), [range(1003, 1004)]) == bytes.fromhex("8402")
    assert cluster.answer(request(4, 1000, 3), [range(1003, 1004)])[0] == 4


def test_what_was_written_stays() -> None:
    """The heartbeat towards the device would be lost at the next tick."""
    plan = bind(shipped("clou-ess"), TOPOLOGY, LAYOUT, Placement.whole(TOPOLOGY))
    master = Registers(plan, {})
    values, bits = np.zeros(LAYOUT.n_numbers), np.zeros(LAYOUT.n_words, np.uint64)
    assert master.answer(request(16, 1000, 2, b"\x04\x00\x01\x00\x02")) == request(16, 1000, 2)
    master.update(values, bits)
    assert master.answer(request(3, 1000, 2)) == bytes.fromhex("030400010002")


def test_bits_are_packed() -> None:
    """§6.1, §6.2, §6.5, §6.15: coils and discrete inputs, lowest address in the lowest bit."""
    profile = Profile.model_validate(Document.of_bytes(COILS, "coils.toml").data)
    registers = Registers(bind(profile, TOPOLOGY, LAYOUT, Placement.cluster(0)), {})
    registers.update(np.ones(LAYOUT.n_numbers), np.zeros(LAYOUT.n_words, np.uint64))
    assert registers.answer(request(2, 3, 1)) == bytes.fromhex("020101")
    assert registers.answer(request(5, 7, 0xFF00)) == request(5, 7, 0xFF00)
    assert registers.answer(request(1, 7, 1)) == bytes.fromhex("010101")
    assert registers.answer(request(15, 7, 1, b"\x01\x00")) == request(15, 7, 1)
    assert registers.answer(request(1, 7, 1)) == bytes.fromhex("010100")
    assert registers.answer(request(1, 7, 2001)) == bytes.fromhex("8103")


def test_the_device_says_what_it_is(cluster: Registers) -> None:
    """Serial number and counts are how an installer recognises a device."""
    plan = bind(shipped("cell-cluster"), TOPOLOGY, LAYOUT, Placement.cluster(0))
    words = np.zeros(plan.n_words, np.uint16)
    for block in plan.requests:
        answer = cluster.answer(request(4, block.address, block.count))
        words[block.offset : block.offset + block.count] = np.frombuffer(answer, ">u2", offset=2)
    said = device_values(plan, words)
    assert said["serial_number"] == "SIM-0001"
    assert said["cell_count"] == 8


def test_words_are_as_wide_as_the_profile_says() -> None:
    """A fault bit beyond the register would be accepted and never seen."""
    plan = bind(shipped("cell-cluster"), TOPOLOGY, LAYOUT, Placement.cluster(0))
    assert word_widths(plan, LAYOUT) == {
        "cluster.status_word": 16,
        "cluster.alarm_word": 32,
        "cluster.fault_word": 32,
    }
    master = word_widths(bind(shipped("clou-ess"), TOPOLOGY, LAYOUT, Placement.whole(TOPOLOGY)), LAYOUT)
    assert master["bms.alarm_word"] == master["container.emmu_alarm_word"] == 64
    assert master["container.emmu_fault_word"] == 32
