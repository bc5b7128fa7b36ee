"""What is written in company: whose turn it is, what is trained, and that a chain that was cut off is neither graded nor said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.support import model_of
from thinkery.core.context import Turn
from thinkery.core.records import Reply, Rollout
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.learning.collect import Collector, Unit
from thinkery.solvers import batched, single
from thinkery.solvers.batched import AUTHOR, graded, in_company, recited
from thinkery.tasks.batched import Batched
from thinkery.tasks.chain import Chain

TASK = Batched(Chain(steps=(2, 3)), hard=3)
Write = Callable[[str, str], tuple[str, bool]]  # prompt, role -> text, and whether it was cut off


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Callable[[Write], list[tuple[str, str, float | None, int | None]]]:
    """Has sessions write what a function says; gives the list of what was asked: prompt, role, temperature, room."""

    def install(write: Write) -> list[tuple[str, str, float | None, int | None]]:
        asked: list[tuple[str, str, float | None, int | None]] = []

        async def ask(self: Session, context: Any, max_tokens: int | None = None, **how: Any) -> Turn:
            role, place = how.get("role", "policy"), self.context(context)
            asked.append((place.text, role, how.get("temperature"), max_tokens))
            text, cut = write(place.text, role)
            turn = self.say(place, text, role, end=not cut)
            turn.ended = "length" if cut else "stop"
            return turn

        monkeypatch.setattr(Session, "ask", ask)
        return asked

    return install


def collected(solver: Any, n: int = 12, samples: int = 1, **spec: Any) -> list[Rollout]:
    at = Collector(TASK, LocalEngine(model_of()), solver, Sampling(10), 0)
    found = at.collect(0, [Unit(i, k, spec) for i in range(n) for k in range(samples)])
    assert all(r.error is None for r in found)
    return found


def three(prompt: str, role: str) -> tuple[str, bool]:
    """Chains that name their place; alone 1; a label for what is to be graded."""
    return ("x#a" if prompt.endswith("?") else "#1" if "||" not in prompt else "#0||#1||#2"), False


def test_a_question_gets_its_own_chain_and_the_batch_has_room(written: Any) -> None:
    asked = written(three)
    found = collected(in_company, batch=3)
    assert [r.reply for r in found] == [Reply(f"#{i % 3}") for i in range(12)]
    assert {(prompt.count("||"), room) for prompt, _, _, room in asked} == {(2, 36)}
    assert len({prompt for prompt, _, _, _ in asked}) == 4, "three questions share a prompt"


def test_the_policy_grades_what_the_author_most_likely_says(written: Any) -> None:
    asked = written(three)
    for r in collected(graded, batch=3):
        company = r.problem.question.shown["company"]
        assert r.reply == Reply(f"#{r.index % 3}" if company else "#1", False, {"company": company, "label": "a"})
        draft, grade = r.turns
        assert (draft.role, grade.role) == (AUTHOR, "policy")
        assert draft.context.text == (r.problem.question.shown["batch"] if company else r.problem.question).prompt
        assert grade.context.text == f"{r.problem.question.prompt}{r.reply.text}?"
    assert {t for _, role, t, _ in asked if role == AUTHOR} == {0.0}


@pytest.mark.parametrize(
    ("text", "cut", "label"), [("#d", False, None), ("so b", False, None), ("#b ", False, "b"), ("#b", True, None), ("c", False, "c")]
)
def test_a_label_is_read_or_there_is_none(written: Any, text: str, cut: bool, label: str | None) -> None:
    written(lambda prompt, role: (text, cut) if prompt.endswith("?") else three(prompt, role))
    assert {r.reply.data["label"] for r in collected(graded, 4, batch=3) if r.reply is not None} == {label}


def test_a_chain_that_was_cut_off_is_neither_graded_nor_said(written: Any) -> None:
    """Of a batch that was cut off the chains before the last are whole."""
    written(lambda prompt, role: ("#0||#1||#2", True) if "||" in prompt else ("3+4:", True))
    for solver in (graded, recited):
        found = collected(solver, 30, batch=3)
        for r in found:
            assert r.reply is not None
            if r.reply.truncated:
                assert [t.role for t in r.turns] == [AUTHOR]
            else:
                assert r.reply.data["company"] and r.index % 3 < 2 and r.turns[-1].role == "policy"
        assert 0 < sum(r.reply is not None and not r.reply.truncated for r in found) < 20


def test_a_chain_is_recited_to_the_question_alone(written: Any) -> None:
    written(three)
    found = collected(recited, 8, 6, batch=3)
    for r in found:
        draft, said = r.turns
        assert r.reply is not None and said.text == r.reply.text and (draft.role, said.role) == (AUTHOR, "policy")
        assert said.context.text == r.problem.question.prompt and said.forced
        assert ("||" in draft.context.text) == r.reply.data["company"]
    by_problem = [{r.reply.data["company"] for r in found if r.index == i and r.reply is not None} for i in range(8)]
    assert sum(len(seen) == 2 for seen in by_problem) >= 6, "samples of a problem are of both kinds"


def test_who_is_asked_alone_answers() -> None:
    engine = LocalEngine(model_of())
    base = Collector(TASK, engine, single, Sampling(10), 0)
    units = [Unit(i, 0) for i in range(6)]
    texts = lambda solver: [[t.text for t in r.turns] for r in replace(base, solver=solver).collect(0, units)]
    assert texts(graded) == texts(recited) == texts(single)
    assert batched.single is single
