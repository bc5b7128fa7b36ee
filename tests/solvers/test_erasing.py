"""What is not in the memory is erased, and each turn is trained in the very context it was written in."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import TINY, Sums, model_of, rollouts_of, texts, twin
from thinkery.core.errors import BadConfig, InputError
from thinkery.core.records import Problem, Rollout
from thinkery.core.rng import Stream
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.learning.batch import build
from thinkery.learning.collect import Collector, Unit
from thinkery.learning.forward import logprobs
from thinkery.solvers.erasing import Finder, erasing


class Book:
    """Finds `x1` as `x1=7,y2=8`, and nothing that is longer than four characters."""

    def find(self, query: str) -> str:
        if len(query) > 4:
            raise InputError(f"{query} is too long")
        return f"{query}=7,y2=8"


class Pairs(Sums):
    """Two things to look up, then the answer."""

    max_tokens = 40
    styles = ("memory",)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        return f"?a1:a1 is 7?b2:a1 is 7,b2 is 7?b12345:#{problem.answer}"

    def tools(self, problem: Problem, rng: Stream) -> Finder | None:
        return Book()


class Plain(Pairs):
    """Where nothing can be looked up."""

    def tools(self, problem: Problem, rng: Stream) -> None:
        return None


def collected(style: str | None = None, n: int = 4, task: Pairs | None = None, **settings: Any) -> tuple[LocalEngine, list[Rollout]]:
    engine = LocalEngine(model_of(TINY))
    at = Collector(task or Pairs(), engine, partial(erasing, **settings), Sampling(40), 0)
    return engine, at.collect(0, [Unit(i, 0, {}, style) for i in range(n)])


def shown(r: Rollout) -> list[str]:
    """The turns' contexts, without what every context begins with and the question."""
    prompt = r.problem.question.prompt
    return [t.context.text.partition(f"{prompt}\n")[2] for t in r.turns]


def test_a_turn_follows_the_question_the_last_turn_and_what_was_found() -> None:
    (r,) = collected("memory", 1)[1]
    assert r.error is None
    assert shown(r) == ["6?", "?a1:a1=7,y2=8\n5?", "a1 is 7?b2:b2=7,y2=8\n4?", "a1 is 7,b2 is 7?b12345:\n3?"]
    assert r.reply is not None and r.reply.text == f"#{r.problem.answer}" and not r.reply.truncated
    assert [(c["arguments"], c["text"], c["error"]) for c in r.calls] == [
        ("a1", "a1=7,y2=8", ""),
        ("b2", "b2=7,y2=8", ""),
        ("b12345", "", "b12345 is too long"),
    ]


def test_without_a_memory_only_the_query_is_kept_and_without_erasing_everything() -> None:
    (lost,), (whole,) = collected("memory", 1, keeps=False)[1], collected("memory", 1, forgets=False)[1]
    assert shown(lost) == ["6?", "?a1:a1=7,y2=8\n5?", "?b2:b2=7,y2=8\n4?", "?b12345:\n3?"]
    assert shown(whole)[2] == "6??a1:a1=7,y2=8\n5?a1 is 7?b2:b2=7,y2=8\n4?"
    assert all(later.startswith(before) for before, later in zip(shown(whole), shown(whole)[1:]))


def test_turns_are_counted() -> None:
    (r,) = collected("memory", 1, turns=2)[1]
    assert shown(r) == ["2?", "?a1:a1=7,y2=8\n1?"] and r.reply is not None and r.reply.text == "a1 is 7?b2:"


def test_the_context_a_turn_was_written_in_is_the_context_it_is_trained_in() -> None:
    """The released code trains otherwise: its mask hides the last memory, and positions run on over what was erased.

    So each turn is scored three ways: in its row of the batch, on its own as the text that it followed, and without the memory; the first two
    are what was sampled from, the last is not.
    """
    engine, found = collected(n=400)
    found = [r for r in found if r.error is None and len(r.turns) > 2]
    batch = build(found, engine.tree)
    with torch.no_grad():
        trained = logprobs(twin(engine.model.decoder), batch, np.arange(len(batch)), batch.mask.sum(1)).logp.numpy()
    assert len(found) >= 3 and np.abs(trained - batch.behaviour)[batch.mask].max() < 1e-4

    fresh, turns = LocalEngine(model_of(TINY)), [t for r in found for t in r.turns]
    prompts = [r.problem.question.prompt for r in found for _ in r.turns]
    for prompt, turn in zip(prompts, turns):
        read = turn.context.text[turn.context.text.index(f"{prompt}\n") :]
        alone = fresh.score(fresh.model.context(fresh.root, read), turn.ids)
        assert np.abs(alone - turn.logp).max() < 1e-4
    seen = 0
    for r in found:
        before, turn = r.turns[1:3]
        memory = before.text.removesuffix(":").rpartition("?")[0]
        assert shown(r)[2].startswith(before.text)
        if memory:
            hidden = f"{r.problem.question.prompt}\n{shown(r)[2].removeprefix(memory)}"
            assert np.abs(fresh.score(fresh.model.context(fresh.root, hidden), turn.ids) - turn.logp).max() > 1e-2
            seen += 1
    assert seen > 0


def test_contexts_do_not_grow_with_the_turns() -> None:
    longest = [max(t.context.n for t in collected("memory", 1, turns=n)[1][0].turns) for n in (3, 4, 9)]
    assert longest[2] <= longest[0] + 12


def test_it_says_the_same_twice() -> None:
    engine = LocalEngine(model_of())

    async def solve(model: Any, question: Any, tools: Any = None) -> Any:
        return await erasing(model, question, Book())

    one, two = (rollouts_of(engine, solve, problems=3, samples=2) for _ in range(2))
    assert texts(one) == texts(two)


def test_refusals() -> None:
    with pytest.raises(InputError, match="looks things up"):
        collected(n=1, task=Plain())
    with pytest.raises(BadConfig, match="turns is 0"):
        collected(n=1, turns=0)


class Counted(Pairs):
    """A question that says how many turns it has."""

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        made = super().problem(index, split, seed)
        return replace(made, question=replace(made.question, shown={"turns": 2}))


def test_a_question_may_say_how_many_turns_it_has() -> None:
    (r,) = collected("memory", 1, Counted())[1]
    assert shown(r) == ["2?", "?a1:a1=7,y2=8\n1?"]


class Endless(Pairs):
    """Queries without end."""

    max_tokens = 400

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        return "?a1:" * 60


def test_what_no_longer_fits_is_cut_off() -> None:
    (r,) = collected("memory", 1, Endless(), turns=50, forgets=False)[1]
    assert r.error is None and r.reply is not None and r.reply.truncated
    assert r.reply.text == "?a1:" and len(r.calls) == len(r.turns) < 50
    (fits,) = collected("memory", 1, Endless(), turns=50)[1]
    assert fits.reply is not None and not fits.reply.truncated and len(fits.turns) == 50
