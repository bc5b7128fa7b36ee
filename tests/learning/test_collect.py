"""What was written survives files and processes token by token, and demonstrations run through the solver; text encoded anew would teach other tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import SOLVERS, Sums, model_of, rollouts_of, single
from thinkery.core.errors import BadData, SolverError, VerifierError
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run
from thinkery.learning.collect import Collector, Unit, checked, load_records, pack, record, replayed, unpack
from thinkery.models.model import Model
from thinkery.models.tokenizer import train_tokenizer
from thinkery.solvers import calculate


def collector(model: Model, **changes: Any) -> Collector:
    fields = {"task": Sums(), "engine": LocalEngine(model), "solver": single, "sampling": Sampling(max_tokens=6), "seed": 0}
    return Collector(**{**fields, **changes})


def test_what_is_drawn_depends_on_the_address_alone(warm: Model) -> None:
    c = collector(warm)
    units = [Unit(i, k) for i in range(3) for k in range(2)]
    ids = lambda rollouts: {(r.index, r.k): r.turns[0].ids for r in rollouts}
    first = ids(c.collect(5, units))
    assert ids(c.collect(5, units[::-1])) == first
    assert ids(c.collect(5, units[3:4])) == {(1, 1): first[1, 1]}
    assert ids(c.collect(6, units)) != first
    assert ids(collector(warm, seed=1).collect(5, units)) != first
    assert ids(collector(warm, purpose="evaluate").collect(5, units)) != first
    assert len(set(ids(c.collect(5, [Unit(0, k) for k in range(8)])).values())) > 1


def test_tools_are_made_for_each_rollout(warm: Model) -> None:
    made, used = [], []

    class Tooled(Sums):
        def tools(self, problem: Problem, rng: Any) -> object:
            made.append(rng.random())
            return len(made)

    async def using(model: Session, question: Question, tools: Any) -> Reply:
        used.append(tools)
        return await single(model, question)

    collector(warm, task=Tooled(), solver=using).collect(0, [Unit(0, 0), Unit(0, 1), Unit(1, 0)])
    assert sorted(used) == [1, 2, 3]
    assert len(set(made)) == 3
    again = made.copy()
    made.clear()
    collector(warm, task=Tooled(), solver=using).collect(0, [Unit(0, 0), Unit(0, 1), Unit(1, 0)])
    assert made == again


def test_all_failing_is_an_error(warm: Model) -> None:
    async def failing(model: Session, question: Question, tools: Any) -> Reply:
        raise KeyError("k")

    with pytest.raises(SolverError, match="all 2 rollouts of step 3 failed; the first: solver: KeyError: 'k'"):
        collector(warm, solver=failing).collect(3, [Unit(0, 0), Unit(1, 0)])


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.1, "1", None])
def test_scores_are_numbers_between_0_and_1(score: Any) -> None:
    with pytest.raises(VerifierError, match=r"the verifier gave the score .*; a score is a number in \[0, 1\]"):
        checked(Verdict(score))
    assert checked(Verdict(True)).score == 1


# ---- demonstrations


def test_a_demonstration_runs_through_the_solver(tiny: Model) -> None:
    """The calculator's values are its own: context, not text to be learnt."""
    engine = LocalEngine(tiny)
    session = Session(engine, 1, Sampling(max_tokens=20), None, "2+3=#5")

    (reply,) = run([calculate(session, Question("start: "))], [engine])
    turns = session.close()
    assert [(t.context.text, t.text, t.forced) for t in turns] == [("start: ", "2+3=", True), ("start: 2+3=5;", "#5", True)]
    assert [t.ids[-1] == tiny.tokenizer.end for t in turns] == [False, True]
    assert reply.text == "2+3=5;#5"
    assert engine.stats["tokens"] == 0


# ---- records


def content(rollouts: list[Rollout]) -> list[Any]:
    return [
        (r.index, r.k, r.problem, r.reply, r.verdict, r.rewards, r.error,
         [(t.context.ids, t.ids, t.role, t.writer, t.temperature, t.ended, t.forced, t.logp.tobytes(), None if t.weight is None else t.weight.tolist(), t.text)
          for t in r.turns])
        for r in rollouts
    ]  # fmt: skip


@pytest.mark.parametrize("name", SOLVERS)
def test_packing_loses_nothing(name: str) -> None:
    engine, judge = LocalEngine(model_of()), LocalEngine(model_of(seed=5))
    rollouts = rollouts_of(engine, SOLVERS[name], cast={"judge": judge} if name == "triple" else None)
    rollouts[1].error, rollouts[1].reply = "solver: failed", None
    again = unpack(pack(rollouts), lambda role: engine.root)
    assert content(again) == content(rollouts)
    assert again[0].turns[0].context == rollouts[0].turns[0].context


def test_records_replay_token_by_token(tmp_path: Path, tiny: Model) -> None:
    engine = LocalEngine(tiny)
    rollouts = rollouts_of(engine, SOLVERS["tool_loop"])
    path = tmp_path / "saved.jsonl"
    path.write_text("".join(json.dumps(record(r)) + "\n" for r in rollouts))
    saved = load_records(path)
    for r, d in zip(rollouts, saved):
        again = Rollout(0, r.index, r.k, r.problem)
        replayed(again, d, engine.root)
        assert [(t.context.ids, t.ids, t.ended, t.forced) for t in again.turns] == [(t.context.ids, t.ids, t.ended, True) for t in r.turns]
        assert again.reply is not None
        assert r.reply is not None
        assert again.reply.text == r.reply.text
        assert d["prompt"] == r.problem.question.prompt


def test_records_of_another_tokenizer_are_refused(tiny: Model) -> None:
    (r, *_) = rollouts_of(LocalEngine(tiny), SOLVERS["single"])
    saved = record(r)
    saved["turns"][0]["context"] = [7, *saved["turns"][0]["context"]]
    with pytest.raises(BadData, match=r"saved rollouts: a context begins with other tokens .* another tokenizer"):
        replayed(Rollout(0, 0, 0, r.problem), saved, LocalEngine(tiny).root)
    with pytest.raises(BadData, match="saved rollouts: not a record of a rollout: KeyError 'ids'"):
        replayed(
            Rollout(0, 0, 0, r.problem),
            {"turns": [{"context": [1], "role": "policy", "ended": "stop"}], "reply": "x"},
            LocalEngine(tiny).root,
        )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"turns": []}\n{"turns": \n', "line 2: not valid JSON"),
        ('{"turns": []}\n[]\n', r"line 2: not a record of a rollout \(no turns\)"),
        ('{"reply": "x"}\n', "line 1: not a record"),
        (None, "No such file"),
    ],
)
def test_files_that_hold_no_records_are_refused(content: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "saved.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadData, match=rf"saved.jsonl.*{says}"):
        load_records(path)


def test_a_vocabulary_knows_its_equals() -> None:
    learnt = lambda n: train_tokenizer(["ab abab ababab"] * 9, n)
    assert learnt(262).same(learnt(262))
    assert not learnt(262).same(learnt(264))
    assert not learnt(262).same(model_of().tokenizer)
