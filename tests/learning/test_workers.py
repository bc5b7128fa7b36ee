"""Any number of processes, dying ones included, give the same bits as one; a sum in order of arrival would give others now and then."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import SOLVERS, TINY, Sums, start_of, weights_of
from thinkery.core import errors
from thinkery.core.errors import BadConfig, BadData, MissingExtra, PromptTooLong, RewardError, SolverError, ThinkeryError, UnknownName
from thinkery.core.records import Problem, Question, Reply, Rollout
from thinkery.engines.session import Session
from thinkery.learning import losses, rewards
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.learning.signals import logprobs_of
from thinkery.learning.workers import Processes, count
from thinkery.models.model import Model, new_model
from thinkery.models.tokenizer import train_tokenizer

STAGE = Stage(steps=3, problems=6, samples=4, shards=4, max_tokens=6, optimizer=Optimizer(lr=1e-3))
PARITY = rewards.weighted(parity=lambda rollouts: [sum(map(sum, (t.ids for t in r.turns))) % 2 for r in rollouts])
STAGES = {
    "default": STAGE,
    "two epochs with a reference": replace(
        STAGE, epochs=2, losses=(losses.clipped(), losses.kl_penalty(0.1)), signals={"ref": logprobs_of("reference")}, cells=30
    ),
    "gradients apart": replace(
        STAGE, losses=(losses.policy_gradient(), losses.entropy_bonus(0.01)), combine=lambda g: g["policy"] + g["entropy"]
    ),
    "branches": replace(STAGE, solver=SOLVERS["fork"], reward=PARITY),
    "spoken and sampled": replace(
        STAGE, solver=SOLVERS["spoken"], reward=PARITY, losses=(losses.policy_gradient(), losses.cross_entropy())
    ),
    "demonstrations": replace(STAGE, source="demonstrations", reward=rewards.NOTHING, losses=(losses.cross_entropy(),)),
    "fewer problems than shards": replace(STAGE, problems=2),
}


def outcome(learning: Learning) -> tuple[Any, ...]:
    """Everything that must not depend on who did the work."""
    metrics, records = [], []
    while not learning.done:
        metrics.append(learning.step())
        records.append(
            [
                (
                    r.index,
                    r.k,
                    r.reply,
                    r.verdict,
                    r.rewards,
                    [(t.ids, t.logp.tobytes(), t.text, t.role, t.entropy is not None and t.entropy.tobytes()) for t in r.turns],
                )
                for r in learning.rollouts
            ]
        )
    return metrics, records, weights_of(learning.model)


def learning_of(model: Model, stage: Stage, workers: int | str) -> Learning:
    return Learning(Recipe((stage,)), Setting(Sums()), start_of(model), workers)


@pytest.mark.parametrize("name", STAGES)
def test_any_number_of_workers_gives_the_same_bits(name: str, warm: Model) -> None:
    alone = outcome(learning_of(warm, STAGES[name], 1))
    assert weights_of(warm) != alone[2]
    for workers in (2, 3) if name == "default" else (3,):
        assert outcome(learning_of(warm, STAGES[name], workers)) == alone


@pytest.fixture
def running(warm: Model) -> Iterator[Learning]:
    learning = learning_of(warm, replace(STAGE, steps=4), 3)
    learning.step()
    assert isinstance(learning.executor, Processes)
    yield learning
    learning.leave()


@pytest.mark.parametrize("dying", [(0,), (1,), (0, 1)])
def test_killed_workers_lose_nothing(dying: tuple[int, ...], running: Learning, warm: Model) -> None:
    straight = outcome(learning_of(warm, replace(STAGE, steps=4), 1))
    assert isinstance(running.executor, Processes)
    children = [running.executor.children[i] for i in dying]
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
        child.join(5)
    metrics, records, weights = outcome(running)
    assert metrics == straight[0][1:]
    assert records == straight[1][1:]
    assert weights == straight[2]


def test_a_worker_killed_at_work_loses_nothing(warm: Model) -> None:
    """It dies with its share of the rollouts, and another one with its share of a gradient, half written."""

    class Deadly(Sums):
        driver = os.getpid()

        def verify(self, problem: Problem, reply: Any, rollout: Rollout | None = None) -> Any:
            if rollout is not None and rollout.step == 1 and os.getpid() != self.driver and rollout.index % 6 == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().verify(problem, reply, rollout)

    def deadly(p: Any, rows: Any) -> Any:
        if os.getpid() != Deadly.driver and bool((rows.group == 5).any()) and float(p.logp.detach().sum()) < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return -p.ratio * rows.wide("advantage").sign()

    stage = replace(STAGE, cells=10, losses=(losses.Loss("policy", losses.policy_gradient().weight, deadly),))
    make = lambda workers: Learning(Recipe((stage,)), Setting(Deadly()), start_of(warm), workers)
    learning, left, metrics = make(4), [], []
    for _ in range(2):
        metrics.append(learning.step())
        assert isinstance(learning.executor, Processes)
        left.append(len(learning.executor.pipes))
    assert left == [2, 1]
    rest, _, weights = outcome(learning)
    straight = outcome(make(1))
    assert metrics + rest == straight[0]
    assert weights == straight[2]


def test_a_workers_error_is_raised_here(warm: Model) -> None:
    class Unreadable(Sums):
        def problem(self, index: int, *args: Any, **spec: Any) -> Problem:
            if index == 4:
                raise BadData("data.jsonl", "the answer is empty", 5)
            return super().problem(index)

    learning = Learning(Recipe((STAGE,)), Setting(Unreadable()), start_of(warm), 3)
    with pytest.raises(BadData, match=r"data.jsonl, line 5: the answer is empty") as caught:
        learning.step()
    assert (caught.value.path, caught.value.line) == ("data.jsonl", 5)
    learning.setting = Setting(Sums())  # mended, so the same step again: nothing of the first try may be left between the processes
    assert isinstance(learning.executor, Processes)
    learning.executor.inline.collector = replace(learning.executor.inline.collector, task=Sums())
    assert outcome(learning) == outcome(learning_of(warm, STAGE, 1))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_long_prompt_ends_the_run_whoever_meets_it(workers: int, warm: Model) -> None:
    class Long(Sums):
        def problem(self, index: int, *args: Any, **spec: Any) -> Problem:
            problem = super().problem(index)
            return replace(problem, question=Question("1" * 500)) if index == 3 else problem

    learning = Learning(Recipe((STAGE,)), Setting(Long()), start_of(warm), workers)
    with pytest.raises(PromptTooLong, match="501 tokens"):
        learning.step()
    learning.leave()


@pytest.mark.parametrize(
    "error",
    [
        UnknownName("task", "additon", ["addition", "chain"], "See thinkery list tasks."),
        BadData(Path("a.jsonl"), "no answer", 3),
        BadData("a.jsonl", "empty"),
        MissingExtra("transformers", "hf", "loading this model"),
        BadConfig("steps is 0"),
        RewardError("the reward"),
    ],
)
def test_errors_travel(error: ThinkeryError) -> None:
    """Between processes errors go as bytes: those with arguments of their own must come back the same."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.status == error.status


def test_every_error_is_in_the_tree() -> None:
    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, ThinkeryError)]
    assert all(f" {e.__name__} " in str(errors.__doc__) or e is ThinkeryError for e in kinds)
    assert all(e.status == (2 if issubclass(e, errors.InputError) else 1) for e in kinds)


def test_workers_go_with_their_driver() -> None:
    """A driver that is killed outright leaves no process behind."""
    script = (
        "import sys, time; from tests.support import *; from thinkery.learning.loop import Learning\n"
        "from thinkery.learning.recipe import *\n"
        "s = Stage(steps=9, problems=4, samples=2, shards=4, max_tokens=3)\n"
        "l = Learning(Recipe((s,)), Setting(Sums()), model_of(), 3); l.enter()\n"
        "print(*[c.pid for c in l.executor.children], flush=True); time.sleep(60)\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert driver.stdout is not None
    pids = list(map(int, driver.stdout.readline().split()))
    assert len(pids) == 2
    driver.kill()
    driver.wait()
    driver.stdout.close()
    gone = lambda pid: not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    for _ in range(100):
        if all(map(gone, pids)):
            break
        time.sleep(0.05)
    left = [pid for pid in pids if not gone(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def test_how_many() -> None:
    assert [count(n, 4) for n in (1, 3, 9, "2")] == [1, 3, 4, 2]
    assert 1 <= count("auto", 2) <= 2
    for wrong in (0, -1, "many", "1.5"):
        with pytest.raises(BadConfig, match=f"workers is {wrong!r}: give a number from 1 on, or auto"):
            count(wrong, 4)


def test_weights_shared_between_processes_stay_one_models(warm: Model) -> None:
    """The engine and the learner of this process see updates, too, after weights have moved into shared memory."""
    learning = learning_of(warm, replace(STAGE, steps=2), 2)
    first = learning.step()
    second = learning.step()
    assert first["drift"] == second["drift"] == 0.0


async def judged(model: Session, question: Question, tools: Any = None) -> Reply:
    """A judge with a vocabulary of its own writes about what the policy wrote; the reply is the judge's."""
    turn = await model.ask(question, 4)
    verdict = await model.ask(model.context(f"{question.prompt} {turn.text}", role="judge"), 6, role="judge")
    return Reply(f"{turn.text}|{verdict.text}")


def test_a_cast_with_another_vocabulary(warm: Model, tmp_path: Path) -> None:
    """What the judge wrote reads the same wherever it was written, and is never trained."""
    learnt = train_tokenizer(["the judge says yes, the judge says no"] * 3, 290)
    new_model(replace(TINY, vocabulary=300), learnt, "judge").save(tmp_path / "judge")
    read = rewards.weighted(correct=0.0, judge=lambda rs: [len(r.turns[1].text) % 3 for r in rs])
    stage = replace(STAGE, solver=judged, cast={"judge": str(tmp_path / "judge")}, reward=read)
    alone = outcome(learning_of(warm, stage, 1))
    assert [m["reward"] for m in alone[0]] != [0] * 3
    for _, _, reply, _, _, turns in alone[1][0]:
        assert reply.text == f"{turns[0][2]}|{turns[1][2]}"
    assert outcome(learning_of(warm, stage, 3)) == alone


def test_a_context_of_another_vocabulary_is_refused(warm: Model, tmp_path: Path) -> None:
    async def mixing(model: Session, question: Question, tools: Any = None) -> Reply:
        context = model.context(question)
        return Reply.of(await model.ask(context + await model.ask(context, 2), 3, role="judge"))

    new_model(replace(TINY, vocabulary=300), train_tokenizer(["a b c"], 270), "judge").save(tmp_path / "judge")
    learning = learning_of(warm, replace(STAGE, solver=mixing, cast={"judge": str(tmp_path / "judge")}), 1)
    with pytest.raises(SolverError, match=r"EngineError: the context was written for another tokenizer than that of 'judge': start from"):
        learning.step()
