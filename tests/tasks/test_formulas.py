"""Proof, program and table of a formula come to its label, by ways that have little in common."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from thinkery.core.records import Problem, Reply
from thinkery.tasks.formulas import DEEP, Formula, Formulas, program, proof, rows, run, says, table, unknown
from thinkery.tasks.mini_python import Machine
from thinkery.tasks.theories import LABELS, NOTATIONS, VOTES

FORMULA = Formula("tuft", "&|&")


def test_worked_by_hand() -> None:
    """True and unknown is unknown, or false still, and true still; with u false it is 1 0 0 0, with u true 1 1 1 1."""
    assert run(FORMULA) == [1, 0, 0, 0]
    assert proof(FORMULA) == "t&u:u,u|f:u,u&t:u"
    assert program(FORMULA) == "def f(v):\n v=min(v,0)\n v=max(v,-1)\n v=min(v,1)\n return v\nprint(f(1))"
    assert table(FORMULA) == "0:1000,1:1111"
    assert says(rows(FORMULA)) == "0"
    assert says(rows(Formula("uf", "&"))) == "-1" and says(rows(Formula("ut", "|"))) == "1"
    assert rows(Formula("uu", "|")) == [("00", "00"), ("01", "01"), ("10", "11"), ("11", "11")], "two u are two facts"


def test_three_values_find_what_the_table_finds() -> None:
    """All formulas of up to four facts."""
    for n in (1, 2, 3):
        for chosen, operations in product(product("tfu", repeat=n + 1), product("&|", repeat=n)):
            formula = Formula("".join(chosen), "".join(operations))
            assert says(rows(formula)) == str(run(formula)[-1])


@pytest.mark.parametrize("spec", [{}, {"steps": (9, 12)}])
def test_the_three_come_to_the_label(spec: dict[str, tuple[int, int]]) -> None:
    task = Formulas(**spec)
    for p in [task.problem(i) for i in range(60)]:
        machine = Machine()
        machine.run(program(p.data))
        assert machine.output == [says(rows(p.data))] == [p.answer]
        assert 1 <= len(unknown(p.data)) <= 2 and len(rows(p.data)) == 2 ** len(unknown(p.data))


def test_other_bits_say_something_else() -> None:
    for p in [Formulas().problem(i) for i in range(30)]:
        turned = [(bits, values[:-1] + "10"[int(values[-1])]) for bits, values in rows(p.data)]
        assert says(turned) == {"1": "-1", "-1": "1", "0": "0"}[p.answer]


def test_labels_are_balanced_and_none_hangs_on_the_length() -> None:
    drawn = Counter((p.answer, p.difficulty) for p in (Formulas().problem(i) for i in range(600)))
    assert set(drawn) == set(product(LABELS, (3, 4, 5, 6)))
    assert min(drawn.values()) > 25


def test_votes_are_parts_of_the_verdict() -> None:
    task = Formulas()
    posed = Problem("x", task.problem(0).question, "1", difficulty=DEEP)
    votes = list(zip(NOTATIONS, ("1", None, "0")))
    assert task.verify(posed, Reply("#1", data={VOTES: votes})).parts == {"nl": 1.0, "code": 0.0, "tt": 0.0, "ties": 0.0, "deep": 1.0}
