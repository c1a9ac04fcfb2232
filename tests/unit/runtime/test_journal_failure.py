"""A journal that cannot be written is an alarm of its own, and nothing that was accepted is lost by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alarm_desk_rig import QUIET, DeskPlant, Disk, turn

from opcua_bms.alarms.metrics import AlarmMetrics
from opcua_bms.model.alarm import Command, Result, What
from opcua_bms.model.journal import Saved
from opcua_bms.runtime.alarm_backlog import Patience
from opcua_bms.server.publisher import MOST_DEGRADED, Publisher
from opcua_bms.ua.store import ValueStore

FAILURE = "BMS.Alarms.JournalFailure"
RULES: Mapping[str, Any] = {name: row for name, row in QUIET.items() if name != "journal-failure"}
QUICK = Patience(answer_s=0.05, answer_while_failing_s=0.05, retry_s=10.0)


async def test_a_journal_that_refuses_is_a_condition_until_it_is_mended() -> None:
    """Operators look at the alarm list, not into a log; and the list must say when it can be trusted again."""
    disk = Disk()
    site = DeskPlant(disk, QUICK, rules=RULES)
    site.scan()
    disk.broken = "alarms.sqlite: database or disk is full"
    site.fault(0)
    await turn()
    snapshot = site.scan()
    assert snapshot.journal.error == disk.broken
    await turn()
    assert site.shown.happened[1:] == [(FAILURE, What.RAISED)]
    raised = site.shown.transitions[-1].state
    assert (raised.severity, raised.message) == (600, f"Alarms are not on disk: {disk.broken}")
    for bit in (1, 2, 3):
        site.fault(bit)
        await turn()
    assert await site.operate(Command.ACKNOWLEDGE, 0) is Result.GOOD_COMPLETES_ASYNCHRONOUSLY
    assert len(site.shown.transitions) == 6
    assert not disk.batches
    disk.broken = ""
    site.scan(10.0)
    site.fault(4)
    await turn()
    site.scan()
    await turn()
    whats = [what for _, what in site.shown.happened[6:]]
    assert whats == [What.RAISED, What.CLEARED]
    assert site.shown.transitions[-1].state.message.startswith("Alarms are not on disk: mended after ")
    assert [r.state for r in await disk.transitions()] == [t.state for t in site.shown.transitions], "all, in order"
    assert site.scan().journal.failing_since_ns == 0


async def test_a_journal_that_cannot_be_written_at_start_is_told_before_the_first_alarm() -> None:
    """Without it a server starts on a full disk and looks well until the alarm that it forgets."""
    disk = Disk()
    disk.broken = "read-only file system"
    site = DeskPlant(disk, QUICK, rules=RULES)
    await site.desk.restore()
    await turn()
    assert site.desk.health.error == "read-only file system"
    site.scan()
    await turn()
    assert site.shown.happened == [(FAILURE, What.RAISED)]
    disk.broken = ""
    site.scan(10.0)
    await site.desk.flush()
    site.scan()
    await turn()
    assert site.shown.happened[1:] == [(FAILURE, What.CLEARED)]
    assert len(await disk.transitions()) == 2


async def test_the_service_level_says_that_alarms_are_not_kept() -> None:
    """A client with two servers must choose the one that keeps its alarms (Part 4 §6.6.2.4.2)."""
    disk = Disk()
    site = DeskPlant(disk, QUICK)
    publisher = Publisher(ValueStore(site.plant.layout.n_numbers, site.plant.layout.size))
    publisher.publish(site.scan())
    assert publisher.service_level() == 255
    disk.broken = "disk full"
    site.fault(0)
    await turn()
    publisher.publish(site.scan())
    assert publisher.service_level() == MOST_DEGRADED
    disk.broken = ""
    publisher.publish(site.scan(10.0))
    await site.desk.flush()
    publisher.publish(site.scan())
    assert publisher.service_level() == 255


async def test_counts_of_alarms_go_on_after_a_restart() -> None:
    """A rate that begins anew with every restart hides the worst day of the month."""
    disk = Disk()
    before = DeskPlant(disk)
    await before.desk.restore()
    start_ns = before.plant.now_ns
    before.fault(0)
    before.fault(1)
    await turn()
    before.fault(0, on=False)
    await turn()
    assert await before.operate(Command.ACKNOWLEDGE, 0) is Result.GOOD
    counted = before.desk.metrics
    assert counted.alarms == 2
    before.fault(2)  # on its way to the disk when the process dies
    after = DeskPlant(disk)
    after.plant.now_ns, after.plant.now_s = before.plant.now_ns + 20 * 10**9, 7.0
    await after.desk.restore()
    metrics, now_ns = after.desk.metrics, after.plant.now_ns
    assert metrics.to_plain() == counted.to_plain()
    assert (metrics.start_ns, metrics.alarms, metrics.current_rate(now_ns)) == (start_ns, 2, 2.0)
    assert metrics.maximum_active_ms(now_ns) == 22_000.0, "the one that is still active, while nobody counted too"
    after.plant.image.bits[:] = before.plant.image.bits
    after.scan()
    await turn()
    assert metrics.alarms == 3


async def test_a_reset_of_the_counts_outlives_a_restart() -> None:
    """Without it counts that an operator has reset come back with the next restart."""
    disk = Disk()
    site = DeskPlant(disk)
    await site.desk.restore()
    site.fault(0)
    await turn()
    await site.desk.reset_metrics(site.plant.now_ns)
    assert site.desk.metrics.alarms == 0
    again = DeskPlant(disk)
    again.plant.now_ns = site.plant.now_ns + 10**9
    await again.desk.restore()
    assert (again.desk.metrics.alarms, again.desk.metrics.start_ns) == (0, site.plant.now_ns)


async def test_counts_that_make_no_sense_begin_anew() -> None:
    """A journal of an earlier version has none; alarms matter more than their number."""
    for row in (None, {}, {"start_ns": "x"}, {**AlarmMetrics(1).to_plain(), "seconds": [1]}):
        disk = Disk()
        site = DeskPlant(disk)
        site.fault(0)
        await turn()
        saved = await disk.restore()
        assert saved is not None
        header, rows = {**saved.header, "metrics": row}, list(saved.rows)

        class Old(Disk):
            async def restore(self) -> Any:
                return Saved(header, rows)  # noqa: B023 - used within this turn of the loop

        again = DeskPlant(Old())
        again.plant.now_ns = site.plant.now_ns
        await again.desk.restore()
        assert again.desk.metrics.alarms == 0
        assert again.desk.metrics.start_ns == again.plant.now_ns
        assert again.desk.conditions[again.index(0)].active
