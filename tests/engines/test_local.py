"""The local engine keeps its promises about lengths, stops, memory, cancelled work and the record; a leak or a wrong lane would show as other texts."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import SOLVERS, TINY, asked, draws, model_of, rollouts_of, single, texts, tool_loop
from thinkery.core.context import Context, Turn
from thinkery.core.errors import EngineError, InputError, PromptTooLong
from thinkery.core.records import Question, Reply
from thinkery.engines.local import LocalEngine
from thinkery.engines.plan_cpu import CpuPlan
from thinkery.engines.session import Session
from thinkery.models.model import Model

SLOT = CpuPlan.slot_bytes(model_of().decoder)


# ---- work done


def test_each_distinct_prefix_is_computed_once(tiny: Model) -> None:
    """Counted by hand: every prefix of a context and of what was written, but for last tokens, which nothing follows."""
    for name in ("single", "tool_loop", "memory", "fork"):
        engine = LocalEngine(model_of(sharp=8.0))
        turns = [t for r in rollouts_of(engine, SOLVERS[name]) for t in r.turns]
        inputs, followed = set(), [(*t.context.ids, *t.ids)[:-1] for t in turns]
        for path in followed:
            inputs |= {path[:i] for i in range(1, len(path) + 1)}
        assert engine.stats["nodes"] == len(inputs) < sum(map(len, followed))
        assert engine.stats["asks"] == len(turns)
        assert engine.stats["tokens"] == sum(t.n for t in turns)


def test_finished_rows_leave(tiny: Model) -> None:
    engine, limits = LocalEngine(tiny), [1, 2, 3, 5, 8]

    async def lengths(model: Session) -> list[int]:
        turns = await asyncio.gather(*(model.branch(i).ask("1+1=", n, top_k=1) for i, n in enumerate(limits)))
        return [t.n for t in turns]

    (found,) = asked(engine, lengths)
    assert found == limits
    assert engine.stats["steps"] == max(limits)
    assert engine.stats["tokens"] == sum(limits)
    assert not engine.busy


def test_a_thousand_asks_at_once(tiny: Model) -> None:
    engine = LocalEngine(tiny)

    async def many(model: Session) -> list[Turn]:
        return list(await asyncio.gather(*(model.branch(i).ask(f"{i % 50}+{i % 20}=", 6) for i in range(1000))))

    (together,) = asked(engine, many)
    assert engine.stats["steps"] <= 6
    for i in (0, 17, 500, 999):

        async def one(model: Session, i: int = i) -> Turn:
            return await model.branch(i).ask(f"{i % 50}+{i % 20}=", 6)

        (alone,) = asked(engine, one)
        assert (alone.ids, alone.logp.tobytes()) == (together[i].ids, together[i].logp.tobytes())


def test_lanes_grow_while_others_write(tiny: Model) -> None:
    """More asks, longer prompts and higher limits than there was room for, in the middle of other turns."""

    async def early(model: Session) -> Turn:
        return await model.ask("5+5=", 40, stop=("never",))

    async def crowd(model: Session) -> Turn:
        first = await model.ask("1+1=", 9, top_k=1)
        later = [model.branch(i).ask(f"{i}" * 30 + "=", 90 + i) for i in range(90)]
        await asyncio.gather(*later)
        return first

    async def either(model: Session) -> Turn:
        return await (crowd if next(turn) == 2 else early)(model)

    turn = iter(range(9))
    alone = asked(LocalEngine(tiny), early, 2)
    together = asked(LocalEngine(tiny), either, 3)
    for a, b in zip(alone, together):
        assert (a.ids, a.logp.tobytes()) == (b.ids, b.logp.tobytes())


# ---- memory


async def crowded(model: Session, question: Question, tools: Any = None) -> Reply:
    """Comes back to old contexts after long detours, alone and in branches: what was dropped must be made anew."""
    start = model.context(question)
    turns = [await model.ask(start, 10)]
    for i in range(3):
        await model.ask(start + f"{i}" * 20, 8)
        turns.append(await model.ask(start + turns[-1], 6))
        turns += await asyncio.gather(*(model.branch(10 * i + j).ask(start + turns[-1] + f"{j}", 4) for j in range(2)))
    return Reply(turns[-1].text)


@pytest.mark.parametrize("nodes", [70, 90, 150, 400, 1100])
@pytest.mark.parametrize("name", ["crowded", "fork", "tool_loop"])
def test_little_memory_changes_nothing_but_time(nodes: int, name: str, tiny: Model) -> None:
    solver = crowded if name == "crowded" else SOLVERS[name]
    ample, scarce = LocalEngine(tiny), LocalEngine(tiny, kv_bytes=nodes * SLOT)
    assert scarce.most == nodes
    want = texts(rollouts_of(ample, solver, problems=6))
    assert texts(rollouts_of(scarce, solver, problems=6)) == want
    assert scarce.plan.slots <= nodes
    if nodes < 400:
        assert scarce.stats["nodes"] > ample.stats["nodes"], "something was dropped and computed again"
        assert scarce.stats["steps"] > ample.stats["steps"], "asks had to wait"
    assert scarce.reserved == 0


def test_an_ask_that_never_fits_is_refused(tiny: Model) -> None:
    engine = LocalEngine(tiny, kv_bytes=40 * SLOT)

    async def big(model: Session) -> str:
        with pytest.raises(EngineError, match=r"of 36 \+ 5 tokens needs more than the 40 nodes .* raise kv_bytes"):
            await model.ask("1" * 35, 5)
        return (await model.ask("1" * 35, 4)).ended

    assert asked(engine, big) == ["length"]


# ---- lengths and stops


def test_limits(tiny: Model) -> None:
    room = TINY.context

    async def ends(model: Session) -> list[tuple[str, int]]:
        turns = [
            await model.ask("1" * (room - 2), 10, temperature=0),  # one token of room besides <s>
            await model.ask("1" * 5, 3, temperature=0),
        ]
        with pytest.raises(PromptTooLong, match=f"has {room} tokens, .* holds {room}"):
            await model.ask("1" * (room - 1), 10)
        return [(t.ended, t.n) for t in turns]

    assert asked(LocalEngine(tiny), ends) == [[("length", 1), ("length", 3)]]


def test_given_text_must_fit_too(tiny: Model) -> None:
    """Positions past the tables would be read from whatever lies behind them."""
    room, says = TINY.context, r"a sequence of \d+ tokens is too long, the model's context holds 160: shorten the text"

    async def work(model: Session) -> int:
        fits = "1" * (room - 51)  # with <s> before and 50 tokens after it
        assert np.isfinite(model.score(fits, "2" * 50)).all()
        assert model.say(fits, "2" * 49).n == 50
        for call in (
            lambda: model.score(fits, "2" * 52),
            lambda: model.look("1" * room, ("hidden",)),
            lambda: model.say(fits, "2" * 50),
            lambda: tiny.logprobs(fits, "2" * 52),
        ):
            with pytest.raises(PromptTooLong, match=says):
                call()
        return len(model.close())

    assert asked(LocalEngine(tiny), work) == [1]


@pytest.mark.parametrize(
    "bad", [{"max_tokens": 0}, {"max_tokens": -1}, {"top_p": 0.0}, {"top_p": 1.5}, {"temperature": -0.5}, {"top_k": -1}]
)
def test_sampling_out_of_range_is_refused(bad: dict[str, Any], tiny: Model) -> None:
    async def ask(model: Session) -> str:
        with pytest.raises(InputError, match=f"{next(iter(bad))}.*{next(iter(bad.values()))}"):
            await model.ask("1+1=", **bad)
        return "refused"

    assert asked(LocalEngine(tiny), ask) == ["refused"]


def test_nothing_to_continue_is_refused(fresh: Model) -> None:
    """A tokenizer without a begin token and an empty prompt leave no token whose successor could be drawn."""
    fresh.tokenizer.start = ()

    async def ask(model: Session) -> str:
        for call in (
            lambda: model.ask("", 3),
            lambda: model.score("", "12"),
            lambda: model.look("", ("hidden",)),
            lambda: model.say("", "1"),
        ):
            with pytest.raises(InputError, match="empty"):
                call()
        return (await model.ask("1", 3)).ended

    assert asked(LocalEngine(fresh), ask) == ["length"]


def test_stop_strings_end_a_turn_and_stay_in_it(tiny: Model) -> None:
    engine = LocalEngine(tiny)

    async def both(model: Session) -> tuple[Turn, Turn]:
        whole = await model.branch(0).ask("1+1=", 30)
        model.branch(0)._nth.clear()  # the same draws again
        return whole, await model.branch(0).ask("1+1=", 30, stop=("no such", "=7", whole.text[4:6], whole.text[9:11]))

    long = [(whole, stopped) for whole, stopped in asked(engine, both, 12) if whole.n > 12]
    assert len(long) > 5
    for whole, stopped in long:
        cut = min(whole.text.find(s) + len(s) for s in ("=7", whole.text[4:6], whole.text[9:11]) if s in whole.text)
        assert stopped.ended == "stop"
        assert stopped.text == whole.text[:cut]
        assert stopped.logp.tobytes() == whole.logp[: stopped.n].tobytes()


def test_end_token_ends_a_turn(tiny: Model) -> None:
    async def until_end(model: Session) -> Turn:
        return await model.ask("2+2=", 120)

    turns = asked(LocalEngine(tiny), until_end, 20)
    ended = [t for t in turns if t.ended == "stop"]
    assert len(ended) > 0
    assert all(t.ids[-1] == tiny.tokenizer.end and tiny.tokenizer.end not in t.ids[:-1] for t in ended)
    assert all(t.n == 120 for t in turns if t.ended == "length")
    assert all("</s>" not in t.text for t in turns)


# ---- draws


def test_greedy_takes_the_likeliest(tiny: Model) -> None:
    engine = LocalEngine(tiny)

    async def greedy(model: Session) -> list[int]:
        turn = await model.ask("3+4=", 8, temperature=0)
        likely = [int(model.look(turn.context + turn.ids[:i], ("logprobs",))["logprobs"][-1].argmax()) for i in range(turn.n)]
        assert turn.ids == tuple(likely)
        return likely

    first, second = asked(engine, greedy, 2)
    assert first == second


def test_marginals_of_the_second_token(tiny: Model) -> None:
    """Chi-square over 4,000 draws against probabilities worked out exactly: sum over first tokens of p(first) p(second | first)."""
    engine, n = LocalEngine(tiny), 4000

    async def two(model: Session) -> Turn:
        return await model.ask("0+1=", 2, temperature=0.5)

    turns = asked(engine, two, n)
    end, vocabulary = tiny.tokenizer.end, TINY.vocabulary
    plan = engine.plan

    def p(ids: tuple[int, ...]) -> np.ndarray:
        slots = engine._computed(engine.tree.path(engine.tree.place(engine.root + "0+1=" + ids)))
        return np.exp(plan.log_softmax(slots[-1:], 0.5)[0].astype(np.float64))

    first = p(())
    second = sum(first[v] * p((v,)) for v in range(vocabulary) if v != end)
    for expected, drawn in ((first, [t.ids[0] for t in turns]), (second, [t.ids[1] for t in turns if t.n > 1])):
        expected = expected * n
        seen = np.bincount(drawn, minlength=vocabulary).astype(float)
        rare = expected < 8
        e, o = np.append(expected[~rare], expected[rare].sum()), np.append(seen[~rare], seen[rare].sum())
        chi, freedom = ((o - e) ** 2 / e).sum(), len(e) - 1
        assert freedom > 10
        assert chi < freedom + 4 * (2 * freedom) ** 0.5, "4 deviations above a chi-square's mean"


# ---- cancelled and failing work


async def careless(model: Session, question: Question, tools: Any = None) -> Reply:
    """Times out, races, abandons and cancels asks, then does what `single` does."""
    slow = [model.branch(i).ask(question, 60) for i in range(4)]
    done, pending = await asyncio.wait([*slow[:2], model.branch(9).ask(question, 2)], return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    for p in pending:
        p.cancel()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(model.branch(7).ask(question, 100, stop=("never seen",)), 0.0)
    return await single(model, question)


async def failing(model: Session, question: Question, tools: Any = None) -> Reply:
    await model.ask(question, 3)
    raise RuntimeError("the solver's own fault")


def test_cancelled_abandoned_and_failing_work_disturbs_nobody(tiny: Model) -> None:
    engine = LocalEngine(tiny)
    want = {u: [t[-1:] for t in turns] for u, turns in texts(rollouts_of(engine, tool_loop)).items()}
    calls = iter(range(1000))
    odd = [careless, failing, tool_loop]

    async def some(model: Session, question: Question, tools: Any = None) -> Reply:
        return await (tool_loop if next(calls) % 2 == 0 else odd[next(others) % 2])(model, question, tools)

    others = iter(range(1000))
    rollouts = rollouts_of(engine, some)
    found = texts([r for n, r in enumerate(rollouts) if n % 2 == 0])
    assert {u: [t[-1:] for t in turns] for u, turns in found.items()} == {u: want[u] for u in found}
    assert [r.error is not None for r in rollouts] == [n % 4 == 3 for n in range(16)]
    assert "the solver's own fault" in str(rollouts[3].error)
    assert engine.stats["cancelled"] >= 4


def test_a_cancelled_ask_frees_its_place_at_once(tiny: Model) -> None:
    engine = LocalEngine(tiny)

    async def once(model: Session) -> int:
        ask = model.branch(0).ask("1+1=", 100, stop=("never seen",))
        await model.branch(1).ask("1+1=", 3)
        ask.cancel()  # type: ignore[attr-defined]
        await model.branch(1).ask("1+2=", 5)
        return len(model.close())

    assert asked(engine, once) == [2]
    assert engine.stats["cancelled"] == 1
    assert engine.stats["tokens"] <= 3 + 4 + 5
    assert engine.reserved == 0
    assert not engine.busy


def test_a_solver_that_polls_does_not_hang(tiny: Model) -> None:
    async def polling(model: Session) -> int:
        ask = asyncio.ensure_future(model.ask("1+1=", 4))
        while not ask.done():
            await asyncio.sleep(0)
        return ask.result().n

    async def limited(model: Session) -> int:
        return await asyncio.wait_for(polling(model), 5)

    engine = LocalEngine(tiny)
    asked(engine, lambda model: single(model, Question("1")))  # compiling must not count
    assert asked(engine, limited, 2) == [4, 4]


# ---- the record


def test_score_look_and_say(tiny: Model) -> None:
    engine = LocalEngine(tiny)

    async def work(model: Session) -> list[Turn]:
        turn = await model.ask("1+2=", 6, top_k=0)
        text = turn.text
        scored = model.score("1+2=", text)
        assert (scored == turn.logp[: len(scored)]).all()
        assert (scored == tiny.logprobs("1+2=", text).numpy()).all()
        seen = model.look(turn.context + turn, ("hidden", "logprobs"))
        n = turn.context.n + turn.n
        assert seen["hidden"].shape == (n, TINY.width)
        assert seen["logprobs"].shape == (n, TINY.vocabulary)
        assert torch.allclose(seen["logprobs"].exp().sum(1), torch.ones(n), atol=1e-5)
        assert (seen["logprobs"].numpy()[turn.context.n - 1 : -1][range(turn.n), turn.ids] == turn.logp).all()
        with pytest.raises(EngineError, match="cannot show gradients; it has hidden, logprobs and attention"):
            model.look("1", ("gradients",))
        said = model.say(turn.context + turn, "42", weight=0.5)
        assert (said.ended, said.forced, said.sampled.tolist(), said.logp.tolist()) == ("said", True, [False] * 3, [0.0] * 3)
        assert said.weight is not None
        assert said.weight.tolist() == [0.5] * 3
        assert said.ids == (*tiny.tokenizer.encode("42"), tiny.tokenizer.end)
        assert model.say("1", "2", end=False).ids == tiny.tokenizer.encode("2")
        return model.close()

    (turns,) = asked(engine, work)
    assert [t.ended for t in turns][1:] == ["said", "said"]
    assert turns[0].writer == ("tiny", 0)


def test_turns_stand_trunk_first_then_branches(tiny: Model) -> None:
    async def work(model: Session) -> list[str]:
        late = model.branch(2).ask("2", 1)
        model.branch(0).branch(1).say("0.1", "b")
        await model.ask("t", 1)
        await late
        model.branch(0).say("0", "a")
        model.say("t", "u")
        return [t.context.text for t in model.close()]

    assert asked(LocalEngine(tiny), work) == [["t", "t", "0", "0.1", "2"]]


def test_an_ask_again_draws_anew(tiny: Model) -> None:
    async def again(model: Session) -> list[tuple[int, ...]]:
        context: Context = model.context("5+5=")
        other_role = await model.ask(context, 12, role="critic")
        return [*[(await model.ask(context, 12)).ids for _ in range(3)], other_role.ids, (await model.branch(0).ask(context, 12)).ids]

    (drawn,) = asked(LocalEngine(tiny), again)
    assert len(set(drawn)) == 5
    assert draws("unused").random() < 1
