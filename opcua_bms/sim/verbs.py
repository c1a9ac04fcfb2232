"""The words for faults: which there are, what they may be put on, and what they take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from opcua_bms.document import did_you_mean
from opcua_bms.errors import UsageError
from opcua_bms.model.layout import Kind, Layout
from opcua_bms.model.topology import Topology
from opcua_bms.sim.target import Level, Target, parse_target

_DEVICES = (Level.CLUSTER, Level.STACK, Level.MASTER)
_CLUSTERS = (Level.CLUSTER, Level.STACK)


@dataclass(frozen=True, slots=True)
class Number:
    """One number that a verb takes, with its inclusive range."""

    name: str
    low: float
    high: float
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """One kind of fault; `line` faults concern the wire and not what is measured."""

    name: str
    levels: tuple[Level, ...]
    help: str
    numbers: tuple[Number, ...] = ()
    takes_word: bool = False
    line: bool = False

    @property
    def usage(self) -> str:
        """`cluster03 voltage V`, the way it is typed."""
        words = [f"<{'|'.join(self.levels)}>", self.name, *(["WORD"] if self.takes_word else [])]
        return " ".join([*words, *(n.name for n in self.numbers)])


_SECONDS = Number("SECONDS", 0.0, 60.0)
_YEAR_S = 31_536_000.0

VERBS: Mapping[str, Verb] = MappingProxyType(
    {
        v.name: v
        for v in (
            Verb(
                "voltage",
                (Level.CELL, Level.PACK, Level.CLUSTER, Level.MASTER),
                "cells read V; a cluster or the master: its voltage reads V",
                (Number("V", 0.0, 6000.0),),
            ),
            Verb(
                "temperature",
                (Level.SENSOR, Level.PACK, Level.CLUSTER, Level.STACK),
                "temperature sensors read T °C",
                (Number("T", -40.0, 200.0),),
            ),
            Verb(
                "sensor-failed",
                (Level.CELL, Level.SENSOR, Level.PACK, Level.CLUSTER),
                "measurements give the sentinel of a failed sensor",
            ),
            Verb("current", (Level.CLUSTER, Level.MASTER), "the current reads A", (Number("A", -3200.0, 3200.0),)),
            Verb("soc", (Level.CLUSTER, Level.MASTER), "the state of charge reads %", (Number("PERCENT", 0.0, 100.0),)),
            Verb("contactor", (Level.CLUSTER,), "the contactor reads STATE", (Number("STATE", 0, 3, True),)),
            Verb("limit", (Level.MASTER,), "both power limits read KW", (Number("KW", 0.0, 650.0),)),
            Verb("wrong-place", (Level.MASTER,), "extremes are told with the number of another pack"),
            Verb("bit", _DEVICES, "bit N of an alarm, fault or status word is set", (Number("N", 0, 63, True),), True),
            Verb("heartbeat-frozen", _DEVICES, "the heartbeat stops counting"),
            Verb("frozen", _CLUSTERS, "cells and sensors repeat their last readings"),
            Verb("absent", _CLUSTERS, "not there: no device, and the master shows 0 everywhere"),
            Verb("no-comm", _DEVICES, "the device is gone: connections drop, new ones are refused", line=True),
            Verb("silent", _DEVICES, "takes connections and requests, never answers", line=True),
            Verb("slow", _DEVICES, "answers come SECONDS late", (_SECONDS,), line=True),
            Verb("drip", _DEVICES, "answers come byte by byte, over SECONDS", (_SECONDS,), line=True),
            Verb("exception", _DEVICES, "every read is refused with CODE", (Number("CODE", 1, 11, True),), line=True),
            Verb(
                "illegal",
                _DEVICES,
                "COUNT registers from ADDRESS (zero-based) are refused with exception 2",
                (Number("ADDRESS", 0, 65535, True), Number("COUNT", 1, 65536, True)),
                line=True,
            ),
            Verb("zeros", _DEVICES, "all registers read 0, as of a device that has only just started", line=True),
            Verb("deaf", _DEVICES, "writes are confirmed, and change nothing", line=True),
            Verb(
                "clock-off",
                _DEVICES,
                "the device's clock, where its profile has one, is SECONDS ahead",
                (Number("SECONDS", -_YEAR_S, _YEAR_S),),
                line=True,
            ),
            Verb("garbage", _DEVICES, "answers are random bytes", line=True),
            Verb("short-frame", _DEVICES, "answers bring one register too few", line=True),
            Verb("long-frame", _DEVICES, "answers bring one register too many", line=True),
            Verb("wrong-transaction", _DEVICES, "answers carry another transaction id", line=True),
            Verb("wrong-unit", _DEVICES, "answers carry another unit id", line=True),
            Verb("wrong-function", _DEVICES, "answers carry another function code", line=True),
            Verb("reset", _DEVICES, "the connection is cut in the middle of each answer", line=True),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that is, or could be, active; `word` is the full column name of a bit's word, else ''."""

    target: Target
    verb: Verb
    values: tuple[float, ...] = ()
    word: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """Faults with the same key replace each other."""
        return (
            self.target.text,
            self.verb.name,
            self.word,
            self.values if self.verb.name in ("bit", "illegal") else (),
        )

    def __str__(self) -> str:
        words = [self.target.text, self.verb.name, *([self.word] if self.word else [])]
        return " ".join([*words, *(f"{v:g}" for v in self.values)])


class Grammar:
    """Turns typed words into faults of one plant.

    `widths` gives the number of bits that the devices serve of a word's column; a column that it lacks is not served
    at all.
    """

    def __init__(self, topology: Topology, layout: Layout, widths: Mapping[str, int]) -> None:
        self._topology, self._layout, self._widths = topology, layout, widths

    def target(self, text: str) -> Target:
        """UsageError: no such part of the plant."""
        return parse_target(text, self._topology)

    def fault(self, words: Sequence[str]) -> Fault:
        """The fault that `TARGET VERB [WORD] [NUMBER …]` describes; UsageError: one line, with how to say it."""
        if len(words) < 2:
            raise UsageError("a fault wants a target and a verb, for example cluster07 no-comm")
        target = self.target(words[0])
        verb = VERBS.get(words[1].lower())
        if verb is None:
            hint = did_you_mean(words[1].lower(), VERBS) or f", known are {', '.join(VERBS)}"
            raise UsageError(f"unknown fault {words[1]!r}{hint}")
        if target.level not in verb.levels:
            raise UsageError(
                f"{verb.name} does not apply to a {target.level} ({words[0]}){self._instead(target, verb)}"
            )
        arguments = list(words[2:])
        if len(arguments) != len(verb.numbers) + verb.takes_word:
            raise UsageError(f"{verb.name} is used as: {verb.usage} (got {' '.join(words)!r})")
        word = self._word(target, arguments.pop(0)) if verb.takes_word else ""
        values = tuple(_number(verb, n, text) for n, text in zip(verb.numbers, arguments, strict=True))
        if word and values[0] >= self._widths[word]:
            raise UsageError(f"{word} has bits 0 to {self._widths[word] - 1} (got {values[0]:g})")
        return Fault(target, verb, values, word)

    def _instead(self, target: Target, verb: Verb) -> str:
        if verb.name == "temperature" and target.level is Level.CELL:
            return ", cells have no thermometer of their own: name a sensor, as in cluster03.pack04.sensor02"
        return f", it applies to: {', '.join(verb.levels)}"

    def _word(self, target: Target, text: str) -> str:
        """Full column name of a word of the target."""
        scopes = {
            Level.CLUSTER: ("cluster.",),
            Level.STACK: ("container.",),
            Level.MASTER: ("bms.", "container."),
        }[target.level]
        known = {
            name.split(".", 1)[1]: name
            for name, column in self._layout.columns.items()
            if column.kind is Kind.WORD and name.startswith(scopes) and name in self._widths
        }
        short = text.lower().removeprefix(scopes[0])
        if short not in known:
            hint = did_you_mean(short, known) or f", known are {', '.join(known) or 'none'}"
            raise UsageError(f"{target.text} serves no word {text!r}{hint}")
        return known[short]


def _number(verb: Verb, wanted: Number, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (wanted.whole and not value.is_integer()):
        kind = "a whole number" if wanted.whole else "a number"
        raise UsageError(f"{verb.name} {wanted.name} must be {kind} (got {text!r})")
    if not wanted.low <= value <= wanted.high:
        raise UsageError(f"{verb.name} {wanted.name} must be {wanted.low:g} to {wanted.high:g} (got {text})")
    return value
