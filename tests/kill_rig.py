"""A plant that lives by a script in a child process, is killed at random moments, and lives on; then its journal is
held against the script: nothing lost, nothing doubled.

The world goes on while the process is dead: each life begins some scans after the last one that any life has begun.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from alarm_desk_rig import DeskPlant, Shown
from alarm_plant import START_NS

from opcua_bms.journal import SqliteJournal
from opcua_bms.model.alarm import Command, ConditionState, Operation, Result, Shelving, Transition, What
from opcua_bms.model.journal import Recorded

CLUSTERS, BITS = 2, 8
WORDS = {"AlarmWord": "cluster.alarm_word", "FaultWord": "cluster.fault_word"}
COMMANDS = [
    Command.ACKNOWLEDGE, Command.ACKNOWLEDGE, Command.CONFIRM, Command.ADD_COMMENT, Command.TIMED_SHELVE,
    Command.ONE_SHOT_SHELVE, Command.UNSHELVE, Command.SUPPRESS, Command.UNSUPPRESS, Command.SILENCE,
    Command.REMOVE_FROM_SERVICE, Command.PLACE_IN_SERVICE,
]  # fmt: skip
SHELVED_S = 20.0
DAY_S = 86_400
MOMENTS_S = 0.1
"""The kill comes within this time after the start."""
AWAY = " (changed while the server was not running)"
TURNS = {
    # what must alternate: the same again would mean that a restart forgot the first
    What.RAISED: What.CLEARED,
    What.SUPPRESSED: What.UNSUPPRESSED,
    What.OUT_OF_SERVICE: What.IN_SERVICE,
}
IDEMPOTENT = {
    # answered Good without an event where there is nothing to do
    Command.SUPPRESS, Command.UNSUPPRESS, Command.SILENCE, Command.REMOVE_FROM_SERVICE, Command.PLACE_IN_SERVICE,
}  # fmt: skip
BY_USERS = {
    What.ACKNOWLEDGED, What.CONFIRMED, What.COMMENTED, What.SHELVED, What.SUPPRESSED, What.UNSUPPRESSED,
    What.SILENCED, What.OUT_OF_SERVICE, What.IN_SERVICE,
}  # fmt: skip


def condition(cluster: int, word: str, bit: int) -> str:
    """The id of a bit's condition."""
    return f"BMS.Stack1.Cluster{cluster + 1:02d}.Alarms.{word}Bit{bit:02d}"


class Script:
    """What is true in scan k, and what operators do after it: pure functions of the seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        rng = random.Random(seed)
        names = [(c, w, b) for c in range(CLUSTERS) for w in WORDS for b in range(BITS)]
        self._rhythm = {name: (rng.randint(2, 60), rng.randrange(120)) for name in names}

    def on(self, k: int, cluster: int, word: str, bit: int) -> bool:
        """Bits come and go, each in its rhythm; now and then everything at once."""
        if k % 97 in (50, 51):
            return k % 97 == 50
        half, phase = self._rhythm[cluster, word, bit]
        return (k + phase) // half % 3 == 0

    def word(self, k: int, cluster: int, word: str) -> int:
        return sum(1 << bit for bit in range(BITS) if self.on(k, cluster, word, bit))

    def voltage(self, k: int, cluster: int) -> float:
        """Ramps through the limits, for conditions with delays."""
        return 3.30 + 0.40 * ((k + 37 * cluster) % 90 > 60)

    def command_of(self, user: str) -> Command | None:
        """What the user of an entry in the journal asked for."""
        k, _, n = user.partition(".")
        return self.operations(int(k))[int(n)][0] if k else None

    def operations(self, k: int) -> list[tuple[Command, str]]:
        rng = random.Random(f"{self._seed}:{k}")
        return [
            (rng.choice(COMMANDS), condition(rng.randrange(CLUSTERS), rng.choice(list(WORDS)), rng.randrange(BITS)))
            for _ in range(rng.choice((0, 1, 3)))
        ]


def moment_ns(k: int) -> int:
    """UTC of scan k."""
    return START_NS + k * 10**9


class _Client(Shown):
    """Tells the world outside of the process what a client would have seen."""

    def __init__(self, log: int) -> None:
        super().__init__()
        self._log = log

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
        super().publish_conditions(conditions, transitions)
        for t in transitions:
            os.write(self._log, f"E {t.state.event_id.hex()}\n".encode())


def live(journal: str, log: str, seed: int, first: int) -> None:
    """One life: from scan `first` until somebody ends it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(_live(Path(journal), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), seed, first))


async def _live(path: Path, log: int, seed: int, first: int) -> None:
    script, rng = Script(seed), random.Random(f"{seed}:{first}:life")
    site = DeskPlant(SqliteJournal(path), word_bits=BITS)
    site.desk.add_sink(_Client(log))
    plant, desk = site.plant, site.desk
    plant.now_ns, plant.now_s = moment_ns(first - 1), 50.0
    await desk.restore()
    os.write(log, f"L {first}\n".encode())
    running: set[asyncio.Task[None]] = set()

    async def operate(k: int, n: int, command: Command, id_: str) -> None:
        c = plant.engine.index[id_]
        operation = Operation(c, command, f"{k}.{n}", None, desk.conditions[c].event_id, SHELVED_S)
        result = await desk.operate(operation)
        os.write(log, f"O {k}.{n} {int(result)}\n".encode())

    k = first
    while True:
        for cluster in range(CLUSTERS):
            for word, column in WORDS.items():
                plant.image.bits[plant.layout.bits_of(column).start + cluster] = script.word(k, cluster, word)
            plant.set("cluster.max_cell_voltage", script.voltage(k, cluster), cluster)
        os.write(log, f"B {k}\n".encode())
        site.scan(1.0)
        for n, (command, id_) in enumerate(script.operations(k)):
            task = asyncio.create_task(operate(k, n, command, id_))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.sleep(rng.choice((0, 0, 0.001)))
        if rng.random() < 0.4:
            await desk.flush()
            if not desk.busy and not desk.health.unwritten:
                os.write(log, f"D {k}\n".encode())
        k += 1


@dataclass
class Life:
    """What the world outside knows of one life."""

    first: int
    restored: bool = False
    begun: list[int] = field(default_factory=list)
    durable: int = -1
    """the last scan known to be on disk"""
    events: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)

    def hear(self, line: str) -> None:
        kind, *words = line.split()
        if kind == "L":
            self.restored = True
        elif kind == "B":
            self.begun.append(int(words[0]))
        elif kind == "D":
            self.durable = int(words[0])
        elif kind == "E":
            self.events.append(words[0])
        elif kind == "O":
            self.answers[words[0]] = int(words[1])


def kill_and_restart(folder: Path, points: int, seed: int) -> list[Life]:
    """`points` lives, each ended by SIGKILL at a random moment; the script's day is spread over them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["opcua_bms.runtime.alarm_desk", "opcua_bms.journal", "opcua_bms.alarms"])
    rng = random.Random(f"{seed}:kills")
    log = folder / "seen.log"
    log.touch()
    lives: list[Life] = []
    k, position = 1, 0
    for n in range(points):
        life = Life(k)
        child = context.Process(target=live, args=(str(folder / "alarms.sqlite"), str(log), seed, k), daemon=True)
        child.start()
        if n % 10:  # else also while it starts
            until_s = time.monotonic() + 20.0
            while log.stat().st_size == position and time.monotonic() < until_s:
                time.sleep(0.001)
        time.sleep(rng.uniform(0.0, MOMENTS_S))
        child.kill()
        child.join()
        with log.open() as lines:
            lines.seek(position)
            for line in lines:
                if line.endswith("\n"):  # a kill can cut the last one where it crosses a page of the file
                    life.hear(line)
        position = log.stat().st_size
        lives.append(life)
        k = max([k, *life.begun]) + rng.randint(1, max(2, DAY_S // points))
    return lives


def check(lives: list[Life], journal: list[Recorded], script: Script) -> Counter[str]:
    """Journal against script and against what clients saw; figures of what was checked."""
    ids = [r.state.event_id.hex() for r in journal]
    assert len(set(ids)) == len(ids), "an event id came twice"
    assert [r.sequence for r in journal] == list(range(1, len(journal) + 1)), "a gap in the journal"
    _check_seen(lives, ids)
    _check_turns(journal)
    _check_commands(lives, journal, script)
    return Counter(
        lives=len(lives),
        died_while_starting=sum(not life.restored for life in lives),
        scans=sum(len(life.begun) for life in lives),
        scans_that_died=_check_scans(lives, journal, script),
        transitions=len(journal),
        seen_by_a_client=sum(len(life.events) for life in lives),
        commands_answered_good=sum(answer == Result.GOOD for life in lives for answer in life.answers.values()),
        shelvings_that_ran_out=_check_shelving(journal, script),
    )


def _check_seen(lives: list[Life], ids: list[str]) -> None:
    """Clients saw a prefix of what each life wrote, in its order: never an event that the journal does not have."""
    place = {event_id: n for n, event_id in enumerate(ids)}
    last = -1
    for life in lives:
        for n, event_id in enumerate(life.events):
            assert event_id in place, f"a client saw {event_id}, and the journal forgot it"
            assert place[event_id] == last + 1 or (n == 0 and place[event_id] > last), "out of order"
            last = place[event_id]


def _check_turns(journal: list[Recorded]) -> None:
    """Nothing is raised, suppressed … twice without its end between, nor acknowledged twice."""
    present: dict[tuple[str, What], bool] = {}
    acked: dict[str, bool] = {}
    for r in journal:
        for begin, end in TURNS.items():
            if r.what in (begin, end):
                begins = r.what is begin
                assert present.get((r.info.id, begin), False) is not begins, f"{r.what} twice: {r}"
                present[r.info.id, begin] = begins
        if r.what is What.RAISED or (r.what is What.LEVEL and not r.state.acked):
            acked[r.info.id] = False
        elif r.what is What.ACKNOWLEDGED:
            assert acked[r.info.id] is False, f"acknowledged twice: {r}"
            acked[r.info.id] = True
        assert r.state.acked is acked.get(r.info.id, True), f"an acknowledgement is forgotten, or made up: {r}"


def _check_commands(lives: list[Life], journal: list[Recorded], script: Script) -> None:
    """What was answered Good is in the journal once; what was refused never; the unanswered at most once."""
    done = Counter(r.state.client_user for r in journal if r.what in BY_USERS)
    assert all(n == 1 for n in done.values()), "a command was kept twice"
    unshelved = {r.state.client_user for r in journal if r.what is What.UNSHELVED}
    for life in lives:
        for user, answer in life.answers.items():
            command = script.command_of(user)
            if answer != Result.GOOD:
                assert user not in done, f"refused, and kept: {user}"
            elif command not in IDEMPOTENT:
                assert user in (unshelved if command is Command.UNSHELVE else done), f"Good, and lost: {user}"


def _check_shelving(journal: list[Recorded], script: Script) -> int:
    """Shelved stays shelved until its time, however often the process died; how many times ran out."""
    shelved: dict[str, Shelving] = {}
    until_ns: dict[str, int] = {}
    ended = 0
    for r in journal:
        before, after = shelved.get(r.info.id, Shelving.UNSHELVED), r.state.shelving
        shelved[r.info.id] = after
        if r.what is What.SHELVED:
            assert after is not before, f"shelved twice: {r}"
            until_ns[r.info.id] = r.state.unshelve_at_ns
        elif r.what is What.UNSHELVED:
            assert before is not Shelving.UNSHELVED, f"unshelved twice: {r}"
            if script.command_of(r.state.client_user) is not Command.UNSHELVE:
                assert r.state.time_ns >= until_ns[r.info.id], f"unshelved too early: {r}"
                ended += 1
        elif before is Shelving.ONE_SHOT and r.what is What.CLEARED:
            assert after is Shelving.UNSHELVED
        else:
            assert after is before, f"a shelving is forgotten, or made up: {r}"
    return ended


def _check_scans(lives: list[Life], journal: list[Recorded], script: Script) -> int:
    """Each scan of each life has exactly the changes of the script, or the life died before they were kept."""
    found: dict[int, set[tuple[str, What]]] = defaultdict(set)
    texts: dict[int, list[bool]] = defaultdict(list)
    for r in journal:
        if r.what in (What.RAISED, What.CLEARED) and "WordBit" in r.info.id:
            k = (r.state.time_ns - START_NS) // 10**9
            assert (r.info.id, r.what) not in found[k], f"twice in one scan: {r}"
            found[k].add((r.info.id, r.what))
            texts[k].append(r.state.message.endswith(AWAY))
    active: dict[str, bool] = {}
    lost = 0
    for life in lives:
        died = False
        known = bool(journal) and journal[0].state.time_ns < moment_ns(life.first)
        for k in life.begun:
            truth = {
                condition(c, w, b): script.on(k, c, w, b) for c in range(CLUSTERS) for w in WORDS for b in range(BITS)
            }
            wanted = {
                (id_, What.RAISED if on else What.CLEARED) for id_, on in truth.items() if on != active.get(id_, False)
            }
            here = found.pop(k, set())
            if wanted and (died or not here):
                assert k > life.durable, f"scan {k} was on disk and is lost"
                assert not here, f"scan {k} is kept, one before it is not"
                died, lost = True, lost + 1
                continue
            assert here == wanted, f"scan {k}: {here ^ wanted}"
            if here:
                assert set(texts[k]) == {known and k == life.begun[0]}, f"scan {k}: what changed meanwhile says so"
                active.update((id_, what is What.RAISED) for id_, what in here)
    assert not found, f"in the journal, and nowhere in the script: {found}"
    return lost


async def recorded(folder: Path) -> list[Recorded]:
    """All of the journal, a page at a time; and the state that a restart finds must be the one it ends with."""
    site = DeskPlant(SqliteJournal(folder / "alarms.sqlite"), word_bits=BITS)
    await site.desk.restore()
    journal = site.desk.journal
    found: list[Recorded] = []
    while page := await journal.transitions(after=found[-1].sequence if found else None, limit=500):
        found += page
    last = {r.info.id: r.state for r in found if not r.state.branch_id}
    for info, state in zip(site.plant.engine.infos, site.desk.conditions, strict=True):
        if info.id in last or state.event_id:
            assert replace(state, good=True, quality_ns=0) == replace(last[info.id], good=True, quality_ns=0)
    await site.desk.close()
    return found
