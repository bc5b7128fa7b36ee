"""Every engine that gives log-probabilities keeps the same promises. Each could batch, cut, seed or cancel wrongly in a way of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engines import foreign
from tests.engines.vllm_stub import Vllm
from tests.support import asked, model_of, twin
from thinkery.core.context import Turn
from thinkery.core.errors import EngineError, InputError, PromptTooLong
from thinkery.engines.base import Engine
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.engines.vllm import VllmEngine
from thinkery.models.foreign import ForeignDecoder
from thinkery.models.layout import rectangle
from thinkery.models.model import load_model

ADDRESSED = ("local", "transformers")  # equal addresses give equal tokens, whichever of these draws
NAMES = ("local", "transformers", "foreign", "recurrent", "vllm")


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "local":
        yield LocalEngine(model_of())
        return
    if request.param == "vllm":
        stub = Vllm(model_of())
        yield VllmEngine(model_of(), stub.url)
        stub.close()
        return
    pytest.importorskip("transformers")
    from thinkery.engines.transformers_engine import TransformersEngine

    if request.param == "transformers":
        yield TransformersEngine(model_of())
        return
    foreign.folder_of({"foreign": "gemma2", "recurrent": "qwen3_5_text"}[request.param], tmp_path)
    yield TransformersEngine(load_model(tmp_path))


def reference(engine: Engine) -> Callable[[tuple[int, ...]], torch.Tensor]:
    """ids -> logits [n, V] of the engine's model, by other code than the engine's."""
    decoder = engine.model.decoder
    if isinstance(decoder, ForeignDecoder):
        return lambda ids: decoder.module(torch.tensor([ids])).logits[0].detach()
    exact = twin(decoder, plain=True)
    return lambda ids: exact.logits(exact(rectangle([ids]))).detach()


def drawn_from(engine: Engine, turn: Turn) -> torch.Tensor:
    """The reference's log-probabilities where a turn's tokens were drawn, at its temperature [n, V]."""
    logits = reference(engine)((*turn.context.ids, *turn.ids)[:-1])[turn.context.n - 1 :]
    return (logits.double() / (turn.temperature or 1.0)).log_softmax(-1)


def off(engine: Engine, turn: Turn) -> float:
    """How far a turn's log-probabilities are from the reference's, at its temperature."""
    logps = drawn_from(engine, turn)
    return float((torch.tensor(turn.logp).double() - logps[torch.arange(turn.n), torch.tensor(turn.ids)]).abs().max())


def ask(engine: Engine, prompt: str, *args: Any, n: int = 1, **settings: Any) -> list[Turn]:
    """Turns of n sessions that ask the same."""

    async def once(model: Session) -> Turn:
        return await model.ask(prompt, *args, **settings)

    turns = asked(engine, once, n)
    for turn in turns:
        if isinstance(turn, BaseException):
            raise turn
    return turns


# ---- values


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0, 0.0])
def test_log_probabilities_are_those_of_the_model(engine: Engine, temperature: float) -> None:
    for turn in ask(engine, "12+3=", 12, n=5, temperature=temperature):
        assert turn.temperature == temperature
        assert off(engine, turn) < 1e-4


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.6}, {"temperature": 0.0}, {"top_k": 3}, {"top_p": 0.5}])
def test_entropies_are_those_of_what_is_not_cut(engine: Engine, settings: dict[str, float]) -> None:
    for turn in ask(engine, "12+3=", 12, n=5, **settings):
        if isinstance(engine, VllmEngine):
            assert turn.entropy is None, "a server does not say"
            continue
        assert turn.entropy is not None and turn.entropy.dtype == np.float32
        logps = drawn_from(engine, turn)
        assert np.abs(turn.entropy - -(logps.exp() * logps).sum(-1).numpy()).max() < 1e-4
        assert turn.entropy.max() > 0.1


def test_a_context_that_turns_extend(engine: Engine) -> None:
    async def talk(model: Session) -> list[Turn]:
        context, turns = model.context("1+2="), []
        for i in range(4):
            turns.append(await model.ask(context, 3 + i))
            context = context + turns[-1] + f"[{i}]"
        back = await model.ask(model.context("1+2=") + turns[0], 5)  # to an earlier place
        return [*turns, back]

    for turns in asked(engine, talk, 3):
        assert [t.context.n for t in turns[:4]] == sorted(t.context.n for t in turns[:4])
        assert all(off(engine, t) < 1e-4 for t in turns)


def test_score_and_look(engine: Engine) -> None:
    context = engine.model.context(engine.root, "12+3=")
    ids = engine.model.tokenizer.encode("15;x")
    logps = reference(engine)((*context.ids, *ids)).log_softmax(-1)
    found = engine.score(context, ids)
    assert found.dtype == np.float32
    want = logps[context.n - 1 : -1][torch.arange(len(ids)), torch.tensor(ids)]
    assert np.abs(found - want.numpy()).max() < 1e-4
    lacks = "gradients" if isinstance(engine, LocalEngine) else "attention"
    with pytest.raises(EngineError, match=f"cannot show {lacks}"):
        engine.look(context, [lacks])
    if isinstance(engine, VllmEngine):
        return
    seen = engine.look(context, ["hidden", "logprobs"])
    assert seen["hidden"].shape == (context.n, engine.model.decoder.config.width)
    assert (seen["logprobs"] - logps[: context.n]).abs().max() < 1e-4


def test_the_weights_are_those_of_the_last_reset(engine: Engine) -> None:
    (before,) = ask(engine, "12+3=", 10, temperature=0)
    with torch.no_grad():
        for p in engine.model.decoder.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    engine.model.decoder.changed()
    (after,) = ask(engine, "12+3=", 10, temperature=0)
    assert after.writer == (before.writer[0], before.writer[1] + 1)
    assert off(engine, after) < 1e-4
    assert not np.allclose(after.logp[: before.n], before.logp[: after.n], atol=1e-3)


# ---- draws


def test_greedy_and_what_amounts_to_it(engine: Engine) -> None:
    (greedy,) = ask(engine, "12+3=", 12, temperature=0)
    logits = reference(engine)((*greedy.context.ids, *greedy.ids)[:-1])[greedy.context.n - 1 :]
    assert tuple(logits.argmax(-1).tolist()) == greedy.ids
    for same in ({"top_k": 1}, {"top_p": 1e-6}, {"top_k": 1, "temperature": 2.0}):
        assert ask(engine, "12+3=", 12, **same)[0].ids == greedy.ids


def test_nothing_is_drawn_that_was_cut_off(engine: Engine) -> None:
    for settings in ({"top_k": 3}, {"top_p": 0.5}, {"top_k": 4, "top_p": 0.8, "temperature": 1.5}):
        turns = ask(engine, "12+3=", 6, n=12, **settings)
        for turn in turns:
            logits = reference(engine)((*turn.context.ids, *turn.ids)[:-1])[turn.context.n - 1 :]
            p = (logits / turn.temperature).softmax(-1)
            order = p.sort(-1, descending=True)
            before = torch.where(order.values.cumsum(-1) - order.values < settings.get("top_p", 1.0), 1, 0).sum(-1)
            most = torch.minimum(before, torch.tensor(settings.get("top_k", 1000)))
            rank = (order.indices == torch.tensor(turn.ids)[:, None]).int().argmax(-1)
            assert bool((rank < most).all())
        assert len({t.ids for t in turns}) > 1


def test_draws_follow_the_distribution(engine: Engine) -> None:
    turns = ask(engine, "12+3=", 1, n=600)
    p = reference(engine)(turns[0].context.ids)[-1].softmax(-1).numpy()
    seen = np.bincount([t.ids[0] for t in turns], minlength=len(p)) / len(turns)
    spread = np.sqrt(p * (1 - p) / len(turns))
    assert np.abs(seen - p).sum() / 2 < 0.5 * np.sqrt(2 / np.pi) * spread.sum() + 0.03  # the expected distance, and some more


def test_the_same_address_gives_the_same_draws(engine: Engine, request: pytest.FixtureRequest) -> None:
    async def three(model: Session) -> list[tuple[int, ...]]:
        turns = await asyncio.gather(model.ask("1+1=", 8), model.ask("1+1=", 8), model.branch(1).ask("1+1=", 8), model.ask("2+1=", 8))
        return [t.ids for t in turns]

    first, again = asked(engine, three, 6), asked(engine, three, 6)
    assert first == again
    assert len({ids for found in first for ids in found}) > 12, "sessions, branches and repeated asks draw apart"
    if request.node.callspec.params["engine"] in ADDRESSED:
        assert asked(LocalEngine(model_of()), three, 6) == first


# ---- ends


def test_ends(engine: Engine) -> None:
    end = engine.model.tokenizer.end
    turns = ask(engine, "3+3=", 60, n=40)
    assert {t.ended for t in turns} >= {"stop"}
    for turn in turns:
        assert (turn.ended == "stop") == (turn.ids[-1] == end)
        assert end not in turn.ids[:-1]
        assert turn.n == 60 or turn.ended == "stop"
    assert all(t.n == 2 for t in ask(engine, "3+3=", 2, n=5) if t.ended == "length")


def test_any_of_several_end_tokens_ends(request: pytest.FixtureRequest, engine: Engine) -> None:
    name, seven = request.node.callspec.params["engine"], engine.model.tokenizer.encode("7")[0]
    engine.model.tokenizer.ends = frozenset({engine.model.tokenizer.end, seven})
    again = LocalEngine(engine.model) if name == "local" else engine
    turns = ask(again, "3+3=", 60, n=30)
    assert {t.ids[-1] for t in turns if t.ended == "stop"} >= {seven}
    assert all(seven not in t.ids[:-1] for t in turns)


def test_stop_strings(engine: Engine) -> None:
    stop = ("7", "a", "xy", "+")
    turns = ask(engine, "3+3=", 60, n=30, stop=stop)
    assert any(t.text.endswith(stop) for t in turns)
    for turn in turns:
        inside = [s for s in stop if s in turn.text[:-1]]
        assert not inside, "a turn ends with the token that completes the first stop string"
        if turn.text.endswith(stop):
            assert turn.ended == "stop"
        assert off(engine, turn) < 1e-4


def test_limits_of_the_context(engine: Engine) -> None:
    holds = engine.model.decoder.config.context

    async def ends(model: Session) -> tuple[str, int]:
        turn = await model.ask("1" * (holds - 2), 10, temperature=0)
        with pytest.raises(PromptTooLong, match=f"the prompt has {holds} tokens, the model's context holds {holds}"):
            await model.ask("1" * (holds - 1), 10)
        with pytest.raises(PromptTooLong, match=f"holds {holds}"):
            model.say("1" * (holds - 4), "12345678")
        return turn.ended, turn.n

    assert asked(engine, ends) == [("length", 1)]
    for name, value in {"max_tokens": 0, "temperature": -1.0, "top_p": 0.0, "top_k": -1}.items():
        with pytest.raises(InputError, match=f"{name} is {value}; it must be"):
            ask(engine, "1", **{name: value})


# ---- company


def test_many_at_once_are_as_one_alone(engine: Engine) -> None:
    async def many(model: Session) -> list[Turn]:
        return list(await asyncio.gather(*(model.branch(i).ask(f"{i % 30}+{i % 7}=", 1 + i % 9) for i in range(300))))

    (together,) = asked(engine, many)
    assert engine.stats["asks"] == 300
    assert engine.stats["tokens"] == sum(t.n for t in together)
    assert not engine.busy
    for i in (0, 7, 150, 299):

        async def one(model: Session, i: int = i) -> Turn:
            return await model.branch(i).ask(f"{i % 30}+{i % 7}=", 1 + i % 9)

        (alone,) = asked(engine, one)
        assert alone.ids == together[i].ids
        assert np.abs(alone.logp - together[i].logp).max() < 1e-4


def test_cancelling_frees(engine: Engine) -> None:
    async def first_wins(model: Session) -> tuple[tuple[int, ...], int]:
        asks = [model.branch(i).ask("4+4=", 2 if i == 3 else 100, stop=("never",)) for i in range(6)]
        quick = await asks[3]
        for other in asks:
            other.cancel()
        late = await model.branch(9).ask("5+5=", 4)
        return quick.ids, late.n

    (alone,) = asked(engine, first_wins)
    both = asked(engine, first_wins, 2)
    assert both[0] == alone
    assert not engine.busy
    assert engine.stats["cancelled"] >= 8, "some may have ended by themselves"


def test_a_solver_that_ends_early_leaves_nothing_behind(engine: Engine) -> None:
    async def gone(model: Session) -> str:
        model.ask("1+1=", 100)
        return "done"

    assert asked(engine, gone, 3) == ["done"] * 3
    (turn,) = ask(engine, "1+1=", 3)
    assert off(engine, turn) < 1e-4
