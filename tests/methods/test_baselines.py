"""The baselines do what their names say: a teacher is approached, labels are never read, the surest reply wins, steps are full, and lengths
are judged against the task's limit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import Sums, asked, start_of, weights_of
from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.engines.local import LocalEngine
from thinkery.lab import api, catalogue
from thinkery.lab.evaluation import evaluate_model
from thinkery.learning.batch import Batch
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting
from thinkery.models.model import Model, new_model
from thinkery.models.tokenizer import train_tokenizer
from thinkery.solvers.best_of_n import SAMPLES, best_of_n, confidence
from thinkery.tasks import Task

SMALL: dict[str, Any] = {"steps": 2, "problems": 6, "samples": 6, "shards": 2, "optimizer": Optimizer(lr=1e-3, warmup=1)}


def recipe_of(name: str, task: Task | None = None, **changes: Any) -> Recipe:
    return catalogue.load(name).recipe(Setting(task or Sums())).rl(**{**SMALL, **changes})  # type: ignore[no-any-return]


def run(recipe: Recipe, model: Model, task: Task | None = None) -> tuple[list[dict[str, float]], Learning]:
    learning, metrics = Learning(recipe, Setting(task or Sums()), start_of(model)), []
    while not learning.done:
        metrics.append(learning.step())
    return metrics, learning


# ---- on-policy distillation


@pytest.fixture
def teacher(warm: Model, tmp_path: Path) -> Path:
    warm.save(tmp_path / "teacher")
    return tmp_path / "teacher"


def test_a_student_approaches_its_teacher(teacher: Path, fresh: Model) -> None:
    recipe = recipe_of("opd", steps=30, cast={"teacher": str(teacher)}, optimizer=Optimizer(lr=3e-3))
    metrics, _ = run(recipe, fresh)
    distance = [m["loss/distil"] for m in metrics]
    assert np.mean(distance[-3:]) < 0.5 * np.mean(distance[:3])


def test_a_teacher_that_is_the_student_teaches_nothing(teacher: Path, warm: Model) -> None:
    metrics, _ = run(recipe_of("opd", steps=1, cast={"teacher": str(teacher)}), warm)
    assert abs(metrics[0]["loss/distil"]) < 1e-6
    assert metrics[0]["gradient_norm"] < 1e-5


def test_a_teacher_of_another_tokenizer_is_refused(fresh: Model, tmp_path: Path) -> None:
    other = train_tokenizer(["0+1=1 2+3=5"], 64)
    new_model(replace(fresh.decoder.config, vocabulary=max(64, other.size)), other, "other").save(tmp_path / "other")
    with pytest.raises(BadConfig, match="no frozen model 'teacher' with the policy's tokenizer; there is none"):
        run(recipe_of("opd", cast={"teacher": str(tmp_path / "other")}), fresh)


def test_the_teacher_is_a_setting() -> None:
    recipe = api.recipe_of("opd", Setting(Sums()), {"cast.teacher": "folder", "steps": 3})
    assert recipe.flat()[0].cast == {"teacher": "folder"}
    assert recipe.flat()[0].steps == 3
    with pytest.raises(BadConfig, match=r"unknown setting 'cast.judge'; known: .*cast.teacher"):
        api.recipe_of("opd", Setting(Sums()), {"cast.judge": "folder"})


# ---- the majority as label


class Unlabelled(Sums):
    """Reads answers as ever, and scores at random."""

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        return Verdict(float(len(reply.text) % 2), reply.text or None)


def test_ttrl_reads_no_score(warm: Model) -> None:
    (_, x), (_, y) = run(recipe_of("ttrl"), warm), run(recipe_of("ttrl"), warm, Unlabelled())
    assert weights_of(x.model) == weights_of(y.model) != weights_of(warm)
    assert [r.rewards for r in x.rollouts] == [r.rewards for r in y.rollouts]
    assert [r.verdict for r in x.rollouts] != [r.verdict for r in y.rollouts]


# ---- imitation of what was right


def test_raft_learns_right_replies_alone(warm: Model) -> None:
    metrics, learning = run(recipe_of("raft", steps=1), warm)
    right = [r for r in learning.rollouts if r.rewards["correct"] == 1]
    assert 0 < len(right) < len(learning.rollouts)
    assert metrics[0]["trained_tokens"] == sum(r.tokens for r in right)
    mean = -np.mean([x for r in right for x in r.turns[0].logp])
    assert metrics[0]["loss/likelihood"] == pytest.approx(mean, rel=1e-5)


# ---- dynamic sampling


def test_dapo_fills_its_step_and_judges_length_by_the_task(warm: Model) -> None:
    recipe = recipe_of("dapo", steps=1)
    metrics, learning = run(recipe, warm)
    assert metrics[0]["mixed"] == 1.0
    assert metrics[0]["rollouts"] > 36
    over = [r.rewards["overlong"] for r in learning.rollouts]
    assert [x for x, r in zip(over, learning.rollouts) if r.tokens == Sums.max_tokens] == [-1.0] * sum(
        r.tokens == Sums.max_tokens for r in learning.rollouts
    )
    assert {x for x, r in zip(over, learning.rollouts) if r.tokens <= 6} == {0.0}


# ---- the surest of several


def test_the_surest_reply_is_handed_in(warm: Model) -> None:
    engine = LocalEngine(start_of(warm))

    async def watched(model: Any) -> tuple[Reply, list[Any]]:
        reply = await best_of_n(model, Question("3+4="))
        return reply, model.close()

    for reply, turns in asked(engine, watched, 3, max_tokens=8, temperature=0.0):
        assert len(turns) == SAMPLES
        assert len({t.ids for t in turns}) > 1, "greedy asks are sampled all the same"
        whole = [t for t in turns if t.ended != "length"] or turns
        assert reply.text == max(whole, key=lambda t: np.mean(t.logp)).text
        assert confidence(turns[:2]) == pytest.approx(np.mean(np.concatenate([t.logp for t in turns[:2]])))


def test_best_of_n_by_name(warm: Model) -> None:
    assert catalogue.load("best_of_n").solver is best_of_n
    one, two = (evaluate_model(warm, Sums(), n=25, solver="best_of_n", split="train") for _ in range(2))
    assert [s["reply"] for s in one.samples] == [s["reply"] for s in two.samples]


def test_best_of_n_distils_the_surest(warm: Model) -> None:
    metrics, learning = run(recipe_of("best_of_n", steps=1), warm)
    chosen = []
    for index in dict.fromkeys(r.index for r in learning.rollouts):
        group = [r for r in learning.rollouts if r.index == index]
        whole = [r for r in group if r.reply is not None and not r.reply.truncated] or group
        chosen.append(max(whole, key=lambda r: np.mean(r.turns[0].logp)))
    assert metrics[0]["trained_tokens"] == sum(r.tokens for r in chosen)


# ---- what a method alone does not show


def test_a_combination_is_both_methods(warm: Model) -> None:
    """grpo+ttrl: the majority's reward under GRPO's advantage and loss."""
    recipe = api.recipe_of("grpo+ttrl", Setting(Sums())).rl(**SMALL)
    (_, both), (_, grpo), (_, ttrl) = run(recipe, warm), run(recipe_of("grpo"), warm), run(recipe_of("ttrl"), warm)
    assert len({weights_of(x.model) for x in (both, grpo, ttrl)}) == 3
    assert set(both.rollouts[0].rewards) == {"majority"}


def test_reinforce_pp_keeps_to_the_reference(warm: Model) -> None:
    """The first step has no drift; a strong penalty then holds the policy near to where it began."""
    module, ends = catalogue.load("reinforce_pp"), []
    for beta in (0.0, 30.0):
        drifts: list[float] = []
        penalised = module.critic.penalised_returns(beta)

        def watched(batch: Batch, inner: Any = penalised, seen: list[float] = drifts) -> Any:
            seen.append(float(np.abs(batch.behaviour - batch.extra["ref"])[batch.sampled].mean()))
            return inner(batch)

        run(recipe_of("reinforce_pp", steps=16, samples=24, optimizer=Optimizer(lr=3e-3, warmup=1), advantage=watched), warm)
        assert drifts[0] < 1e-6
        ends.append(np.mean(drifts[-4:]))
    assert ends[1] < 0.85 * ends[0]


def test_a_saved_model_has_no_critic(tmp_path: Path) -> None:
    """A PPO run from the front door leaves a folder that others can read."""
    result = api.train("ppo", task="addition", steps=1, out=tmp_path / "run", evaluate=0, workers=1, config={"problems": 2, "samples": 2})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"
    assert not result.model.decoder.heads
    assert len(list(api.load_model(tmp_path / "run" / "model").decoder.parameters())) == len(list(result.model.decoder.parameters()))
