"""The claim is about three kinds of test problems at once: a score under the wrong name, or an arm that sees far problems while it learns, would
make it about nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support import Sums
from thinkery.core.context import Context, Turn
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab import catalogue
from thinkery.lab.loading import load_model
from thinkery.lab.trial import measured
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting
from thinkery.models.tokenizer import character_tokenizer
from thinkery.tasks.complexity import LIMIT, Beyond

method = catalogue.load("complexity_ood")


def answered(parts: dict[str, float]) -> Rollout:
    turn = Turn(Context.root(character_tokenizer()), "policy", ("tiny", 0), 1.0, "stop", (1,), ())
    return Rollout(0, 0, 0, Problem("0", Question("q"), "1"), [turn], Reply("1"), Verdict(max(parts.values()), "1", parts))


def test_parts_of_verdicts_are_measured_over_those_that_have_them() -> None:
    found = measured([answered(p) for p in ({"known": 1.0}, {"far": 0.0, "worked": 0.0}, {"far": 1.0, "worked": 1.0}, {"long": 1.0})])
    assert (found["known"], found["far"], found["long"], found["worked"]) == (1.0, 0.5, 1.0, 0.5)
    assert found["accuracy"] == 0.75


@pytest.mark.parametrize(("arm", "style"), [("answers", "direct"), ("trace", "trace"), ("filler", "filler")])
def test_arms_differ_in_what_they_imitate_alone(arm: str, style: str) -> None:
    setting = method.CLAIM.setting
    (stage,), (other,) = method.CLAIM.arms[arm](setting).flat(), method.recipe(setting).flat()
    assert stage.styles == {style: 1.0}
    assert (stage.steps, stage.problems, stage.optimizer) == (other.steps, other.problems, other.optimizer)


def test_a_task_without_traces_is_taught_by_what_it_has() -> None:
    (stage,) = method.recipe(Setting(Sums())).flat()
    assert list(stage.styles) == [Sums().styles[0]]


def test_nothing_far_is_learnt_from() -> None:
    """Neither by imitation nor by rewards."""
    task = Beyond("circuits")
    met = []

    class Watched(Beyond):
        def problem(self, index: int, split: str = "train", seed: int = 0, **spec: object) -> Problem:
            met.append(super().problem(index, split, seed))
            return met[-1]

    setting = Setting(Watched("circuits"))
    short = Recipe(tuple(replace(s, steps=1, problems=4, samples=min(s.samples, 2)) for s in method.CLAIM.arms["rewarded"](setting).flat()))
    learning = Learning(short, setting, load_model("tiny", "cpu"))
    while not learning.done:
        learning.step()
    learning.leave()
    assert len(short.flat()) == 2
    assert met
    assert all(p.data[0] == "known" and p.difficulty <= LIMIT for p in met)
    assert {task.problem(i, "test").data[0] for i in range(3)} == {"known", "long", "far"}
