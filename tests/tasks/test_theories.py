"""Proof, program and table of a theory come to its label; three tags around the same text, or a label that only one of them finds, would make a vote
over notations a vote over nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from thinkery.core.records import Problem, Reply
from thinkery.core.rng import rng
from thinkery.tasks.mini_python import Machine
from thinkery.tasks.theories import (
    DEEP,
    LABELS,
    NOTATIONS,
    VOTES,
    Theories,
    Theory,
    chained,
    family,
    fits,
    program,
    proof,
    says,
    surviving,
    table,
)

RULES = ((("a",), "b"), (("b", "~d"), "c"), (("d",), "~c"))
THEORY = Theory(RULES, ("a", "~d"), ("a", "b", "d", "c"))
OPEN = Theory(RULES, ("a",), ("a", "b", "d", "c"))  # whether d holds is open: one row has c, one has not


def test_worked_by_hand() -> None:
    assert chained(THEORY) == {"a": 0, "~d": 0, "b": 1, "c": 2}
    assert proof(THEORY) == "a>b. b&~d>c. "
    assert table(THEORY) == "a1d0b1c1"
    assert table(OPEN) == "a1b1d0c1,a1b1d1c0"
    assert program(THEORY) == (
        "def f(c):\n a=1\n b=0\n d=-1\n for i in range(3):\n  if a>0:b=1\n  if b-d>1:c=1\n  if d>0:c=-1\n return c\nprint(f(0))"
    )
    assert says(surviving(THEORY)) == "1" and says(surviving(OPEN)) == "0" and says(["0110", "0100"]) == "-1"


def test_what_chaining_and_the_table_see_differently_is_not_posed() -> None:
    """By cases c holds, but no chain finds it."""
    by_cases = Theory(((("a",), "c"), (("~a",), "c"), (("b",), "a")), ("d",), ("a", "b", "d", "c"))
    assert says(surviving(by_cases)) == "1" and "c" not in chained(by_cases)
    assert not any(fits(by_cases, label, depth) for label in LABELS for depth in (0, 1, 2))
    assert fits(THEORY, "1", 2) and not fits(THEORY, "1", 1) and not fits(THEORY, "0", 2)
    assert fits(OPEN, "0", 2)
    contradictory = Theory((*RULES, (("b",), "~a")), ("a", "~d"), THEORY.atoms)
    assert not any(fits(contradictory, label, 2) for label in LABELS)


@pytest.mark.parametrize("spec", [{}, {"depth": 5}])
def test_the_three_come_to_the_label(spec: dict[str, int]) -> None:
    task = Theories(**spec)
    for p in [task.problem(i) for i in range(40)]:
        machine, printed = Machine(), list[str]()
        machine.run(program(p.data))
        exec(program(p.data), {"print": lambda x, to=printed: to.append(str(x))})
        assert machine.output == printed == [says(surviving(p.data))] == [p.answer]
        texts = [task.demonstration(p, n, rng(0)) for n in NOTATIONS]
        assert all(text.startswith(f"<{n}>") and f"</{n}>#" in text for n, text in zip(NOTATIONS, texts))


def test_other_bits_say_something_else() -> None:
    """The table is not decoration: with the last column turned round it comes to another label, unless nothing follows."""
    for p in [Theories().problem(i) for i in range(30)]:
        turned = [row[:-1] + "10"[int(row[-1])] for row in surviving(p.data)]
        assert says(turned) == {"1": "-1", "-1": "1", "0": "0"}[p.answer]


def test_a_family_is_the_theory_without_letters_and_order() -> None:
    swap = str.maketrans("abcd", "dcba")
    rules = tuple((tuple(x.translate(swap) for x in reversed(body)), head.translate(swap)) for body, head in reversed(RULES))
    other = Theory(rules, ("~a", "d"), ("a", "c", "d", "b"))
    assert family(other) == family(THEORY) != family(OPEN)


def test_no_look_at_the_rules_gives_the_label_away() -> None:
    """Both answers have a rule that speaks for them, and the last fact tells nothing."""
    drawn = [Theories().problem(i) for i in range(300)]
    for p in drawn:
        goal = p.data.atoms[-1]
        assert {goal, "~" + goal} <= {head for _, head in p.data.rules}
    labels = Counter(p.answer for p in drawn)
    assert min(labels.values()) > 80
    of_more: Counter[tuple[bool, str]] = Counter()
    for p in drawn:
        heads = Counter(head for _, head in p.data.rules)
        of_more[heads[p.data.atoms[-1]] > heads["~" + p.data.atoms[-1]], p.answer] += 1
    assert max(of_more[more, x] for more in (True, False) for x in LABELS) < 0.5 * len(drawn)


def test_votes_are_parts_of_the_verdict() -> None:
    task = Theories()
    posed = Problem("x", task.problem(0).question, "1", difficulty=DEEP)
    votes = [("nl", "1"), ("code", None), ("tt", "0")]
    found = task.verify(posed, Reply("#1", data={VOTES: votes}))
    assert (found.score, found.parts) == (1.0, {"nl": 1.0, "code": 0.0, "tt": 0.0, "ties": 0.0, "deep": 1.0})
    apart = [("nl", "1"), ("code", "-1"), ("tt", "0")]
    assert task.verify(posed, Reply("#0", data={VOTES: apart})).parts == {"nl": 1.0, "code": 0.0, "tt": 0.0, "ties": 1.0, "deep": 0.0}
    same = [("nl", "0"), ("nl", "1"), ("nl", "1")]
    assert task.verify(posed, Reply("#1", data={VOTES: same})).parts["nl"] == 0.0, "the first of each"
