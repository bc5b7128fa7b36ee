"""What was recorded as a token's log-probability when it was drawn is what the learner finds for it, whichever engine drew it and whatever stood
before it. Were they apart, ratios would not be 1 on the policy's own samples, and every clipped objective would train on the difference.

Equal to the bit on compiled kernels, within 1e-4 nats in float32. In bfloat16 a logit of size L is rounded in steps of up to L / 128, and a
log-probability is a difference: sampler and learner stay within 3 L / 256 nats of each other, L the largest logit, and within 0.5 L / 256 in the mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engines import foreign
from tests.engines.vllm_stub import Vllm
from tests.learning.steps import METHODS, first_steps, setting, stages, start
from tests.support import TINY, fork, memory, model_of, rollouts_of
from thinkery.core.records import Question, Reply, Rollout
from thinkery.engines.base import Engine
from thinkery.engines.choice import engine_of
from thinkery.engines.plan_torch import TorchPlan
from thinkery.engines.session import Session
from thinkery.learning.batch import Batch, build
from thinkery.learning.forward import logprobs
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe
from thinkery.models.decoder import Decoder
from thinkery.models.layout import rectangle
from thinkery.models.model import Model, load_model
from thinkery.models.tokenizer import train_tokenizer

ENGINES = ("compiled", "torch", "transformers", "vllm")
FOREIGN = ("gemma2", "qwen3_5_text")  # learnt by the modules that sample them; prefixes of the second cannot be shared
WITHIN = {"compiled": 0.0, "qwen3_5_text": 5e-4}  # else 1e-4 nats; a recurrence is rounded otherwise token by token than all at once
TEXTS = ["where there were three others than these", "another tree was there before the others were seen"] * 4


def off(batch: Batch, decoder: Decoder) -> np.ndarray:
    """How far what was recorded is from what the learner finds, for every sampled token: the worse of trees and rows."""
    found = [logprobs(decoder, batch, np.arange(len(batch)), batch.mask.sum(1), shared).logp for shared in (True, False)]
    return np.maximum(*(np.abs(f.detach().float().numpy() - batch.behaviour)[batch.sampled] for f in found))


@contextmanager
def sampling(kind: str, model: Model) -> Iterator[str]:
    """The engine's name for a model that is made ready for it."""
    if kind == "transformers":
        pytest.importorskip("transformers")
    model.decoder.plain = kind == "torch"
    stub = Vllm(model) if kind == "vllm" else None
    try:
        yield stub.url if stub else kind if kind == "transformers" else "local"
    finally:
        if stub:
            stub.close()


# ---- every recipe


@pytest.mark.parametrize("kind", ENGINES)
def test_every_recipe(kind: str) -> None:
    for method in METHODS:
        model = start()
        with sampling(kind, model) as engine:
            for step in first_steps(method, model, engine):
                difference = off(step.batch, step.policy)
                assert len(difference) or step.stage.source != "task", f"{step} sampled nothing"
                assert difference.max(initial=0.0) <= WITHIN.get(kind, 1e-4), str(step)


# ---- every shape of context


async def growing(m: Session, question: Question, tools: Any = None) -> Reply:
    """A context that turns extend, with text between that nobody sampled; and back to an earlier place."""
    first = context = m.context(question)
    for i in range(4):
        context = context + await m.ask(context, 2 + i) + f"[{i}]"
    return Reply.of(await m.ask(first + "?", 3))


async def recited(m: Session, question: Question, tools: Any = None) -> Reply:
    """Forced turns before, between and after sampled ones."""
    said = m.say(question, "there ", end=False)
    one = await m.ask(m.context(question) + said, 5)
    again = m.say(m.context(question) + said + one, "so", end=False)
    two = await m.ask(m.context(question) + said + one + again + ";", 5)
    m.say(m.context(question) + two, "the end")
    return Reply.of(two)


async def stopped(m: Session, question: Question, tools: Any = None) -> Reply:
    """Ends at strings that begin, lie or end inside a token; and goes on from there."""
    one = await m.ask(question, 20, stop=("her", "ee", "r"))
    return Reply.of(await m.ask(m.context(question) + one, 20, stop=("e",)))


async def cut_short(m: Session, question: Question, tools: Any = None) -> Reply:
    one = await m.ask(question, 1)
    return Reply.of(await m.ask(m.context(question) + one, 2))


async def heated(m: Session, question: Question, tools: Any = None) -> Reply:
    """At several temperatures, one of them greedy."""
    turns = await asyncio.gather(*(m.branch(i).ask(question, 6, temperature=t) for i, t in enumerate((0.0, 0.6, 1.0, 1.7))))
    return Reply.of(turns[0])


async def narrowed(m: Session, question: Question, tools: Any = None) -> Reply:
    """From a part of the distribution: what is recorded is the whole's."""
    ways: list[dict[str, Any]] = [{"top_p": 0.5}, {"top_k": 3}, {"temperature": 1.3, "top_p": 0.7, "top_k": 9}]
    turns = await asyncio.gather(*(m.branch(i).ask(question, 6, **way) for i, way in enumerate(ways)))
    return Reply.of(turns[0])


SHAPES: dict[str, Callable[..., Coroutine[Any, Any, Reply]]] = {
    "fresh": memory,
    "growing": growing,
    "recited": recited,
    "branches": fork,
    "stopped": stopped,
    "cut short": cut_short,
    "heated": heated,
    "narrowed": narrowed,
}


def pieced() -> Model:
    """A random model whose tokens are pieces of words."""
    tokenizer = train_tokenizer(TEXTS, 300)
    model = Model(model_of(replace(TINY, vocabulary=tokenizer.size), sharp=6.0).decoder, tokenizer, "pieced")
    with torch.no_grad():
        model.decoder.embed[3:259] *= 0.1  # single bytes are seldom drawn
    return model


def checked(rollouts: list[Rollout], engine: Engine, within: float) -> None:
    assert [r.error for r in rollouts if r.error] == []
    batch = build(rollouts, engine.tree)
    difference = off(batch, engine.model.decoder)
    assert len(difference) >= 2 * len(rollouts)
    assert difference.max() <= within


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ENGINES)
def test_every_shape_of_context(kind: str, shape: str) -> None:
    model = pieced()
    with sampling(kind, model) as name:
        engine = engine_of(model, name)
        assert isinstance(getattr(engine, "plan", None), TorchPlan) == (kind == "torch")
        rollouts = rollouts_of(engine, SHAPES[shape], problems=2, samples=4)  # type: ignore[arg-type]
        turns = [t for r in rollouts for t in r.turns]
        if (kind, shape) == ("vllm", "narrowed"):
            assert all(np.isnan(t.logp).all() for t in turns), "a server knows those of what was kept alone: they are not given"
            return
        checked(rollouts, engine, WITHIN.get(kind, 1e-4))
    if shape == "stopped":
        assert any(t.ended == "stop" and "e" in t.text and not t.text.endswith(("her", "ee", "r", "e")) for t in turns), "inside a token"
    if shape == "cut short":
        assert any(t.ended == "length" for t in turns)
    if shape == "heated":
        assert {t.temperature for t in turns} == {0.0, 0.6, 1.0, 1.7}


@pytest.mark.parametrize("kind", FOREIGN)
def test_models_that_only_transformers_runs(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    foreign.folder_of(kind, tmp_path)
    engine = engine_of(load_model(tmp_path))
    for solver in SHAPES.values():
        checked(rollouts_of(engine, solver, problems=2, samples=2), engine, WITHIN.get(kind, 1e-4))  # type: ignore[arg-type]


# ---- half precision


def largest_logit(decoder: Decoder, batch: Batch) -> float:
    """The largest size of a logit where the batch's tokens were drawn."""
    paths = []
    for node in batch.node[np.arange(len(batch)), batch.mask.sum(1) - 1].tolist():
        path = []
        while node > 0:
            path.append(int(batch.token[node]))
            node = int(batch.parent[node])
        paths.append(path[::-1])
    with torch.no_grad():
        return float(decoder.logits(decoder(rectangle(paths))).float().abs().max())


def test_bfloat16_stays_within_its_steps(record_property: Callable[[str, Any], None]) -> None:
    worst = mean = 0.0
    for method in METHODS:
        model = start()
        model.decoder.compute = torch.bfloat16
        for step in (s for s in first_steps(method, model) if s.batch.sampled.any()):
            unit, difference = largest_logit(step.policy, step.batch) / 256, off(step.batch, step.policy)
            worst, mean = max(worst, difference.max() / unit), max(mean, difference.mean() / unit)
    record_property("bfloat16: worst, of L / 256", float(worst))  # reports travel between processes: plain numbers alone
    record_property("bfloat16: largest mean, of L / 256", float(mean))
    assert 0 < worst < 3
    assert 0 < mean < 0.5


def test_a_run_reports_how_far_they_are_apart() -> None:
    """As the metric `drift`: the mean over the tokens it learns from."""

    def step(dtype: torch.dtype | None) -> tuple[float, float]:
        learning = Learning(Recipe(tuple(stages("reinforce"))), setting("reinforce"), start())
        learning.model.decoder.compute = dtype
        before = start().decoder
        before.compute = dtype
        metrics = learning.step()
        assert learning.learnt is not None
        return metrics["drift"], float(off(learning.learnt[1], before).mean())

    assert step(None) == (0.0, 0.0)
    told, found = step(torch.bfloat16)
    assert told == pytest.approx(found, rel=0.3)
    assert told > 1e-4
