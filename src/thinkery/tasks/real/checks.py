"""Verifiers that one data set needs and `tasks/verifiers.py` does not have: values, labels, options, lists, names, spans."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator

from ...core.records import Problem, Reply, Verdict
from ..markers import tails
from ..numbers import literal, read_number, same_number
from ..verifiers import LONGEST, SHOWN, Verifier, exact_answers, normal

Check = Callable[[Problem, Reply], Verdict]


def against(verifier: Verifier) -> Check:
    """The check by gold answer alone."""
    return lambda problem, reply: verifier(problem.answer, reply)


def by_answer(what: str, same: Callable[[str, str], bool]) -> Check:
    """A check whose replies are read as `exact` reads them."""
    return against(Verifier(what, lambda gold: gold.strip() or None, exact_answers, same, ""))


# ---- a number, or words where the gold answer is none (ASDiv: a ratio, a time, a name)


def value_answers(text: str) -> Iterator[str]:
    """What `exact` reads, then the number that `number` reads."""
    yield from exact_answers(text)
    if (number := read_number(text)) is not None:
        yield number


def is_number(text: str) -> bool:
    """Whether the text is one number and nothing else."""
    return re.search("[^0-9.,/ -]", text) is None and literal(text, 0) is not None


def same_value(gold: str, got: str) -> bool:
    """Numbers by value, everything else by its words."""
    if not is_number(gold):
        return normal(gold) == normal(got)
    return is_number(got) and same_number(str(read_number(gold)), str(read_number(got)))


value = against(Verifier("value", lambda gold: gold.strip() or None, value_answers, same_value, ""))


# ---- BIG-Bench Hard: an option's letter, else the words


OPTION = re.compile(r"\(([A-R])\)(?:[^\n(]|\((?![A-R]\)))*|([A-R])[).:]?")


def same_option(gold: str, got: str) -> bool:
    """ "(B)", "B" and "(B) 12/25/1937" are one option; a target that is none must be met word by word."""
    if not re.fullmatch(r"\([A-R]\)", gold):
        return normal(gold) == normal(got)
    found = OPTION.fullmatch(got.strip(" *`$.\n"))
    return found is not None and (found[1] or found[2]) == gold[1]


option = by_answer("answer", same_option)


# ---- bAbI: words; several in any order; a path in its order


DIRECTIONS = {"n": "n", "s": "s", "e": "e", "w": "w", "north": "n", "south": "s", "east": "e", "west": "w"}


def same_words(gold: str, got: str) -> bool:
    """Whether both list the same words; directions in the same order."""
    a, b = ([normal(word) for word in re.split(r",|\band\b", text) if word.strip()] for text in (gold, got))
    if all(word in DIRECTIONS for word in a):
        return [DIRECTIONS[word] for word in a] == [DIRECTIONS.get(word) for word in b]
    return set(a) == set(b)


words = by_answer("word", same_words)


# ---- FOLIO: a label, the third of which has two names


def same_label(gold: str, got: str) -> bool:
    """True, False, or Uncertain, which is also called Unknown."""
    return normal(gold) == normal(got).replace("unknown", "uncertain")


label = by_answer("label", same_label)


# ---- MetaQA: names, with hits@1 as a part


def names(text: str) -> list[str]:
    """What bars, semicolons, commas and line ends separate, in order. A name with a comma falls apart, in gold and reply alike."""
    return [n for n in map(normal, re.split(r"[|;,\n]", text)) if n]


def listed(problem: Problem, reply: Reply) -> Verdict:
    """1 if the reply names all answers and nothing else. Parts: `hit`, whether the first name is one of them."""
    text = reply.text[-LONGEST:]
    said = next(tails(text), text).strip()
    gold, got = names(problem.answer), names(said)
    if not got:
        return Verdict(0.0, reason="no name to be read")
    right = set(gold) == set(got)
    shown = said[:SHOWN]
    reason = "right" if right else f"{shown} is not {problem.answer[:SHOWN]}"
    return Verdict(float(right), shown, {"hit": float(got[0] in gold)}, reason)


# ---- HotpotQA: exact match and F1 of words, normalised as for SQuAD


ARTICLES = re.compile(r"\b(?:a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
CLOSED = ("yes", "no", "noanswer")


def squad(text: str) -> str:
    """Lower case, without punctuation, articles and extra white space."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def f1(gold: str, got: str) -> float:
    """F1 of the words of two normalised answers; yes and no are right or wrong as a whole."""
    if gold != got and (gold in CLOSED or got in CLOSED):
        return 0.0
    a, b = gold.split(), got.split()
    both = sum((Counter(a) & Counter(b)).values())
    return 2 * both / (len(a) + len(b)) if both else 0.0


def span(problem: Problem, reply: Reply) -> Verdict:
    """1 for an exact match after normalising. Parts: `f1`. Read is the line behind the last marker, or all of a reply without one."""
    text = reply.text[-LONGEST:]
    tail = next(tails(text), None)
    said = text.strip() if tail is None else tail.strip().partition("\n")[0]
    gold, got = squad(problem.answer), squad(said)
    if not got:
        return Verdict(0.0, reason="no answer to be read")
    shown = said[:SHOWN]
    reason = "right" if got == gold else f"{shown} is not {problem.answer[:SHOWN]}"
    return Verdict(float(got == gold), shown, {"f1": f1(gold, got)}, reason)
