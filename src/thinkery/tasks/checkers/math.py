"""Mathematical answers by their value: \\frac{1}{2}, 0.5 and 2^{-1} are one. Parsed and compared by math-verify, over sympy, in a worker.

The answer stands behind the reply's last marker, or is its last formula, or all of it. What cannot be compared within the limit is
not the gold answer, for that one was compared with itself before.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import lru_cache

from ...core.errors import MissingExtra
from ...tools.python import encodable
from ...tools.workers import CheckFailed, call
from ..markers import NAMED, closing, tails
from ..numbers import read_number, same_number
from ..verifiers import GOLD_MARKER, Verifier, normal

EQUAL = "thinkery.tasks.checkers.algebra:equal"
SECONDS = 3.0  # for one comparison
BOMBS: set[str] = set()  # answers that brought a worker down
LONGEST = 1_000  # characters of an answer
FORMULA = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$(.+?)(?<!\\)\$", re.DOTALL)
MARKER = re.compile(rf"#{{4}}|{NAMED}|\\fbox\s?\{{", re.IGNORECASE)
PLAIN_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?")
EXPRESSION = re.compile(r"[\\^=({\[]|\S\s+[-+*/]\s+\S|[0-9][A-Za-z]+\s+[-+*/]")  # rather than a sentence with a number in it
WORDS = re.compile(r"\s*(?:\\(?:text|mathrm|textbf|mathbf)\s*\{)?\(?\s*([A-Za-z][A-Za-z '.-]*?)\s*\)?\}?\s*")
SPELLED = re.compile(r"\\(?:left|right|displaystyle|,|;|!|:|quad)(?![A-Za-z])|~|\s+")
FINAL = " \n\t.,;:*"


def answers(text: str) -> Iterator[str]:
    """The one answer that a reply gives."""
    tail = next(tails(text, MARKER), None)
    if tail is not None:
        found = formula_or_line(tail)
    else:
        formulas = list(FORMULA.finditer(text))
        lines = [line for line in text.strip().splitlines() if line.strip()]
        found = inside(formulas[-1]) if formulas else lines[-1] if lines else ""
        if not formulas and len(lines) == 1 and " " in found.strip() and not WORDS.fullmatch(found):
            found = found if EXPRESSION.search(found) or not re.search("[A-Za-z]{2}", found) else read_number(found) or found
    found = bare(found)
    if found and len(found) <= LONGEST and not any(c.isdecimal() and not c.isascii() for c in found):
        yield found


def formula_or_line(tail: str) -> str:
    """What an answer's tail says: the formula that it opens with, or its first line."""
    line = next((x for x in tail.splitlines() if x.strip(FINAL)), "")
    opened = FORMULA.match(tail.lstrip(FINAL))
    return inside(opened) if opened and not re.search(r"[A-Za-z0-9$]", line[len(opened[0]) + 1 :]) else line


def inside(match: re.Match[str]) -> str:
    """What stands between a formula's marks."""
    return next(g for g in match.groups() if g is not None)


def bare(text: str) -> str:
    """An answer without what surrounds it: a box, dollar signs, a full stop, asterisks."""
    text = text.strip(FINAL)
    for opening in ("\\boxed{", "\\fbox{"):
        if text.startswith(opening):
            text = text[len(opening) : closing(text, len(opening))]
    if len(text) > 1 and text[0] == text[-1] == "$":
        text = text.strip("$")
    return text.strip(FINAL)


def same(gold: str, got: str) -> bool:
    """Whether two answers have one value. Raises MissingExtra without math-verify."""
    gold, got = bare(gold), bare(got)
    if spelled(gold) == spelled(got):
        return True
    if PLAIN_NUMBER.fullmatch(gold) and PLAIN_NUMBER.fullmatch(got):
        return same_number(gold.lstrip("+").replace(",", ""), got.lstrip("+").replace(",", ""))
    words = WORDS.fullmatch(gold)
    if words and (len(words[1]) > 1 or "text" in gold):
        theirs = WORDS.fullmatch(got)
        return theirs is not None and normal(words[1]) == normal(theirs[1])
    return compared(gold, got)


def spelled(text: str) -> str:
    """An answer without spaces and what only sets type."""
    return SPELLED.sub("", text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac"))


@lru_cache(maxsize=65_536)
def compared(gold: str, got: str) -> bool:
    """`algebra.equal` in a worker; False where the reply brings it down."""
    if got in BOMBS:
        return False
    if importlib.util.find_spec("math_verify") is None:
        raise MissingExtra("math-verify", "tasks", "the verifier math")
    try:
        return bool(call(EQUAL, gold, encodable(got), seconds=SECONDS))
    except CheckFailed as failure:
        if failure.how != "raised":
            comparable(gold)
            BOMBS.add(got)
        return False


@lru_cache(maxsize=4096)
def comparable(gold: str) -> None:
    """Raises CheckFailed where a gold answer cannot even be compared with itself."""
    call(EQUAL, gold, gold, seconds=2 * SECONDS)


def gold_of(text: str) -> str | None:
    """The answer in a gold text."""
    tail = bare(next(tails(text, GOLD_MARKER), text))
    return tail if tail and len(tail) <= LONGEST else None


MATH = Verifier("mathematical answer", gold_of, answers, same, "Put the final answer in \\boxed{}.")
