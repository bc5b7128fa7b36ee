"""Each planted fault is named with its cause before or in the first step; a healthy run is left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thinkery.core.errors import Diagnosis
from thinkery.core.records import Problem, Reply, Rollout, Verdict
from thinkery.engines.session import Session
from thinkery.lab import doctor
from thinkery.lab.api import examine, load_model, train
from thinkery.lab.build import TAUGHT
from thinkery.lab.finding import Finding
from thinkery.learning import rewards, select
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting, Stage
from thinkery.tasks import load_task
from thinkery.tasks.addition import Addition

STAGE = Stage(steps=2, problems=4, samples=8)


def levels(found: list[Finding]) -> dict[str, str]:
    """check -> level, of all that is not fine."""
    return {f.check: f.level for f in found if f.level != "fine"}


def seen(task: Any, stage: Stage = STAGE) -> list[Finding]:
    """What the doctor finds on the built-in model."""
    model = load_model("tiny")
    learning = Learning(Recipe((stage,)), Setting(task, seed=3), model)
    found = doctor.before(model, task, stage, 3)
    metrics = learning.step()
    found += doctor.after(learning.rollouts, metrics, stage, model)
    learning.leave()
    return found


@pytest.mark.parametrize("task", TAUGHT)
def test_healthy_runs_are_left_alone(task: str) -> None:
    found = examine("grpo", task=task, seed=5)
    assert levels(found) == {}
    assert {f.check for f in found} >= {"gold answers", "room", "prompt", "template", "errors", "agreement", "ended replies", "signal"}


class Broken(Addition):
    """Sums with faults to plant."""

    answers = staticmethod(lambda i, answer: answer)
    fails = False

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        found = super().problem(index, split, seed, **spec)
        return replace(found, answer=self.answers(index, found.answer))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        if self.fails and rollout is not None and rollout.k == 1:
            raise LookupError("no such table")
        return super().verify(problem, reply, rollout)


@pytest.mark.parametrize(
    ("answers", "level", "words"),
    [
        (lambda i, a: f"x{a}", "fatal", "16 of 16"),
        (lambda i, a: "é" if i == 2 else a, "warning", "lacks the character"),
        (lambda i, a: "#" + a + "#" if i in (0, 5) else a, "warning", "2 of 16"),
    ],
)
def test_gold_answers_that_fail(answers: Any, level: str, words: str) -> None:
    task = Broken()
    task.answers = answers  # type: ignore[method-assign]
    (finding,) = [f for f in doctor.before(load_model("tiny"), task, STAGE) if f.check == "gold answers"]
    assert finding.level == level and words in finding.seen


def test_replies_that_cannot_end() -> None:
    found = seen(load_task("addition"), replace(STAGE, max_tokens=2))
    assert levels(found)["ended replies"] == "fatal" and levels(found)["room"] == "warning" and levels(found)["signal"] == "warning"
    with pytest.raises(Diagnosis, match=r"cut off at max_tokens.*--no-doctor"):
        doctor.stop(found)


def test_answers_that_nobody_can_read() -> None:
    async def mumbles(model: Session, question: Any, tools: Any = None) -> Reply:
        await model.ask(question)
        return Reply("the sum is what it is")

    found = seen(load_task("addition"), replace(STAGE, solver=mumbles))
    (finding,) = [f for f in found if f.check == "readable answers"]
    assert finding.level == "warning" and "the sum is what it is" in finding.seen


def test_a_verifier_that_fails_now_and_then() -> None:
    task = Broken()
    task.fails = True
    (finding,) = [f for f in seen(task) if f.check == "errors"]
    assert finding.level == "warning" and "4 of 32" in finding.seen and "no such table" in finding.seen


def test_rewards_that_never_vary() -> None:
    reward = rewards.weighted(polite=lambda rollouts: [1.0 for _ in rollouts], length=lambda rollouts: [r.tokens * 0.01 for r in rollouts])
    (finding,) = [f for f in seen(load_task("addition"), replace(STAGE, reward=reward)) if f.check == "reward parts"]
    assert finding.level == "warning" and finding.seen.startswith("polite never")


@pytest.mark.parametrize(("worth", "words"), [(0.0, "all wrong"), (1.0, "all right")])
def test_groups_without_signal(worth: float, words: str) -> None:
    class Flat(Addition):
        def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
            return Verdict(worth if rollout is not None else 1.0, "7")

    (finding,) = [f for f in seen(Flat()) if f.check == "signal"]
    assert finding.level == "warning" and words in finding.seen


def test_imitating_what_was_selected_needs_no_differences_in_reward() -> None:
    assert "signal" not in levels(examine("raft", task="addition", seed=5))
    blind = replace(STAGE, select=select.solved)  # a group's baseline over replies that are all right
    assert levels(seen(Addition(), blind))["signal"] == "warning"


def test_a_sampler_that_is_not_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    from thinkery.engines.local import LocalEngine

    refresh = LocalEngine.reset

    def stale(self: LocalEngine) -> None:
        refresh(self)
        self.plan.norm = np.array(self.plan.norm) * 1.2  # weights that are not the learner's

    monkeypatch.setattr(LocalEngine, "reset", stale)
    (finding,) = [f for f in seen(load_task("addition")) if f.check == "agreement"]
    assert finding.level == "fatal" and "differ by" in finding.seen


def test_prompts_that_are_all_alike() -> None:
    class Same(Addition):
        def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
            return super().problem(0, split, seed, **spec)

    assert ("prompt", "warning") in [(f.check, f.level) for f in doctor.before(load_model("tiny"), Same(), STAGE)]


def test_a_fatal_finding_stops_a_run_in_its_first_step_unless_told_not_to(tmp_path: Path) -> None:
    events: list[Any] = []
    settings: dict[str, Any] = {"task": "addition", "steps": 2, "workers": 1, "evaluate": 0, "config": {"max_tokens": 2, "problems": 2}}
    with pytest.raises(Diagnosis, match="cut off"):
        train("grpo", out=tmp_path / "a", listen=events.append, **settings)
    assert not (tmp_path / "a" / "model").exists()
    assert any(e.kind == "finding" and e.data["level"] == "fatal" for e in events)
    assert train("grpo", out=tmp_path / "b", doctor_stops=False, **settings).steps == 2
