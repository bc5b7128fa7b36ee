"""What must be true of every way of thinking: one rollout wherever it is made, and no gradient but of what the model wrote, where it wrote it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.learning import oracle
from tests.solvers import test_thinking
from tests.support import TINY, Sums, model_of, start_of, texts, twin, weights_of
from thinkery.core.errors import InputError
from thinkery.core.records import Problem, Question, Reply, Rollout
from thinkery.core.rng import Stream, address
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run
from thinkery.lab.evaluation import Telling
from thinkery.learning import checkpoint, rewards
from thinkery.learning.collect import Unit
from thinkery.learning.gradient import Learner, plan, total_gradient
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.learning.workers import Inline
from thinkery.models.model import Model
from thinkery.solvers import SOLVERS, solver
from thinkery.tasks import Task, load_task
from thinkery.tasks.environments import Environment, Episode

ROOM = 12  # tokens of a turn
CONTEXT = 3000
TOLD = ("calculate", "environment", "roles")  # those in which a model that knows nothing is told something, too


class Read(Sums):
    """A sum behind something to be read."""

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        p = super().problem(index, split, seed)
        return replace(p, question=Question(f"{'tom has 3 cats. ' * 3}\n{p.question.prompt}"))


class Echo(Episode):
    """Says how long the last action was."""

    def begin(self) -> str:
        return "0"

    def step(self, action: str) -> tuple[str, float, bool]:
        return f"it had {len(action)}", 0.0, False


@cache
def task_for(name: str) -> Task:
    """A task that the solver can do."""
    if name == "environment":
        return Environment("echo", lambda seed: Echo(4), (0, 1), one_start=True)
    named = {"react": "facts_search", "querying": "databases"}
    return Read() if name == "memory" else load_task(named[name]) if name in named else Sums()


@cache
def model_for(name: str) -> Model:
    """A model that knows nothing; one with a chat template for those that need thoughts."""
    return chatting() if name == "thinking" else model_of(replace(TINY, context=CONTEXT), seed=8, sharp=1.0)


@cache
def chatting() -> Model:
    """One with a chat template."""
    model = test_thinking.model_of("qwen3")
    model.decoder.config = replace(model.decoder.config, context=CONTEXT)
    return model


def stage_for(name: str) -> Stage:
    reward = rewards.weighted(correct=0.0, odd=lambda rollouts: [float(sum(r.turns[0].ids) % 7) for r in rollouts])
    return Stage(
        solver=solver(name), steps=2, problems=2, samples=3, shards=2, max_tokens=ROOM, reward=reward, optimizer=Optimizer(lr=1e-3)
    )


def learning_for(name: str) -> Learning:
    return Learning(Recipe((stage_for(name),)), Setting(task_for(name)), start_of(model_for(name)))


@cache
def learnt(name: str) -> tuple[Learning, list[tuple[Any, ...]]]:
    """A step of learning, with each ask as it was made: where, by whom, what was before."""
    asks: list[tuple[Any, ...]] = []
    ask, say = Session.ask, Session.say

    def asked(self: Session, context: Any, *given: Any, **how: Any) -> Any:
        role = how.get("role", "policy")
        asks.append((role, self.context(context, role).ids))
        return ask(self, context, *given, **how)

    def said(self: Session, context: Any, *given: Any, **how: Any) -> Any:
        asks.append((how.get("role", "policy"), self.context(context).ids))
        return say(self, context, *given, **how)

    learning = learning_for(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "ask", asked)
        patch.setattr(Session, "say", said)
        learning.step()
    return learning, asks


@pytest.mark.parametrize("name", SOLVERS)
def test_evaluation_and_training_make_the_same_rollouts(name: str) -> None:
    """Though here each rollout is made alone, and in another order."""
    made = learnt(name)[0].rollouts
    assert len(made) == 6 and all(r.error is None for r in made)
    task = task_for(name)
    at = Telling(task, LocalEngine(model_for(name)), solver(name), Sampling(ROOM, stop=tuple(task.stop)), 0, "sample", told=lambda r: None)
    again: list[Rollout] = []
    for r in reversed(made):
        again += at.collect(0, [Unit(r.index, r.k)])
    assert texts(again) == texts(made)
    replies = lambda rollouts: {(r.index, r.k): r.reply.text for r in rollouts if r.reply is not None}
    assert replies(again) == replies(made)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_turn_is_trained_in_the_context_that_it_was_written_in(name: str) -> None:
    """Every row of the batch is an ask, as it was put, and its answer."""
    learning, asks = learnt(name)
    assert learning.learnt is not None and learning.engine is not None
    rollouts, batch = learning.learnt
    turns = [t for r in learning.rollouts for t in r.turns]
    assert sorted((t.role, t.context.ids) for t in turns) == sorted(asks)
    kept = [(rollouts[i].turns[j]) for i, j in zip(batch.rollout.tolist(), batch.turn.tolist())]
    assert len(kept) == sum(t.role == "policy" and t.n > 0 for r in rollouts for t in r.turns) > 0
    for row, turn in enumerate(kept):
        before: list[int] = []
        node = int(batch.tip[row])
        while node > 0:
            before.insert(0, int(batch.token[node]))
            node = int(batch.parent[node])
        assert tuple(before) == turn.context.ids
        assert tuple(batch.token[batch.node[row][batch.mask[row]]].tolist()) == turn.ids
        assert bool(batch.sampled[row][batch.mask[row]].all()) is not turn.forced


@pytest.mark.parametrize("name", SOLVERS)
def test_there_is_no_gradient_but_of_what_was_written(name: str) -> None:
    """The step's gradient is that of the turns alone, each by itself: what tools say, and what is put in, has none."""
    learning, _ = learnt(name)
    assert learning.learnt is not None
    rollouts, batch = learning.learnt
    stage = stage_for(name)
    decoder = twin(model_for(name).decoder, torch.float64, plain=True)
    by_rollout = np.linspace(-1.0, 1.0, len(rollouts))
    batch.advantage = by_rollout[batch.rollout]
    inline = Inline(stage, Learner(decoder, {}), None)  # type: ignore[arg-type]
    gradients, _ = inline.gradients(batch, plan(batch, stage), None)
    got = total_gradient(stage, gradients, stage.losses).clone()
    rows = oracle.rows(decoder, rollouts, batch.advantage, stage.trains, decoder, decoder)
    want = oracle.gradient(decoder, oracle.reinforce(rows))
    assert float(want.norm()) > 0
    assert float((got - want).norm() / want.norm()) < 1e-10
    if name in TOLD:
        lines = [[t for t in r.turns if t.role == "policy"] for r in rollouts]
        pairs = [pair for line in lines for pair in pairwise(line)]
        told = [b.context.n - a.context.n - a.n for a, b in pairs if b.context.ids[: a.context.n + a.n] == (*a.context.ids, *a.ids)]
        assert max(told, default=0) > 0, "nothing was told: this shows nothing"


@pytest.mark.parametrize("name", SOLVERS)
def test_a_run_goes_on_from_a_checkpoint_as_if_nothing_had_happened(name: str, tmp_path: Path) -> None:
    straight = learning_for(name)
    straight.step()
    folder = checkpoint.save(straight, tmp_path)
    started = weights_of(straight.model)
    straight.step()
    again = learning_for(name)
    checkpoint.load(again, folder)
    assert weights_of(again.model) == started != weights_of(model_for(name))
    again.step()
    assert weights_of(again.model) == weights_of(straight.model)
    assert texts(again.rollouts) == texts(straight.rollouts)


def sessions_for(
    name: str, model: Model, sampling: Sampling, n: int = 3, settings: str = ""
) -> tuple[LocalEngine, list[Session], list[Any]]:
    """Sessions of a fresh engine, and the solver at work in each."""
    engine, task = LocalEngine(model), task_for(name)
    sessions = [Session(engine, address("all", i), sampling) for i in range(n)]
    problems = [task.problem(i) for i in range(n)]
    return (
        engine,
        sessions,
        [
            solver(name + settings)(s, p.question, task.tools(p, Stream(address("tools", i))))
            for i, (s, p) in enumerate(zip(sessions, problems))
        ],
    )


@pytest.mark.parametrize("name", SOLVERS)
def test_a_cancelled_ask_ends_its_own_rollout_and_no_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, sessions, work = sessions_for(name, model_for(name), Sampling(ROOM))
    ask, family = Session.ask, address("all", 1)

    def cancelled(self: Session, *given: Any, **how: Any) -> Any:
        answer = ask(self, *given, **how)
        if self.base in (family, address(family, "branch", 0), address(address(family, "branch", 0), "branch", 0)):
            answer.cancel()  # type: ignore[attr-defined]
        return answer

    monkeypatch.setattr(Session, "ask", cancelled)
    one, two, three = run(work, [engine])
    assert isinstance(two, asyncio.CancelledError)
    assert isinstance(one, Reply) and isinstance(three, Reply)
    for session in sessions:
        session.close()
    engine.step()
    assert not engine.busy


@pytest.mark.parametrize("name", SOLVERS)
def test_with_room_for_one_token_it_ends(name: str) -> None:
    engine, sessions, work = sessions_for(name, model_for(name), Sampling(1), settings=":room=1" if name == "memory" else "")
    for reply, session in zip(run(work, [engine]), sessions):
        assert isinstance(reply, Reply)
        assert all(t.n <= 1 for t in session.close() if t.role == "policy")


@pytest.mark.parametrize("name", SOLVERS)
def test_it_works_with_a_chat_template(name: str) -> None:
    engine, sessions, work = sessions_for(name, chatting(), Sampling(ROOM), n=2)
    for reply, session in zip(run(work, [engine]), sessions):
        assert isinstance(reply, Reply), reply
        assert session.close()


@pytest.mark.parametrize("name", SOLVERS)
def test_a_setting_that_it_lacks_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="unknown setting 'colour'"):
        solver(f"{name}:colour=red")
    with pytest.raises(InputError, match="write NAME:key=value"):
        solver(f"{name}:colour")


def test_settings_are_read_as_what_they_are() -> None:
    assert solver("beam:width=3,score=grade").keywords == {"width": 3, "score": "grade"}  # type: ignore[attr-defined]
    assert solver("tree_search:explore=1").keywords == {"explore": 1.0}  # type: ignore[attr-defined]
    assert solver("roles:judge=true,rounds=0").keywords == {"judge": True, "rounds": 0}  # type: ignore[attr-defined]
    assert solver("thinking:budget=5").keywords == {"budget": 5}  # type: ignore[attr-defined]
    for wrong in ("beam:width=many", "roles:judge=yes", "tree_search:explore="):
        with pytest.raises(InputError, match="which is no"):
            solver(wrong)
    with pytest.raises(InputError, match="each key once"):
        solver("beam:width=3,width=4")
    with pytest.raises(InputError, match="Did you mean tree_search"):
        solver("tree_serch:asks=3")
