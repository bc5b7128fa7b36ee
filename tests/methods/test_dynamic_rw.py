"""A factor that is common to a batch cancels when advantages are divided by their deviation, and gradients that are split after the fact agree by
construction: either way weights would move and nothing would be learnt from it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import Sums, start_of, weights_of
from thinkery.core.context import Context, Turn
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab import catalogue
from thinkery.lab.metrics import hypervolume
from thinkery.learning import advantages, rewards
from thinkery.learning.loop import Learning
from thinkery.learning.memory import Seen
from thinkery.learning.recipe import Recipe, Setting
from thinkery.models.model import Model
from thinkery.models.tokenizer import character_tokenizer

method = catalogue.load("dynamic_rw")
SETTING = Setting(Sums())
ROOT = Context.root(character_tokenizer())


def replied(score: float, tokens: int, text: str = "1") -> Rollout:
    turn = Turn(ROOT, "policy", ("tiny", 0), 1.0, "stop", tuple(range(tokens)), np.zeros(tokens, np.float32))
    return Rollout(0, 0, 0, Problem("0", Question("q"), "1"), [turn], Reply(text), Verdict(score, "1"))


def quick(recipe: Recipe, **changes: Any) -> Recipe:
    return recipe.rl(**({"steps": 3, "problems": 4, "samples": 6} | changes))


def after(recipe: Recipe, warm: Model, steps: int = 2) -> tuple[bytes, Learning]:
    learning = Learning(recipe, SETTING, start_of(warm))
    for _ in range(steps):
        learning.step()
    learning.leave()
    return weights_of(learning.model), learning


# ---- objectives


def test_objectives_by_hand() -> None:
    found = [replied(1.0, 3), replied(0.0, 5, "a\nb"), replied(1.0, 8, "a\n\n")]
    assert method.vectors(found, 5.0) == [(1.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)]
    assert method.averaged(10.0, found) == pytest.approx(0.9 * 10 + 0.1 * 16 / 3)
    assert method.averaged(10.0, []) == 10.0
    assert method.averaged(None, found) == pytest.approx(16 / 3)
    assert method.brief(found, None) == [0.0, 0.0, 0.0]
    state = {"mean": 5.0, "m": 2.0, "reference": None, "front": []}
    assert method.scalarised(found, state) == pytest.approx([2 * 0.75, 2 * 0.25, 2 * 0.5])


# ---- by hypervolume


def test_hypervolume_in_three_dimensions_by_hand() -> None:
    assert hypervolume([(1, 1, 1)], (0, 0, 0)) == 1
    assert hypervolume([(2, 1, 1), (1, 2, 1), (1, 1, 2)], (0, 0, 0)) == 4
    assert hypervolume([(2, 1, 1), (1, 1, 1), (0, 9, 9)], (0, 0, 0)) == 2
    assert hypervolume([(0.5, 0.5, 0.5)], (0.25, 0.5, 0)) == 0


def test_the_factor_follows_what_the_front_gains() -> None:
    state = method.guided(SETTING).flat()[0].reward.init()["guided"]
    assert (state["m"], state["mean"]) == (1.0, None)
    unseen = method.widened(state, Seen(0, [replied(1.0, 8)]))
    assert unseen["m"] == 1.0 and unseen["reference"] is None
    step = lambda state, *found: method.widened(state, Seen(4, [], {"validate": list(found), "other": [replied(0.0, 1)]}))
    first = step(state | {"mean": 5.0}, replied(0.0, 3), replied(1.0, 9))
    assert first["reference"] == [0.5, 0.5, 0.0] and first["m"] == 0.5 and first["front"] == []
    wider = step(first, replied(1.0, 3, "a\nb"))
    assert wider["front"] == [[1.0, 1.0, 1.0]]
    assert wider["m"] == pytest.approx(0.5 + 1.5 * math.tanh(0.25))
    same = step(wider, replied(1.0, 3, "a\nb"))
    assert same["m"] == 0.5 and same["front"] == wider["front"]


def test_the_factor_changes_what_is_learnt_unless_it_is_divided_out(warm: Model) -> None:
    """Which is why no deviation divides here: with it, the factor of a whole batch is gone (but for the 1e-4 beside the deviation)."""

    def learnt(m: float, **changes: Any) -> list[float]:
        part = method.guided(SETTING).flat()[0].reward.parts[0][2]
        fixed = replace(part, init=lambda: part.init() | {"m": m}, update=lambda state, seen: state)
        recipe = quick(method.guided(SETTING), reward=rewards.weighted(correct=0.0, guided=fixed), probes=(), **changes)
        learning = Learning(recipe, SETTING, start_of(warm))
        norm = learning.step()["gradient_norm"]
        learning.leave()
        return norm

    assert learnt(2.0) == pytest.approx(2 * learnt(1.0), rel=1e-4)
    assert learnt(2.0, advantage=advantages.group_normalised) == pytest.approx(learnt(1.0, advantage=advantages.group_normalised), rel=1e-2)


# ---- by gradients


def test_weights_follow_agreement_by_hand() -> None:
    gradients = {"accuracy": torch.tensor([1.0, 0.0]), "concise": torch.tensor([1.0, 1.0]), "clear": torch.tensor([-1.0, 0.0])}
    found, state = method.reweighted(gradients, {"weights": [0.5, 0.25, 0.25]})
    influence = [1.0, 2.0, -1.0]  # with the sum of all, (1, 1)
    raised = [w * math.exp(0.1 * s / 2) for w, s in zip([0.5, 0.25, 0.25], influence)]
    assert state["weights"] == pytest.approx([w / sum(raised) for w in raised])
    a, b, c = state["weights"]
    assert found.tolist() == pytest.approx([a + b - c, b])
    _, other = method.reweighted(gradients, {"weights": [0.5, 0.25, 0.25]}, turned=1)
    raised = [w * math.exp(0.1 * s / 2) for w, s in zip([0.5, 0.25, 0.25], [2.0, -1.0, 1.0])]
    assert other["weights"] == pytest.approx([w / sum(raised) for w in raised])
    still, state = method.reweighted({name: torch.zeros(2) for name in gradients}, {"weights": [0.5, 0.25, 0.25]})
    assert state["weights"] == pytest.approx([0.5, 0.25, 0.25]) and still.tolist() == [0.0, 0.0]


def test_each_objective_has_a_gradient_of_its_own(warm: Model) -> None:
    """Weighed as they were at first, they add up to what the weighted sum of rewards gives; alone, they are not alike."""
    seen: list[dict[str, Any]] = []

    def kept(gradients: Any, state: Any) -> Any:
        seen.append({name: g.clone() for name, g in gradients.items()})
        return sum(w * gradients[name] for name, w in method.WEIGHTS.items()), state

    (stage,) = method.recipe(SETTING).flat()
    same = quick(method.recipe(SETTING), combine=replace(stage.combine, step=kept))
    learning, fixed = Learning(same, SETTING, start_of(warm)), Learning(quick(method.fixed(SETTING)), SETTING, start_of(warm))
    learning.step(), fixed.step()  # which has no mean of lengths yet
    ours, theirs = learning.step(), fixed.step()
    learning.leave()
    fixed.leave()
    assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-4)
    found = seen[-1]
    assert list(found) == ["accuracy", "concise", "clear"]
    a, b = found["accuracy"], found["concise"]
    assert abs(float(a @ b / (a.norm() * b.norm()))) < 0.99


def test_weights_are_learnt_and_change_what_is_learnt(warm: Model) -> None:
    one, learning = after(quick(method.recipe(SETTING)), warm)
    weights = learning.state.memory["0.0"]["combine"]["weights"]
    assert sum(weights) == pytest.approx(1) and weights != list(method.WEIGHTS.values())
    two, _ = after(quick(method.fixed(SETTING)), warm)
    assert one != two


def test_both_forms_run_with_their_probes(warm: Model) -> None:
    (stage,) = method.guided(SETTING).flat()
    probes = tuple(replace(p, every=1, problems=4) for p in stage.probes)
    _, learning = after(quick(method.guided(SETTING), probes=probes), warm)
    state = learning.state.memory["0.0"]["reward"]["guided"]
    assert state["reference"] is not None and 0.5 <= state["m"] <= 2.0
    assert {p.split for p in stage.probes} == {"validation"}


def test_parts_of_a_reward_reach_the_batch_apart(warm: Model) -> None:
    seen: list[Any] = []

    def watched(batch: Any) -> Any:
        seen.append({name: batch.extra[f"reward/{name}"].copy() for name in method.WEIGHTS} | {"all": batch.reward.copy()})
        return method.apart(batch)

    after(quick(method.recipe(SETTING), advantage=watched), warm, 1)
    (found,) = seen
    assert found["all"] == pytest.approx(sum(w * found[name] for name, w in method.WEIGHTS.items()))
    assert set(found["accuracy"]) <= {0.0, 1.0}
