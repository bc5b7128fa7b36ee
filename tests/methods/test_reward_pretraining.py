"""What starts from nothing must not have been shown anything, and all arms must sample the same: or the comparison is of something else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support import Sums, model_of, start_of, weights_of
from thinkery.core.errors import BadConfig
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.lab import catalogue
from thinkery.lab.recipes import configured
from thinkery.learning.collect import Collector, Unit
from thinkery.learning.curriculum import spread
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting
from thinkery.models.model import Model, load_model
from thinkery.solvers.windowed import windowed
from thinkery.tasks.connect3 import Connect3, Played
from thinkery.tasks.noted import Noted
from thinkery.tasks.spurious import Spurious

method = catalogue.load("reward_pretraining")
SETTING = Setting(Played())
ARMS: dict[str, Recipe] = {name: configured(make(SETTING), method.CLAIM.config) for name, make in method.CLAIM.arms.items()}


def test_reward_alone_is_shown_nothing_and_begins_at_random() -> None:
    (stage,) = ARMS["RPT"].flat()
    assert (stage.name, stage.source, dict(stage.styles)) == ("rl", "task", {})
    assert method.CLAIM.setting.start == "random:tiny"
    start, trained = load_model("random:tiny"), load_model("tiny")
    assert start.decoder.config == trained.decoder.config
    assert weights_of(start) != weights_of(trained)


def test_rewarded_arms_sample_the_same_number_of_tokens_in_the_same_way() -> None:
    last = [recipe.flat()[-1] for name, recipe in ARMS.items() if name != "SPT"]
    assert len(last) == 3
    assert len({(s.steps, s.problems, s.samples, s.temperature, s.optimizer, s.solver) for s in last}) == 1
    assert len({tuple(x.name for x in s.losses) for s in last}) == 1
    first = [recipe.flat()[0] for name, recipe in ARMS.items() if name != "RPT"]
    assert [dict(s.styles) for s in first] == [{"mediocre": 1.0}, {"optimal": 1.0}, {"mediocre": 1.0}]
    assert {(s.source, s.steps, s.problems) for s in first} == {("demonstrations", 400, 64)}
    assert all(s.solver is method.pointed for recipe in ARMS.values() for s in recipe.flat())


@pytest.mark.parametrize("rewarded", [True, False])
@pytest.mark.parametrize("shown", [None, {"direct": 1.0}])
def test_each_corner_of_the_table_is_a_recipe(shown: dict[str, float] | None, rewarded: bool) -> None:
    setting, order = Setting(Sums()), spread([{}])
    if not shown and not rewarded:
        with pytest.raises(BadConfig, match="nothing is learnt"):
            method.arm(setting, shown, rewarded)
        return
    stages = method.arm(setting, shown, rewarded, order).flat()
    assert [s.name for s in stages] == ["sft"] * bool(shown) + ["rl"] * rewarded
    assert not rewarded or stages[-1].curriculum is order


def test_a_move_is_one_token_behind_a_given_mark() -> None:
    task = Connect3()
    at = Collector(task, LocalEngine(model_of()), method.pointed, Sampling(task.max_tokens, 1.0), 0)
    found = at.collect(0, [Unit(i, k) for i in range(6) for k in range(8)])
    for r in found:
        assert r.error is None
        assert r.reply is not None and r.verdict is not None
        assert r.tokens == 1
        assert r.reply.text[0] == "#"
        assert len(r.reply.text) <= 2
        assert not r.reply.truncated
        assert r.verdict.score == (r.reply.text == f"#{r.problem.answer}")
    assert len({r.reply.text for r in found if r.reply}) > 3


def test_rewards_move_random_weights_without_demonstrations() -> None:
    """Forty steps from nothing: what is written behind the mark turns into columns."""
    changes: dict[str, Any] = {"steps": 40, "problems": 32, "samples": 16, "kind": "muon", "muon_lr": 3e-3}
    setting = Setting(Connect3())
    learning = Learning(configured(method.recipe(setting), changes), setting, load_model("random:tiny"))
    met = [learning.step() for _ in range(40)]
    learning.leave()
    assert sum(m["accuracy"] for m in met[:3]) / 3 < 0.06
    assert sum(m["accuracy"] for m in met[-5:]) / 5 > 0.12


def test_another_task_is_refused() -> None:
    with pytest.raises(BadConfig, match=r"reward_pretraining .*'sums'"):
        method.recipe(Setting(Sums()))


def test_imitation_is_of_the_column_alone() -> None:
    """Behind the mark that is given: where rewards look."""
    task = Played()
    at = Collector(task, LocalEngine(model_of()), method.pointed, Sampling(task.max_tokens, 1.0), 0)
    for r in at.collect(0, [Unit(i, 0, {}, "optimal") for i in range(10)]):
        assert r.error is None
        assert r.reply is not None and r.verdict is not None
        assert (r.reply.text, r.verdict.score) == (f"#{r.problem.answer}", 1)
        (turn,) = r.turns
        assert turn.text == r.problem.answer
        assert turn.context.text.endswith("?#")


def test_a_window_with_a_memory_learns_by_imitation_and_by_reward(warm: Model) -> None:
    setting = Setting(Noted(Spurious(steps=(7, 9))))
    recipe = method.arm(setting, {"notes": 1.0}, solver=windowed)
    recipe = Recipe(tuple(replace(s, steps=1, problems=4, samples=min(4, s.samples)) for s in recipe.flat()))
    learning, met = Learning(recipe, setting, start_of(warm)), []
    while not learning.done:
        met.append(learning.step())
    learning.leave()
    assert [m["errors"] for m in met] == [0, 0]
    assert weights_of(learning.model) != weights_of(warm)
