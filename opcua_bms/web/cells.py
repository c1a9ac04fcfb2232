"""Every cell of a scan in as few bytes as will do: integers, as differences from the scan before, deflated.

Cells come first, then temperature sensors. For each of them: its value as uint16 (cells 0.1 mV, sensors 0.01 °C above
−100 °C; 65535: none), its age at the freeze as uint16 in 0.1 s (65535: never measured; 65534: that or older), and its
quality as uint8. Differences wrap around. The bytes are the low bytes of the values, their high bytes, those of the
ages, the qualities; then zlib. Differences from zero are a scan that stands alone.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout
from opcua_bms.web.site import CELL_COLUMNS

U16 = npt.NDArray[np.uint16]
U8 = npt.NDArray[np.uint8]
NONE = 65535
VOLTAGE_STEPS, TEMPERATURE_STEPS, TEMPERATURE_ZERO = 10_000.0, 100.0, -100.0
"""steps per V and per °C, and the temperature of step 0"""
_AGE_STEPS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """values, ages uint16[n]; quality uint8[n]."""

    values: U16
    ages: U16
    quality: U8

    @classmethod
    def blank(cls, n: int) -> Cells:
        """What everything is a difference from in the end."""
        return cls(np.zeros(n, np.uint16), np.zeros(n, np.uint16), np.zeros(n, np.uint8))

    @classmethod
    def of(cls, image: Image) -> Cells:
        """Those of one scan."""
        layout = image.layout
        voltage, temperature = (layout[name].slots for name in CELL_COLUMNS)
        volts = _steps(image.values[voltage] * VOLTAGE_STEPS)
        degrees = _steps((image.values[temperature] - TEMPERATURE_ZERO) * TEMPERATURE_STEPS)
        measured = np.concatenate((image.measured_s[voltage], image.measured_s[temperature]))
        quality = np.concatenate((image.quality[voltage], image.quality[temperature]))
        ages = _steps((image.scan.now_s - measured) * _AGE_STEPS)
        return cls(np.concatenate((volts, degrees)), ages, quality)


def count(layout: Layout) -> int:
    """Cells and sensors of a plant."""
    return sum(layout[name].size for name in CELL_COLUMNS)


def encode(now: Cells, before: Cells) -> str:
    """base64 of what changed."""
    values = now.values - before.values
    ages = now.ages - before.ages
    planes = (
        (values & 0xFF).astype(np.uint8),
        (values >> 8).astype(np.uint8),
        (ages & 0xFF).astype(np.uint8),
        (ages >> 8).astype(np.uint8),
        now.quality - before.quality,
    )
    return base64.b64encode(zlib.compress(np.concatenate(planes).tobytes(), 1)).decode()


def _steps(scaled: npt.NDArray[np.float64]) -> U16:
    with np.errstate(invalid="ignore"):
        limited = np.clip(np.rint(scaled), 0, NONE - 1)
    return np.where(np.isnan(limited), NONE, limited).astype(np.uint16)
