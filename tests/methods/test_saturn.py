"""SATURN's levels, worked by hand: a gate that a lucky guesser passes, or an order that is none, would be no curriculum."""

from __future__ import annotations

from itertools import product

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import rng
from thinkery.lab import catalogue
from thinkery.learning.recipe import Setting
from thinkery.tasks.addition import Addition
from thinkery.tasks.sat import Sat, hardness

saturn = catalogue.load("saturn")


def test_difficulty_and_chance_of_the_levels() -> None:
    """The card's figures: D from 5.1 to 11.0, rising; chance .32 .34 .34 .18 .07 .07 .03."""
    measured = [hardness(*level) for level in saturn.LEVELS]
    assert measured == sorted(measured)
    assert (measured[0], measured[-1]) == (pytest.approx(5.085, abs=1e-3), pytest.approx(10.986, abs=1e-3))
    assert [round(saturn.chance(level), 2) for level in saturn.LEVELS] == [0.32, 0.34, 0.34, 0.18, 0.07, 0.07, 0.03]


def test_guessing_at_random_scores_as_chance_says() -> None:
    """Formulas drawn around a planted assignment are a little kinder than chance; never twice as kind."""
    level = saturn.LEVELS[3]
    task, hits = Sat(**saturn.keys(level)), []
    for i in range(150):
        p = task.problem(i)
        letters = sorted({c for c in p.question.prompt if c.isalpha()})
        guess = "".join(("~" if rng(i, x).below(2) else "") + x for x in letters)
        hits.append(task.verify(p, Reply("#" + guess)).score)
    assert saturn.chance(level) * 0.7 < sum(hits) / len(hits) < saturn.chance(level) * 2


def test_every_satisfying_assignment_is_right() -> None:
    task = Sat(**saturn.keys(saturn.LEVELS[1]))
    p = task.problem(0)
    letters = sorted({c for c in p.question.prompt if c.isalpha()})
    clauses = [c.split("|") for c in p.question.prompt.rstrip("?").split(";")]
    right = 0
    for signs in product(("", "~"), repeat=len(letters)):
        held = [s + x for s, x in zip(signs, letters)]
        satisfied = all(set(c) & set(held) for c in clauses)
        assert task.verify(p, Reply("#" + "".join(held))).score == float(satisfied)
        assert task.verify(p, Reply("#" + "".join(held[:-1]))).score == 0, "a variable left out is not false"
        right += satisfied
    assert right > 1


def test_the_gate_counts_from_chance() -> None:
    gate = saturn.mastered
    assert not gate(saturn.LEVELS, 0.6, 0, 0.5) and gate(saturn.LEVELS, 0.6, 0, 0.75)  # 0.316 + 0.6 * 0.684 = 0.727
    assert not gate(saturn.LEVELS, 0.6, 0, 0.72) and gate(saturn.LEVELS, 0.6, 0, 0.73)


def rolled(index: int, k: int, score: float | None) -> Rollout:
    verdict = None if score is None else Verdict(score, None if score < 0.1 else "a")
    return Rollout(0, index, k, Problem("p", Question("q"), "1"), reply=Reply("x"), verdict=verdict)


def test_the_ladder_climbs_where_the_gate_is_passed() -> None:
    climb = saturn.recipe(Setting(saturn.TASK)).flat()[0].curriculum
    state = climb.init()
    assert climb.pick(state, 0, 2) == [(0, saturn.keys(saturn.LEVELS[0])), (1, saturn.keys(saturn.LEVELS[0]))]
    low = [rolled(i, k, float(k == 0)) for i in range(saturn.EVERY) for k in range(2)]  # half: below the gate
    state = climb.update(state, 0, low)
    assert (state["level"], state["next"], state["seen"]) == (0, saturn.EVERY, [])
    state = climb.update(state, 1, [rolled(i, 0, 1.0) for i in range(saturn.EVERY - 1)])
    assert state["level"] == 0, "not looked at before there are enough"
    state = climb.update(state, 2, [rolled(99, 0, 1.0), rolled(100, 0, None)])
    assert (state["level"], state["next"]) == (1, 2 * saturn.EVERY + 1)
    for step in range(9):
        state = climb.update(state, step, [rolled(i, 0, 1.0) for i in range(saturn.EVERY)])
    assert state["level"] == len(saturn.levels(Setting(saturn.TASK))) - 1, "the last level stays"


def test_levels_are_none_harder_than_the_task() -> None:
    assert saturn.levels(Setting(saturn.TASK)) == saturn.LEVELS[:4]
    assert saturn.levels(Setting(Sat(clauses=26, variables=6, width=3))) == saturn.LEVELS
    with pytest.raises(BadConfig, match="the task 'addition' has not"):
        saturn.recipe(Setting(Addition()))


def test_a_reply_without_an_answer_costs_one() -> None:
    assert saturn.unread([rolled(0, 0, 1.0), rolled(0, 1, 0.0), rolled(0, 2, None)]) == [0.0, -1.0, -1.0]


def test_the_mixture_has_all_levels_equally_often() -> None:
    picks = saturn.uniform(Setting(saturn.TASK)).flat()[0].curriculum.pick({"next": 3}, 0, 8)
    assert [i for i, _ in picks] == list(range(3, 11))
    assert sorted(str(spec) for _, spec in picks) == sorted(str(saturn.keys(x)) for x in saturn.LEVELS[:4] for _ in range(2))
