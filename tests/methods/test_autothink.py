"""AutoThink's rewards worked by hand: the balance is the whole step's, what cannot be read has no part in it, and both ways are met at the start."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from tests.support import Sums
from thinkery.core.context import Context, Turn
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import rng
from thinkery.lab import catalogue
from thinkery.learning import rewards
from thinkery.learning.recipe import Setting
from thinkery.models.tokenizer import character_tokenizer
from thinkery.solvers.ellipsis import ellipsis
from thinkery.solvers.single import single
from thinkery.tasks.chain import Chain
from thinkery.tasks.elided import MARK, Elided, Marked

autothink = catalogue.load("autothink")
TOKENIZER = character_tokenizer()


def replied(think: bool | None, right: bool, tokens: int = 3, index: int = 0, parsed: str | None = "1") -> Rollout:
    ids = tuple(range(tokens))
    turn = Turn(Context.root(TOKENIZER), "policy", ("tiny", 0), 1.0, "stop", ids, np.zeros(tokens, np.float32))
    problem = Problem(str(index), Question("q"), "1")
    return Rollout(0, index, 0, problem, [turn], Reply("1", data={"think": think}), Verdict(float(right), parsed))


KINDS = [(True, True), (True, False), (False, True), (False, False)]
UNREAD = [replied(None, False), replied(True, False, parsed=None), replied(False, False, parsed=None)]


def test_the_table() -> None:
    assert autothink.table([*(replied(*k) for k in KINDS), *UNREAD]) == [1.0, 0.0, 2.0, -1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("kinds", "want"),
    [
        (KINDS, [1.0, 0.0, 2.0, -1.0]),  # z = 1/2: as the table says
        ([(True, True), (True, False), (True, True), (False, True)], [0.5, -0.5, 0.5, 2.0]),  # z = 3/4, d = 1/2
        ([(False, True), (False, False), (False, False), (True, True)], [1.5, -1.5, -1.5, 1.0]),  # z = 1/4, d = 1/2
        ([(True, True), (True, False)], [0.0, -1.0]),  # z = 1, d = 1: the targets
        ([(False, True), (False, False)], [1.0, -2.0]),  # z = 0, d = 1
        ([], []),
    ],
)
def test_the_balance_worked_by_hand(kinds: Sequence[tuple[bool, bool]], want: list[float]) -> None:
    found = [replied(*k) for k in kinds]
    assert autothink.balanced([*found, *UNREAD]) == [*want, 0.0, 0.0, 0.0]


def test_the_balance_is_of_the_step_not_of_a_prompt() -> None:
    """One prompt's replies all think, the other's none does: together they are in balance, each alone is not."""
    found = [replied(think, True, index=int(think)) for think in (True, True, False, False)]
    assert autothink.balanced(found) == [1.0, 1.0, 2.0, 2.0]
    assert autothink.apart(found) == [0.0, 0.0, 1.0, 1.0]


def test_length_worked_by_hand() -> None:
    """Right: 2 and 4 tokens, z = -1 and 1. Wrong: 1 and 7, the same. Another prompt's replies do not count, and one alone has z = 0."""
    found = [
        replied(True, True, 2),
        replied(False, True, 4),
        replied(True, False, 1),
        replied(False, False, 7),
        replied(True, True, 9, index=1),
    ]
    up, down = math.exp(0.05) - 1, math.exp(-0.05) - 1
    assert autothink.brief(found) == pytest.approx([1 + up, 2 + down, -up, -1 - down, 1.0])
    assert down < 0 < up, "short right and long wrong replies are favoured"
    assert autothink.brief(UNREAD) == [0.0, 0.0, 0.0]


def test_the_stages() -> None:
    setting = Setting(Sums())
    stages = autothink.recipe(setting).flat()
    assert [s.name for s in stages] == ["balance", "table", "rl"]
    parts = [s.reward.parts for s in stages]
    assert parts == [(("paid", 1.0, f),) for f in (autothink.balanced, autothink.table, autothink.brief)]
    assert {(s.samples, s.problems, s.solver) for s in stages} == {(8, 32, ellipsis)}
    forced = autothink.forced(setting).flat()
    assert {(s.samples, s.problems, s.solver) for s in forced} == {(8, 32, single)}
    assert {s.reward for s in forced} == {rewards.CORRECT}
    assert autothink.unbalanced(setting).flat()[0].reward.parts == parts[1]


def test_equal_pay_makes_no_difference_between_the_ways() -> None:
    scores = [s.reward.score([replied(*k) for k in KINDS]) for s in autothink.equal(Setting(Sums())).flat()]
    assert [values for ((_, values),) in scores] == [[1.0, 0.0, 1.0, 0.0]] * 3


# ---- the task


def test_both_ways_are_met_behind_the_mark_alone() -> None:
    task = Marked(Chain(steps=(2, 3)))
    plain, marked = task.problem(0), task.problem(1)
    assert marked.question.prompt == plain.question.prompt + MARK and marked.id != plain.id
    assert marked.answer == plain.answer and task.problem(2).question.prompt != plain.question.prompt
    said = {(p is marked, s): task.demonstration(p, s, rng("x")) for p in (plain, marked) for s in task.styles}
    assert said[True, "direct"] == "#" + plain.answer
    assert said[False, "direct"] == said[False, "trace"] == said[True, "trace"] != said[True, "direct"]


def test_verdicts_tell_who_thought() -> None:
    task = Elided(Chain(steps=3))
    problem = task.problem(0)
    for think in (True, False):
        parts = task.verify(problem, Reply("#" + problem.answer, data={"think": think})).parts
        assert parts == {"think": float(think), "think 3": float(think)}
    assert not task.verify(problem, Reply("", True, {"think": None})).parts
    assert not task.verify(problem, Reply("x#y", data={"think": True})).parts, "it cannot be read"
    assert not task.verify(problem, Reply("#1")).parts, "it was not asked"
