"""What browsers are told: one encoding per scan for all of them, as a change of the frame before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from opcua_bms.model.alarm import ConditionState
from opcua_bms.model.image import Image
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.web import cells
from opcua_bms.web.alarm_rows import AlarmTable
from opcua_bms.web.device_rows import device
from opcua_bms.web.needs import ServerFacts
from opcua_bms.web.site import Site

_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: `number` counts up by one; it changes what a page knows after the frame `base` (0: nothing)."""

    number: int
    base: int
    event: bytes
    """as a server-sent event"""


@dataclass(slots=True, eq=False)
class _Known:
    """What a page knows after the last frame."""

    values: npt.NDArray[np.float64]
    value_quality: npt.NDArray[np.uint8]
    bits: npt.NDArray[np.uint64]
    word_quality: npt.NDArray[np.uint8]
    cells: cells.Cells


class Encoder:
    """Makes frames of snapshots; `key` at any time for who has none, or has missed some."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._alarms = AlarmTable(site.infos)
        self._known = self._nothing()
        self._head: dict[str, Any] = {}
        self.number = 0

    def _nothing(self) -> _Known:
        site = self._site
        n, words = len(site.values), len(site.words)
        unknown = 255
        return _Known(
            np.full(n, math.nan),
            np.full(n, unknown, np.uint8),
            np.zeros(words, np.uint64),
            np.full(words, unknown, np.uint8),
            cells.Cells.blank(cells.count(site.layout)),
        )

    def advance(self, snapshot: Snapshot | None, conditions: Sequence[ConditionState], facts: ServerFacts) -> Frame:
        """The next frame; `snapshot` None: nothing but alarms has changed."""
        changed, gone = self._alarms.update(conditions)
        body: dict[str, Any] = {}
        if snapshot is not None:
            before, self._known = self._known, self._know(snapshot.plant)
            self._head = _head(snapshot, facts)
            body = self._head | self._changes(before, self._known)
        if changed or gone:
            body["alarms"] = changed
            body["gone"] = gone
        base, self.number = self.number, self.number + 1
        return self._frame(base, body)

    def key(self) -> Frame:
        """Everything, for a page that knows nothing; it then knows what the last frame made known."""
        body = self._head | self._changes(self._nothing(), self._known) if self._head else {}
        return self._frame(0, body | {"alarms": self._alarms.rows, "gone": []})

    def _frame(self, base: int, body: dict[str, Any]) -> Frame:
        message = {"n": self.number, "base": base, "epoch": self._site.epoch, **body}
        data = orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)
        return Frame(self.number, base, b"event: frame\ndata: " + data + b"\n\n")

    def _know(self, plant: Image) -> _Known:
        site = self._site
        slots, words = site.value_slots, site.word_slots
        return _Known(
            np.round(plant.values[slots], _DECIMALS),
            plant.quality[slots],
            plant.bits[words - site.layout.n_numbers],
            plant.quality[words],
            cells.Cells.of(plant),
        )

    @staticmethod
    def _changes(before: _Known, now: _Known) -> dict[str, Any]:
        same = (now.values == before.values) | (np.isnan(now.values) & np.isnan(before.values))
        at = np.flatnonzero(~same | (now.value_quality != before.value_quality))
        words = np.flatnonzero((now.bits != before.bits) | (now.word_quality != before.word_quality))
        return {
            "values": [at, now.values[at], now.value_quality[at]],
            "words": [words, [f"{bits:x}" for bits in now.bits[words].tolist()], now.word_quality[words]],
            "cells": cells.encode(now.cells, before.cells),
        }


def _head(snapshot: Snapshot, facts: ServerFacts) -> dict[str, Any]:
    scan = snapshot.plant.scan
    return {
        "scan": {
            "counter": scan.counter,
            "time": scan.frozen_ns // 1_000_000,
            "period_s": scan.period_s,
            "ms": round(scan.duration_s * 1000, 1),
            "late_ms": round(scan.lateness_s * 1000, 1),
        },
        "server": {"url": facts.url, "sessions": facts.sessions, "items": facts.items},
        "devices": [device(health, scan.frozen_ns) for health in snapshot.plant.devices],
    }
