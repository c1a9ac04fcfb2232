"""The seeded script of random faults, what alarms each of them must and may raise, and the journal compared with it."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from opcua_bms.model.alarm import ConditionInfo, What
from opcua_bms.model.journal import Recorded
from opcua_bms.sim.simulator import Simulator

SLACK_S = 15.0
"""so long after a fault, and the delay with which alarms clear, nothing of it is active any more"""
RECOVERY_S = 1.5
"""after the process was held up: devices that were missed are good again"""
OUTLIER_TIMES = 1.2
"""scores of outliers are averages: so many of their times pass until one that counted for most is none any more"""
PLANT_WIDE = frozenset({"AlarmFlood", "ClockStep", "JournalFailure"})
"""conditions that no single cluster has: many alarms are meant, and the machine's clock and disk are not ours"""
HOLDS = frozenset({"CellTemperatureSpread"})
"""a healthy plant of few sensors can lie between where this clears and where it raises: once raised it holds"""
UNREAD_LEAST, UNREAD_SHARE = 3, 0.05
"""so many faults, and such a share of them, may meet a value that cannot be read because of another fault before"""
STALL = "stall"
"""the machine did not let the program run: devices are missed then through nobody's fault"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to break a cluster, as texts for the simulator, where {c} is the cluster and {p}, {k} are random places.

    `must`: conditions that are raised once it lasted `after_s`; `may`: others that can follow from it.
    """

    words: tuple[str, ...]
    must: str = ""
    after_s: float = math.inf
    may: frozenset[str] = frozenset()
    longest_s: float = 12.0
    column: str = ""
    """readings of this column have to arrive for it to be seen: of the places that the words name; empty: of none"""

    @property
    def allowed(self) -> frozenset[str]:
        return self.may | {self.must} if self.must else self.may

    @property
    def refuses(self) -> bool:
        """Whether the device says that it lacks some registers: they are asked for again at growing times."""
        return any(word in self.words[0] for word in ("illegal", "exception 2", "exception 3"))


_LOSS = frozenset({"CommunicationLoss"})
GONE = ("no-comm", "silent", "slow 3", "exception 6", "exception 10", "exception 11", "garbage", "wrong-unit", "reset")
"""nothing of an answer can be used: the device is missed"""
SHAKEN = (
    "slow 0.05",
    "drip 0.1",
    "drip 2",
    *(f"exception {code}" for code in (1, 2, 3, 4, 5, 7, 8, 9)),
    "illegal 1003 1",
    "illegal 1000 7",
    "illegal 5004 3",
    "illegal 8 1",
    "illegal 0 65536",
    "short-frame",
    "long-frame",
    "wrong-transaction",
    "wrong-function",
)
_HOT = frozenset({"CellTemperatureSpread", "CellTemperatureSpreadTrip", "TemperatureRise", "CellTemperatureOutlier"})
_CELL, _NEXT, _SENSOR = "{c}.pack{p:02d}.cell{k:02d}", "{c}.pack{p:02d}.cell{n:02d}", "{c}.pack{p:02d}.sensor{s:02d}"


def line_kinds(period_s: float) -> list[Kind]:
    """Faults between us and a device."""
    return [
        *(Kind((f"{{c}} {verb}",), "CommunicationLoss", 5 * period_s) for verb in GONE),
        *(Kind((f"{{c}} {verb}",), may=_LOSS) for verb in SHAKEN),
    ]


def data_kinds(period_s: float) -> list[Kind]:
    """Faults of what a device says, and a battery that is not well."""
    slack_s, long_s, odd, none = 4 * period_s, 25.0, frozenset({"CellVoltageOutlier"}), frozenset[str]()
    v, t = "cell.voltage", "sensor.temperature"
    return [
        Kind((f"{_CELL} sensor-failed",), "VoltageSensorOff", 10 + slack_s, none, long_s, v),
        Kind((f"{_SENSOR} sensor-failed",), "TemperatureSensorOff", 10 + slack_s, none, long_s, t),
        Kind(("{c} heartbeat-frozen",), "ValuesFrozen", 5 + slack_s, none, long_s, "cluster.heartbeat"),
        Kind(("{c} frozen",)),
        Kind(("{c} bit alarm_word 2",), "AlarmWordBit02", slack_s, column="cluster.alarm_word"),
        Kind((f"{_CELL} voltage 3.55",), "CellVoltage", 3 + slack_s, odd, long_s, v),
        Kind((f"{_CELL} voltage 2.9",), "CellVoltage", 3 + slack_s, odd, long_s, v),
        Kind((f"{_CELL} voltage 3.45", f"{_NEXT} voltage 3.13"), "OpenWire", 10 + slack_s, odd, long_s, v),
        Kind((f"{_SENSOR} temperature 57",), "CellTemperature", 3 + slack_s, _HOT, long_s, t),
        Kind(("{c} soc 3",), "StateOfCharge", 3 + slack_s, none, long_s, "cluster.state_of_charge"),
    ]


@dataclass(frozen=True, slots=True)
class Settling:
    """How long alarms outlive their cause, s."""

    off_delay_s: float
    outlier_time_s: float

    def of(self, name: str) -> float:
        """Of the conditions of one name."""
        lingers_s = OUTLIER_TIMES * self.outlier_time_s if name.endswith("Outlier") else 0.0
        return self.off_delay_s + SLACK_S + lingers_s

    @property
    def longest_s(self) -> float:
        return self.of("Outlier")


@dataclass(slots=True)
class Episode:
    """One fault of one cluster, in ns UTC; `end_ns` 0: it lasts.

    `words` are what was said to the simulator, `slots` what has to be read for it to be seen; `readable_ns` is the
    longest time over which that was read in each scan.
    """

    cluster: int
    kind: Kind
    start_ns: int
    end_ns: int = 0
    words: tuple[str, ...] = ()
    slots: tuple[int, ...] = ()
    readable_ns: int = 0
    _read: tuple[int, int] = (0, 0)

    def read(self, since_ns: int, until_ns: int) -> None:
        """All of it could be read over this time, which goes on from the last one or begins anew."""
        first_ns = self._read[0] if self._read[1] == since_ns else since_ns
        self._read = first_ns, until_ns
        self.readable_ns = max(self.readable_ns, until_ns - first_ns)

    def end(self, now_ns: int, period_s: float) -> None:
        """It is mended; what the last scan read was so until now."""
        self.end_ns = now_ns
        if self._read[1] and now_ns - self._read[1] < 1.5e9 * period_s:
            self.read(self._read[1], now_ns)


class Mischief:
    """Breaks and mends clusters now and then, each in one way at a time, by a seed."""

    def __init__(
        self,
        simulator: Simulator,
        shape: tuple[int, int, int],
        rng: random.Random,
        period_s: float,
        settling: Settling,
        noted: Callable[[float], None],
        slots_of: Callable[[str, str], tuple[int, ...]],
    ) -> None:
        self._simulator, self._shape, self._rng, self._noted = simulator, shape, rng, noted
        self._slots_of, self._period_s = slots_of, period_s
        self.settling = settling
        self._lines, self._data = line_kinds(period_s), data_kinds(period_s)
        n = simulator.topology.n_clusters
        self.now: list[Episode | None] = [None] * n
        self.well_ns = [0] * n
        """when all of a cluster can be read again; what was refused may take as long again until it is asked for"""
        self._until_s = [0.0] * n
        self._next_s = [time.monotonic() + 4 + rng.uniform(0, 10) for _ in range(n)]
        self.script: list[Episode] = []
        self.faults: Counter[str] = Counter()

    async def step(self) -> None:
        """Break and mend what is due."""
        for k in range(len(self.now)):
            now = time.monotonic()
            if self.now[k] is not None:
                if now >= self._until_s[k]:
                    await self._mend(k)
                    settling_s = self.settling.longest_s + 10
                    calm_s = self._rng.uniform(0.5, 20) if self._rng.random() < 0.8 else settling_s
                    self._next_s[k] = time.monotonic() + calm_s
            elif now >= self._next_s[k]:
                await self._break(k)

    async def _break(self, k: int) -> None:
        rng, (packs, cells, sensors) = self._rng, self._shape
        kind = rng.choice(self._lines if rng.random() < 0.6 else self._data)
        cell = rng.randint(1, cells - 1)
        places = {"p": rng.randint(1, packs), "k": cell, "n": cell + 1, "s": rng.randint(1, sensors)}
        words = tuple(text.format(c=f"cluster{k + 1:02d}", **places) for text in kind.words)
        slots = [s for text in words for s in self._slots_of(text.split()[0], kind.column)] if kind.column else []
        episode = self.now[k] = Episode(k, kind, time.time_ns(), 0, words, tuple(slots))
        self.script.append(episode)
        since_s = time.monotonic()  # every change of faults takes new readings, which may be read at once
        for text in words:
            await self._simulator.inject(text.split())
            self._noted(since_s)
        self.faults[" ".join(kind.words[0].split()[1:])] += 1
        self._until_s[k] = time.monotonic() + rng.uniform(0.1, kind.longest_s)

    async def _mend(self, k: int) -> None:
        episode, self.now[k] = self.now[k], None
        since_s = time.monotonic()
        await self._simulator.clear(f"cluster{k + 1:02d}")
        self._noted(since_s)
        if episode is not None:
            episode.end(time.time_ns(), self._period_s)
            refused_ns = episode.end_ns - episode.start_ns if episode.kind.refuses else 0
            self.well_ns[k] = max(self.well_ns[k], episode.end_ns + refused_ns)

    async def mend(self) -> None:
        """End everything."""
        for k, episode in enumerate(self.now):
            if episode is not None:
                await self._mend(k)

    def stalled(self, since_s: float) -> None:
        """The process stood still until now, since then on the monotonic clock."""
        now_ns = time.time_ns()
        start_ns = now_ns - round((time.monotonic() - since_s) * 1e9)
        stall = Kind((STALL,), may=_LOSS | {"ValuesFrozen"})  # the simulated heartbeats stood still too
        self.script += [Episode(k, stall, start_ns, now_ns) for k in range(len(self.now))]
        self.well_ns[:] = [max(well_ns, now_ns) for well_ns in self.well_ns]


@dataclass
class Comparison:
    """What the journal says against the script."""

    raised: int = 0
    cleared: int = 0
    expected: int = 0
    """faults that lasted long enough that an alarm had to follow"""
    unread: list[str] = field(default_factory=list)
    """faults that would have lasted long enough, of values that could not be read for long enough meanwhile"""
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """conditions that stayed active although nothing was broken any more"""

    @property
    def blind(self) -> bool:
        """Whether so much could not be read that nothing is proven."""
        return len(self.unread) > UNREAD_LEAST and len(self.unread) > UNREAD_SHARE * (self.expected + len(self.unread))


def compare(
    script: Sequence[Episode],
    journal: Sequence[Recorded],
    infos: Sequence[ConditionInfo],
    settling: Settling,
    end_ns: int,
) -> Comparison:
    """The journal of a run, whose last scan was at `end_ns`, against its script.

    Latched trips wait for an operator and may stay.
    """
    out = Comparison()
    of = {info.id: int(info.source[-2:]) - 1 for info in infos if ".Cluster" in info.source}
    by_cluster: dict[int, list[Episode]] = {}
    for episode in script:
        by_cluster.setdefault(episode.cluster, []).append(episode)
    spans: dict[tuple[int, str], list[list[float]]] = {}
    for record in journal:
        cluster, at = of.get(record.info.id), record.state.time_ns
        if record.what is What.RAISED:
            out.raised += 1
            if cluster is None:
                if record.info.name not in PLANT_WIDE:
                    out.false.append(f"{record.info.id}: {record.state.message}")
                continue
            if not _explained(by_cluster.get(cluster, []), record.info.name, at, settling):
                out.false.append(f"{record.info.id}: {record.state.message}")
            spans.setdefault((cluster, record.info.name), []).append([at, math.inf])
        elif record.what is What.CLEARED:
            out.cleared += 1
            if cluster is not None and (own := spans.get((cluster, record.info.name))):
                own[-1][1] = at
    for episode in script:
        _check(out, episode, by_cluster[episode.cluster], spans)
    holds = HOLDS | {info.name for info in infos if info.latched}
    for (cluster, name), own in spans.items():
        if name not in holds:
            out.left += _left(cluster, name, own, by_cluster.get(cluster, []), settling, end_ns)
    return out


def _explained(episodes: Sequence[Episode], name: str, at_ns: int, settling: Settling) -> bool:
    settled_ns = settling.of(name) * 1e9
    return any(
        name in e.kind.allowed and e.start_ns <= at_ns + 1e9 and at_ns <= (e.end_ns or math.inf) + settled_ns
        for e in episodes
    )


def _check(
    out: Comparison,
    episode: Episode,
    others: Sequence[Episode],
    spans: dict[tuple[int, str], list[list[float]]],
) -> None:
    """A fault that lasted long enough shows in the journal.

    Not if the machine stood still meanwhile, nor if the value could not be read, because of what was broken before.
    """
    kind = episode.kind
    if not kind.must or not episode.end_ns:
        return
    stalls = [e for e in others if e.kind.words[0] == STALL]
    if _longest_ns(episode, stalls, RECOVERY_S if kind.column else 0.0) < kind.after_s * 1e9:
        return
    lasted = (episode.end_ns - episode.start_ns) / 1e9
    what = f"{', '.join(episode.words)} for {lasted:.1f} s"
    if kind.column and episode.readable_ns < kind.after_s * 1e9:
        out.unread.append(f"{what}, of which it could be read for {episode.readable_ns / 1e9:.1f} s at a time")
        return
    out.expected += 1
    own = spans.get((episode.cluster, kind.must), [])
    if not any(raised <= episode.end_ns and cleared >= episode.start_ns for raised, cleared in own):
        out.missed.append(f"{what} without {kind.must}")


def _longest_ns(episode: Episode, stalls: Sequence[Episode], recovery_s: float) -> float:
    """Longest time of a fault in which the process was never held up, nor `recovery_s` before."""
    longest, since = 0.0, float(episode.start_ns)
    for stall in stalls:
        if stall.end_ns > since and stall.start_ns < episode.end_ns:
            longest = max(longest, stall.start_ns - since)
            since = stall.end_ns + recovery_s * 1e9
    return max(longest, episode.end_ns - since)


def _left(
    cluster: int,
    name: str,
    own: Sequence[Sequence[float]],
    episodes: Sequence[Episode],
    settling: Settling,
    end_ns: int,
) -> list[str]:
    """Activations that outlived by far the last fault before their end."""
    out, settled_ns = [], settling.of(name) * 1e9
    for raised, cleared in own:
        until = min(cleared, end_ns)
        before = [e.end_ns or math.inf for e in episodes if e.start_ns < until]
        if until > max(before, default=0) + settled_ns:
            out.append(f"cluster {cluster + 1}: {name} raised at {raised / 1e9:.0f} stays though nothing is broken")
    return out
