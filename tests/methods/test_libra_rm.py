"""A judge is rewarded for true verdicts, and takes the verifier's place without being shown the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import model_of, start_of
from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.lab import catalogue
from thinkery.learning.collect import Collector, Unit
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Setting
from thinkery.solvers.judged import VERDICTS, blunt, judged
from thinkery.tasks.addition import Addition

libra = catalogue.load("libra_rm")


def replied(data: object = None, truncated: bool = False, verdict: Verdict | None = None) -> Rollout:
    return Rollout(0, 0, 0, Problem("p", Question("q"), "1"), reply=Reply("x", truncated, {"judged": data}), verdict=verdict)


def test_what_a_judge_says_is_paid() -> None:
    assert libra.approved([replied(0.75), replied(0.0), replied(None), replied(1.0, True)]) == [0.75, 0.0, 0.5, 0.0]


def test_verdicts_are_worth_what_the_verifier_says() -> None:
    found = [replied(verdict=Verdict(1.0, "right")), replied(verdict=Verdict(0.0, "wrong")), replied(verdict=Verdict(0.0, None))]
    stage = libra.recipe(Setting(libra.TASK)).flat()[-1]
    total = [sum(weight * values[i] for weight, values in stage.reward.score(found)) for i in range(3)]
    assert total == [1.0, 0.0, -0.5]


def test_it_imitates_first_and_reinforces_then() -> None:
    setting = Setting(libra.TASK)
    imitate, rl = libra.recipe(setting).flat()
    assert (imitate.name, rl.name, imitate.steps + rl.steps) == ("imitate", "rl", 100)
    assert [s.name for s in libra.imitation(setting).flat()] == ["imitate", "rl"]
    assert sum(s.steps for s in libra.imitation(setting).flat()) == 100
    assert all(s.solver is blunt for s in libra.glance(setting).flat())
    with pytest.raises(BadConfig, match=r"libra_rm .*'addition'"):
        libra.recipe(Setting(Addition()))


def test_at_a_glance_there_is_no_work_and_the_given_mark_is_not_trained() -> None:
    engine = LocalEngine(model_of())
    for r in Collector(libra.TASK, engine, blunt, Sampling(8), 0).collect(0, [Unit(i, k) for i in range(4) for k in range(2)]):
        assert r.reply is not None and r.reply.text.startswith("#")
        (turn,) = r.turns
        assert turn.context.text.endswith("?#") and turn.text == r.reply.text[1:]


def test_a_trained_judge_in_the_verifiers_place(tmp_path: Path) -> None:
    """Its verdicts are recorded, paid and never trained; no verifier is asked."""
    judge = model_of(seed=5)
    judge.save(tmp_path / "judge")
    setting = Setting(Addition(digits=(2, 2)))
    recipe = libra.unlabelled(setting, str(tmp_path / "judge")).rl(steps=2, problems=3, samples=4, shards=1, max_tokens=20)
    learning = Learning(recipe, setting, start_of(model_of()))
    metrics = learning.step()
    assert "accuracy" not in metrics and 0 <= metrics["reward/approved"] <= 1
    whole = [r for r in learning.rollouts if r.reply is not None and not r.reply.truncated]
    for r in learning.rollouts:
        assert r.verdict is None
        roles = [t.role for t in r.turns]
        assert roles == ["policy", *["judge"] * (VERDICTS if r in whole else 0)]
        assert all(t.writer[0] == "judge" for t in r.turns if t.role == "judge")
        assert all(r.problem.answer not in t.context.text or r.problem.answer in r.turns[0].text for t in r.turns[1:])
    batchwise = learning.step()
    assert batchwise["trained_tokens"] <= sum(t.n for r in learning.rollouts for t in r.turns if t.role == "policy")
    learning.leave()


def test_who_has_no_judge_judges_itself() -> None:
    engine = LocalEngine(model_of())
    base = Collector(Addition(digits=(2, 2)), engine, judged, Sampling(30), 0)
    for r in replace(base, verifies=False).collect(0, [Unit(i, 0) for i in range(6)]):
        assert r.error is None and (len(r.turns) == 1) == (r.reply is not None and r.reply.truncated)
