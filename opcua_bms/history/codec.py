"""A block of samples as bytes: differences in time of decimal numbers, all else as XOR of its bits; then deflated.

Lossless: what comes out is bit for bit what went in, but for the payload of NaNs.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from opcua_bms.model.quality import IS_BAD

Array = npt.NDArray[Any]
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

_HEAD = struct.Struct("<BBBBIIII")
"""value type, way of encoding, bytes of a difference, flags, moments, width, bytes of values, bytes of qualities"""
_TYPES = (np.dtype("<f8"), np.dtype("<f4"), np.dtype("<u8"))
_RAW = 255
_NAN_LISTED, _ONE_QUALITY = 1, 2
_DECIMALS = 5
_EXACT = float(1 << 52)
LEVEL = 4
"""of deflate: higher ones gain 2 % and cost twice the time"""


def encode(values: Array, quality: U8) -> bytes:
    """values float64, float32 or uint64 [n, w], quality uint8[n, w]; n and w at least 1."""
    dtype = values.dtype.newbyteorder("<")
    v = np.ascontiguousarray(values.T, dtype)
    q = np.array(quality.T, np.uint8, order="C")  # a copy: it is written to below
    flags, nan_bits = 0, b""
    if dtype.kind == "f":
        nan = np.isnan(v)
        if nan.any() or IS_BAD[np.minimum(q, len(IS_BAD) - 1)].any():
            if not np.array_equal(nan, IS_BAD[np.minimum(q, len(IS_BAD) - 1)]):
                flags |= _NAN_LISTED
                nan_bits = np.packbits(nan).tobytes()
            v = np.where(nan, v.dtype.type(0), v)
    way, step, body = _encode_values(v)
    packed = zlib.compress(nan_bits + body, LEVEL)
    if (q == q[0, 0]).all():
        flags |= _ONE_QUALITY
        q_packed = q[:1, :1].tobytes()
    else:
        q[:, 1:] ^= q[:, :-1].copy()
        q_packed = zlib.compress(q.tobytes(), LEVEL)
    head = _HEAD.pack(_TYPES.index(dtype), way, step, flags, v.shape[1], v.shape[0], len(packed), len(q_packed))
    return head + packed + q_packed


def decode(blob: bytes) -> tuple[Array, U8]:
    """values [n, w] and quality [n, w]; each series (a column) is contiguous."""
    kind, way, step, flags, n, w, size, q_size = _HEAD.unpack_from(blob)
    dtype = _TYPES[kind]
    at = _HEAD.size
    body = zlib.decompress(blob[at : at + size])
    if flags & _ONE_QUALITY:
        q = np.full((w, n), blob[at + size], np.uint8)
    else:
        q = np.frombuffer(zlib.decompress(blob[at + size : at + size + q_size]), np.uint8).reshape(w, n)
        q = np.bitwise_xor.accumulate(q, axis=1)
    bits = -(-w * n // 8) if flags & _NAN_LISTED else 0
    v = _decode_values(body[bits:] if bits else body, dtype, way, step, w, n)
    if dtype.kind == "f":
        if bits:
            nan = np.unpackbits(np.frombuffer(body, np.uint8, bits), count=w * n).reshape(w, n).astype(bool)
            v[nan] = np.nan
        elif not (flags & _ONE_QUALITY) or IS_BAD[min(int(q[0, 0]), len(IS_BAD) - 1)]:
            v[IS_BAD[np.minimum(q, len(IS_BAD) - 1)]] = np.nan
    return v.T, q.T


def _encode_values(v: Array) -> tuple[int, int, bytes]:
    if v.dtype.kind == "f":
        for decimals in range(_DECIMALS):
            scaled = _integers(v, decimals)
            if scaled is not None:
                return decimals, *_differences(scaled)
    bits = v.view(f"<u{v.dtype.itemsize}").copy()
    bits[:, 1:] ^= bits[:, :-1].copy()
    return _RAW, 0, _shuffled(bits)


def _integers(v: Array, decimals: int) -> I64 | None:
    """v × 10^decimals where this loses nothing."""
    power = 10.0**decimals
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(v.astype(np.float64) * power)
        if not (np.abs(scaled) < _EXACT).all():
            return None
        whole = scaled.astype(np.int64)
        back = (whole / power).astype(v.dtype)
    bits = f"<u{v.dtype.itemsize}"
    return whole if np.array_equal(back.view(bits), v.view(bits)) else None


def _differences(scaled: I64) -> tuple[int, bytes]:
    first, steps = scaled[:, 0], np.diff(scaled, axis=1)
    most = int(np.abs(steps).max(initial=0))
    width = next(w for w in (1, 2, 4, 8) if most < 1 << (8 * w - 1))
    return width, first.astype("<i8").tobytes() + _shuffled(steps.astype(f"<i{width}"))


def _decode_values(body: bytes, dtype: np.dtype[Any], way: int, step: int, w: int, n: int) -> Array:
    if way == _RAW:
        bits = _unshuffled(body, f"<u{dtype.itemsize}", w, n)
        return np.bitwise_xor.accumulate(bits, axis=1).view(dtype)
    scaled = np.empty((w, n), np.int64)
    scaled[:, 0] = np.frombuffer(body, "<i8", w)
    if n > 1:
        scaled[:, 1:] = _unshuffled(body[8 * w :], f"<i{step}", w, n - 1)
        np.cumsum(scaled, axis=1, out=scaled)
    if way == 0:
        return scaled.astype(dtype)
    return (scaled / 10.0**way).astype(dtype, copy=False)


def _shuffled(values: Array) -> bytes:
    """Bytes of equal weight together."""
    size = values.dtype.itemsize
    flat = np.ascontiguousarray(values)
    return flat.tobytes() if size == 1 else flat.view(np.uint8).reshape(-1, size).T.tobytes()


def _unshuffled(body: bytes, dtype: str, w: int, n: int) -> Array:
    size = np.dtype(dtype).itemsize
    flat = np.frombuffer(body, np.uint8, w * n * size)
    return np.ascontiguousarray(flat.reshape(size, -1).T).view(dtype).reshape(w, n)


def encode_times(times_ns: I64) -> bytes:
    """int64[n], n at least 1."""
    return zlib.compress(times_ns[:1].astype("<i8").tobytes() + _shuffled(np.diff(times_ns).astype("<i8")), LEVEL)


def decode_times(blob: bytes) -> I64:
    """What `encode_times` took."""
    body = zlib.decompress(blob)
    n = len(body) // 8
    times = np.empty(n, np.int64)
    times[0] = np.frombuffer(body, "<i8", 1)[0]
    if n > 1:
        times[1:] = _unshuffled(body[8:], "<i8", 1, n - 1)[0]
    return np.cumsum(times)
