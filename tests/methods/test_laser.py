"""LASER's targets worked by hand: they come from monitored replies alone, follow the model, and never pay a wrong reply for being short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import Sums, start_of, weights_of
from thinkery.core.context import Context, Turn
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import rng
from thinkery.lab import catalogue
from thinkery.learning import checkpoint
from thinkery.learning.loop import Learning
from thinkery.learning.memory import Seen
from thinkery.learning.recipe import Recipe, Setting, WarmStart
from thinkery.models.model import Model
from thinkery.models.tokenizer import character_tokenizer
from thinkery.tasks.addition import Addition
from thinkery.tasks.chain import Chain
from thinkery.tasks.rechecked import MOST, Rechecked

laser = catalogue.load("laser")
TOKENIZER = character_tokenizer()
SETTING = Setting(Sums())
START = {"easy": 99, "medium": 99, "hard": 99}


def replied(score: float, tokens: int | Sequence[int], index: int = 0, k: int = 0) -> Rollout:
    """A reply of so many different tokens, or of these."""
    ids = tuple(range(tokens)) if isinstance(tokens, int) else tuple(tokens)
    turn = Turn(Context.root(TOKENIZER), "policy", ("tiny", 0), 1.0, "stop", ids, np.zeros(len(ids), np.float32))
    return Rollout(0, index, k, Problem(str(index), Question("q"), "1"), [turn], Reply("1"), Verdict(score, "1"))


def group(index: int, right: int, lengths: Sequence[int]) -> list[Rollout]:
    """Replies to one problem, the last `right` of them right."""
    return [replied(float(k >= len(lengths) - right), n, index, k) for k, n in enumerate(lengths)]


def total(recipe: Recipe, found: list[Rollout], state: Any = None) -> list[float]:
    reward = recipe.flat()[0].reward
    scores = reward.score(found, None if state is None else {"short": state})
    return [sum(weight * values[i] for weight, values in scores) for i in range(len(found))]


# ---- what is paid


def test_a_fixed_target_worked_by_hand() -> None:
    """The longest reply to Sums has 8 tokens, so the target has 4."""
    found = [replied(1.0, 4), replied(1.0, 5), replied(0.0, 1), replied(0.0, 8)]
    assert total(laser.fixed(SETTING), found) == [1.5, 1.0, -0.5, -0.5]
    assert total(laser.plain(SETTING), found) == [1.0, 1.0, -0.5, -0.5]
    assert total(laser.truncation(SETTING), found) == [1.0, -0.5, -0.5, -0.5]


def test_each_difficulty_has_its_target() -> None:
    targets = {"easy": 2, "medium": 4, "hard": 6}
    found = group(0, 2, [1, 2, 3]) + group(1, 1, [4, 5, 4]) + group(2, 1, [1, 1, 1, 6])
    paid = total(laser.recipe(SETTING), found, targets)
    assert paid == [-0.5, 1.5, 1.0, -0.5, -0.5, 1.5, -0.5, -0.5, -0.5, 1.5]
    assert laser.difficulties(found) == ["easy"] * 3 + ["medium"] * 3 + ["hard"] * 4


def test_a_wrong_reply_earns_nothing_by_being_short() -> None:
    found = group(0, 2, [1, 1, 9, 1]) + group(1, 0, [1, 1])
    wrong = [r.verdict is not None and r.verdict.score == 0 for r in found]
    for recipe in (laser.recipe, laser.exploring, laser.fixed, laser.static):
        paid = total(recipe(SETTING), found)
        assert all(p == -0.5 for p, w in zip(paid, wrong) if w)
        assert max(paid) == 1.5


def test_long_wrong_replies_are_spared_if_they_do_not_repeat_themselves() -> None:
    again = (1, 2, 3, 4) * 3
    found = [replied(0.0, 5), replied(0.0, 6), replied(0.0, again), replied(1.0, 6), replied(1.0, 5)]
    targets = {"easy": 1, "medium": 5, "hard": 1}
    assert total(laser.exploring(SETTING), found, targets) == [-0.5, 0.0, -0.5, 1.0, 1.5]
    assert total(laser.recipe(SETTING), found, targets) == [-0.5, -0.5, -0.5, 1.0, 1.5]
    assert [laser.repetitive(replied(0.0, ids)) for ids in (again, again[:-1], (7,) * 6, (7,) * 5, ())] == [True, False, True, False, False]


# ---- targets


def test_targets_of_ten_replies() -> None:
    lengths = [7, 2, 9, 4, 1, 6, 3, 10, 5, 8]
    assert [laser.covering(lengths, n) for _, _, n in laser.BUCKETS] == [2, 5, 10]
    for n in (1, 2, 5):
        for size in range(1, 24):
            share = lambda at, size=size: at / size
            assert laser.covering(range(1, size + 1), n) == next(at for at in range(1, size + 1) if int(share(at) * n + 1e-9) >= 1)


def test_targets_come_from_the_monitored_replies_right_or_wrong_and_from_nothing_else() -> None:
    monitored = group(0, 8, range(1, 11)) + group(1, 4, range(11, 21))  # easy, medium; there is no hard one
    step = group(7, 3, [50, 60, 70])
    seen = Seen(19, step, {"monitor": monitored, "greedy": group(8, 1, [3])})
    assert laser.aimed(START, seen, 99) == {"easy": 2, "medium": 15, "hard": 99}
    assert laser.aimed(START, replace(seen, rollouts=[]), 99) == laser.aimed(START, seen, 99)
    assert laser.aimed({"easy": 4, "medium": 5, "hard": 6}, Seen(3, step), 99) == {"easy": 4, "medium": 5, "hard": 6}
    assert laser.aimed({"easy": 4, "medium": 5, "hard": 6}, seen, 99)["hard"] == 99


def test_targets_follow_the_model_but_for_the_static_ones() -> None:
    first, later = (Seen(at, [], {"monitor": group(0, 8, lengths)}) for at, lengths in ((19, range(11, 21)), (39, range(1, 11))))
    ends = [update(update(START, first, longest=99), later, longest=99)["easy"] for update in (laser.aimed, laser.once)]
    assert ends == [2, 12]


# ---- in training


def quick(recipe: Recipe, **changes: Any) -> Recipe:
    """Four steps, monitored every second."""
    (stage,) = recipe.flat()
    probes = tuple(replace(p, every=2, problems=4) for p in stage.probes)
    return recipe.rl(steps=4, problems=4, samples=6, probes=probes, **changes)


def targets_of(learning: Learning) -> dict[str, int]:
    return learning.state.memory["0.0"]["reward"]["short"]  # type: ignore[no-any-return]


def test_it_monitors_as_it_says() -> None:
    (stage,) = laser.recipe(SETTING).flat()
    (probe,) = stage.probes
    assert (probe.every, probe.samples, probe.split, probe.temperature) == (20, 8, "train", stage.temperature)
    assert stage.reward.init() == {"short": {"easy": 8, "medium": 8, "hard": 8}}


def test_monitoring_sets_the_targets_and_a_resumed_run_keeps_them(warm: Model, tmp_path: Path) -> None:
    make = lambda: Learning(quick(laser.recipe(SETTING)), SETTING, start_of(warm))
    whole, met, states = make(), [], []
    for _ in range(4):
        met.append(whole.step())
        states.append(dict(targets_of(whole)))
    whole.leave()
    assert states[0] == laser.unaimed(8)
    assert states[1] == states[2] != states[0]
    assert ["probe/monitor" in m for m in met] == [False, True] * 2
    for stop in (1, 2, 3):
        first = make()
        for _ in range(stop):
            first.step()
        folder = checkpoint.save(first, tmp_path / str(stop))
        first.leave()
        again = make()
        checkpoint.load(again, folder)
        assert [again.step() for _ in range(4 - stop)] == met[stop:]
        assert targets_of(again) == states[-1]
        assert weights_of(again.model) == weights_of(whole.model)
        again.leave()


def test_without_its_monitor_the_targets_stay(warm: Model) -> None:
    learning = Learning(quick(laser.recipe(SETTING)).rl(probes=()), SETTING, start_of(warm))
    for _ in range(4):
        learning.step()
    assert targets_of(learning) == laser.unaimed(8)
    learning.leave()


def test_the_targets_teach(warm: Model) -> None:
    """With another target from the second step on, something else is learnt."""
    ends = []
    for aimed in (laser.aimed, lambda state, seen, longest: dict.fromkeys(state, 0)):
        learning = Learning(quick(laser.adaptive(SETTING, update=aimed)), SETTING, start_of(warm))
        for _ in range(3):
            learning.step()
        ends.append(weights_of(learning.model))
        learning.leave()
    assert ends[0] != ends[1]


@pytest.mark.parametrize("task", [Chain(steps=(2, 4)), Addition(digits=(1, 3))])
def test_rechecked_work_is_the_same_again_and_leads_to_the_same_answer(task: Chain | Addition) -> None:
    wrapped, copies = Rechecked(task), set()
    for i in range(60):
        problem = wrapped.problem(i)
        assert problem == task.problem(i)
        text = wrapped.demonstration(problem, "trace", rng("x", i))
        work, answer = text.split("#")
        rows = work.split(";")
        assert set(rows) == {task.demonstration(problem, "trace", rng("x", i)).split("#")[0]}
        assert answer == problem.answer
        assert wrapped.verify(problem, Reply(text)).score == 1
        assert wrapped.demonstration(problem, "direct", rng("x", i)) == f"#{answer}"
        assert len(text) < wrapped.max_tokens
        copies.add(len(rows) - 1)
    assert copies == set(range(MOST + 1))


def test_its_claim_is_made_from_one_start() -> None:
    claim = laser.CLAIM
    assert isinstance(claim.setting.start, WarmStart)
    assert claim.placebo is not None
    assert all(c.why for c in claim.comparisons)
    assert all(arm(claim.setting).flat()[0].probes for name, arm in claim.arms.items() if name in ("laser-d", "static"))
