"""Noise of the kind that is meant: for a whole question, in the reward alone, and never where nothing was said."""

from __future__ import annotations

import numpy as np
import pytest

from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab import catalogue
from thinkery.learning.recipe import Setting
from thinkery.tasks.addition import Addition

noisy = catalogue.load("noisy_rewards")


def rolled(problem: int, k: int, score: float, text: str = "x", step: int = 0, parsed: bool = True) -> Rollout:
    verdict = Verdict(score, text if parsed else None)
    return Rollout(step, problem, k, Problem(str(problem), Question("q"), "1"), reply=Reply(text), verdict=verdict)


def test_a_coin_is_for_all_samples_of_a_question() -> None:
    found = [rolled(i, k, float(k % 2)) for i in range(400) for k in range(4)]
    values = np.array(noisy.Flipped(0.4)(found)).reshape(400, 4)
    turned = values[:, 0] == 1
    assert (values == np.where(turned[:, None], [1, 0, 1, 0], [0, 1, 0, 1])).all()
    assert 0.33 < turned.mean() < 0.47
    assert noisy.Flipped(0.4)(found) == noisy.Flipped(0.4)(found)
    later = np.array(noisy.Flipped(0.4)([rolled(i, 0, 0.0, step=1) for i in range(400)]))
    assert (later != turned).any(), "met again, a question has another coin"


def test_a_coin_by_sample_is_another_noise() -> None:
    found = [rolled(i, k, 1.0) for i in range(200) for k in range(8)]
    values = np.array(noisy.Flipped(0.4, by_sample=True)(found)).reshape(200, 8)
    assert (values.min(1) < values.max(1)).mean() > 0.9
    assert 0.35 < 1 - values.mean() < 0.45


def test_what_has_no_answer_stays_0() -> None:
    assert set(noisy.Flipped(1.0)([rolled(i, 0, 0.0, parsed=False) for i in range(50)])) == {0.0}
    assert noisy.Flipped(1.0)([rolled(0, 0, 1.0), rolled(1, 0, 0.0)]) == [0.0, 1.0]
    assert noisy.Flipped(0.0)([rolled(0, 0, 1.0), rolled(1, 0, 0.0)]) == [1.0, 0.0]


def test_the_expected_advantage_shrinks_to_one_minus_two_p() -> None:
    right, n = np.array([1.0, 0.0, 0.0, 1.0]), 4000
    found = [rolled(i, k, right[k]) for i in range(n) for k in range(4)]
    values = np.array(noisy.Flipped(0.4)(found)).reshape(n, 4)
    advantage = values - values.mean(1, keepdims=True)
    assert advantage.mean(0) == pytest.approx((1 - 2 * 0.4) * (right - right.mean()), abs=0.03)


def test_the_pattern_by_hand() -> None:
    pattern = noisy.Pattern(("wait", "first"), enough=4, gram=2)
    assert pattern.look("First this. Wait, wait.") == 0.5, "presence counts, not how often"
    assert pattern.look("nothing of it") == 0.0
    assert pattern.look("wait a b a b") == pytest.approx(0.25 - 0.25)  # of four pairs one is there twice
    assert pattern.look("wait first user: user: ") == 0.0, "never below 0"
    assert noisy.Pattern(("a", "b"), enough=1).look("a b") == 1.0, "never above 1"
    assert pattern([rolled(0, 0, 0.0, "wait"), rolled(0, 1, 1.0, "wait", parsed=False)]) == [0.25, 0.0]


def test_the_pattern_pays_for_the_form_of_a_sum_not_for_its_truth() -> None:
    task, marks = Addition(), noisy.Pattern(noisy.WORKED, len(noisy.WORKED))
    for i in range(30):
        p = task.problem(i)
        texts = [task.demonstration(p, style, noisy.rng(i)) for style in ("trace", "corrupted", "direct")]
        assert [marks.look(t) for t in texts] == [1.0, 1.0, 0.0]
        assert noisy.Pattern(noisy.STRANGE, 3).look(texts[0]) == 0.0


def test_an_erring_model_errs_so_often_and_always_alike() -> None:
    found = [rolled(i, 0, float(i % 2), str(i)) for i in range(2000)]
    values = noisy.Erring(0.65)(found)
    assert 0.61 < np.mean([v == i % 2 for i, v in enumerate(values)]) < 0.69
    assert values == noisy.Erring(0.65)(found)
    same = [rolled(7, k, 1.0, "12") for k in range(9)]
    assert len(set(noisy.Erring(0.65)(same))) == 1, "of one answer it has one opinion"


def test_calibration_forgives_and_never_punishes() -> None:
    fixed = lambda values: lambda rollouts: values
    part = noisy.Calibrated(fixed([0.0, 0.49, 0.5, 1.0]), fixed([1.0, 0.5, 1.0, 1.0]))
    assert part([rolled(0, k, 0.0) for k in range(4)]) == pytest.approx([0.1, 0.54, 0.5, 1.0])


def test_measuring_is_never_noisy() -> None:
    """The verdict stays what the verifier said; only what is paid is turned round."""
    r = rolled(0, 0, 1.0)
    noisy.recipe(Setting(Addition())).flat()[0].reward.score([r])
    assert r.verdict is not None and r.verdict.score == 1.0
