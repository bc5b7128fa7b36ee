"""Tiny models, a tiny task, solvers of every shape, and rollouts of them: what tests build on."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thinkery.core.context import Turn
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import Stream, address, rng
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run
from thinkery.lab.store import Store
from thinkery.models.decoder import Decoder, DecoderConfig
from thinkery.models.model import Model, new_model
from thinkery.models.tokenizer import character_tokenizer
from thinkery.tasks.base import Task

TINY = DecoderConfig(vocabulary=64, width=32, layers=2, heads=4, kv_heads=2, head_width=16, feed_forward=64, context=160)
VARIANTS = {
    "plain": TINY,
    "qwen3": DecoderConfig(
        vocabulary=70, width=48, layers=2, heads=4, kv_heads=2, head_width=16, feed_forward=80, context=160, qk_norm=True, tied=False
    ),
    "qwen2": DecoderConfig(
        vocabulary=64, width=40, layers=2, heads=2, kv_heads=1, head_width=20, feed_forward=72, context=160, qkv_bias=True
    ),
    "biased": DecoderConfig(
        vocabulary=64, width=36, layers=1, heads=3, kv_heads=3, head_width=6, feed_forward=44, context=160, qkv_bias=True, out_bias=True
    ),
}


def model_of(config: DecoderConfig = TINY, seed: int = 0, sharp: float = 3.0) -> Model:
    """A random model; norms, biases and the output matrix are moved too, so that nothing is silently 1 or 0."""
    model = new_model(config, character_tokenizer(), "tiny", seed)
    noise = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for p in model.decoder.parameters():
            if p.dim() == 1:
                p += 0.2 * torch.randn(p.shape, generator=noise)
        model.decoder.norm.mul_(sharp)  # peaked policies: samples share prefixes
    return model


def twin(decoder: Decoder, dtype: torch.dtype = torch.float64, plain: bool = False) -> Decoder:
    """The same weights in another precision, on other kernels."""
    other = copy.deepcopy(decoder).to(dtype)
    other.plain = plain
    return other


class Sums(Task):
    """`3+4=` asks for `7`, after the end token of nothing: one digit each, twelve families in order."""

    name = "sums"
    max_tokens = 8
    styles = ("direct", "spoken")

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        a, b = index % 5, index // 5 % 5
        return Problem(f"{a}+{b}", Question(f"{a}+{b}="), str(a + b), family=f"{min(a, b)}+{max(a, b)}", data=(a, b))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        return Verdict(float(reply.text == problem.answer), reply.text or None)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        return problem.answer if style == "direct" else f"is {problem.answer}"


# ---- ways of thinking, one of each shape that the records must carry


async def single(model: Session, question: Question, tools: Any = None) -> Reply:
    return Reply.of(await model.ask(question, 14))


async def tool_loop(model: Session, question: Question, tools: Any = None, wait: Callable[[], float] = lambda: 0.0) -> Reply:
    """Two turns; between them a tool whose text the model never wrote."""
    context = model.context(question)
    first = await model.ask(context, 7, stop=("+", "1"))
    await asyncio.sleep(wait())
    second = await model.ask(context + first + f"[{len(first.text)}%]", 7)
    return Reply(first.text + second.text)


async def memory(model: Session, question: Question, tools: Any = None) -> Reply:
    """The context is rewritten every turn: only a note survives."""
    note = ""
    for _ in range(3):
        turn = await model.ask(model.context(question.prompt) + f"<{note}>", 5, stop=("z",))
        note = turn.text[-3:]
    return Reply(note)


async def fork(model: Session, question: Question, tools: Any = None, waits: Sequence[float] = (0, 0, 0)) -> Reply:
    """A trunk, three concurrent branches of two turns each, one of them at another temperature."""
    trunk = await model.ask(question, 3)
    context = model.context(question) + trunk

    async def go(i: int) -> Turn:
        branch = model.branch(i)
        await asyncio.sleep(waits[i])
        turn = await branch.ask(context, 5, temperature=0.7 if i == 2 else None)
        return await branch.ask(context + turn + str(i), 3)

    turns = await asyncio.gather(*map(go, range(3)))
    return Reply("|".join(t.text for t in turns))


async def triple(model: Session, question: Question, tools: Any = None) -> Reply:
    """Proposer and solver learn; the judge is cast, recorded and never trained."""
    context = model.context(question)
    proposed = await model.ask(context + "?", 5, role="proposer")
    solved = await model.ask(context + proposed + "=", 5, role="solver")
    judged = await model.ask(context + proposed + "~" + solved, 2, role="judge")
    return Reply(solved.text + "|" + judged.text)


async def spoken(model: Session, question: Question, tools: Any = None) -> Reply:
    """Forced output with a weight for each token, then a sampled turn: supervised and policy losses in one batch."""
    weights = np.linspace(0.25, 1.0, 6).astype(np.float32)
    turn = model.say(question, "abcde", weight=weights)
    after = await model.ask(model.context(question) + turn + ";", 5)
    return Reply(turn.text + after.text)


SOLVERS: dict[str, Callable[..., Coroutine[Any, Any, Reply]]] = {
    "single": single,
    "tool_loop": tool_loop,
    "memory": memory,
    "fork": fork,
    "triple": triple,
    "spoken": spoken,
}
TWELVE = Sampling(max_tokens=12)
TRAINS = ("policy", "proposer", "solver")


def rollouts_of(
    engine: LocalEngine,
    solver: Callable[..., Coroutine[Any, Any, Reply]],
    problems: int = 4,
    samples: int = 4,
    seed: int = 0,
    units: Sequence[tuple[int, int]] | None = None,
    cast: dict[str, LocalEngine] | None = None,
    sampling: Sampling = TWELVE,
) -> list[Rollout]:
    """Rollouts on the tiny task in the units' order, without the loop; a solver that raises leaves `error`."""
    task = Sums()
    units = [(i, k) for i in range(problems) for k in range(samples)] if units is None else units
    for e in [engine, *(cast or {}).values()]:
        e.reset()
    sessions = [Session(engine, address(seed, "sample", 0, i, k), sampling, cast) for i, k in units]
    work = [solver(s, task.problem(i).question, None) for s, (i, _) in zip(sessions, units)]
    replies = run(work, [engine, *(cast or {}).values()])
    out = [
        Rollout(0, i, k, task.problem(i), s.close(), r if isinstance(r, Reply) else None) for (i, k), s, r in zip(units, sessions, replies)
    ]
    for rollout, reply in zip(out, replies):
        rollout.error = None if isinstance(reply, Reply) else repr(reply)
    return out


def asked(engine: LocalEngine, solver: Callable[[Session], Coroutine[Any, Any, Any]], n: int = 1, **sampling: Any) -> list[Any]:
    """What n sessions of one solver return, driven together on a fresh tree."""
    engine.reset()
    sessions = [Session(engine, address("asked", i), Sampling(**sampling)) for i in range(n)]
    return run([solver(s) for s in sessions], [engine])


def texts(rollouts: Sequence[Rollout]) -> dict[tuple[int, int], list[tuple[tuple[int, ...], bytes]]]:
    """Every turn's tokens and the bits of its log-probabilities, by (problem, sample)."""
    return {(r.index, r.k): [(t.ids, t.logp.tobytes()) for t in r.turns] for r in rollouts}


def draws(*parts: int | str) -> np.random.Generator:
    """Numpy's generator at an address, for test data."""
    return np.random.default_rng(rng("tests", *parts).address)


def start_of(model: Model) -> Model:
    """A copy of one's own of a model."""
    return Model(twin(model.decoder, torch.float32), model.tokenizer, model.name)


def weights_of(model: Model) -> bytes:
    """All weights, to compare by the bit."""
    return b"".join(p.detach().numpy().tobytes() for p in model.decoder.parameters())


def recorded(folder: Path, metrics: Sequence[Mapping[str, Any]], seconds: Mapping[int, float] | None = None) -> None:
    """A run's record of steps with these metrics (`step` and, if there is one, `stage` among them)."""
    store = Store(folder)
    for m in metrics:
        values = {k: v for k, v in m.items() if k not in ("step", "stage")}
        store.write(m["step"], m.get("stage", "rl"), values, (seconds or {}).get(m["step"]))  # type: ignore[arg-type]
    store.close()
