"""How a sick device spoils its answers; frames are MBAP (Modbus Messaging on TCP/IP V1.0b §3.1.3)."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

_HEADER = struct.Struct(">HHHB")
_OTHER_TRANSACTION = 0x5555


def frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A right frame."""
    return _HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu


def _garbage(_transaction: int, _unit: int, _pdu: bytes, dice: random.Random) -> bytes:
    return b"\xff\xff" + dice.randbytes(30)


def _short(transaction: int, unit: int, pdu: bytes, _dice: random.Random) -> bytes:
    cut = pdu if len(pdu) < 4 else bytes((pdu[0], pdu[1] - 2)) + pdu[2:-2]
    return frame(transaction, unit, cut)


def _long(transaction: int, unit: int, pdu: bytes, _dice: random.Random) -> bytes:
    more = pdu if len(pdu) < 4 or pdu[1] > 250 else bytes((pdu[0], pdu[1] + 2)) + pdu[2:] + b"\0\0"
    return frame(transaction, unit, more)


def _wrong_transaction(transaction: int, unit: int, pdu: bytes, _dice: random.Random) -> bytes:
    return frame(transaction ^ _OTHER_TRANSACTION, unit, pdu)


def _wrong_unit(transaction: int, unit: int, pdu: bytes, _dice: random.Random) -> bytes:
    return frame(transaction, (unit + 1) % 256, pdu)


def _wrong_function(transaction: int, unit: int, pdu: bytes, _dice: random.Random) -> bytes:
    return frame(transaction, unit, bytes((pdu[0] ^ 0x07,)) + pdu[1:])


def _half(transaction: int, unit: int, pdu: bytes, _dice: random.Random) -> bytes:
    whole = frame(transaction, unit, pdu)
    return whole[: len(whole) // 2]


SPOILERS: dict[str, Callable[[int, int, bytes, random.Random], bytes]] = {
    "garbage": _garbage,
    "short-frame": _short,
    "long-frame": _long,
    "wrong-transaction": _wrong_transaction,
    "wrong-unit": _wrong_unit,
    "wrong-function": _wrong_function,
    "reset": _half,
}
"""By the verb of the fault; after `reset` the connection is to be closed."""
