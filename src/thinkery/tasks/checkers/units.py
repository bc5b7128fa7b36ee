"""Quantities: a number with its unit, compared in base units. 5 km, 5000 m and 5{,}000 metres are one; 5 alone is none of them.

Units are the SI's with prefixes, common others, percent and currencies, multiplied, divided and raised: kg*m/s^2, km/h, m s^-1.
A gold quantity may carry its own tolerance, as in 9.81 ± 0.02 m/s^2; without one it is that of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..markers import tails
from ..numbers import LATEX, PLAIN, TOLERANCE, literal, value
from ..verifiers import Verifier, gold_tail

Dimension = tuple[tuple[str, int], ...]  # base units with their powers, sorted

PREFIXES = {
    "f": -15,
    "p": -12,
    "n": -9,
    "µ": -6,
    "μ": -6,
    "u": -6,
    "m": -3,
    "c": -2,
    "d": -1,
    "h": 2,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
}
SPOKEN = {
    "femto": -15,
    "pico": -12,
    "nano": -9,
    "micro": -6,
    "milli": -3,
    "centi": -2,
    "deci": -1,
    "kilo": 3,
    "mega": 6,
    "giga": 9,
    "tera": 12,
}
# symbol: (spoken names, factor, base units)
PREFIXED = {
    "m": ("meter metre", "1", "m"),
    "g": ("gram gramme", "1/1000", "kg"),
    "s": ("second sec", "1", "s"),
    "A": ("ampere amp", "1", "A"),
    "K": ("kelvin", "1", "K"),
    "mol": ("mole", "1", "mol"),
    "cd": ("candela", "1", "cd"),
    "N": ("newton", "1", "kg m s-2"),
    "J": ("joule", "1", "kg m2 s-2"),
    "W": ("watt", "1", "kg m2 s-3"),
    "Pa": ("pascal", "1", "kg m-1 s-2"),
    "Hz": ("hertz", "1", "s-1"),
    "C": ("coulomb", "1", "A s"),
    "V": ("volt", "1", "kg m2 s-3 A-1"),
    "Ω": ("ohm", "1", "kg m2 s-3 A-2"),
    "F": ("farad", "1", "kg-1 m-2 s4 A2"),
    "T": ("tesla", "1", "kg s-2 A-1"),
    "Wb": ("weber", "1", "kg m2 s-2 A-1"),
    "H": ("henry", "1", "kg m2 s-2 A-2"),
    "L": ("liter litre l", "1/1000", "m3"),
    "eV": ("electronvolt", "1602176634/10000000000000000000000000000", "kg m2 s-2"),
    "bar": ("", "100000", "kg m-1 s-2"),
    "cal": ("calorie", "4184/1000", "kg m2 s-2"),
    "Wh": ("", "3600", "kg m2 s-2"),
    "B": ("byte", "8", "bit"),
    "bit": ("", "1", "bit"),
}
OTHER = {
    "min": ("minute", "60", "s"),
    "h": ("hour hr", "3600", "s"),
    "d": ("day", "86400", "s"),
    "wk": ("week", "604800", "s"),
    "yr": ("year", "31557600", "s"),
    "in": ("inch", "254/10000", "m"),
    "ft": ("foot feet", "3048/10000", "m"),
    "yd": ("yard", "9144/10000", "m"),
    "mi": ("mile", "1609344/1000", "m"),
    "mph": ("", "44704/100000", "m s-1"),
    "lb": ("pound-mass lbs", "45359237/100000000", "kg"),
    "oz": ("ounce", "28349523125/1000000000000", "kg"),
    "t": ("tonne ton", "1000", "kg"),
    "ha": ("hectare", "10000", "m2"),
    "gal": ("gallon", "3785411784/1000000000000", "m3"),
    "atm": ("atmosphere", "101325", "kg m-1 s-2"),
    "rad": ("radian", "1", "rad"),
    "°": ("degree deg", "1", "deg"),
    "°C": ("celsius", "1", "degC"),
    "°F": ("fahrenheit", "1", "degF"),
    "%": ("percent", "1/100", ""),
    "$": ("dollar usd buck", "1", "usd"),
    "¢": ("cent", "1/100", "usd"),
    "€": ("euro eur", "1", "eur"),
    "£": ("gbp sterling", "1", "gbp"),
    "¥": ("yen jpy yuan", "1", "jpy"),
}
PLURALS = {"inches": "inch", "henries": "henry", "hertz": "hertz", "lux": "lux", "feet": "feet", "celsius": "celsius"}
SYMBOLS = {
    "\\Omega": "Ω",
    "\\mu": "µ",
    "^\\circ": "°",
    "^{\\circ}": "°",
    "\\circ": "°",
    "\\degree": "°",
    "\\pm": "±",
    "+/-": "±",
    "²": "^2",
    "³": "^3",
    "⁻¹": "^-1",
    "⁻²": "^-2",
}
SYMBOLS |= {"per cent": "percent", "square ": "sq_", "cubic ": "cu_"}
MATHS = re.compile(r"\\(?:text|mathrm|textrm|operatorname|rm)\s*\{([^{}]*)\}")
EXPONENT = re.compile(r"\s*(?:\^|\*\*)\s*\{?\s*([-+]?\d)\s*\}?")
SCIENTIFIC = re.compile(r"(?<=[0-9])\s?(?:×|\*|x)\s?10\s?\^\s?\{?\s?([-+−]?\d{1,2})\s?\}?")
FORMULA = re.compile(r"(?<!\\)\$+([^$]+)(?<!\\)\$+(?![0-9])")
DEGREES = re.compile(r"(?:\bdegrees?|°)\s*([CF])(?:elsius|ahrenheit)?\b", re.IGNORECASE)
UNIT = r"[A-Za-zµμΩ°%$¢€£¥_]+"
TERM = re.compile(rf"\s*([*·/]|\bper\b)?\s*({UNIT}(?:-mass)?)(?:\^\s*(-?\d)|(-?\d)(?![0-9]))?")
QUANTITY_FORM = re.compile(
    rf"(?P<sign>[-+]?\s?)(?P<money>[$€£¥])?\s?(?P<minus>-?)(?P<number>[0-9.][0-9.,]*(?:[eE][-+]?\d{{1,2}})?(?:\s?/\s?[0-9]+)?)(?:\s?±\s?(?P<about>[0-9.]+))?(?P<unit>(?:\s*(?:[*·/]|\bper\b)?\s*{UNIT}(?:-mass)?(?:\^\s*-?\d|-?\d(?![0-9]))?)*)"
)


@dataclass(frozen=True)
class Quantity:
    """A value in base units, what it is a quantity of, and how far another may be off (None: as numbers may)."""

    value: Fraction
    dimension: Dimension
    about: Fraction | None = None


def vocabulary() -> dict[str, tuple[Fraction, Dimension]]:
    """Every unit's factor and dimension, by symbol and by name."""
    found: dict[str, tuple[Fraction, Dimension]] = {}
    for table in (PREFIXED, OTHER):
        for symbol, (names, factor, base) in table.items():
            dimension = tuple(sorted((m[1], int(m[2] or 1)) for m in re.finditer(r"([A-Za-z]+)(-?\d)?", base)))
            unit = Fraction(factor), dimension
            for name in (symbol, *names.split()):
                found[name] = unit
            if table is PREFIXED:
                spoken = [n for n in names.split() if len(n) > 1]
                found |= {p + symbol: (unit[0] * Fraction(10) ** e, dimension) for p, e in PREFIXES.items() if p + symbol not in found}
                found |= {p + n: (unit[0] * Fraction(10) ** e, dimension) for p, e in SPOKEN.items() for n in spoken}
    for table in (OTHER, PREFIXED):  # a unit's own symbol goes before a prefixed one: min, ft, cd
        found |= {s: (Fraction(f), found[s][1]) for s, (_, f, _) in table.items()}
    return found


UNITS = vocabulary()


def unit_of(word: str) -> tuple[Fraction, Dimension] | None:
    """A unit by symbol or name, singular or plural; "sq_" and "cu_" before it raise it."""
    power = {"sq_": 2, "cu_": 3}.get(word[:3], 1)
    word = word[3:] if power > 1 else word
    lower = word.lower()
    for name in (word, PLURALS.get(lower, lower), lower.removesuffix("s")):
        if name in UNITS and (name == word or len(name) > 2):
            factor, dimension = UNITS[name]
            return factor**power, tuple((n, p * power) for n, p in dimension)
    return None


def compound(text: str) -> tuple[Fraction, Dimension] | None:
    """A product of units: kg*m/s^2. What follows a slash divides, one unit a slash. None where a word is no unit."""
    factor, powers, place = Fraction(1), dict[str, int](), 0
    text = text.strip()
    while place < len(text):
        m = TERM.match(text, place)
        unit = unit_of(m[2]) if m else None
        if m is None or unit is None:
            return None
        power = int(m[3] or m[4] or 1) * (-1 if m[1] in ("/", "per") else 1)
        factor *= unit[0] ** power
        for name, p in unit[1]:
            powers[name] = powers.get(name, 0) + p * power
        place = m.end()
    return factor, tuple(sorted((n, p) for n, p in powers.items() if p))


def quantities(text: str) -> Iterator[Quantity]:
    """The quantities in a line, in order, as far as their units are known; words after the first unknown one do not count."""
    for m in QUANTITY_FORM.finditer(spelled(text)):
        number = literal(m["number"], 0)
        if number is None:
            continue
        words = m["unit"].split()
        for n in range(len(words), -1, -1):
            unit = compound(" ".join([m["money"] or "", *words[:n]]))
            if unit is not None:
                sign = -1 if "-" in m["sign"] + m["minus"] else 1
                about = None if m["about"] is None else Fraction(m["about"]) * unit[0]
                yield Quantity(sign * value(number) * unit[0], unit[1], about)
                break


def spelled(text: str) -> str:
    """LaTeX and typographic signs as plain ones; 3 \\times 10^4 as 3e4."""
    text = MATHS.sub(r" \1 ", FORMULA.sub(r" \1 ", text.translate(PLAIN)))
    for table in (LATEX, SYMBOLS):
        for old, new in table.items():
            text = text.replace(old, new)
    text = SCIENTIFIC.sub(lambda m: f"e{m[1].replace('−', '-')}", text)
    text = EXPONENT.sub(r"^\1", text.replace("{", " ").replace("}", " ").replace("\\cdot", "*"))
    return DEGREES.sub(lambda m: f"°{m[1].upper()}", text)


def answers(text: str) -> Iterator[str]:
    """The answer's line: behind the last marker, or the last line."""
    tail = next(tails(text), None)
    lines = [line for line in (text if tail is None else tail).splitlines() if line.strip()]
    line = "" if not lines else lines[-1] if tail is None else lines[0]
    if any(True for _ in quantities(line)):
        yield line.strip()


def read(text: str) -> Quantity | None:
    """The one quantity that a text gives; of an equation, what stands behind its last sign. None where it gives several."""
    found = list(quantities(text.rpartition("=")[2] or text))
    return found[0] if len(found) == 1 else None


def same(gold: str, got: str) -> bool:
    """Whether both are quantities of one kind and, within the tolerance, of one size."""
    a, b = read(gold), read(got)
    if a is None or b is None or a.dimension != b.dimension:
        return False
    about = a.about if a.about is not None else TOLERANCE * abs(a.value)
    return abs(a.value - b.value) <= about


def gold_of(text: str) -> str | None:
    """The quantity in a gold text."""
    tail = gold_tail(text).strip()
    found = read(tail)
    if found is None or (not found.dimension and re.search("[A-Za-z]{2}", tail.replace("percent", ""))):
        return None  # a word that is no unit here would not be compared
    return tail


QUANTITY = Verifier("quantity", gold_of, answers, same, 'End with "Answer:" and the number with its unit.')
