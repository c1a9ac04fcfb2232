"""Quality of a value, and the one table from quality to OPC UA StatusCode (Part 4 §7.39, Part 8 §6.3)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]


class Quality(IntEnum):
    """Why a value may or may not be used; stored as uint8 beside every value."""

    GOOD = 0
    WAITING = 1
    """before the first scan"""
    NOT_SUPPORTED = 2
    """nothing gives this value"""
    ABSENT = 3
    """slot absent, not configured"""
    NO_COMMUNICATION = 4
    """never reached, or missed longer than the hard limit: no value"""
    LAST_USABLE = 5
    """missed after a good value: old value, old stamp"""
    CONFIGURATION_ERROR = 6
    """the device answers exception 2 for this register"""
    DEVICE_FAILURE = 7
    """the device answers exception 4"""
    SENSOR_FAILURE = 8
    """sentinel or impossible value, this point only"""
    FROZEN = 9
    """heartbeat or all cells frozen: the value may be old"""
    SUBNORMAL = 10
    """aggregate over fewer good readings than required"""
    INSUFFICIENT = 11
    """aggregate with no, or below the configured share of, good readings"""
    FORCED = 12
    """set by an engineer"""
    OUT_OF_SERVICE = 13
    """disabled by an engineer"""


_STATUS = {
    Quality.GOOD: 0x00000000,  # Good
    Quality.WAITING: 0x80320000,  # BadWaitingForInitialData
    Quality.NOT_SUPPORTED: 0x803D0000,  # BadNotSupported
    Quality.ABSENT: 0x808A0000,  # BadNotConnected
    Quality.NO_COMMUNICATION: 0x80310000,  # BadNoCommunication
    Quality.LAST_USABLE: 0x408F0000,  # UncertainNoCommunicationLastUsableValue
    Quality.CONFIGURATION_ERROR: 0x80890000,  # BadConfigurationError
    Quality.DEVICE_FAILURE: 0x808B0000,  # BadDeviceFailure
    Quality.SENSOR_FAILURE: 0x808C0000,  # BadSensorFailure
    Quality.FROZEN: 0x40900000,  # UncertainLastUsableValue
    Quality.SUBNORMAL: 0x40950000,  # UncertainSubNormal
    Quality.INSUFFICIENT: 0x80000000,  # Bad
    Quality.FORCED: 0x00960000,  # GoodLocalOverride
    Quality.OUT_OF_SERVICE: 0x808D0000,  # BadOutOfService
}

STATUS_CODE: U32 = np.array([_STATUS[q] for q in Quality], np.uint32)
"""uint32[quality] → StatusCode; index it with a quality array."""
STATUS_CODE.flags.writeable = False

_SEVERITY = STATUS_CODE >> 30
IS_GOOD: npt.NDArray[np.bool_] = _SEVERITY == 0
IS_UNCERTAIN: npt.NDArray[np.bool_] = _SEVERITY == 1
IS_BAD: npt.NDArray[np.bool_] = _SEVERITY >= 2
"""bool[quality] lookups for whole arrays of qualities."""
IS_USABLE: npt.NDArray[np.bool_] = ~IS_BAD
"""A usable value (good or uncertain) is printed and may enter an aggregate; a bad one never does."""
for _table in (IS_GOOD, IS_UNCERTAIN, IS_BAD, IS_USABLE):
    _table.flags.writeable = False
