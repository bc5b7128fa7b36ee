"""Assignments by checking: any that fulfils what was asked is right, so no gold answer is compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

from ...core.records import Verdict
from ..markers import tails
from ..numbers import LITERAL
from .judge import LONGEST, SHOWN

MARKED = re.compile(r"[-~!¬]?\s?[A-Za-z]?\d+")
PAIR = re.compile(r"([A-Za-z0-9_]+)\s*(?::|=|->|→)\s*([A-Za-z0-9_]+)")


def handed_in(text: str) -> str:
    """What stands behind the reply's last marker, or all of it."""
    text = text[-LONGEST:]
    return next(tails(text), text).strip()


def satisfies(clauses: Sequence[Sequence[int]], text: str) -> Verdict:
    """1 if the reply's literals (1 -2 3, x1 ~x2 x3) make every clause true. A variable named twice must agree with itself.

    clauses: of non-zero integers as in DIMACS, -2 being "not x2"; variables that the reply leaves out count as neither.
    """
    said = handed_in(text)
    literals = {(-1 if re.match("[-~!¬]", m) else 1) * int(re.sub(r"\D", "", m)[:9]) for m in MARKED.findall(said)}
    if not literals:
        return Verdict(0.0, reason="no literal to be read")
    if any(-x in literals for x in literals):
        return Verdict(0.0, said[:SHOWN], reason="a variable is set both ways")
    broken = next((c for c in clauses if not literals.intersection(c)), None)
    return Verdict(float(broken is None), said[:SHOWN], reason="right" if broken is None else f"the clause {list(broken)} is false")


def colours(nodes: Iterable[str], edges: Iterable[tuple[str, str]], most: int, text: str) -> Verdict:
    """1 if the reply (a: red, b: 2, …) gives every node one colour, the ends of an edge two, and no more than `most` in all."""
    said = handed_in(text)
    pairs = PAIR.findall(said)
    chosen = dict(pairs)
    if not pairs:
        return Verdict(0.0, reason="no colouring to be read")
    if any(chosen[node] != colour for node, colour in pairs):
        return Verdict(0.0, said[:SHOWN], reason="a node has two colours")
    if missing := next((n for n in nodes if n not in chosen), None):
        return Verdict(0.0, said[:SHOWN], reason=f"{missing} has no colour")
    used = len({chosen[n] for n in nodes})
    if used > most:
        return Verdict(0.0, said[:SHOWN], reason=f"{used} colours, at most {most}")
    clash = next(((a, b) for a, b in edges if chosen[a] == chosen[b]), None)
    return Verdict(
        float(clash is None), said[:SHOWN], reason="right" if clash is None else f"{clash[0]} and {clash[1]} are both {chosen[clash[0]]}"
    )


def adds_up(items: Iterable[int | Fraction], total: int | Fraction, text: str) -> Verdict:
    """1 if the reply's numbers are among the items, none more often than there, and their sum is the total."""
    said = handed_in(text).partition("=")[0].replace("+", " ")
    found = [
        Fraction(m[4].replace(",", "")) * (-1 if said[: m.start()].endswith("-") else 1)
        for m in LITERAL.finditer(said)
        if m[4] and "e" not in m[4].lower()
    ]
    if not found:
        return Verdict(0.0, reason="no number to be read")
    if extra := Counter(found) - Counter(map(Fraction, items)):
        return Verdict(0.0, said[:SHOWN], reason=f"{next(iter(extra))} is not there so often")
    return Verdict(
        float(sum(found) == total), said[:SHOWN], reason="right" if sum(found) == total else f"the sum is {sum(found)}, not {total}"
    )
