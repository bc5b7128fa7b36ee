"""The levels of SynLogic's families, worked by hand: one that never moves, or that moves for all families at once, would be no calibration."""

from __future__ import annotations

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab import catalogue
from thinkery.learning.recipe import Setting
from thinkery.tasks.addition import Addition
from thinkery.tasks.synlogic import FAMILIES

synlogic = catalogue.load("synlogic")


def rolled(index: int, k: int, score: float | None) -> Rollout:
    verdict = None if score is None else Verdict(score, "a")
    return Rollout(0, index, k, Problem("p", Question("q"), "1"), reply=Reply("x"), verdict=verdict)


def test_a_level_moves_where_all_or_nothing_is_right_and_stays_within_bounds() -> None:
    shares = (0.0, 0.1, 0.5, 0.8, 0.9)
    assert [synlogic.moved(2, share) for share in shares] == [1, 2, 2, 2, 3]
    assert [synlogic.moved(2, share, way=-1) for share in shares] == [3, 2, 2, 2, 1]
    assert (synlogic.moved(1, 0.0), synlogic.moved(synlogic.LEVELS, 1.0)) == (1, synlogic.LEVELS)


def test_each_family_has_a_level_of_its_own() -> None:
    climb = synlogic.levelled(3)
    state = climb.init()
    assert climb.pick(state, 0, 4) == [(i, {"level": 1}) for i in range(4)]
    fresh = range(3 * synlogic.EVERY)
    right = {0: 1.0, 1: 0.5, 2: 0.0}
    state = climb.update(state, 0, [rolled(i, k, right[i % 3]) for i in fresh[:-1] for k in range(2)])
    assert (state["next"], state["levels"]) == (3 * synlogic.EVERY - 1, [2, 1, 1])
    assert [len(s) for s in state["seen"]] == [0, 0, synlogic.EVERY - 1], "a look empties what was seen"
    state = climb.update(state, 1, [rolled(fresh[-1], 0, 0.0), rolled(fresh[-1], 1, None)])
    assert [len(s) for s in state["seen"]] == [0, 0, 0] and state["levels"] == [2, 1, 1]
    assert [spec["level"] for _, spec in climb.pick(state, 2, 3)] == [2, 1, 1]


def test_the_uniform_arm_has_each_family_at_each_level() -> None:
    count = len(synlogic.TASK.tasks)
    picks = synlogic.uniform(Setting(synlogic.TASK)).flat()[0].curriculum.pick({"next": 0}, 0, count * synlogic.LEVELS)
    assert len({(i % count, spec["level"]) for i, spec in picks}) == count * synlogic.LEVELS


def test_four_families_are_held_out() -> None:
    assert set(synlogic.HELD_OUT) <= set(FAMILIES)
    assert len(synlogic.TASK.tasks) == len(FAMILIES) - 4


def test_another_task_is_refused() -> None:
    with pytest.raises(BadConfig, match="the task 'addition' does not"):
        synlogic.recipe(Setting(Addition()))
