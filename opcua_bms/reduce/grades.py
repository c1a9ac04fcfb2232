"""Qualities as numpy scalars: among small arrays, looking through an enumeration takes longer than the arithmetic."""

from __future__ import annotations

import numpy as np

from opcua_bms.model.quality import Quality

GOOD, SUBNORMAL, INSUFFICIENT, NOT_SUPPORTED, ABSENT, WAITING, SENSOR_FAILURE = (
    np.uint8(q)
    for q in (
        Quality.GOOD,
        Quality.SUBNORMAL,
        Quality.INSUFFICIENT,
        Quality.NOT_SUPPORTED,
        Quality.ABSENT,
        Quality.WAITING,
        Quality.SENSOR_FAILURE,
    )
)
