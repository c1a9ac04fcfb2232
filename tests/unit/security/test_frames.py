"""The state machine of a TCP connection: whatever comes, in whatever pieces, it frames or refuses, and never hoards."""

from __future__ import annotations

import struct

import pytest
from asyncua.ua.status_codes import StatusCodes
from hypothesis import given
from hypothesis import strategies as st

from opcua_bms.ua.guard.frames import Frame, FrameError, FrameReader, Phase

BUFFER = 8192


def chunk(kind: bytes, body: bytes = bytes(40), final: bytes = b"F") -> bytes:
    return kind + final + struct.pack("<I", len(body) + 8) + body


GOOD = [chunk(b"HEL"), chunk(b"OPN"), chunk(b"MSG", final=b"C"), chunk(b"MSG"), chunk(b"OPN"), chunk(b"CLO")]


@given(st.lists(st.integers(1, 60)))
def test_pieces_do_not_matter(sizes: list[int]) -> None:
    """TCP cuts anywhere: the frames must be the same as from one piece (OPC 10000-6 §7.1)."""
    stream = b"".join(GOOD)
    whole = list(FrameReader(BUFFER).feed(stream))
    reader, frames, at = FrameReader(BUFFER), list[Frame](), 0
    for size in sizes:
        frames += reader.feed(stream[at : at + size])
        at += size
    frames += reader.feed(stream[at:])
    assert frames == whole
    assert [f.data for f in whole] == GOOD
    assert reader.phase is Phase.CHANNEL


@given(st.binary(max_size=300), st.integers(0, 3))
def test_anything_is_framed_or_refused(noise: bytes, prepared: int) -> None:
    """Hostile bytes end in FrameError or wait for a bounded rest; nothing else escapes."""
    reader = FrameReader(BUFFER)
    for piece in GOOD[:prepared]:
        list(reader.feed(piece))
    code = 0
    try:
        for _ in range(3):
            list(reader.feed(noise))
    except FrameError as error:
        code = error.code
    assert code in (
        0,
        StatusCodes.BadTcpMessageTypeInvalid,
        StatusCodes.BadTcpMessageTooLarge,
        StatusCodes.BadDecodingError,
    )
    assert len(reader._buffer) < BUFFER


@pytest.mark.parametrize(
    ("before", "kind", "final"),
    [
        (0, b"OPN", b"F"),
        (0, b"MSG", b"F"),
        (0, b"CLO", b"F"),
        (0, b"HEL", b"C"),
        (1, b"HEL", b"F"),
        (1, b"MSG", b"F"),
        (2, b"HEL", b"F"),
        (2, b"OPN", b"C"),
        (2, b"CLO", b"A"),
        (2, b"MSG", b"Z"),
        (2, b"ACK", b"F"),
        (2, b"RHE", b"F"),
    ],
)
def test_order_of_messages(before: int, kind: bytes, final: bytes) -> None:
    """HEL once, OPN, then MSG: the library serves a MSG as the very first message."""
    reader = FrameReader(BUFFER)
    for piece in GOOD[:before]:
        list(reader.feed(piece))
    with pytest.raises(FrameError) as caught:
        list(reader.feed(chunk(kind, final=final)))
    assert caught.value.code == StatusCodes.BadTcpMessageTypeInvalid


def test_a_claim_is_refused_before_its_bytes_come() -> None:
    """Eight bytes are enough to know that a message is too large."""
    with pytest.raises(FrameError) as caught:
        list(FrameReader(BUFFER).feed(b"HELF\xff\xff\xff\xff"))
    assert caught.value.code == StatusCodes.BadTcpMessageTooLarge
