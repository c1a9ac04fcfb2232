"""Blocks: what is read back is bit for bit what was written, and small where values are what devices send."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from opcua_bms.history.codec import decode, decode_times, encode, encode_times
from opcua_bms.model.history import LOST
from opcua_bms.model.quality import Quality

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
QUALITIES = st.sampled_from([*Quality, LOST])


def same(a: Any, b: Any) -> bool:
    """Equal bits, but for the payload of NaNs."""
    if a.dtype.kind == "f":
        return bool(np.array_equal(a, b, equal_nan=True) and np.array_equal(np.signbit(a), np.signbit(b)))
    return bool(np.array_equal(a, b))


def there_and_back(values: Any, quality: Any) -> None:
    got, got_quality = decode(encode(values, quality))
    assert got.dtype == values.dtype
    nan = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    assert same(np.where(nan, 0, got), np.where(nan, 0, values))
    assert np.array_equal(np.isnan(got) if values.dtype.kind == "f" else nan, nan)
    assert np.array_equal(got_quality, quality)


@given(data=st.data(), kind=st.sampled_from(["<f8", "<f4", "<u8"]), decimal=st.booleans())
def test_lossless(data: st.DataObject, kind: str, decimal: bool) -> None:
    """A history that rounds is no evidence: infinities, −0, NaN with a good quality and every bit pattern come back."""
    shape = data.draw(SHAPES)
    values = data.draw(hnp.arrays(kind, shape))
    if decimal and kind != "<u8":
        steps = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-(10**6), 10**6)))
        values = (steps / 1000).astype(kind)
    there_and_back(values, data.draw(hnp.arrays(np.uint8, shape, elements=QUALITIES)))


def test_bad_values_cost_next_to_nothing() -> None:
    """A cluster that is away for days must not fill the disk."""
    values, quality = np.full((600, 20), np.nan), np.full((600, 20), Quality.NO_COMMUNICATION, np.uint8)
    assert len(encode(values, quality)) < 200
    there_and_back(values, quality)


def test_millivolts_are_small() -> None:
    """20,000 cells a minute for a year fit on a disk only if a reading takes about half a byte."""
    random = np.random.default_rng(1)
    walk = 3300 + random.integers(-1, 2, (60, 1000)).cumsum(axis=0)
    values = (walk / 1000).astype(np.float32)
    blob = encode(values, np.zeros(values.shape, np.uint8))
    assert len(blob) < 0.6 * values.size
    there_and_back(values, np.zeros(values.shape, np.uint8))


@given(hnp.arrays(np.int64, st.integers(1, 50), elements=st.integers(-(2**62), 2**62)))
def test_times(times: Any) -> None:
    """Samples without their times are worth nothing."""
    assert np.array_equal(decode_times(encode_times(times)), times)
