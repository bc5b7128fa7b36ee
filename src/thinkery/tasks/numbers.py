"""Reading the number that a text gives as its answer, exactly, as a fraction."""

from __future__ import annotations

import re
from fractions import Fraction

from .markers import NAMED, tails

TOLERANCE = Fraction(1, 10**6)  # relative to the gold number, unless both are whole
DIGITS = 60  # most characters of a number

WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)"
DECIMAL = rf"(?:{WHOLE}(?:\.[0-9]++)?|\.[0-9]++)(?:[eE][-+]?[0-9]{{1,2}}(?![0-9]))?"
LITERAL = re.compile(rf"(?<![A-Za-z_0-9.])(?:(?:({WHOLE})[ ]{{1,3}})?({WHOLE})[ ]?/[ ]?({WHOLE})|({DECIMAL}))")
GOES_ON = re.compile(
    r"[ ]?(?:[-+/*^=×÷:]|x(?=[ ]?[0-9]))[ ]?[-0-9(.\\]|[,.][0-9]|[0-9]|[eE][-+]?[0-9]|\^"
)  # then it is part of something else
COMES_FROM = re.compile(r"[0-9)\]](?:[,.:]|[ ]?[-+*/^×÷:x][ ]?)[-$€£¥]{0,2}$")  # so does this, before it
MARKER = re.compile(rf"(?<!#)#++(?=[\s:*(+\-$€£¥]{{0,8}}[.0-9])|{NAMED}", re.IGNORECASE)  # a "#" that opens a heading is none
FRACTION = re.compile(r"(?:(?<=[0-9])())?\\[dt]?frac\s?\{([^{}]{1,40})\}\s?\{([^{}]{1,40})\}")
PLAIN = str.maketrans({"−": "-", "–": "-", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\t": " ", "·": "*"})
LATEX = {"\\$": "$", "\\%": "%", "{,}": ",", "\\,": "", "\\!": "", "\\ ": " ", "\\times": "×", "\\cdot": "*", "\\left": "", "\\right": ""}


def read_number(text: str) -> str | None:
    """The number behind the text's last marker, else its last number, without thousands separators: "-1234.5", "3/4", "2 1/2".

    None where there is none, or where it is part of something else: an expression, a range, a date, a time.
    """
    text = text.translate(PLAIN)
    for latex, plain in LATEX.items():
        text = text.replace(latex, plain)
    text = FRACTION.sub(lambda m: f"{'' if m[1] is None else ' '}{m[2]}/{m[3]}", text)
    tail = next(tails(text, MARKER), None)
    if tail is None:
        return literal(text, -1)
    line = next((x for x in tail.splitlines() if re.search("[0-9]", x)), "")
    return literal(line, 0) or literal(line.rpartition("=")[2], 0)


def literal(text: str, which: int) -> str | None:
    """The first (0) or the last (-1) number in the text, if it stands for itself."""
    found = None
    for match in LITERAL.finditer(text):
        found = match
        if which == 0:
            break
    if found is None or len(found[0]) > DIGITS:
        return None
    before = text[: found.start()]
    if COMES_FROM.search(before[-8:]) or GOES_ON.match(text, found.end()):
        return None
    units, above, below, decimal = (None if g is None else g.replace(",", "") for g in found.groups())
    number = decimal if decimal is not None else f"{units + ' ' if units else ''}{above}/{below}"
    if below is not None and not int(below):
        return None
    return ("-" if negative(before) else "") + number


def negative(before: str) -> bool:
    """Whether what stands before a number ends in a minus sign, rather than in a subtraction, a hyphen or a bullet."""
    sign = before[-20:].rstrip(" $€£¥")
    if not sign.endswith("-"):
        return False
    left = sign[:-1]
    if left[-1:].isalnum() or left[-1:] in (")", "]"):
        return False
    if before.rstrip("$€£¥").endswith("-"):
        return True
    left = left.rstrip(" ")
    return not (left[-1:].isalnum() or left[-1:] in (")", "]", "\n"))


def value(number: str) -> Fraction:
    """The value of what `read_number` gives."""
    sign, number = (-1, number[1:]) if number.startswith("-") else (1, number)
    units, _, rest = number.rpartition(" ")
    return sign * (Fraction(units or 0) + Fraction(rest))


def same_number(gold: str, got: str) -> bool:
    """Equal when both are whole, else within 1e-6 of the gold one's size."""
    a, b = value(gold), value(got)
    if a.denominator == b.denominator == 1:
        return a == b
    return abs(a - b) <= TOLERANCE * abs(a)
