"""The desk between engine, journal and sinks: nothing is shown before it is kept, nothing is lost, order holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from alarm_desk_rig import DeskPlant, Disk, Judge, turn
from alarm_plant import LABELS, small_topology
from structlog.testing import capture_logs

from opcua_bms.alarms import AlarmEngine, EngineState, load_rules
from opcua_bms.alarms.engine import Stepping
from opcua_bms.clock import SystemClock
from opcua_bms.journal import MemoryJournal
from opcua_bms.model.alarm import Command, ConditionState, Result, Shelving, Transition, What
from opcua_bms.model.image import Image
from opcua_bms.model.journal import WRITTEN, JournalBatch, JournalHealth, Saved
from opcua_bms.runtime.alarm_backlog import Patience
from opcua_bms.runtime.alarm_desk import AlarmDesk

QUICK = Patience(answer_s=0.05, answer_while_failing_s=0.05, retry_s=10.0, transitions=8)


async def test_an_event_waits_for_the_disk_and_values_do_not() -> None:
    """An alarm that a client saw and a power cut forgets is the one nobody can explain."""
    disk = Disk()
    site = DeskPlant(disk)
    site.scan()
    disk.free.clear()
    snapshot = site.fault(3)
    assert snapshot.plant.bits[site.plant.layout.bits_of("cluster.fault_word").start] == 8, "the scan is not held up"
    assert snapshot.transitions == ()
    assert not snapshot.conditions[site.index(3)].active
    await turn()
    assert site.shown.transitions == []
    disk.free.set()
    await turn()
    assert site.shown.happened == [("BMS.Stack1.Cluster01.Alarms.FaultWordBit03", What.RAISED)]
    assert site.shown.conditions[site.index(3)].active
    assert site.scan().conditions[site.index(3)].active


async def test_scans_and_commands_keep_their_order_while_the_disk_is_slow() -> None:
    """A client that sees Acknowledged before Raised takes the alarm for a new one."""
    disk = Disk()
    site = DeskPlant(disk)
    site.fault(0)
    await turn()
    disk.free.clear()
    site.fault(1)
    command = asyncio.ensure_future(site.operate(Command.ACKNOWLEDGE, 0))
    await turn()
    site.fault(1, on=False)
    site.fault(2)
    await turn()
    assert not command.done(), "Good would be a promise that a power cut breaks"
    assert len(site.shown.transitions) == 1
    disk.free.set()
    assert await command is Result.GOOD
    await turn()
    wanted = [(0, What.RAISED), (1, What.RAISED), (0, What.ACKNOWLEDGED), (1, What.CLEARED), (2, What.RAISED)]
    assert site.shown.happened == [(f"BMS.Stack1.Cluster01.Alarms.FaultWordBit{b:02d}", what) for b, what in wanted]
    assert [r.state for r in await disk.transitions()] == [t.state for t in site.shown.transitions]
    assert len(disk.batches) == 3, "what came while the disk was busy goes in one commit"


async def test_a_refused_command_waits_for_nothing() -> None:
    """It changes nothing, so there is nothing to keep."""
    disk = Disk()
    site = DeskPlant(disk)
    site.scan()
    disk.free.clear()
    assert await site.operate(Command.RESET, 0) is not Result.GOOD
    assert not disk.asked.is_set()


async def test_a_client_that_leaves_takes_no_alarm_with_it() -> None:
    """A Call whose session ends is cancelled; the command was carried out."""
    disk = Disk()
    site = DeskPlant(disk)
    site.fault(0)
    await turn()
    disk.free.clear()
    command = asyncio.ensure_future(site.operate(Command.ACKNOWLEDGE, 0))
    await turn()
    command.cancel()
    disk.free.set()
    await turn()
    assert [what for _, what in site.shown.happened] == [What.RAISED, What.ACKNOWLEDGED]
    site.fault(1)
    await turn()
    assert len(site.shown.transitions) == 3


async def test_a_disk_that_refuses_keeps_no_alarm_from_the_operators() -> None:
    """Alarms must be seen even if they cannot be kept; and kept as soon as they can."""
    disk = Disk()
    site = DeskPlant(disk, QUICK)
    disk.broken = "disk full"
    with capture_logs() as logs:
        site.fault(0)
        await turn()
        site.fault(1)
        await turn()
        assert [what for _, what in site.shown.happened] == [What.RAISED, What.RAISED]
        result = await site.operate(Command.ACKNOWLEDGE, 0)
        assert result is Result.GOOD_COMPLETES_ASYNCHRONOUSLY, "carried out, and the caller is told what is wrong"
        health = site.desk.health
        assert (health.unwritten, health.error, health.folded) == (3, "disk full", 0)
        assert health.failing_since_ns == site.plant.now_ns - 10**9, "since the first of them"
        for _ in range(20):
            site.scan(1.0)
            await turn()
        assert [log["event"] for log in logs] == ["alarm_journal_failed"], "said once, not with every scan"
        disk.broken = ""
        site.fault(2)
        site.scan(10.0)
        await turn()
    assert [log["event"] for log in logs] == ["alarm_journal_failed", "alarm_journal_recovered"]
    assert site.desk.health == JournalHealth()
    assert [r.state for r in await disk.transitions()] == [t.state for t in site.shown.transitions]
    assert await site.operate(Command.ACKNOWLEDGE, 1) is Result.GOOD


async def test_the_last_alarm_before_the_disk_is_mended_is_kept_without_another_one() -> None:
    """Retries must not wait for the next alarm."""
    disk = Disk()
    site = DeskPlant(disk, Patience(retry_s=0.001))
    disk.broken = "disk full"
    site.fault(0)
    await turn()
    disk.broken = ""
    disk.asked.clear()
    site.plant.now_s += 1.0
    await asyncio.wait_for(disk.asked.wait(), 5)
    await turn()
    assert len(await disk.transitions()) == 1


async def test_a_disk_that_hangs_is_not_waited_for() -> None:
    """A network disk can hang for minutes: long enough for a battery to burn."""
    disk = Disk()
    site = DeskPlant(disk, QUICK)
    disk.free.clear()
    site.fault(0)
    command = asyncio.ensure_future(site.operate(Command.SUPPRESS, 1))
    assert await asyncio.wait_for(command, 5) is Result.GOOD_COMPLETES_ASYNCHRONOUSLY
    assert [what for _, what in site.shown.happened] == [What.RAISED, What.SUPPRESSED]
    site.fault(2)
    await turn()
    assert len(site.shown.transitions) == 3, "and the next one at once"
    disk.free.set()
    site.scan(10.0)
    site.fault(3)
    await turn()
    assert [r.state for r in await disk.transitions()] == [t.state for t in site.shown.transitions]


async def test_memory_is_bounded_and_what_was_folded_is_counted() -> None:
    """Days without a disk must not end the process; the states are what counts then."""
    disk = Disk()
    site = DeskPlant(disk, QUICK)
    disk.broken = "disk full"
    for k in range(30):
        site.fault(k % 3, on=k // 3 % 2 == 0)
        await turn()
    health = site.desk.health
    assert (len(site.shown.transitions), health.unwritten, health.folded) == (30, 30, 22)
    disk.broken = ""
    site.scan(10.0)
    site.fault(5)
    await turn()
    (batch,) = disk.batches
    assert (len(batch.transitions), batch.folded, site.desk.health) == (8, 23, JournalHealth())
    await disk.append(JournalBatch((), batch.save))
    again = DeskPlant(disk)
    again.plant.now_ns = site.plant.now_ns
    await again.desk.restore()
    for k, state in enumerate(again.desk.conditions):
        assert state.event_id == site.desk.conditions[k].event_id, "nothing of the present is folded away"


async def test_a_flood_is_shown_in_slices() -> None:
    """Thousands of events in one turn of the loop would hold up every client and the next scan."""
    site = DeskPlant(MemoryJournal())
    site.scan()
    for cluster in (0, 1):
        for bit in range(8):
            site.plant.bit("cluster.fault_word", bit, on=True, i=cluster)
    site.scan()
    seen = set()
    while len(site.shown.transitions) < 16:
        await asyncio.sleep(0)
        n = len(site.shown.transitions)
        active = sum(state.active for state in site.shown.conditions)
        assert active == n, "a state shows with its event, neither before nor after"
        assert not n or site.desk.conditions == site.shown.conditions
        seen.add(n)
    assert len(seen) > 2


async def test_what_comes_during_a_flood_waits_behind_it() -> None:
    """A flood is judged in parts; a command or a scan in between would be judged by half of a state."""
    site = DeskPlant(MemoryJournal(), topology=small_topology(20, 1, 4, 2), word_bits=64)
    site.scan()
    site.fault(0, cluster=3)
    await turn()
    words = site.plant.layout.bits_of("cluster.alarm_word")
    site.plant.image.bits[words] = 2**64 - 1
    snapshot = site.scan()
    assert snapshot.plant.bits[words].all(), "values do not wait"
    command = asyncio.ensure_future(site.operate(Command.ACKNOWLEDGE, 0, cluster=3))
    await asyncio.sleep(0)
    left = asyncio.ensure_future(site.operate(Command.SUPPRESS, 1, cluster=3))
    await asyncio.sleep(0)
    left.cancel()
    site.fault(2, cluster=3)
    site.plant.image.bits[words] = 0
    site.scan()
    assert len(site.shown.transitions) < 20 * 64, "the event loop turned in between"
    assert await command is Result.GOOD
    await site.desk.flush(10.0)
    whats = [t.what for t in site.shown.transitions]
    wanted = [What.RAISED] * (1 + 20 * 64) + [What.ACKNOWLEDGED, What.RAISED] + [What.CLEARED] * (20 * 64)
    assert whats == wanted
    assert site.desk.conditions == site.scan().conditions


async def test_a_mistake_in_the_engine_ends_the_program_and_not_the_alarms_alone() -> None:
    """A task that dies unnoticed would leave a server whose alarms stand still."""

    class Broken(AlarmEngine):
        broken = False

        def stepping(
            self, state: EngineState, image: Image, now_s: float, now_ns: int, journal: JournalHealth = WRITTEN
        ) -> Stepping:
            for _ in range(10):
                yield
            if self.broken:
                raise ZeroDivisionError
            return (yield from super().stepping(state, image, now_s, now_ns, journal))

    site = DeskPlant(MemoryJournal())
    plant = site.plant
    engine = Broken(plant.topology, plant.layout, load_rules(), LABELS)
    desk = AlarmDesk(Judge(engine), MemoryJournal(), SystemClock())
    desk.advance(site.image())
    await turn()
    assert not desk.busy
    engine.broken = True
    desk.advance(site.image())
    await turn()
    with pytest.raises(ZeroDivisionError):
        desk.advance(site.image())


async def test_the_event_of_a_branch_is_not_the_state_of_its_condition() -> None:
    """A condition that is active again would show as what it was before."""
    disk = Disk()
    site = DeskPlant(disk, branches=True)
    for on in (True, False, True):
        for bit in range(8):
            site.plant.bit("cluster.fault_word", bit, on, 0)
        site.scan()
        for _ in range(20):
            await asyncio.sleep(0)
            conditions = site.desk.conditions
            assert not any(state.branch_id for state in conditions)
    assert What.BRANCHED in {what for _, what in site.shown.happened}
    assert site.shown.conditions == site.scan().conditions
    assert all(site.shown.conditions[site.index(bit)].branches for bit in range(8))
    after = DeskPlant(disk, branches=True)
    after.plant.now_ns = site.plant.now_ns
    await after.desk.restore()
    assert [s.branches for s in after.desk.conditions] == [s.branches for s in site.desk.conditions]


async def test_a_sink_that_fails_keeps_nothing_from_the_others() -> None:
    """One mistake in one view must not silence the alarms of all."""

    class Bad:
        def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
            raise RuntimeError(f"{len(conditions)} {len(transitions)}")

    site = DeskPlant(MemoryJournal())
    site.desk.add_sink(Bad())
    after = type(site.shown)()
    site.desk.add_sink(after)
    with capture_logs() as logs:
        site.fault(0)
        await turn()
        site.fault(1)
        await turn()
    assert len(after.transitions) == 2
    assert [log["event"] for log in logs] == ["alarm_sink_failed"] * 2


async def test_an_engine_row_that_cannot_be_kept_is_a_failure_and_no_silence() -> None:
    """Our own mistake in the journal must not keep alarms from operators either."""

    class Odd(MemoryJournal):
        async def append(self, batch: JournalBatch) -> None:
            raise TypeError(f"{len(batch.transitions)} cannot be written")

    site = DeskPlant(Odd(), QUICK)
    with capture_logs() as logs:
        site.fault(0)
        await turn()
    assert len(site.shown.transitions) == 1
    assert [log["event"] for log in logs] == ["alarm_journal_bug", "alarm_journal_failed"]


async def test_a_restart_goes_on_where_the_journal_ends() -> None:
    """Acknowledged, latched, shelved; nothing still active is raised again, and what went meanwhile says so."""
    disk = Disk()
    before = DeskPlant(disk)
    for bit in (0, 1, 2):
        before.fault(bit)
        await turn()
    assert await before.operate(Command.ACKNOWLEDGE, 0) is Result.GOOD
    assert await before.operate(Command.TIMED_SHELVE, 1) is Result.GOOD
    before.fault(3)  # on its way to the disk when the process dies
    after = DeskPlant(disk)
    after.plant.now_ns, after.plant.now_s = before.plant.now_ns + 20 * 10**9, 7.0
    with capture_logs() as logs:
        await after.desk.restore()
    assert [(log["event"], log["retained"]) for log in logs] == [("alarms_restored", 3)]
    states = [after.desk.conditions[after.index(bit)] for bit in range(4)]
    assert [s.active for s in states] == [True, True, True, False]
    assert [s.acked for s in states] == [True, False, False, True]
    assert states[1].shelving is Shelving.TIMED
    after.plant.image.bits[:] = before.plant.image.bits
    after.plant.bit("cluster.fault_word", 2, on=False)
    after.scan()
    await turn()
    assert [(t.info.name, t.what) for t in after.shown.transitions] == [
        ("FaultWordBit02", What.CLEARED),
        ("FaultWordBit03", What.RAISED),
    ]
    assert all(t.state.message.endswith("(changed while the server was not running)") for t in after.shown.transitions)
    after.scan(15.0)
    await turn()
    assert after.shown.happened[2:] == [("BMS.Stack1.Cluster01.Alarms.FaultWordBit01", What.UNSHELVED)], "in UTC"
    ids = [t.state.event_id for t in (*before.shown.transitions, *after.shown.transitions)]
    assert len(set(ids)) == len(ids)


async def test_event_ids_are_new_after_a_restart_even_if_the_disk_refused() -> None:
    """An operator would acknowledge one alarm by the id of another."""
    disk = Disk()
    before = DeskPlant(disk)
    before.fault(0)
    await turn()
    disk.broken = "disk full"
    before.fault(1)
    await turn()
    disk.broken = ""
    after = DeskPlant(disk)
    await after.desk.restore()
    after.fault(2)
    await turn()
    ids = {t.state.event_id for t in (*before.shown.transitions, *after.shown.transitions)}
    assert len(ids) == len(before.shown.transitions) + len(after.shown.transitions) == 4


async def test_a_journal_that_makes_no_sense_is_set_aside() -> None:
    """Well-formed nonsense (another program's, a future version's) must not keep the server from starting."""
    disk = Disk()
    await disk.append(JournalBatch((), lambda _: Saved({"seed": "xyz"}, [{"id": "a"}])))
    site = DeskPlant(disk)
    await site.desk.restore()
    assert disk.aside
    site.fault(0)
    await turn()
    assert len(site.shown.transitions) == 1


async def test_an_orderly_end_tries_once_more_and_says_what_is_missing() -> None:
    """A disk that was mended a moment ago gets everything; one that was not is named in the log."""
    for mended in (True, False):
        disk = Disk()
        site = DeskPlant(disk, QUICK)
        disk.broken = "disk full"
        site.fault(0)
        await turn()
        if mended:
            disk.broken = ""
        with capture_logs() as logs:
            await site.desk.close()
        assert len(await disk.transitions()) == mended
        assert ("alarms_not_in_the_journal" in {log["event"] for log in logs}) is not mended
