"""Samples as rows of (time, node, value, quality): text for everybody, Parquet for those who have pyarrow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from opcua_bms.errors import UsageError
from opcua_bms.history.archive import QUALITIES, Piece

_NAMES = np.array([QUALITIES.get(k, "lost") for k in range(256)])


def write_csv(pieces: Iterable[Piece], stream: TextIO) -> int:
    """Rows written. A bad value is an empty field; numbers read back as the same numbers."""
    stream.write("time,node,value,quality\n")
    count = 0
    for piece in pieces:
        times = np.datetime_as_string(piece.times_ns.astype("datetime64[ns]").astype("datetime64[us]"))
        for k, node in enumerate(piece.nodes):
            values = [_text(value) for value in piece.values[:, k]]
            qualities = _NAMES[piece.quality[:, k]]
            stream.writelines(
                f"{at}Z,{node},{value},{quality}\n" for at, value, quality in zip(times, values, qualities, strict=True)
            )
            count += len(values)
    return count


def _text(value: Any) -> str:
    return "" if value != value else str(value.item() if value.dtype.itemsize == 8 else value)


def _doubles(flat: Any) -> Any:
    """float32 values have about seven digits: 3.291 stays 3.291."""
    if flat.dtype.itemsize != 4:
        return flat
    wide = flat.astype(np.float64)
    size = np.where((wide == 0) | ~np.isfinite(wide), 1.0, np.abs(wide))
    scale = 10.0 ** (6 - np.floor(np.log10(size)))
    return np.rint(wide * scale) / scale


def write_parquet(pieces: Iterable[Piece], path: Path) -> int:
    """Rows written; value is float64, and word (uint64) for bit words. UsageError: pyarrow is not installed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError("--format parquet needs pyarrow: pip install 'opcua-bms[export]'") from None
    names = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [
            ("time", pa.timestamp("us", "UTC")),
            ("node", names),
            ("value", pa.float64()),
            ("word", pa.uint64()),
            ("quality", names),
        ]
    )
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in pieces:
            n, width = piece.values.shape
            is_word = piece.values.dtype.kind == "u"
            flat = np.ascontiguousarray(piece.values.T).reshape(-1)
            nothing = pa.nulls(n * width, pa.float64() if is_word else pa.uint64())
            numbers = nothing if is_word else pa.array(_doubles(flat), from_pandas=True)
            words = pa.array(flat) if is_word else nothing
            places = np.repeat(np.arange(width, dtype=np.int32), n)
            kinds, codes = np.unique(piece.quality.T.reshape(-1), return_inverse=True)
            quality = pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(_NAMES[kinds].tolist()))
            columns = [
                pa.array(np.tile(piece.times_ns // 1000, width), pa.timestamp("us", "UTC")),
                pa.DictionaryArray.from_arrays(places, pa.array(list(piece.nodes))),
                numbers,
                words,
                quality,
            ]
            writer.write_table(pa.table(columns, schema=schema))
            count += n * width
    return count
