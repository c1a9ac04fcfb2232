"""A computed value that raises: a defect of ours, which costs its own item alone and is told."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from loose_ua import ua
from subscription_rig import Clock, Rig, item
from ua_fixture import Plant


class Broken(Plant):
    """Its totals cannot be worked out while `broken` is set."""

    broken = True

    def _total(self, instance: int) -> Any:
        if self.broken:
            raise ZeroDivisionError
        return super()._total(instance)


async def test_a_value_that_raises_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Without it nobody learns of the defect, or the log is filled with it, a line a sample."""
    plant = Broken(2)
    plant.commit()
    source = Rig(plant, Clock()).sources.find(item(plant.id("Line1.Total"), 1).ItemToMonitor)
    with caplog.at_level(logging.ERROR):
        assert [source.read(None).status for _ in range(3)] == [ua.StatusCodes.BadInternalError] * 3
    (line,) = caplog.records
    assert "Line1.Total" in line.getMessage()
    plant.broken = False
    assert source.read(None).status == 0
    plant.broken = True
    with caplog.at_level(logging.ERROR):
        assert source.read(None).status == ua.StatusCodes.BadInternalError
    assert len(caplog.records) == 2
