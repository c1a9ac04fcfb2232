"""HistoryData as bytes: whole runs of DataValues encoded at once (Part 6 §5.2.2.17, Part 11 §6.6.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uatypes import datetime_to_win_epoch

from opcua_bms.ua.services.codes import standard
from opcua_bms.ua.space.values import BAD, DTYPES, cast

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]

HISTORY_DATA = standard(ObjectIds.HistoryData_Encoding_DefaultBinary)
_VALUE, _STATUS, _SOURCE, _SERVER = 1, 2, 4, 8
LAST_TICK = 2_650_467_743_990_000_000
"""the end of 9999, where DateTime ends (Part 6 §5.2.2.5)"""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Values of one variable: ticks int64[n] (DateTime), values [n] or [n, w], status uint32[n]."""

    ticks: I64
    values: npt.NDArray[Any]
    status: U32

    def __len__(self) -> int:
        return len(self.ticks)

    def __getitem__(self, part: slice) -> Run:
        return Run(self.ticks[part], self.values[part], self.status[part])

    @classmethod
    def joined(cls, runs: list[Run]) -> Run:
        """One after the other."""
        if len(runs) == 1:
            return runs[0]
        return cls(
            np.concatenate([r.ticks for r in runs]),
            np.concatenate([r.values for r in runs]),
            np.concatenate([r.status for r in runs]),
        )


def to_ticks(time: Any) -> int:
    """A DateTime of a request; 0 is null."""
    return min(max(int(datetime_to_win_epoch(time)), 0), LAST_TICK) if time is not None else 0


def history_data(run: Run, vtype: ua.VariantType, timestamps: int) -> ua.ExtensionObject:
    """The HistoryData of a run: values as `vtype`, none where the status is Bad; the times that were asked for."""
    body = struct.pack("<i", len(run)) + (_scalars if run.values.ndim == 1 else _arrays)(run, vtype, timestamps)
    return ua.ExtensionObject(HISTORY_DATA, ua.ByteString(body))


def _stamps(timestamps: int) -> list[int]:
    """Mask bits of the times: the source's, the server's, or both (TimestampsToReturn)."""
    return {0: [_SOURCE], 1: [_SERVER], 2: [_SOURCE, _SERVER]}[timestamps]


def _scalars(run: Run, vtype: ua.VariantType, timestamps: int) -> bytes:
    stamps = _stamps(timestamps)
    some, coded = run.status < BAD, run.status != 0
    value = DTYPES[vtype].newbyteorder("<")
    sizes = 1 + some * (1 + value.itemsize) + coded * 4 + 8 * len(stamps)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    out = np.empty(int(starts[-1]), np.uint8)
    numbers = cast(run.values, vtype)
    for with_value in (True, False):
        for with_status in (True, False):
            rows = np.flatnonzero((some == with_value) & (coded == with_status))
            if not len(rows):
                continue
            fields: list[tuple[str, Any]] = [("mask", "u1")]
            fields += [("type", "u1"), ("value", value)] if with_value else []
            fields += [("status", "<u4")] if with_status else []
            fields += [(f"t{bit}", "<i8") for bit in stamps]
            record = np.empty(len(rows), np.dtype(fields))
            record["mask"] = with_value * _VALUE | with_status * _STATUS | sum(stamps)
            if with_value:
                record["type"], record["value"] = vtype.value, numbers[rows]
            if with_status:
                record["status"] = run.status[rows]
            for bit in stamps:
                record[f"t{bit}"] = run.ticks[rows]
            size = record.dtype.itemsize
            out[starts[rows][:, None] + np.arange(size)] = record.view(np.uint8).reshape(-1, size)
    return out.tobytes()


def _arrays(run: Run, vtype: ua.VariantType, timestamps: int) -> bytes:
    stamps = _stamps(timestamps)
    numbers = np.ascontiguousarray(cast(run.values, vtype), DTYPES[vtype].newbyteorder("<"))
    head = struct.pack("<Bi", vtype.value | 0x80, numbers.shape[1])
    parts: list[bytes] = []
    for ticks, row, status in zip(run.ticks.tolist(), numbers, run.status.tolist(), strict=True):
        some = status < BAD
        parts.append(bytes([some * _VALUE | (status != 0) * _STATUS | sum(stamps)]))
        parts += [head, row.tobytes()] if some else []
        parts += [struct.pack("<I", status)] if status else []
        parts += [struct.pack("<q", ticks)] * len(stamps)
    return b"".join(parts)
