"""Choosing by a score: what is handed in has the highest one, and nobody but a declared oracle knows the answer."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.support import Sums, model_of, rollouts_of, texts
from thinkery.core.errors import BadConfig, InputError, UnknownName
from thinkery.core.records import Reply
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.learning.collect import Collector, Unit
from thinkery.solvers.scored import SCORES, approval, grade, named, scored
from thinkery.tasks import load_task
from thinkery.tasks.oracle import Oracle


def test_the_best_is_handed_in_and_what_is_cut_off_or_has_no_score_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[float | None]] = []

    async def by(model: Session, question: Any, reply: Reply, tools: Any) -> float | None:
        return None if "a" in reply.text else len(reply.text) / 16

    monkeypatch.setitem(SCORES, "length", by)
    for r in rollouts_of(LocalEngine(model_of()), partial(scored, samples=5, score="length")):
        assert r.reply is not None and len(r.turns) == 5
        scores = r.reply.data["scores"]
        given.append(scores)
        whole = [(t, s) for t, s in zip(r.turns, scores) if t.ended != "length"] or list(zip(r.turns, scores))
        rank = [-math.inf if s is None else s for _, s in whole]
        assert r.reply.text == whole[rank.index(max(rank))][0].text
        assert r.reply.truncated == all(t.ended == "length" for t in r.turns)
    assert any(None in s for s in given) and any(None not in s for s in given)


def test_approval_is_the_probability_of_right_against_wrong() -> None:
    engine = LocalEngine(model_of())
    session = Session(engine, 1, Sampling())
    question = Sums().problem(0).question
    found = [approval(session, question, Reply(f"3#{n}"), None) for n in (1, 2)]
    for n, coroutine in zip((1, 2), found):
        with pytest.raises(StopIteration) as ended:
            coroutine.send(None)
        right, wrong = (
            np.exp(session.score(session.context(f"{question.prompt}#{n}?"), f"#{w}").sum(dtype="float64")) for w in ("right", "wrong")
        )
        assert ended.value.value == pytest.approx(right / (right + wrong), rel=1e-4)


@pytest.mark.parametrize(("text", "value"), [("10", 1.0), ("7", 0.7), ("0", 0.0), ("a", None), ("", None), ("11", None)])
def test_grades_are_read_in_tenths(monkeypatch: pytest.MonkeyPatch, text: str, value: float | None) -> None:
    async def ask(self: Session, context: Any, *given: Any, role: str = "policy") -> Any:
        assert role == "scorer" and context.text.endswith("=3#5%")
        return self.say(context, text, role)

    monkeypatch.setattr(Session, "ask", ask)
    coroutine = grade(Session(LocalEngine(model_of()), 1, Sampling()), Sums().problem(3).question, Reply("3#5"), None)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value == value


def test_the_role_is_cast() -> None:
    """Another scorer writes other grades after the same replies, which stay as they are."""
    engine, other = LocalEngine(model_of()), LocalEngine(model_of(seed=5))
    solver = partial(scored, samples=3, score="grade")
    one, two = rollouts_of(engine, solver), rollouts_of(engine, solver, cast={"scorer": other})
    by = lambda rollouts, role: [t.ids for r in rollouts for t in r.turns if t.role == role]
    assert by(one, "policy") == by(two, "policy") and by(one, "scorer") != by(two, "scorer")
    assert len(by(one, "scorer")) == len(by(one, "policy"))
    assert texts(one) == texts(rollouts_of(engine, solver))


def test_an_oracle_never_hands_in_a_wrong_reply_while_it_has_a_right_one_and_is_declared() -> None:
    class Begins(Sums):
        """Right is whatever begins with a vowel: random models get it at times."""

        def verify(self, problem: Any, reply: Reply, rollout: Any = None) -> Any:
            return type(super().verify(problem, reply))(float(reply.text[:1] in set("aeiou")))

    task, engine = Oracle(Begins()), LocalEngine(model_of())
    at = Collector(task, engine, partial(scored, samples=6, score="verifier"), Sampling(8), 0)
    found = at.collect(0, [Unit(i, 0) for i in range(12)])
    for r in found:
        assert r.verdict is not None and r.reply is not None
        right = any(t.text[:1] in set("aeiou") and t.ended != "length" for t in r.turns)
        assert r.verdict.score == 1 or not right
    assert {r.verdict.score for r in found if r.verdict} == {0.0, 1.0}
    assert any("oracle" in finding for finding in task.findings) and "oracle" in task.name
    assert load_task("oracle:addition:digits=2").name.startswith("addition with its verifier")
    refused = Collector(Sums(), engine, partial(scored, score="verifier"), Sampling(8), 0)
    with pytest.raises(InputError, match="Oracle"):
        refused.collect(0, [Unit(i, 0) for i in range(4)])


def test_shots_stand_before_the_question() -> None:
    for r in rollouts_of(LocalEngine(model_of()), partial(scored, samples=2, shots="1+1=2\n"), problems=1, samples=1):
        assert all(t.context.text.endswith("1+1=2\n0+0=") for t in r.turns if t.role == "policy")


def test_other_settings_are_refused() -> None:
    assert named("grade", None) is grade
    for wrong, error in (({"score": "taste"}, UnknownName), ({"samples": 0}, BadConfig)):
        (r,) = rollouts_of(LocalEngine(model_of()), partial(scored, **wrong), problems=1, samples=1)  # type: ignore[arg-type]
        assert r.error is not None and error.__name__ in r.error
