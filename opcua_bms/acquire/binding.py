"""From the frames of one device into the slots of the image: fresh, missed, refused and frozen values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from opcua_bms.acquire.driver import Fault, ModbusException
from opcua_bms.acquire.lane import Frame
from opcua_bms.acquire.pulse import Pulse
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
HELD = 255
"""not asked this time: neither fresh nor missed"""


def verdict(fault: Fault | None) -> Quality:
    """What a block's fault makes of its slots: GOOD (fresh), LAST_USABLE (missed), or the bad quality it says."""
    if fault is None:
        return _FRESH
    return _REFUSED.get(fault.code, _MISSED) if isinstance(fault, ModbusException) else _MISSED


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A decoded frame: values, bits and quality parallel to the binding's slots; time and verdict of each request."""

    frame: Frame
    values: F64
    bits: npt.NDArray[np.uint64]
    quality: U8
    answered_s: F64
    verdicts: U8
    refused: Bools | None = None
    """bool[n_slots]: slots whose registers the device refuses, None: none"""


class Binding:
    """Writes one device's slots into the working image, freeze by freeze.

    `missed` is the number of freezes since the device last said anything, `NEVER` before that; a block that was
    missed more than `hard_limit` freezes in a row loses its values. Slots in `absent` are never touched.
    """

    def __init__(self, plan: DevicePlan, absent: Bools, hard_limit: int, pulse: Pulse) -> None:
        codec = plan.codec
        self._codec = codec
        self._hard_limit = hard_limit
        kept = ~absent[codec.slots]
        split = codec.number_slots.size
        self._kept = None if kept.all() else kept
        self._number_kept, self._word_kept = kept[:split], kept[split:]
        self.slots: I64 = codec.slots[kept]
        self.number_slots = codec.number_slots[self._number_kept]
        self._bit_index = codec.word_indices[self._word_kept]
        needs = np.zeros((len(plan.requests), codec.slots.size), bool)
        for request, positions in enumerate(codec.request_positions):
            needs[request, positions] = True
        self._needs: Bools = needs[:, kept]
        """bool[n_requests, n_slots]: which requests a slot is put together from"""
        self._request_of: I64 = self._needs.argmax(axis=0)
        self._last_k: I64 = np.full(len(plan.requests), NEVER, np.int64)
        self._codes: U8 = np.full(len(plan.requests), Quality.WAITING, np.uint8)
        """what was last written of each request's slots"""
        self._feeds: I64 = np.flatnonzero(self._needs.any(axis=1))
        """requests that give slots at all"""
        self.pulse = pulse
        self._beat_at = plan.heartbeat_position
        self._beat_requests = [] if self._beat_at is None else np.flatnonzero(needs[:, self._beat_at]).tolist()
        self.missed = NEVER
        self._refused_words: Bools | None = None
        self._refused: Bools | None = None

    def decode(self, frame: Frame) -> Reading:
        """What a frame says, ready for `apply`; good values of a device whose heartbeat stands still are FROZEN."""
        decoded = self._codec.decode(frame.words)
        values, bits, quality = decoded.values, decoded.bits, decoded.quality
        if self._beat_at is not None:
            self._see_beat(self._beat_at, float(values[self._beat_at]), frame)
        if self.pulse.frozen:
            quality = np.where(IS_GOOD[quality], np.uint8(Quality.FROZEN), quality)
        if self._kept is not None:
            values, bits, quality = values[self._number_kept], bits[self._word_kept], quality[self._kept]
        verdicts = np.array([verdict(fault) for fault in frame.outcome.faults], np.uint8)
        if frame.held is not None:
            verdicts[frame.held] = HELD
        answered_s = np.array(frame.outcome.answered_s)
        return Reading(frame, values, bits, quality, answered_s, verdicts, self._refused_slots(frame.refused))

    def _refused_slots(self, words: Bools | None) -> Bools | None:
        """Slots that need a refused word; the same mask gives the same answer."""
        if words is not self._refused_words:
            self._refused_words = words
            self._refused = None
            if words is not None:
                touched = self._codec.touched(words)
                self._refused = touched if self._kept is None else touched[self._kept]
        return self._refused

    def apply(self, reading: Reading | None, k: int, stamp_ns: int, out: Image) -> bool:
        """Bring freeze number k into `out`; `reading` is None if no scan was finished since the last one.

        True if the device said anything of at least one block.
        """
        if reading is not None and reading.refused is None and not reading.verdicts[self._feeds].any():
            self._last_k[:] = k
            self._codes = reading.verdicts
            self._write_all(reading, stamp_ns, out)
            self.missed = 0
            return True
        if reading is None and self._beat_at is not None:
            self.pulse.lose()
        codes = np.full(self._last_k.size, _MISSED, np.uint8) if reading is None else reading.verdicts.copy()
        held = codes == HELD
        said = (codes != _MISSED) & ~held
        self._last_k[said] = k
        if said.any():
            self._last_k[held & (self._last_k != NEVER)] = k
        codes[~said & ~held & ((self._last_k == NEVER) | (k - self._last_k > self._hard_limit))] = (
            Quality.NO_COMMUNICATION
        )
        if reading is not None or not np.array_equal(codes, self._codes):  # else nothing has changed
            self._write_some(reading, codes, stamp_ns, out)
        self._codes = codes
        last = int(self._last_k.max(initial=NEVER))
        self.missed = NEVER if last == NEVER else k - last
        return bool(said.any())

    def _write_all(self, reading: Reading, stamp_ns: int, out: Image) -> None:
        """Every block arrived."""
        slots = self.slots
        out.values[self.number_slots] = reading.values
        out.bits[self._bit_index] = reading.bits
        out.quality[slots] = reading.quality
        out.stamp_ns[slots] = stamp_ns
        out.measured_s[slots] = reading.answered_s[self._request_of]

    def _write_some(self, reading: Reading | None, codes: U8, stamp_ns: int, out: Image) -> None:
        """Blocks with different fates; a slot that needs several blocks shares the worst of them."""
        slots = self.slots
        code = np.zeros(slots.size, np.uint8)
        held = codes == HELD
        if codes.size and (codes == codes[0]).all():
            code[:] = codes[0]
        else:
            for fate in (_MISSED, Quality.DEVICE_FAILURE, Quality.CONFIGURATION_ERROR, Quality.NO_COMMUNICATION):
                code[self._needs[codes == fate].any(axis=0)] = fate
            if held.any():
                code[~self._needs[~held].any(axis=0)] = HELD
        if reading is not None and reading.refused is not None:
            code[reading.refused] = Quality.CONFIGURATION_ERROR
        old = out.quality[slots]
        quality = np.where(code == _MISSED, np.where(IS_USABLE[old], np.uint8(_MISSED), old), code)
        quality[code == HELD] = old[code == HELD]
        fresh = code == _FRESH
        n = self.number_slots.size
        if reading is not None:
            quality[fresh] = reading.quality[fresh]
            out.values[self.number_slots[fresh[:n]]] = reading.values[fresh[:n]]
            out.bits[self._bit_index[fresh[n:]]] = reading.bits[fresh[n:]]
            out.measured_s[slots[fresh]] = reading.answered_s[self._request_of[fresh]]
        lost = IS_BAD[quality] & ~fresh
        out.values[self.number_slots[lost[:n]]] = np.nan
        out.bits[self._bit_index[lost[n:]]] = 0
        out.quality[slots] = quality
        said = fresh | (code == Quality.CONFIGURATION_ERROR) | (code == Quality.DEVICE_FAILURE)
        out.stamp_ns[slots[said]] = stamp_ns

    def _see_beat(self, at: int, beat: float, frame: Frame) -> None:
        """Show the heartbeat to the pulse, NaN if it could not be read."""
        faults, refused = frame.outcome.faults, frame.refused
        unread = any(faults[request] is not None for request in self._beat_requests)
        if unread or (refused is not None and self._codec.touched(refused)[at]):
            beat = float("nan")
        self.pulse.see(beat, frame.finished_s)
