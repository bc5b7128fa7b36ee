"""What is kept of many rationales, whose answer a program's is, and how three notations vote; a program that is not run, or a vote of one notation,
would look the same in every listing."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import TINY, model_of, start_of, weights_of
from thinkery.core.context import Turn
from thinkery.core.records import Problem, Question, Reply, Rollout
from thinkery.core.rng import rng
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run
from thinkery.lab import catalogue
from thinkery.learning import rewards
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Repeat, Setting
from thinkery.solvers import solver as solver_named
from thinkery.solvers.notations import noted, printed, voted
from thinkery.tasks import load_task
from thinkery.tasks.theories import NOTATIONS, VOTES, Theories

mot = catalogue.load("mot")
PROGRAM = "def f(c):\n a=1\n if a>0:c=1\n return c\nprint(f(0))"
PLACES = [Path(p) for p in (os.environ.get("THINKERY_DATA"), Path(__file__).parents[3] / "shared" / "data") if p]


class Dictated(Session):
    """A session whose branches write what they are told to."""

    texts: tuple[str, ...] = ()

    def branch(self, i: int) -> Session:
        return Session(self.engine, self.base + i, self.sampling, None, self.texts[i])


def said(solver: Any, *texts: str) -> Reply:
    """A solver's reply where the model writes these texts: alone, or one a branch."""
    engine = LocalEngine(model_of())
    session = Dictated(engine, 7, Sampling(150), None, texts[0])
    session.texts = texts
    (reply,) = run([solver(session, Question("a>c;a;c?"))], [engine])
    assert isinstance(reply, Reply), reply
    return reply


# ---- programs


def test_what_a_program_prints_is_the_answer() -> None:
    coded = partial(noted, notations=("code",))
    assert said(coded, f"{PROGRAM}</code>#-1").text == f"{PROGRAM}</code>#1"
    assert said(coded, f"{PROGRAM}</code>").data == {"notation": "code", "closed": True}
    assert said(partial(coded, runs=False), f"{PROGRAM}</code>#-1").text.endswith("#-1")


@pytest.mark.parametrize(
    "text",
    [
        f"{PROGRAM}#1",  # never closed
        f"{PROGRAM}</code></code>#1",
        "print(1)</code>#1",  # defines nothing
        "def f(c):\n return d\nprint(f(0))</code>#1",  # fails
        "def f(c):\n return c\nf(0)</code>#1",  # prints nothing
        "</code>#1",
    ],
)
def test_a_program_that_fails_or_defines_nothing_is_not_learnt_from(text: str) -> None:
    reply = said(partial(noted, notations=("code",)), text)
    assert not reply.data["closed"]
    assert reply.text.endswith("#") or text.startswith("print")


def test_python_beyond_the_house_language_is_run_in_a_sandbox() -> None:
    pytest.importorskip("pydantic_monty")
    assert asyncio.run(printed('```python\ndef f():\n    return {"x": True}["x"]\nprint(f())\n```')) == "True"
    assert asyncio.run(printed('raise ValueError("X")')) is None


def test_words_and_tables_are_believed_if_they_are_closed_once() -> None:
    for notation in ("nl", "tt"):
        one = partial(noted, notations=(notation,))
        assert said(one, f"a so c. </{notation}>#1").data == {"notation": notation, "closed": True}
        assert not said(one, "a so c. #1").data["closed"]
        other = "tt" if notation == "nl" else "nl"
        assert not said(one, f"a so c. </{other}>#1").data["closed"]


# ---- votes


def votes_of(*answers: str) -> Reply:
    nl, code, tt = answers
    return said(voted, f"so. </nl>#{nl}", f"def f(c):\n return c\nprint(f({code}))</code>#0", f"ac:11</tt>#{tt}")


def test_two_of_three_win_and_the_first_of_three_answers() -> None:
    assert votes_of("0", "1", "1").text.endswith("</code>#1")
    assert votes_of("0", "1", "1").data[VOTES] == [("nl", "0"), ("code", "1"), ("tt", "1")]
    assert votes_of("1", "0", "1").text.endswith("</nl>#1")
    assert votes_of("-1", "0", "1").text.endswith("</nl>#-1"), "the first of equals"
    assert votes_of("", "2", "").data[VOTES] == [("nl", None), ("code", "2"), ("tt", None)]
    assert votes_of("", "2", "").text.endswith("#2")
    assert votes_of("", "x", "").data[VOTES][1] == ("code", None), "a program that fails does not vote"


# ---- what is kept


def rationale(k: int, notation: str, correct: float, closed: bool = True) -> Rollout:
    data = {"notation": notation, "closed": closed}
    return Rollout(0, 0, k, Problem("p", Question("q"), "1"), reply=Reply("x", data=data), rewards={"correct": correct})


async def keep(*rollouts: Rollout) -> list[int]:
    return [r.k for r in await mot.first_right([rollouts])]


def test_the_first_right_one_in_each_notation_is_kept() -> None:
    group = [rationale(0, "nl", 0.0), rationale(1, "code", 1.0, False), rationale(2, "nl", 1.0), rationale(3, "nl", 1.0)]
    group += [rationale(4, "code", 1.0), rationale(5, "tt", 0.0)]
    assert sorted(asyncio.run(keep(*group))) == [2, 4]
    assert asyncio.run(keep(rationale(0, "tt", 0.0))) == []


def test_arms_sample_and_learn_alike() -> None:
    setting = Setting(Theories())
    amounts = set()
    for name, arm in mot.CLAIM.arms.items():
        (repeat,) = arm(setting).stages
        assert isinstance(repeat, Repeat) and repeat.rounds == 3
        gather, learn = repeat.stages
        notations = gather.solver.keywords["notations"]
        assert (len(notations) == 1) == name.startswith("star")
        assert len(learn.solver.keywords["notations"]) == 3
        # one rationale at most of each problem and notation
        amounts.add((gather.steps, gather.problems * len(notations), learn.steps, learn.problems))
        assert gather.problems * gather.samples <= 512
    assert len(amounts) == 1


async def recited(model: Session, question: Question, tools: Any = None) -> Reply:
    """Says a worked reply, right for every second problem."""
    task = Theories()
    problem = next(p for p in map(task.problem, range(8)) if p.question == question)
    notation = NOTATIONS[model.rng("notation").below(3)]
    text = task.demonstration(problem, notation, rng(0)).removeprefix(f"<{notation}>")
    turn: Turn = model.say(model.context(question) + f"<{notation}>", text)
    right = problem.id in {task.problem(i).id for i in range(0, 8, 2)}
    return Reply(turn.text if right else turn.text.replace("#", "#?"), data={"notation": notation, "closed": True})


def test_a_round_learns_from_what_it_kept_and_the_next_one_from_new() -> None:
    setting = Setting(Theories())
    (repeat,) = mot.recipe(setting).stages
    gather, learn = repeat.stages
    small = Repeat((replace(gather, steps=1, problems=4, samples=3, solver=recited), replace(learn, steps=1, problems=4)), 2)
    start = model_of(replace(TINY, context=300))
    learning = Learning(Recipe((small,)), setting, start_of(start))
    seen = []
    for _ in range(2):
        before = weights_of(learning.model)
        first = learning.step()
        assert weights_of(learning.model) == before and first["idle"] == 1.0 and first["rollouts"] == 12, "sampling teaches nothing"
        kept = learning.outputs["gather"]
        assert kept and all(r["score"] == 1 and r["index"] % 2 == 0 for r in kept)
        seen.append({r["index"] for r in kept})
        learning.step()
        assert weights_of(learning.model) != before
    assert not seen[0] & seen[1]
    assert learning.done


# ---- measurements, claim, real data


def test_overlap_of_errors_by_hand() -> None:
    def voting(*right: bool) -> Rollout:
        votes = [(n, "1" if ok else "0") for n, ok in zip(("nl", "nl", "tt"), right)]
        return Rollout(0, 0, 0, Problem("p", Question("q"), "1"), reply=Reply("x", data={VOTES: votes}))

    found = [voting(False, False, True), voting(False, True, False), voting(True, True, False), voting(True, True, True)]
    assert mot.overlap(found) == {"nl/nl": 1 / 2, "nl/tt": (1 / 3 + 0 / 3) / 2}


def test_its_claim_stands_on_one_start() -> None:
    claim = mot.CLAIM
    assert claim.must_move == "one notation" and claim.placebo
    assert all(c.why for c in claim.comparisons)
    assert mot.solver is voted is solver_named("mot")
    (gather, *_), (blind, *_) = (claim.arms[name](claim.setting).flat() for name in ("mot", claim.placebo))
    assert blind.reward == rewards.shuffled(gather.reward) != gather.reward
    assert claim.arms["one notation"](claim.setting).flat()[0].solver.keywords == gather.solver.keywords, "taught alike"


def test_first_order_logic_in_everyday_words(monkeypatch: pytest.MonkeyPatch) -> None:
    place = next((p for p in PLACES if (p / "folio").is_dir()), None)
    if place is None:
        pytest.skip("the data set folio is not here")
    monkeypatch.setenv("THINKERY_DATA", str(place))
    task = load_task("folio")
    mot.recipe(Setting(task))
    problem = task.problem(0, "test")
    assert task.verify(problem, Reply(f"As it is so. </nl>#{problem.answer}")).score == 1
    other = next(x for x in ("True", "False", "Uncertain") if x != problem.answer)
    assert task.verify(problem, Reply(f"As it is so. </nl>#{other}")).score == 0
