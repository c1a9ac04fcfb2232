"""Frames and PDUs: what is sent, and every answer that must be refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.bit_message import ReadCoilsResponse
from pymodbus.pdu.register_message import ReadInputRegistersResponse

from opcua_bms.acquire.crc import crc16
from opcua_bms.acquire.driver import BadFrame, ModbusException, PlainBlock
from opcua_bms.acquire.modbus_frames import HEAD, MbapCodec, RtuCodec, read_request, take, write_request


@given(st.binary(max_size=256))
def test_the_vectorised_crc_is_the_crc(data: bytes) -> None:
    """A CRC that is wrong for one length refuses every answer of that length."""
    ours = crc16(data)
    assert FramerRTU.compute_CRC(data) == (ours & 0xFF) << 8 | ours >> 8


def test_the_crc_of_the_specification() -> None:
    """Modbus over Serial Line V1.02 §6.2.2: the frame 02 07 ends in 41 12."""
    assert crc16(b"\x02\x07").to_bytes(2, "little") == b"\x41\x12"


def test_requests_on_the_wire() -> None:
    """Modbus Application Protocol V1.1b3 §6.3, §6.4, §6.6, §6.12, byte for byte."""
    read = read_request(PlainBlock("input", 0x0102, 125))
    assert MbapCodec().frame(7, read, 0x1234) == bytes.fromhex("1234 0000 0006 07 04 0102 007d")
    assert RtuCodec().frame(1, read_request(PlainBlock("holding", 0, 10)), 0) == bytes.fromhex("01 03 0000 000a c5cd")
    assert write_request(1, [3]).pdu == bytes.fromhex("06 0001 0003")
    assert write_request(1, [10, 258]).pdu == bytes.fromhex("10 0001 0002 04 000a 0102")
    assert read_request(PlainBlock("coil", 19, 19)).pdu == bytes.fromhex("01 0013 0013")


@pytest.mark.parametrize("table", ["input", "holding"])
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=125), st.integers(0, 255))
def test_the_head_of_a_right_answer(table: str, registers: list[int], unit: int) -> None:
    """What is taken without a further look must be exactly the answer to what was asked."""
    request = read_request(PlainBlock(table, 7, len(registers)))
    pdu = bytes((request.function,)) + ReadInputRegistersResponse(registers=registers).encode()
    answer = FramerSocket(DecodePDU(False)).encode(pdu, unit, 0x1234)
    assert answer[2:HEAD] == MbapCodec().head(unit, request)
    assert len(answer) == HEAD + request.data_bytes


def test_what_has_to_be_looked_at_has_no_head() -> None:
    """Coils are unpacked, a write echoes, an RTU frame has a CRC."""
    codec = MbapCodec()
    assert codec.head(1, read_request(PlainBlock("coil", 0, 16))) == b""
    assert codec.head(1, write_request(1, [3])) == b""
    assert RtuCodec().head(1, read_request(PlainBlock("input", 0, 2))) == b""


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=125), st.integers(0, 50))
def test_registers_arrive_as_they_were_sent(registers: list[int], offset: int) -> None:
    """The numpy decoder against pymodbus's own encoder, at any offset, touching nothing else."""
    words = np.full(200, 0xAAAA, np.uint16)
    pdu = b"\x04" + ReadInputRegistersResponse(registers=registers).encode()
    assert take(read_request(PlainBlock("input", 0, len(registers), offset)), pdu, words) is None
    end = offset + len(registers)
    assert words[offset:end].tolist() == registers
    assert (words[:offset] == 0xAAAA).all()
    assert (words[end:] == 0xAAAA).all()


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_coils_arrive_one_per_word(bits: list[bool]) -> None:
    """§6.1: lowest bit first."""
    words = np.zeros(len(bits), np.uint16)
    pdu = b"\x01" + ReadCoilsResponse(bits=bits).encode()
    assert take(read_request(PlainBlock("coil", 0, len(bits))), pdu, words) is None
    assert words.astype(bool).tolist() == bits


@pytest.mark.parametrize(
    ("pdu", "name"),
    [
        ("04 02 0001", "short_frame"),
        ("04 06 0001 0002 0003", "long_frame"),
        ("03 04 0001 0002", "wrong_function"),
        ("83 02", "wrong_function"),
        ("04 04 0001", "garbage"),
        ("04 04 0001 0002 00", "garbage"),
        ("84 02 00", "long_frame"),
    ],
)
def test_answers_that_are_none(pdu: str, name: str) -> None:
    """pymodbus takes each of these without an error; each would put wrong numbers into a cell."""
    words = np.full(4, 0xAAAA, np.uint16)
    fault = take(read_request(PlainBlock("input", 0, 2)), bytes.fromhex(pdu), words)
    assert isinstance(fault, BadFrame)
    assert fault.name == name
    assert (words == 0xAAAA).all()


def test_an_exception_is_told_with_its_code_and_meaning() -> None:
    """§7: the code decides between a configuration mistake and a failed device."""
    fault = take(read_request(PlainBlock("input", 0, 2)), bytes.fromhex("84 02"), np.zeros(2, np.uint16))
    assert isinstance(fault, ModbusException)
    assert (fault.code, fault.name, str(fault)) == (2, "exception_2", "exception 2: illegal data address")


def test_a_write_is_only_done_when_it_is_confirmed() -> None:
    """A write that was confirmed with other data did something else."""
    nothing = np.empty(0, np.uint16)
    one, two = write_request(1, [3]), write_request(1, [10, 258])
    assert take(one, bytes.fromhex("06 0001 0003"), nothing) is None
    assert take(two, bytes.fromhex("10 0001 0002"), nothing) is None
    for request, pdu in ((one, "06 0001 0004"), (two, "10 0001 0001")):
        fault = take(request, bytes.fromhex(pdu), nothing)
        assert isinstance(fault, BadFrame)
        assert fault.name == "wrong_echo"


@pytest.mark.parametrize("header", ["0001 0001 0007 01", "0001 0000 0001 01", "0001 0000 00ff 01", "0001 0000 ffff 01"])
def test_a_header_that_is_none(header: str) -> None:
    """A stream out of step must be seen at its first header, not after a time-out."""
    with pytest.raises(BadFrame) as refused:
        MbapCodec().split(bytes.fromhex(header), None)
    assert refused.value.name == "garbage"


def test_frames_are_cut_out_of_a_stream_whatever_its_pieces() -> None:
    """TCP keeps no boundaries: half a frame is no frame, two frames are two."""
    stream = bytes.fromhex("0005 0000 0005 01 04 02 abcd 0006 0000 0003 01 84 02")
    codec = MbapCodec()
    assert all(codec.split(stream[:n], None) is None for n in range(11))
    first = codec.split(stream, None)
    assert first is not None
    assert (first.used, first.unit, first.tid, first.pdu) == (11, 1, 5, bytes.fromhex("04 02 abcd"))
    second = codec.split(stream[first.used :], None)
    assert second is not None
    assert (second.tid, second.pdu) == (6, bytes.fromhex("84 02"))


def test_rtu_answers_are_cut_by_what_they_say_and_checked_by_crc() -> None:
    """RTU has no length field: the function says where the frame ends."""
    request = read_request(PlainBlock("holding", 0, 1))
    body = bytes.fromhex("01 03 02 abcd")
    frame = body + crc16(body).to_bytes(2, "little")
    codec = RtuCodec()
    assert all(codec.split(frame[:n], request) is None for n in range(len(frame)))
    answer = codec.split(frame, request)
    assert answer is not None
    assert (answer.unit, answer.tid, answer.pdu) == (1, None, body[1:])
    exception = bytes.fromhex("01 83 02 c0f1")
    refused = codec.split(exception, request)
    assert refused is not None
    assert refused.pdu == bytes.fromhex("83 02")
    for bad, name in ((frame[:-1] + b"\0", "bad_crc"), (b"\x01\x63\x00", "garbage"), (b"\x01\x03\xff", "garbage")):
        with pytest.raises(BadFrame) as fault:
            codec.split(bad, request)
        assert fault.value.name == name
    with pytest.raises(BadFrame, match="nobody asked"):
        codec.split(frame, None)


@pytest.mark.parametrize(("table", "address", "count"), [("input", 0, 126), ("holding", -1, 1), ("input", 65536, 1)])
def test_a_block_that_is_no_request(table: str, address: int, count: int) -> None:
    """A plan beyond the protocol's limits must fail when the driver is made, not on the wire."""
    with pytest.raises(ValueError, match="<="):
        read_request(PlainBlock(table, address, count))
