"""Engineering units by their UNECE common code (Part 8 §5.6.4.3) and the ranges that values can take."""

from __future__ import annotations

from dataclasses import dataclass

UNECE_URI = "http://www.opcfoundation.org/UA/units/un/cefact"


@dataclass(frozen=True, slots=True)
class Unit:
    """One engineering unit; `code` is the UnitId of EUInformation."""

    name: str
    code: int
    description: str


@dataclass(frozen=True, slots=True)
class Range:
    """Lowest and highest value in normal operation, in the unit of the variable (EURange; percent deadbands use it)."""

    low: float
    high: float


UNITS = {
    unit.name: unit
    for unit in (
        Unit("V", 5655636, "volt"),
        Unit("A", 4279632, "ampere"),
        Unit("°C", 4408652, "degree Celsius"),
        Unit("%", 20529, "percent"),
        Unit("kW", 4937556, "kilowatt"),
        Unit("kW·h", 4937544, "kilowatt hour"),
        Unit("A·h", 4279624, "ampere hour"),
        Unit("Ω", 5195853, "ohm"),
        Unit("s", 5457219, "second [unit of time]"),
        Unit("mV/min", 4732466, "millivolt per minute"),
        Unit("°C/min", 4731187, "degree Celsius per minute"),
    )
}

CELL_VOLTAGE = Range(0, 5)
CELL_TEMPERATURE = Range(-40, 125)
SPREAD = {"V": CELL_VOLTAGE, "°C": Range(0, 165)}
CELL = {"V": CELL_VOLTAGE, "°C": CELL_TEMPERATURE}
AMBIENT = Range(-50, 100)
PERCENT = Range(0, 100)
STRING_VOLTAGE = Range(0, 2000)
STRING_CURRENT = Range(-1000, 1000)
BUS_CURRENT = Range(-20_000, 20_000)
POWER = Range(-100_000, 100_000)
POWER_LIMIT = Range(0, 100_000)
ENERGY = Range(0, 1_000_000)
RESISTANCE = Range(0, 100_000_000)
AGE = Range(0, 86_400)
VOLTAGE_CHANGE = Range(-1_000, 1_000)
TEMPERATURE_CHANGE = Range(-60, 60)
DURATION = Range(0, 60)
OFFSET = Range(-86_400, 86_400)
