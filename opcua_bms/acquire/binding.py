"""From the frames of one device into the slots of the image: fresh, missed, refused and frozen values."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from opcua_bms.acquire.device import Frame
from opcua_bms.acquire.driver import Fault, ModbusException
from opcua_bms.model.image import Image
from opcua_bms.model.quality import IS_BAD, IS_GOOD, IS_USABLE, Quality
from opcua_bms.profiles.plan import DevicePlan

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_FRESH, _MISSED = Quality.GOOD, Quality.LAST_USABLE
_REFUSED = {
    1: Quality.CONFIGURATION_ERROR,
    2: Quality.CONFIGURATION_ERROR,
    3: Quality.CONFIGURATION_ERROR,
    4: Quality.DEVICE_FAILURE,
    7: Quality.DEVICE_FAILURE,
    8: Quality.DEVICE_FAILURE,
}
"""exception codes that say something of the block; all others (busy, gateway, unknown) count as a missed scan"""
NEVER = -1


def verdict(fault: Fault | None) -> Quality:
    """What a block's fault makes of its slots: GOOD (fresh), LAST_USABLE (missed), or the bad quality it says."""
    if fault is None:
        return _FRESH
    return _REFUSED.get(fault.code, _MISSED) if isinstance(fault, ModbusException) else _MISSED


class Binding:
    """Writes one device's slots into the working image, freeze by freeze.

    `missed` is the number of freezes since the device last said anything, `NEVER` before that; a block that was
    missed more than `hard_limit` freezes in a row loses its values. Slots in `absent` are never touched.
    """

    def __init__(self, plan: DevicePlan, absent: Bools, hard_limit: int, heartbeat_limit_s: float = 0.0) -> None:
        codec = plan.codec
        self._codec = codec
        self._hard_limit = hard_limit
        kept = ~absent[codec.slots]
        split = codec.number_slots.size
        self._kept = None if kept.all() else kept
        self._number_kept, self._word_kept = kept[:split], kept[split:]
        self.slots: I64 = codec.slots[kept]
        self._number_slots = codec.number_slots[self._number_kept]
        self._bit_index = codec.word_indices[self._word_kept]
        needs = np.zeros((len(plan.requests), codec.slots.size), bool)
        for request, positions in enumerate(codec.request_positions):
            needs[request, positions] = True
        self._needs: Bools = needs[:, kept]
        """bool[n_requests, n_slots]: which requests a slot is put together from"""
        self._request_of: I64 = self._needs.argmax(axis=0)
        self._last_k: I64 = np.full(len(plan.requests), NEVER, np.int64)
        self._beat_at = plan.heartbeat_position if heartbeat_limit_s > 0 else None
        self._beat_requests = [] if self._beat_at is None else np.flatnonzero(needs[:, self._beat_at]).tolist()
        self._beat_limit_s = heartbeat_limit_s
        self._beat = math.nan
        self._beat_since_s = 0.0
        self.frozen = False
        """the heartbeat stands still"""
        self.missed = NEVER

    def apply(self, frame: Frame | None, k: int, stamp_ns: int, out: Image) -> bool:
        """Bring freeze number k into `out`; `frame` is None if none was finished since the last one.

        True if the device said anything of at least one block.
        """
        verdicts = [_MISSED] * len(self._last_k) if frame is None else [verdict(f) for f in frame.outcome.faults]
        if frame is not None and not any(verdicts):
            self._last_k[:] = k
            self._write_all(frame, stamp_ns, out)
            self.missed = 0
            return True
        said = np.array(verdicts, np.uint8) != _MISSED
        self._last_k[said] = k
        codes = np.array(verdicts, np.uint8)
        codes[~said & ((self._last_k == NEVER) | (k - self._last_k > self._hard_limit))] = Quality.NO_COMMUNICATION
        self._write_some(frame, codes, stamp_ns, out)
        last = int(self._last_k.max(initial=NEVER))
        self.missed = NEVER if last == NEVER else k - last
        return bool(said.any())

    def _write_all(self, frame: Frame, stamp_ns: int, out: Image) -> None:
        """Every block arrived."""
        values, bits, quality = self._decode(frame)
        slots = self.slots
        out.values[self._number_slots] = values
        out.bits[self._bit_index] = bits
        out.quality[slots] = quality
        out.stamp_ns[slots] = stamp_ns
        out.measured_s[slots] = np.array(frame.outcome.answered_s)[self._request_of]

    def _write_some(self, frame: Frame | None, codes: U8, stamp_ns: int, out: Image) -> None:
        """Blocks with different fates; a slot that needs several blocks shares the worst of them."""
        slots = self.slots
        code = np.zeros(slots.size, np.uint8)
        if codes.size and (codes == codes[0]).all():
            code[:] = codes[0]
        else:
            for fate in (_MISSED, Quality.DEVICE_FAILURE, Quality.CONFIGURATION_ERROR, Quality.NO_COMMUNICATION):
                code[self._needs[codes == fate].any(axis=0)] = fate
        old = out.quality[slots]
        quality = np.where(code == _MISSED, np.where(IS_USABLE[old], np.uint8(_MISSED), old), code)
        fresh = code == _FRESH
        n = self._number_slots.size
        if frame is not None and fresh.any():
            values, bits, decoded = self._decode(frame)
            quality[fresh] = decoded[fresh]
            out.values[self._number_slots[fresh[:n]]] = values[fresh[:n]]
            out.bits[self._bit_index[fresh[n:]]] = bits[fresh[n:]]
            out.measured_s[slots[fresh]] = np.array(frame.outcome.answered_s)[self._request_of[fresh]]
        else:
            self._beat = math.nan
        lost = IS_BAD[quality] & ~fresh
        out.values[self._number_slots[lost[:n]]] = np.nan
        out.bits[self._bit_index[lost[n:]]] = 0
        out.quality[slots] = quality
        said = fresh | (code == Quality.CONFIGURATION_ERROR) | (code == Quality.DEVICE_FAILURE)
        out.stamp_ns[slots[said]] = stamp_ns

    def _decode(self, frame: Frame) -> tuple[F64, npt.NDArray[np.uint64], U8]:
        """Values, bits and quality of all slots that are kept; good values of a frozen device are FROZEN."""
        decoded = self._codec.decode(frame.words)
        values, bits, quality = decoded.values, decoded.bits, decoded.quality
        if self._beat_at is not None and self._stands_still(float(values[self._beat_at]), frame):
            quality = np.where(IS_GOOD[quality], np.uint8(Quality.FROZEN), quality)
        if self._kept is None:
            return values, bits, quality
        return values[self._number_kept], bits[self._word_kept], quality[self._kept]

    def _stands_still(self, beat: float, frame: Frame) -> bool:
        """Whether the heartbeat kept its value for the limit; one that could not be read starts anew."""
        if any(frame.outcome.faults[request] for request in self._beat_requests):
            beat = math.nan
        if beat != self._beat:
            self._beat, self._beat_since_s = beat, frame.finished_s
        self.frozen = frame.finished_s - self._beat_since_s >= self._beat_limit_s
        return self.frozen
