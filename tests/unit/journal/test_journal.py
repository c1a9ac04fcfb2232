"""What every journal does, in memory or on disk: the same tests over both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from alarm_plant import Plant, small_topology

from opcua_bms.journal import MemoryJournal, Retention, SqliteJournal
from opcua_bms.model.alarm import Command, Transition, What
from opcua_bms.model.journal import JournalBatch, Recorded, Saved
from opcua_bms.ports import Journal

KEPT = Retention(days=1.0, transitions=50)


class Shelf:
    """Where a journal lives; `open` ends one process and begins the next."""

    def __init__(self, make: Callable[[], Journal]) -> None:
        self._make = make
        self.journal = make()

    async def open(self) -> Journal:
        await self.journal.close()
        self.journal = self._make()
        return self.journal


@pytest.fixture(params=["memory", "sqlite"])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    memory = MemoryJournal(KEPT)
    path = tmp_path / "alarms.sqlite"
    shelf = Shelf((lambda: memory) if request.param == "memory" else lambda: SqliteJournal(path, KEPT))
    yield shelf
    await shelf.journal.close()


class Storyteller:
    """A plant that makes real transitions, and batches of them."""

    def __init__(self) -> None:
        self.plant = Plant(topology=small_topology(2, 1, 4, 2), word_bits=8)

    def fault(self, bit: int, on: bool, cluster: int = 0) -> tuple[Transition, ...]:
        self.plant.bit("cluster.fault_word", bit, on, cluster)
        return self.plant.transitions()

    def batch(self, transitions: Sequence[Transition], folded: int = 0) -> JournalBatch:
        engine, state = self.plant.engine, self.plant.state

        def save(everything: bool) -> Saved:
            rows = engine.rows(state) if everything else [engine.row(state, t.condition) for t in transitions]
            return Saved(engine.header(state), rows)

        return JournalBatch(transitions, save, folded)


def faults(saved: Saved) -> int:
    """How many faults it remembers, active or not."""
    return sum("FaultWordBit" in row["id"] for row in saved.rows)


def told(transitions: Sequence[Transition]) -> list[Recorded]:
    return [Recorded(k + 1, t.info, t.what, t.state) for k, t in enumerate(transitions)]


async def test_a_new_journal_remembers_nothing(shelf: Shelf) -> None:
    """A first start must not look like a restart."""
    assert await shelf.journal.restore() is None
    assert await shelf.journal.transitions() == []


async def test_the_engine_goes_on_where_the_journal_ends(shelf: Shelf) -> None:
    """Acknowledged, latched and shelved alarms would be forgotten by a restart."""
    teller = Storyteller()
    journal = shelf.journal
    assert await journal.restore() is None
    await journal.append(teller.batch(teller.fault(0, on=True)))
    await journal.append(teller.batch(teller.fault(3, on=True, cluster=1)))
    first, second = "BMS.Stack1.Cluster01.Alarms.FaultWordBit00", "BMS.Stack1.Cluster02.Alarms.FaultWordBit03"
    for id_, command in ((first, Command.ACKNOWLEDGE), (second, Command.TIMED_SHELVE)):
        _, transitions = teller.plant.do(id_, command, user="op", comment="seen: °C Ω", shelving_s=30.0)
        await journal.append(teller.batch(transitions))
    saved = await (await shelf.open()).restore()
    assert saved is not None
    plant, rows = teller.plant, [dict(row) for row in saved.rows]
    state = plant.engine.restore(dict(saved.header), rows, plant.now_s, plant.now_ns)
    assert state.conditions == plant.state.conditions
    assert (state.seed, state.counter) == (plant.state.seed, plant.state.counter)


async def test_every_transition_is_told_as_it_was(shelf: Shelf) -> None:
    """History that loses a field, an order or an alarm is no evidence."""
    teller = Storyteller()
    await shelf.journal.restore()
    happened = [teller.fault(bit, on=True, cluster=bit % 2) for bit in range(4)]
    happened += [teller.plant.do(t.info.id, Command.ACKNOWLEDGE, user="op", comment="x")[1] for (t,) in happened]
    happened += [teller.fault(bit, on=False, cluster=bit % 2) for bit in range(4)]
    for transitions in happened:
        await shelf.journal.append(teller.batch(transitions))
    all_of_them = [t for transitions in happened for t in transitions]
    assert {t.what for t in all_of_them} == {What.RAISED, What.ACKNOWLEDGED, What.CLEARED}
    assert await shelf.journal.transitions() == told(all_of_them)
    journal = await shelf.open()
    await journal.restore()
    assert await journal.transitions() == told(all_of_them), "and by the next process"


async def test_history_comes_in_pages_and_both_ways(shelf: Shelf) -> None:
    """HistoryRead hands out continuation points: a page may neither repeat nor skip one."""
    teller = Storyteller()
    await shelf.journal.restore()
    happened = [t for k in range(10) for t in teller.fault(k % 5, on=k < 5, cluster=k % 2)]
    await shelf.journal.append(teller.batch(happened))
    every = told(happened)
    for newest_first in (False, True):
        found: list[Recorded] = []
        while page := await shelf.journal.transitions(
            after=found[-1].sequence if found else None, limit=3, newest_first=newest_first
        ):
            assert len(page) <= 3
            found += page
        assert found == (every[::-1] if newest_first else every)


async def test_history_is_filtered_by_time_and_source(shelf: Shelf) -> None:
    """A client asks for an hour of one cluster, not for everything."""
    teller = Storyteller()
    await shelf.journal.restore()
    happened = [t for k in range(8) for t in teller.fault(k, on=True, cluster=k % 2)]
    await shelf.journal.append(teller.batch(happened))
    since_ns, until_ns = happened[2].state.time_ns, happened[6].state.time_ns
    found = await shelf.journal.transitions(since_ns, until_ns)
    assert [r.state for r in found] == [t.state for t in happened[2:6]], "the end is not part of it"
    found = await shelf.journal.transitions(since_ns, sources=["BMS.Stack1.Cluster02", "BMS.Stack9"])
    assert [r.state for r in found] == [t.state for t in happened[3::2]]


async def test_history_is_filtered_by_condition_and_severity(shelf: Shelf) -> None:
    """Who looks into one alarm wants its story, who looks back over a month the severe ones."""
    teller = Storyteller()
    await shelf.journal.restore()
    happened = [t for k in range(8) for t in teller.fault(k % 2, on=k < 4, cluster=k % 2)]
    severe = [replace(t, state=replace(t.state, severity=900 if k % 3 else 300)) for k, t in enumerate(happened)]
    await shelf.journal.append(replace(teller.batch(happened), transitions=severe))
    one = happened[1].info.id
    found = await shelf.journal.transitions(condition=one)
    assert [r.state for r in found] == [t.state for t in severe if t.info.id == one]
    assert found
    found = await shelf.journal.transitions(least_severity=301, newest_first=True)
    assert [r.state for r in found] == [t.state for t in reversed(severe) if t.state.severity == 900]
    both = await shelf.journal.transitions(condition=one, least_severity=301, sources=["BMS.Stack1.Cluster01"])
    assert both == []


async def test_history_is_complete_where_the_clock_was_set_back(shelf: Shelf) -> None:
    """Times that step back must not hide what happened before or after the step."""
    teller = Storyteller()
    await shelf.journal.restore()
    happened = [t for k in range(4) for t in teller.fault(k, on=True)]
    teller.plant.now_ns -= 3 * 10**9
    back = [t for k in range(4, 8) for t in teller.fault(k, on=True) if t.info.name.startswith("FaultWord")]
    await shelf.journal.append(teller.batch([*happened, *back]))
    since_ns, until_ns = happened[2].state.time_ns, happened[3].state.time_ns
    found = await shelf.journal.transitions(since_ns, until_ns)
    wanted = [t.state for t in (*happened, *back) if since_ns <= t.state.time_ns < until_ns]
    assert [r.state for r in found] == wanted
    assert len(wanted) == 2, "one before the step and one after it"


async def test_what_is_too_old_goes_and_numbers_are_never_used_again(shelf: Shelf) -> None:
    """A disk that fills up ends the journal; a number used twice breaks a client's continuation point."""
    teller = Storyteller()
    await shelf.journal.restore()
    for k in range(40):
        await shelf.journal.append(teller.batch([t for b in range(3) for t in teller.fault(b, on=k % 2 == 0)]))
    await shelf.journal.append(teller.batch(()))  # what is too old goes after a batch
    numbers = [r.sequence for r in await shelf.journal.transitions()]
    newest = numbers[-1]
    assert newest >= 120
    assert numbers == list(range(newest - 49, newest + 1)), "the newest 50 stay"
    teller.plant.now_ns += 2 * 86_400 * 10**9
    await shelf.journal.append(teller.batch(teller.fault(5, on=True)))
    await shelf.journal.append(teller.batch(()))
    assert (await shelf.journal.transitions())[0].sequence == newest + 1, "what is older than a day goes too"
    saved = await (await shelf.open()).restore()
    assert saved is not None
    assert faults(saved) == 4, "present states stay, however old"


async def test_a_condition_that_is_gone_is_still_told(shelf: Shelf) -> None:
    """A cluster that was taken out of the configuration had a history."""
    teller = Storyteller()
    await shelf.journal.restore()
    (raised,) = teller.fault(0, on=True)
    gone = replace(raised, condition=10**6, info=replace(raised.info, id="BMS.Stack9.Alarms.Gone", source="BMS.Stack9"))
    await shelf.journal.append(replace(teller.batch([raised]), transitions=[gone]))
    journal = await shelf.open()
    await journal.restore()
    (found,) = await journal.transitions(sources=["BMS.Stack9"])
    assert (found.info, found.state) == (gone.info, gone.state)


async def test_setting_aside_begins_anew(shelf: Shelf) -> None:
    """States that make no sense must not keep a server from starting, again and again."""
    teller = Storyteller()
    await shelf.journal.restore()
    await shelf.journal.append(teller.batch(teller.fault(0, on=True)))
    await shelf.journal.set_aside("test")
    await shelf.journal.append(teller.batch(teller.fault(1, on=True)))
    journal = await shelf.open()
    saved = await journal.restore()
    assert saved is not None
    assert faults(saved) == 2
    assert len(await journal.transitions()) == 1
