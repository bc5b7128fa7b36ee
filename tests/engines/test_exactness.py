"""A sampled token and its log-probability never depend on company, arrival, cache or kernel; one badly ordered sum would flip texts between runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import SOLVERS, TINY, TRAINS, VARIANTS, asked, draws, fork, model_of, rollouts_of, texts, tool_loop, twin
from thinkery.core.records import Question, Reply
from thinkery.engines.local import LocalEngine
from thinkery.engines.plan_cpu import CpuPlan
from thinkery.engines.plan_torch import TorchPlan
from thinkery.engines.session import Sampling, Session
from thinkery.learning.batch import build
from thinkery.learning.forward import logprobs
from thinkery.models.layout import rectangle
from thinkery.models.model import Model

WIDE = replace(TINY, width=24, layers=1, feed_forward=1100)  # an inner dimension longer than one pass of the matrix product


@pytest.mark.parametrize("temperature", [1.0, 0.85, 1.1])  # 1 / t rounds one way in double precision, another in single
@pytest.mark.parametrize("variant", [*VARIANTS, "long inner"])
def test_sampled_is_the_learners_to_the_bit(variant: str, temperature: float) -> None:
    model = model_of(WIDE if variant == "long inner" else VARIANTS[variant])
    engine = LocalEngine(model)
    assert type(engine.plan) is CpuPlan
    rollouts = rollouts_of(engine, SOLVERS["tool_loop"], sampling=Sampling(temperature=temperature))
    batch = build(rollouts, engine.tree)
    for shared in (True, False):
        logp = logprobs(model.decoder, batch, np.arange(len(batch)), batch.mask.sum(1), shared)[0]
        assert (logp.detach().numpy() == batch.behaviour)[batch.mask].all()


def test_a_prompt_of_many_chunks() -> None:
    """Longer than what one call of the decode plan computes."""
    model = model_of(replace(TINY, layers=1, context=1500))

    async def long(m: Session, question: Question, tools: Any = None) -> Reply:
        return Reply.of(await m.ask("12+3=" * 260, 20))

    engine = LocalEngine(model)
    rollouts = rollouts_of(engine, long, problems=1, samples=2)
    assert engine.stats["nodes"] > 1024
    batch = build(rollouts, engine.tree)
    logp = logprobs(model.decoder, batch, np.arange(2), batch.mask.sum(1))[0].detach().numpy()
    assert (logp == batch.behaviour)[batch.mask].all()


def test_double_precision_decodes(tiny: Model) -> None:
    double = Model(twin(tiny.decoder), tiny.tokenizer, "double")
    for a, b in zip(rollouts_of(LocalEngine(tiny), SOLVERS["fork"]), rollouts_of(LocalEngine(double), SOLVERS["fork"])):
        assert [t.ids for t in a.turns] == [t.ids for t in b.turns]


def test_truncation_changes_what_is_drawn_not_what_is_recorded(tiny: Model) -> None:
    """Behaviour is the model's own log-probability, so that an update sees how likely the token was, not how it was chosen."""
    engine = LocalEngine(tiny)
    free = rollouts_of(engine, SOLVERS["single"])
    for cut in (Sampling(top_p=0.5), Sampling(top_k=3)):

        async def narrow(model: Session, question: Question, tools: Any, cut: Sampling = cut) -> Reply:
            return Reply.of(await model.ask(question, 14, top_p=cut.top_p, top_k=cut.top_k))

        rollouts = rollouts_of(engine, narrow)
        batch = build(rollouts, engine.tree)
        logp = logprobs(tiny.decoder, batch, np.arange(len(batch)), batch.mask.sum(1))[0].detach().numpy()
        assert (logp == batch.behaviour)[batch.mask].all()
        assert np.isfinite(batch.behaviour).all()
        assert texts(rollouts) != texts(free)


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solvers_turns_are_the_learners_to_the_bit(name: str, tiny: Model) -> None:
    engine = LocalEngine(tiny)
    cast = {"judge": LocalEngine(model_of(seed=5))} if name == "triple" else None
    batch = build(rollouts_of(engine, SOLVERS[name], cast=cast), engine.tree, TRAINS)
    logp = logprobs(tiny.decoder, batch, np.arange(len(batch)), batch.mask.sum(1))[0].detach().numpy()
    assert batch.sampled.sum() > 50
    assert (logp == batch.behaviour)[batch.sampled].all()


def late(solver: Any, seed: int) -> Any:
    """The solver, starting after a wait of its own."""
    waits = iter(draws("late", seed).random(1000) * 0.01)

    async def wrapped(model: Session, question: Question, tools: Any) -> Reply:
        await asyncio.sleep(next(waits))
        return await solver(model, question, tools)

    return wrapped


@pytest.mark.parametrize("name", SOLVERS)
def test_company_order_and_arrival_change_nothing(name: str) -> None:
    engine, units = LocalEngine(model_of()), [(i, k) for i in range(4) for k in range(4)]
    cast = {"judge": LocalEngine(model_of(seed=5))} if name == "triple" else None
    run = lambda solver, units: texts(rollouts_of(engine, solver, units=units, cast=cast))
    together = run(SOLVERS[name], units)
    shuffled = [units[i] for i in draws("order", name).permutation(len(units))]
    assert run(SOLVERS[name], shuffled) == together
    assert run(late(SOLVERS[name], 1), units) == together
    for unit in units[::3]:
        assert run(SOLVERS[name], [unit]) == {unit: together[unit]}


def test_timings_of_tools_and_branches_change_nothing(tiny: Model) -> None:
    """Which branch comes back first decides nothing: neither what is drawn nor where it stands in the record."""
    engine = LocalEngine(tiny)
    one, other = (texts(rollouts_of(engine, partial(fork, waits=w))) for w in ((0, 0.004, 0.008), (0.008, 0.004, 0)))
    assert one == other
    assert all(len(turns) == 7 for turns in one.values())
    random = draws("waits")
    slow = texts(rollouts_of(engine, partial(tool_loop, wait=lambda: float(random.random() * 0.01))))
    assert slow == texts(rollouts_of(engine, tool_loop))


@pytest.mark.parametrize("variant", VARIANTS)
def test_decoded_and_prefilled_are_the_same_bits(variant: str) -> None:
    model = model_of(VARIANTS[variant])
    decoding, prefilling = LocalEngine(model), LocalEngine(model)
    rollouts = rollouts_of(decoding, SOLVERS["single"])
    for r in rollouts:
        context, ids = r.turns[0].context, r.turns[0].ids
        decoded = decoding.look(context + ids[:-1], ("hidden",))["hidden"]
        prefilling.reset()
        prefilled = prefilling.look(prefilling.root + (*context.ids[1:], *ids[:-1]), ("hidden",))["hidden"]
        assert torch.equal(decoded, prefilled)
        with torch.no_grad():
            learner = model.decoder(rectangle([(*context.ids, *ids[:-1])]))
        assert torch.equal(decoded, learner)


def test_a_new_weights_version_is_taken_at_reset(fresh: Model) -> None:
    engine = LocalEngine(fresh)
    before = texts(rollouts_of(engine, SOLVERS["single"]))
    with torch.no_grad():
        fresh.decoder.embed.mul_(1.1)
    fresh.decoder.changed()
    after = texts(rollouts_of(engine, SOLVERS["single"]))
    assert after == texts(rollouts_of(LocalEngine(fresh), SOLVERS["single"])) != before


# ---- the reference in plain torch


def plain(model: Model) -> LocalEngine:
    """An engine that decodes in plain torch."""
    model.decoder.plain = True
    engine = LocalEngine(model)
    model.decoder.plain = False
    assert type(engine.plan) is TorchPlan
    return engine


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_plans_write_the_same(variant: str) -> None:
    model = model_of(VARIANTS[variant])
    fast, slow = LocalEngine(model), plain(model)
    for name in ("single", "tool_loop", "fork"):
        for a, b in zip(rollouts_of(fast, SOLVERS[name]), rollouts_of(slow, SOLVERS[name])):
            assert [t.ids for t in a.turns] == [t.ids for t in b.turns]
            for s, t in zip(a.turns, b.turns):
                assert np.abs(s.logp - t.logp).max() < 1e-4


def test_both_plans_agree_on_every_way_of_drawing(tiny: Model) -> None:
    """One session mixes temperatures, nuclei, top-k, greedy and stops, so that rows of all kinds share steps."""
    ways: list[dict[str, Any]] = [
        {"temperature": t, "top_p": p, "top_k": k, "stop": s}
        for t in (0.0, 0.6, 1.4)
        for p in (1.0, 0.5)
        for k in (0, 1, 5)
        for s in ((), ("7", "x5"))
    ]

    async def all_ways(model: Session) -> list[Any]:
        turns = await asyncio.gather(*(model.branch(i).ask("1+2=", 12, **w) for i, w in enumerate(ways)))
        return [(t.ids, t.ended, t.text) for t in turns]

    fast, slow = asked(LocalEngine(tiny), all_ways, 6), asked(plain(tiny), all_ways, 6)
    assert fast == slow
    for session in fast:
        by_way = [dict(w, ids=ids) for w, (ids, _, _) in zip(ways, session)]
        greedy = {w["ids"] for w in by_way if (w["temperature"] == 0 or w["top_k"] == 1) and not w["stop"]}
        assert len(greedy) == 1, "temperature 0 and top_k 1 are the same, whatever else is set"
    assert len({ids for session in fast for ids, _, _ in session}) > 40
