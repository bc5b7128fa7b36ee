"""The cosine's wrong branch runs the other way than its right one: with the sign turned, a model would learn to give up at once."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from tests.support import Sums
from thinkery.core.context import Context, Turn
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab import catalogue
from thinkery.learning.recipe import Setting
from thinkery.models.tokenizer import character_tokenizer
from thinkery.tasks import load_task

method = catalogue.load("open_rs")
ROOT = Context.root(character_tokenizer())


def replied(score: float, tokens: int, parsed: str | None = "1") -> Rollout:
    turn = Turn(ROOT, "policy", ("tiny", 0), 1.0, "stop", tuple(range(tokens)), np.zeros(tokens, np.float32))
    return Rollout(0, 0, 0, Problem("0", Question("q"), "1"), [turn], Reply("1"), Verdict(score, parsed))


def test_the_cosine_at_its_ends_and_in_the_middle() -> None:
    ends = [[method.value(right, at, 100) for at in (0, 50, 100, 250)] for right in (1.0, 0.0)]
    assert np.allclose(ends, [[1.0, 0.75, 0.5, 0.5], [-1.0, -0.75, -0.5, -0.5]])
    assert method.value(1.0, 25, 100) == pytest.approx(0.5 + 0.25 * (1 + math.cos(math.pi / 4)))


def test_long_right_replies_earn_less_and_long_wrong_ones_cost_less() -> None:
    for right in (1.0, 0.0):
        values = [method.value(right, n, 40) for n in range(41)]
        assert all((a > b) == (right == 1.0) and a != b for a, b in pairwise(values))
    assert min(method.value(1.0, n, 40) for n in range(41)) > max(method.value(0.0, n, 40) for n in range(41))


def test_what_a_reply_earns() -> None:
    (stage,) = method.recipe(Setting(Sums())).flat()
    longest = Setting(Sums()).longest
    found = [replied(1.0, 0), replied(0.0, 0), replied(0.0, longest), replied(0.0, longest, None)]
    scores = stage.reward.score(found)
    assert [sum(w * values[i] for w, values in scores) for i in range(4)] == pytest.approx([3.0, -1.0, 0.0, -1.0])
    (stage,) = method.mixed(Setting(Sums())).flat()
    scores = stage.reward.score(found)
    assert [sum(w * values[i] for w, values in scores) for i in range(4)] == pytest.approx([2.0, 1.0, 1.0, 0.0])


def test_the_limit_of_a_run_is_the_cosine_s() -> None:
    (stage,) = method.recipe(Setting(Sums(), max_tokens=10)).flat()
    scores = stage.reward.score([replied(1.0, 10)])
    assert sum(w * values[0] for w, values in scores) == pytest.approx(2 * 0.5 + 1)


@pytest.mark.parametrize(
    ("name", "keys"), [("chain", {"steps": (7, 8)}), ("chain:steps=2-8", {"steps": (6, 8)}), ("addition:digits=3", {"digits": (3, 3)})]
)
def test_the_hard_end_of_a_range(name: str, keys: dict[str, tuple[int, int]]) -> None:
    assert method.hardest(load_task(name)) == keys


def test_tasks_without_a_range_are_met_as_they_are() -> None:
    assert method.hardest(Sums()) == {}
    assert method.hardest(load_task("beyond_chain")) == {}
    assert method.hardest(method.TASK) == {"steps": (6, 8)}


def test_arms_differ_in_problems_and_pay_alone() -> None:
    setting = method.CLAIM.setting
    stages = {name: arm(setting).flat()[0] for name, arm in method.CLAIM.arms.items()}
    picks = {name: stage.curriculum.pick(stage.curriculum.init(), 0, 30) for name, stage in stages.items()}
    difficulty = {name: [setting.task.problem(i, **spec).difficulty for i, spec in found] for name, found in picks.items()}
    assert difficulty["mixed"] == difficulty["open_rs"] != difficulty["hard"] == difficulty["hard, cosine"]
    assert min(difficulty["hard"]) == 6 > min(difficulty["mixed"])
    parts = {name: [part for part, _, _ in stage.reward.parts] for name, stage in stages.items()}
    assert parts["hard"] == parts["mixed"] == ["accuracy", "formatted"]
    assert parts["open_rs"] == parts["hard, cosine"] == ["cosine", "formatted"]
    assert {stage.optimizer.decay for stage in stages.values()} == {"cosine"}
