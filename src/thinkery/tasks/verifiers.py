"""Verifiers for data files, by name: how a gold answer and a reply are read, and when the two are the same.

A reply's answer stands behind its last marker: "#", "answer:", "answer is", or inside "\\boxed{}". Replies are hostile: only their
last characters are read, every pattern is linear, and a reply has one answer, so naming several earns nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..core.errors import UnknownName, VerifierError
from ..core.records import Reply, Verdict
from .markers import tails
from .numbers import read_number, same_number

LONGEST = 20_000  # characters of a reply that are read, from its end
SHOWN = 200  # characters of an answer in a verdict
GOLD_MARKER = re.compile(r"####|\\boxed\s?\{", re.IGNORECASE)  # a lone "#" may be part of a gold answer, as in C#

ORNAMENT = " *`\"'"
LETTER = re.compile(r"[\s*`$(\[{]*([A-Ea-e])[\s*`$)\]}.:]*")
OPENING = re.compile(
    r"[\s*`$:(\[{]*(?:(?:the )?(?:correct )?(?:option|choice|letter) ?(?:is )?[*(\[]{0,3})?"
    r"(?:([A-E])(?=[*`$)\]}.:,;]|\s*$|\s*\n)|([B-E])(?=\s)|(A)(?=\s+(?:because|since|as|is)\b))"
)
ALSO = re.compile(r"(?: +|[\s*`$)\]}.:,;]*(?:(?:or|and)\s|[/&,])\s*)[(\[]?[A-E]\b")
LISTED = re.compile(r"\(([A-E])\)")
STARTED = re.compile(r"[\s*`]*(?:\(([A-E])\)|([A-E])[).:])")
BESIDE = re.compile(r"[\s*`,;/&]*(?:(?:or|and)\s+)?(?:\(([A-E])\)|([A-E])[).:]|([A-E])(?![A-Za-z ]))")


class Check(Protocol):
    """What a data file's answers are checked by: a `Verifier`, which compares, or a `Judge`, which may try out.

    recites   whether a gold text is itself an answer
    """

    @property
    def what(self) -> str: ...
    @property
    def asks(self) -> str: ...
    @property
    def recites(self) -> bool: ...
    @property
    def gold(self) -> Callable[[str], str | None]: ...
    @property
    def same(self) -> Callable[[str, str], bool]: ...
    def __call__(self, gold: str, reply: Reply) -> Verdict: ...


@dataclass(frozen=True)
class Verifier:
    """Called with (gold, reply) gives the Verdict, 1 or 0. Raises VerifierError for a gold answer it cannot read; never for a reply.

    what       an answer is called in reasons
    gold       the answer in a gold text, or None
    answers    readings of a reply, the likeliest first; more than one only where they exclude each other
    same       whether a gold answer and a reading say the same
    asks       for an answer that can be read, in words
    """

    what: str
    gold: Callable[[str], str | None]
    answers: Callable[[str], Iterator[str]]
    same: Callable[[str, str], bool]
    asks: str
    recites: bool = True

    def __call__(self, gold: str, reply: Reply) -> Verdict:
        expected = self.gold(gold)
        if expected is None:
            raise VerifierError(f"the gold answer {gold[:SHOWN]!r} is not a {self.what}; mend it or choose another verifier")
        if reply.truncated:
            return Verdict(0.0, reason="cut off at the token limit")
        found = list(self.answers(reply.text[-LONGEST:]))
        if not found:
            return Verdict(0.0, reason=f"no {self.what} to be read")
        for answer in found:
            if self.same(expected, answer):
                return Verdict(1.0, answer[:SHOWN], reason="right")
        return Verdict(0.0, found[0][:SHOWN], reason=f"{found[0][:SHOWN]} is not {expected[:SHOWN]}")


def verifier(name: str) -> Check:
    """The verifier of that name: number, exact, choice, set, math, units, program or sql. Raises UnknownName for another."""
    if name not in VERIFIERS:
        raise UnknownName("verifier", name, VERIFIERS)
    return VERIFIERS[name]


def gold_tail(text: str) -> str:
    """What stands behind a gold text's "####" or in its box, or all of it."""
    return next(tails(text, GOLD_MARKER), text)


# ---- exact: the same words, whatever their case, spaces, quotes and full stop


def normal(text: str) -> str:
    """The text without case, extra white space, surrounding quotes or asterisks, and final full stop."""
    plain = " ".join(text.split()).casefold()
    return plain.lstrip(ORNAMENT).rstrip(ORNAMENT + ".") or plain


def exact_answers(text: str) -> Iterator[str]:
    """Each way in which the reply may end in an answer: behind a marker, the first line behind the last, all of it."""
    behind = [t.strip() for t in tails(text)]
    first = [t.partition("\n")[0] for t in behind[:1]]
    yield from filter(None, (*behind[:1], *first, *behind[1:], text.strip()))


# ---- choice: one letter of A to E


def choice_answers(text: str) -> Iterator[str]:
    """The letter chosen, if it is clear."""
    marked = next(tails(text), None)
    letter = chosen(text) if marked is None else behind_marker(marked.replace("\\text{", "{"))
    if letter:
        yield letter.upper()


def behind_marker(tail: str) -> str | None:
    """The letter that a tail opens with: "(B)", "B.", "B because". None where a second letter follows, or "A" is an article."""
    if alone := LETTER.fullmatch(tail):
        return alone[1]
    m = OPENING.match(tail)
    return None if m is None or ALSO.match(tail, m.end()) else m[1] or m[2] or m[3]


def chosen(text: str) -> str | None:
    """The letter in a reply without marker: alone, alone on the last line, at the start as "B.", or the last "(B)". None for a list."""
    lines = text.strip().splitlines()
    for part in (text, lines[-1] if lines else ""):
        if alone := LETTER.fullmatch(part):
            return alone[1]
    if start := STARTED.match(text):
        letter = start[1] or start[2]
        return letter if single(text, start.end(), letter) and not any(openers(lines) - {letter}) else None
    listed = list(LISTED.finditer(text))
    if not listed or (len(listed) > 1 and not single(text, listed[-2].end(), listed[-2][1])):
        return None
    return listed[-1][1]


def single(text: str, end: int, letter: str) -> bool:
    """Whether no other letter stands right behind: "(A) (B)" names two."""
    beside = BESIDE.match(text, end)
    return beside is None or letter in beside.groups()


def openers(lines: list[str]) -> set[str]:
    """The letters that lines open with, as in a list of the choices."""
    return {m[1] or m[2] for line in lines if (m := STARTED.match(line))}


# ---- set: the same elements in any order


def elements(text: str) -> frozenset[str]:
    """What commas, semicolons and line ends separate, as `normal` has it."""
    parts = re.split(r"[,;\n]", text.strip().strip("{}[]()"))
    return frozenset(n for n in map(normal, parts) if n)


def set_answers(text: str) -> Iterator[str]:
    """Each way in which the reply may end in a set."""
    yield from (t.strip() for t in (*tails(text), text) if elements(t))


VERIFIERS: dict[str, Check] = {  # `checkers` adds its own
    "number": Verifier(
        "number",
        lambda gold: read_number(gold_tail(gold)),
        lambda text: filter(None, [read_number(text)]),
        same_number,
        'End with "Answer:" and the number alone.',
    ),
    "exact": Verifier(
        "text",
        lambda gold: gold_tail(gold).strip() or None,
        exact_answers,
        lambda a, b: normal(a) == normal(b),
        'End with "Answer:" and the answer alone.',
    ),
    "choice": Verifier(
        "letter from A to E",
        lambda gold: next(choice_answers(gold), None),
        choice_answers,
        str.__eq__,
        'End with "Answer:" and the letter alone.',
    ),
    "set": Verifier(
        "set",
        lambda gold: gold_tail(gold).strip() if elements(gold_tail(gold)) else None,
        set_answers,
        lambda a, b: elements(a) == elements(b),
        'End with "Answer:" and all elements, separated by commas.',
    ),
}
