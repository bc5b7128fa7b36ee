"""Queries by what they return: gold and reply are run, read-only, and their rows compared (execution accuracy, Yu et al. 2018).

Rows come in any order unless the gold query orders them; columns in any order. A column's name does not matter.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...core.errors import InputError, VerifierError
from ...core.records import Verdict
from ...tools.sql import Rows, query
from ..markers import tails
from .judge import SHOWN, Judge, fenced

DATABASE = re.compile(r"\s*--\s*database:\s*(\S[^\n]*)\n(.*)", re.DOTALL | re.IGNORECASE)
WIDEST = 20  # columns that may change places
QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|\([^()]*\)")


def executed(database: str, gold: str, text: str) -> Verdict:
    """1 if the reply's query (its last fenced block, what stands behind the last marker, or all of it) returns what the gold one does.

    Raises VerifierError where the gold query fails.
    """
    asked = query_of(text)
    if not asked:
        return Verdict(0.0, reason="no query to be read")
    expected = wanted(database, gold)
    try:
        got = query(database, asked)
    except InputError as error:
        return Verdict(0.0, asked[:SHOWN], reason=str(error)[:SHOWN])
    right = same_rows(expected, got, ordered(gold))
    return Verdict(float(right), asked[:SHOWN], reason="right" if right else f"{len(got)} rows, not those of the gold query")


def query_of(text: str) -> str:
    """The query that a reply hands in."""
    code = fenced(text, ("sql", "sqlite"))
    code = code if code is not text else next(tails(text), text)
    return code.strip().strip("`").strip().rstrip(";").strip()


@lru_cache(maxsize=4096)
def wanted(database: str, gold: str) -> Rows:
    """What the gold query returns. Raises VerifierError."""
    try:
        return query(database, gold)
    except InputError as error:
        raise VerifierError(f"the gold query {gold[:SHOWN]!r} on {database}: {error}") from None


def ordered(text: str) -> bool:
    """Whether a query orders its rows, rather than those of a part of it."""
    while (inner := QUOTED.sub(" ", text)) != text:
        text = inner
    return re.search(r"\border\s+by\b", text, re.IGNORECASE) is not None


def same_rows(gold: Rows, got: Rows, in_order: bool) -> bool:
    """Whether both are the same rows; columns may stand in another order. Numbers count with nine digits."""
    if len(gold) != len(got) or not gold or len(gold[0]) != len(got[0]):
        return len(gold) == len(got) == 0
    mine, theirs = ([tuple(map(rounded, row)) for row in rows] for rows in (gold, got))
    compare = list[Any] if in_order else Counter[Any]
    if compare(mine) == compare(theirs):
        return True
    return len(mine[0]) <= WIDEST and rearranged(list(zip(*mine)), list(zip(*theirs)), in_order)


def rearranged(mine: list[tuple[Any, ...]], theirs: list[tuple[Any, ...]], in_order: bool) -> bool:
    """Whether some order of their columns gives the same rows. Each choice is checked on the columns chosen so far."""
    compare = list[Any] if in_order else Counter[Any]

    def fits(chosen: list[int]) -> bool:
        n = len(chosen)
        if compare(zip(*mine[:n])) != compare(zip(*(theirs[j] for j in chosen))):
            return False
        if n == len(mine):
            return True
        tried: set[tuple[Any, ...]] = set()  # equal columns are one choice
        left = [j for j in range(len(theirs)) if j not in chosen]
        return any(fits([*chosen, j]) for j in left if not (theirs[j] in tried or tried.add(theirs[j])))  # type: ignore[func-returns-value]

    return fits([])


def rounded(value: Any) -> Any:
    """A number with nine digits, so that the order of a sum does not show; anything else as it is."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


# ---- as a verifier of data files: the gold text names its database in a comment


def gold_of(text: str) -> str | None:
    """The gold text, if it is "-- database: FILE" and a query below, and the database is there."""
    found = DATABASE.fullmatch(text)
    return text.strip() if found and found[2].strip() and Path(found[1].strip()).is_file() else None


def judged(gold: str, text: str) -> Verdict:
    """See `executed`."""
    found = DATABASE.fullmatch(gold)
    assert found is not None
    return executed(found[1].strip(), found[2].strip().rstrip(";"), text)


SQL = Judge('query under a line "-- database: FILE"', gold_of, judged, "End with the query alone, in a ```sql block.", recites=True)
