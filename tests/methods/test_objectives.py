"""Rewards of the objectives, worked by hand: a proper score is best served by the truth, and what cannot be read pays the most."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import model_of
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.lab import catalogue
from thinkery.learning.collect import Collector, Unit
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Setting, WarmStart
from thinkery.solvers.confident import STATED, confident
from thinkery.tasks.chain import Chain
from thinkery.tasks.stated import MARK, Stated

rlcr = catalogue.load("rlcr")


def replied(score: float, q: float | None = None, text: str = "1", k: int = 0) -> Rollout:
    return Rollout(0, 0, k, Problem("p", Question("q"), "1"), reply=Reply(text, data={"confidence": q}), verdict=Verdict(score, text))


def test_rlcr_worked_by_hand() -> None:
    cases = [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.3), (1.0, 0.8), (1.0, None), (0.0, None)]
    found = [replied(score, q) for score, q in cases]
    total = np.sum([weight * np.array(values) for weight, values in rlcr.recipe(Setting(Chain())).flat()[0].reward.score(found)], axis=0)
    assert total == pytest.approx([1.0, 0.0, -1.0, -0.09, 0.96, 0.0, -1.0])


def test_the_best_confidence_is_the_truth() -> None:
    """Right in seven of ten: what is said so often should be 0.7."""
    mean = lambda q: np.mean(rlcr.brier([replied(float(i < 7), q) for i in range(10)]))
    assert max(np.linspace(0, 1, 11).round(1).tolist(), key=mean) == 0.7


def test_the_ablation_pays_for_what_others_said() -> None:
    found = [replied(float(k % 2), k / 19, k=k) for k in range(20)]
    assert sorted(q for q in rlcr.stated(found) if q is not None) == [k / 19 for k in range(20)]
    assert rlcr.another(found) == rlcr.another(found) != rlcr.brier(found)


def test_a_confidence_is_read_where_it_is_stated_and_asked_for_where_not() -> None:
    assert [bool(STATED.fullmatch(x)) for x in ("0", "7", "10", "11", "1.0", "-1", "", "x")] == [True, True, True] + [False] * 5
    engine = LocalEngine(model_of())
    collector = Collector(Chain(), engine, confident, Sampling(20), 0)
    for r in collector.collect(0, [Unit(i, k) for i in range(8) for k in range(4)]):
        assert r.reply is not None and MARK not in r.reply.text
        assert len(r.turns) == (1 if r.reply.truncated else 2)
        q = r.reply.data["confidence"]
        assert q is None or (q == int(r.turns[1].text) / 10 and 0 <= q <= 1)


def test_a_stated_demonstration_is_the_tasks_own_and_any_confidence() -> None:
    task, said = Stated(Chain()), set()
    learning = Learning(rlcr.recipe(Setting(task)), Setting(task), model_of())
    for i in range(60):
        problem = task.problem(i)
        text = task.demonstration(problem, "direct", rlcr.rng("x", i))
        answer, _, q = text.partition(MARK)
        said.add(int(q))
        assert answer == f"#{problem.answer}"
        assert task.verify(problem, Reply(text)).score == 1
    assert said == set(range(11))
    learning.leave()


def test_a_recited_demonstration_meets_the_solver_as_it_will_be_sampled() -> None:
    """The tokens of warm start and of the two turns are the same, so what was taught is what is asked for."""
    engine, task = LocalEngine(model_of()), Stated(Chain())
    (whole,) = Collector(
        task, engine, catalogue.load("sft").recipe(Setting(task)).flat()[0].solver, Sampling(90), 0, verifies=False
    ).collect(0, [Unit(0, 0, style="direct")])
    engine = LocalEngine(model_of())
    (parted,) = Collector(task, engine, confident, Sampling(90), 0, verifies=False).collect(0, [Unit(0, 0, style="direct")])
    assert [t.forced for t in parted.turns] == [True, True]
    assert sum((t.ids for t in parted.turns), ()) == whole.turns[0].ids
    assert parted.reply is not None and parted.reply.data["confidence"] is not None


def test_claims_compare_arms_on_one_start() -> None:
    for name in ("rlcr",):
        claim = catalogue.load(name).CLAIM
        assert isinstance(claim.setting.start, WarmStart)
        assert claim.placebo is not None
        assert all(c.why for c in claim.comparisons)
