"""What is watched must be what is written, token by token, and watching must change nothing: a draw that hung on it would be no draw by
address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support import TINY, model_of, tool_loop

from thinkery import solvers
from thinkery.core.context import Turn
from thinkery.core.errors import InputError, SolverError, UnknownName
from thinkery.engines.local import LocalEngine
from thinkery.engines.work import Answer
from thinkery.lab.ask import ask
from thinkery.models.foreign import as_foreign
from thinkery.models.model import Model
from thinkery.models.tokenizer import load_tokenizer


def test_every_token_is_seen_as_it_is_written(tiny: Model) -> None:
    seen: dict[int, list[Turn]] = {}

    def watch(live: list[tuple[Answer, Turn]]) -> None:
        for answer, turn in live:
            assert not answer.done() and turn.ended == ""
            seen.setdefault(id(answer), []).append(turn)

    asked = ask(tiny, "3+4=", solver="best_of_n", max_tokens=9, seed=1, watch=watch)
    assert len(asked.turns) == len(seen) == solvers.best_of_n.__globals__["SAMPLES"]
    for turn, parts in zip(asked.turns, seen.values()):
        assert [p.ids for p in parts] == [turn.ids[: i + 1] for i in range(turn.n)]
        assert parts[-1].logp.tolist() == turn.logp.tolist() and parts[-1].context is turn.context
    assert asked.tokens == sum(t.n for t in asked.turns)


def test_watching_changes_nothing_and_the_seed_does(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(solvers.SOLVERS, "tool_loop", tool_loop)
    drawn = lambda seed, watch=None: [t.ids for t in ask(tiny, "3+4=", solver="tool_loop", temperature=1.0, seed=seed, watch=watch).turns]
    assert drawn(0) == drawn(0, lambda live: None)
    assert drawn(0) != drawn(1)


def test_an_engine_that_is_not_watched_makes_no_turns(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalEngine, "_so_far", lambda *_: pytest.fail("nobody watches"))
    assert ask(tiny, "3+4=", max_tokens=4).turns[0].n <= 4


def test_plain_values(tiny: Model) -> None:
    asked = ask(tiny, "3+4=", max_tokens=5)
    found = asked.to_dict()
    (turn,) = asked.turns
    assert found["turns"] == [{"text": turn.text, "ended": turn.ended, "tokens": turn.n, "logp": pytest.approx(float(turn.logp.sum()))}]
    assert found["reply"] == asked.reply.text and found["tokens"] == turn.n and found["seconds"] == asked.seconds > 0


def test_a_system_message_reaches_the_model_and_stays_in_its_question(tmp_path: Path) -> None:
    from tests.models.families import write

    tokenizer = load_tokenizer(write("qwen3", tmp_path), {})
    model = model_of(TINY.__class__(**(vars(TINY) | {"vocabulary": 500})))
    model = Model(model.decoder, tokenizer, "chatty")
    prompt = lambda **more: ask(model, "hello", max_tokens=2, **more).turns[0].context.text
    assert "Be brief." in prompt(system="Be brief.")
    assert "Be brief." not in prompt()


async def broken(model: Any, question: Any, tools: Any = None) -> Any:
    await model.ask(question, 1)
    raise ZeroDivisionError("inside")


def test_errors_say_whose_they_are(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(solvers.SOLVERS, "broken", broken)
    for question, settings, kind, says in (
        (" \n", {}, InputError, "empty"),
        ("3+é=", {}, InputError, "é"),
        ("3+4=", {"max_tokens": 0}, InputError, "max_tokens"),
        ("3+4=", {"solver": "sinlge"}, UnknownName, "single"),
        ("3+4=", {"system": "x"}, InputError, "no chat template"),
        ("3+4=", {"solver": "thinking"}, InputError, "thoughts"),
        ("3+4=", {"solver": "broken"}, SolverError, "ZeroDivisionError: inside"),
    ):
        with pytest.raises(kind, match=says):
            ask(tiny, question, **settings)


def test_models_that_transformers_runs_answer_too(tiny: Model) -> None:
    """They cannot be watched; the reply is the same."""
    pytest.importorskip("transformers")
    other = Model(as_foreign(tiny), tiny.tokenizer, tiny.name)
    asked = ask(other, "3+4=", max_tokens=6, watch=lambda live: pytest.fail("it cannot be watched"))
    assert asked.reply.text == ask(tiny, "3+4=", max_tokens=6).reply.text
