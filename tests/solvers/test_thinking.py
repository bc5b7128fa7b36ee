"""Thoughts never reach the verifier, and a budget that is hit closes the thought without training on it.

A thought taken for the answer is scored for what it tries out; a forced tag among the trained tokens teaches the model to stop at
random; both look like learning.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.families import write
from tests.support import TINY
from thinkery.core.context import Context, Turn
from thinkery.core.errors import InputError
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import Stream
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run
from thinkery.learning.collect import Collector, Unit
from thinkery.models.model import Model, new_model
from thinkery.models.tokenizer import load_tokenizer
from thinkery.solvers import solver, thinking
from thinkery.solvers.single import single
from thinkery.tasks import TASKS, load_file, load_task
from thinkery.tasks.base import Task

QUESTION = Question("12+34=")


def model_of(family: str, think: bool | None = None, template: bool = True) -> Model:
    tokenizer = load_tokenizer(write(family, Path(tempfile.mkdtemp()) / family, template), {})
    if tokenizer.chat is not None:
        tokenizer.chat = tokenizer.chat.asked(think)
    return new_model(replace(TINY, vocabulary=tokenizer.size, context=400), tokenizer, family)


class Scripted(Session):
    """A model that writes what is laid down for it, each text with how it ended and in tokens of the vocabulary."""

    __slots__ = ("limits", "lines")

    def __init__(self, model: Model, *lines: tuple[str, str]) -> None:
        super().__init__(LocalEngine(model), 0, Sampling(max_tokens=30))
        self.lines, self.limits = list(lines), list[Any]()

    async def ask(self, context: Any, max_tokens: int | None = None, *more: Any, **how: Any) -> Turn:  # type: ignore[override]
        text, ended = self.lines.pop(0)
        chat, tokenizer = self.chat(), self.engine.model.tokenizer
        ids = chat.controls.encode(text) if chat else tokenizer.encode(text)
        ids += (tokenizer.end,) if ended == "stop" else ()
        turn = Turn(self.context(context), "policy", ("m", 0), 1.0, ended, ids, np.zeros(len(ids), np.float32))
        self._asked.append(turn)
        self.limits.append(max_tokens)
        return turn


def replied(session: Session, solve: Any, **more: Any) -> Reply:
    (reply,) = run([solve(session, QUESTION, **more)], [session.engine])
    if isinstance(reply, BaseException):
        raise reply
    assert isinstance(reply, Reply)
    return reply


# ---- one shot

GEMMA = "<|channel>thought\nso<channel|>46"


@pytest.mark.parametrize(
    ("family", "think", "text", "ended", "want"),
    [
        ("qwen3", None, "<think>\nso\n</think>\n\n46", "stop", ("46", False, "so")),
        ("qwen3", None, "46", "stop", ("46", False, None)),
        ("qwen3", False, "46", "stop", ("46", False, None)),
        ("qwen3", None, "<think>\nso 46", "length", ("", True, "so 46")),
        ("qwen3", None, "<think>\nso 46", "stop", ("", True, "so 46")),  # the end token inside a thought
        ("qwen35", None, "so\n</think>\n\n46", "stop", ("46", False, "so")),
        ("qwen35", None, "\n</think>\n\n46", "stop", ("46", False, "")),
        ("qwen35", None, "46", "length", ("", True, "46")),
        ("qwen35", False, "46", "stop", ("46", False, None)),
        ("qwen35", None, "so</think>46", "length", ("46", True, "so")),
        ("gemma4", True, GEMMA, "stop", ("46", False, "so")),
        ("gemma4", None, "46", "stop", ("46", False, None)),
        ("llama3", None, "<think>so</think>46", "stop", ("<think>so</think>46", False, None)),  # its template knows no thoughts
    ],
)
def test_the_reply_is_the_answer(family: str, think: bool | None, text: str, ended: str, want: tuple[str, bool, str | None]) -> None:
    reply = replied(Scripted(model_of(family, think), (text, ended)), single)
    assert (reply.text, reply.truncated, reply.data.get("thought")) == want


def test_no_template_no_splitting() -> None:
    reply = replied(Scripted(model_of("qwen3", template=False), ("so</think>46", "stop")), single)
    assert reply.text == "so</think>46" and not reply.data


# ---- a budget

FORCED = [("qwen3", None, "<think>\nso we", "\n</think>\n\n"), ("qwen35", None, "so we", "\n</think>\n\n"),
          ("gemma4", True, "<|channel>thought\nso we", "<channel|>"), ("smollm3", True, "<think>\nso we", "\n</think>\n")]  # fmt: skip


@pytest.mark.parametrize(("family", "think", "text", "closing"), FORCED)
def test_the_budget_closes_the_thought(family: str, think: bool | None, text: str, closing: str) -> None:
    session = Scripted(model_of(family, think), (text, "length"), ("46", "stop"))
    reply = replied(session, thinking, budget=5)
    assert (reply.text, reply.truncated, reply.data["thought"]) == ("46", False, "so we")
    first, second = session.close()
    chat = session.chat()
    assert chat is not None and session.limits == [5, None]
    forced = chat.controls.encode(closing)
    assert second.context.ids == (*first.context.ids, *first.ids, *forced)
    assert first.ids + second.ids == (*chat.controls.encode(text), *chat.controls.encode("46"), session.engine.model.tokenizer.end)


def test_a_thought_that_ends_in_time_is_left_alone() -> None:
    session = Scripted(model_of("qwen3"), ("<think>\nso\n</think>\n\n46", "stop"))
    assert replied(session, thinking).text == "46" and len(session.close()) == 1
    session = Scripted(model_of("qwen3"), ("<think>\nso\n</think>\n\n4", "length"), ("6", "stop"))
    assert replied(session, thinking).text == "46", "an answer that the budget cut is written on"
    assert session.close()[1].context.ids == session.close()[0].context.ids + session.close()[0].ids
    session = Scripted(model_of("qwen3", False), ("4", "length"), ("6", "stop"))
    assert replied(session, thinking).text == "46", "turned off there is no thought to close"
    session = Scripted(model_of("qwen35"), ("so", "length"), ("46", "length"))
    assert replied(session, thinking).truncated


def test_the_answer_may_be_cut_off_too() -> None:
    model = model_of("qwen35")
    session = Session(LocalEngine(model), 1, Sampling(max_tokens=6))
    reply = replied(session, solver("thinking"))
    first, second = session.close()
    assert (first.n, second.n) == (6, 6) and reply.truncated and "thought" in reply.data
    chat = model.chat
    assert chat is not None and second.context.ids == first.context.ids + first.ids + chat.thought_end
    assert not np.isnan(second.logp).any() and not second.forced


@pytest.mark.parametrize(("family", "template"), [("llama3", True), ("qwen3", False)])
def test_models_without_thoughts_are_told_so(family: str, template: bool) -> None:
    with pytest.raises(InputError, match="knows thoughts"):
        replied(Session(LocalEngine(model_of(family, template=template)), 1, Sampling()), thinking)


# ---- a conversation, and worked replies


def test_the_next_message() -> None:
    for family, close in (("qwen3", "<|im_end|>"), ("llama3", "<|eot_id|>")):
        session = Session(LocalEngine(model_of(family)), 1, Sampling())
        turn = session.say(QUESTION, "46", end=False)
        after = session.follow(turn.context + turn, "sure?")
        said = session.say(QUESTION, "46")
        assert after.ids[: turn.context.n + turn.n] == turn.context.ids + turn.ids
        assert session.follow(said.context + said, "sure?").ids == after.ids, f"{close} once, whoever wrote it"
        assert session.follow(turn.context + turn, "sure?") is after, "interned"
        assert "sure?" in session.follow(turn.context + turn, "sure?", author="tool").text
    plain = Session(LocalEngine(model_of("qwen3", template=False)), 1, Sampling())
    assert plain.follow(plain.context("1"), "+1").text == "1+1"


class Worked(Task):
    name, max_tokens, styles = "worked", 8, ("direct",)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        return Problem(str(index), QUESTION, "46")

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        return Verdict(float(reply.text == "46" and not reply.truncated), reply.text)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        return "46"


@pytest.mark.parametrize(("family", "think"), [("qwen3", None), ("qwen35", None), ("qwen35", False), ("gemma4", True), ("llama3", None)])
def test_worked_replies_are_answers(family: str, think: bool | None) -> None:
    """Recited inside a thought that the prompt opened they would teach the model never to answer."""
    model = model_of(family, think)
    for solve in (single, solver("thinking")) if family != "llama3" else (single,):
        (rollout,) = Collector(Worked(), LocalEngine(model), solve, Sampling(8), 0).collect(0, [Unit(0, 0, style="direct")])
        assert rollout.verdict is not None and rollout.verdict.score == 1
        (turn,) = rollout.turns
        ends = model.chat.thought_end if model.chat and model.chat.thought_open(turn.context.ids) else ()
        assert turn.ids == (*ends, *model.tokenizer.encode("46"), model.tokenizer.end) and bool(ends) == (
            family == "qwen35" and think is None
        )


def test_contexts_of_one_question_are_one() -> None:
    session = Session(LocalEngine(model_of("qwen3")), 1, Sampling())
    assert session.context(QUESTION) is session.context(replace(QUESTION, shown={"a": 1}))
    told = session.context(replace(QUESTION, instruction="Be brief."))
    assert isinstance(told, Context) and "12+34=\n\nBe brief." in told.text


# ---- what models are told


@pytest.mark.parametrize("name", sorted(TASKS))
def test_instructions_ask_for_what_is_read(name: str) -> None:
    task = load_task(name)
    problem = task.problem(0)
    told = problem.question.instruction
    ending = (";" if '";"' in told else "#") + problem.answer
    assert told and task.verify(problem, Reply(f"Let me think: a few words, 1+1=2, and more.\n{ending}")).score == 1


@pytest.mark.parametrize(("verifier", "gold"), [("number", "46"), ("exact", "New York"), ("choice", "B"), ("set", "red, green")])
def test_files_ask_for_what_their_verifier_reads(verifier: str, gold: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"q": "question {i}", "a": "{gold}"}}\n' for i in range(200)))
    task = load_file(path, "q", "a", verifier)
    problem = task.problem(0)
    assert 'End with "Answer:"' in problem.question.instruction
    assert task.verify(problem, Reply(f"One may think of (A) or 12, 13.\n\nAnswer: {gold}")).score == 1
