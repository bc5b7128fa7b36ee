"""What a database says must reach the model and never be learnt; a tree must hand in what most of its paths come to, for fewer tokens."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from dataclasses import replace
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest

from tests.support import TINY, model_of, start_of
from thinkery.core.context import Context, Turn
from thinkery.core.errors import InputError
from thinkery.core.records import Question
from thinkery.core.rng import rng
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.learning.collect import Collector, Unit
from thinkery.models.model import Model
from thinkery.solvers import querying as registered
from thinkery.solvers import solver
from thinkery.solvers.querying import ABOUT, MOST, PATHS, TRIES, WIDTH, Path, branching, merged, querying, retrying, voting, withheld
from thinkery.tasks import load_task
from thinkery.tasks.databases import Databases
from thinkery.tools.small_sql import SmallDatabase

ROOT = File(__file__).resolve().parents[2]
PLACES = [File(p) for p in (os.environ.get("THINKERY_DATA"), ROOT.parent / "shared" / "data") if p]
DATA = next((p for p in PLACES if (p / "spider" / "dev.json").is_file()), None)
PETS = SmallDatabase("create table pets(kind text,size int);insert into pets values('lem',3);insert into pets values('tob',7)")
ASKED = Question("pets(kind,size)\nsize of pets of kind lemu?")
LOOK, ANSWER = "<sql>select kind from pets limit 1</sql>", "#select size from pets where kind=~lem~"
BACK = "<result>kind\nlem</result>"


class Points:
    """A codec that knows every character."""

    start: tuple[int, ...] = ()
    end, ends = 0, frozenset({0})

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(map(ord, text))

    def decode(self, ids: tuple[int, ...]) -> str:
        return "".join(map(chr, ids))


TOKENIZER = Points()


class Saying:
    """A model that says lines in order, whoever asks, and keeps what it was asked after."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.sampling = iter(lines), Sampling()
        self.asked: list[tuple[str, float | None]] = []

    def branch(self, i: int) -> Saying:
        return self

    def context(self, x: Question | str) -> Context:
        return Context.of(x.prompt if isinstance(x, Question) else x, TOKENIZER)

    def follow(self, context: Context, text: str) -> Context:
        return context + text

    async def ask(self, x: Any, stop: tuple[str, ...] = (), temperature: float | None = None) -> Turn:
        context = self.context(x) if isinstance(x, Question) else x
        self.asked.append((context.text, temperature))
        line = next(self.lines)
        cut = line.endswith("...")
        ids = TOKENIZER.encode(line)
        return Turn(context, "policy", ("tiny", 0), 1.0, "length" if cut else "stop", ids, np.zeros(len(ids), np.float32))


def said(way: Any, *lines: str, question: Question = ASKED, tools: Any = PETS) -> tuple[Any, Saying]:
    model = Saying(*lines)
    return asyncio.run(way(model, question, tools)), model


def test_what_a_query_gives_is_read_before_the_next_turn() -> None:
    reply, model = said(querying, LOOK, ANSWER)
    assert [text for text, _ in model.asked] == [ASKED.prompt, f"{ASKED.prompt}{LOOK}{BACK}"]
    assert reply.text == LOOK + ANSWER and not reply.truncated
    assert reply.data["calls"] == [{"tool": "sql", "arguments": "select kind from pets limit 1", "text": BACK, "error": ""}]


def test_what_went_wrong_is_read_too() -> None:
    reply, model = said(querying, "<sql>select colour from pets</sql>", ANSWER)
    assert model.asked[1][0].endswith("<result>no such column: colour</result>")
    assert reply.data["calls"][0]["error"] == "no such column: colour"


def test_withheld_results_are_empty_but_recorded() -> None:
    reply, model = said(withheld, LOOK, ANSWER)
    assert model.asked[1][0] == f"{ASKED.prompt}{LOOK}<result></result>"
    assert reply.data["calls"][0]["text"] == BACK


def test_queries_end_and_a_turn_that_is_cut_off_ends_all() -> None:
    reply, model = said(querying, *[LOOK] * 9)
    assert len(reply.data["calls"]) == MOST and reply.text == LOOK * (MOST + 1)
    reply, model = said(querying, LOOK, "#select ...")
    assert reply.truncated and len(model.asked) == 2
    reply, _ = said(querying, "</sql>", ANSWER)
    assert reply.data["calls"][0]["error"], "an end without a beginning asks nothing"


def test_an_answer_that_cannot_be_run_is_tried_again() -> None:
    assert said(retrying, ANSWER)[0].text == ANSWER
    reply, model = said(retrying, "#select colour from pets", "#selec", ANSWER)
    assert reply.text == ANSWER
    assert [temperature for _, temperature in model.asked] == [None, 1.0, 1.0]
    assert said(retrying, *["#nothing"] * TRIES)[0].text == "#nothing"
    assert said(retrying, "#select kind from pets where kind=~x~")[0].text.endswith("~x~"), "no rows are no failure"


def test_replies_vote_by_what_their_answers_give() -> None:
    same = ["#select size from pets where kind=~lem~", "#select 3", "#select max(size) from pets where size<4"]
    reply, _ = said(voting, *["#select 7"] * 2, *same, "#broken", "#select 8", "#select ...")
    assert reply.text == same[0]
    assert said(voting, *["#broken"] * PATHS)[0].text == "#broken"


def test_a_tree_goes_on_once_from_places_with_the_same_result() -> None:
    """Three turns: two queries with the same result, one answer; then three answers from one place. Shares by hand: 1/3, and 2/9 each."""
    other = "<sql>select kind from pets where size=3</sql>"
    lines = [LOOK, "#select 8", other, ANSWER, ANSWER, "#select 8"]
    reply, model = said(branching, *lines)
    assert len(model.asked) == 2 * WIDTH and {text for text, _ in model.asked[WIDTH:]} == {f"{ASKED.prompt}{LOOK}{BACK}"}
    assert reply.text == "#select 8", "1/3 + 2/9 are more than 4/9"
    reply, _ = said(branching, *lines[:5], ANSWER)
    assert reply.text == LOOK + ANSWER, "1/3 is less than 6/9"


def test_places_are_the_same_by_all_results_before_them() -> None:
    root = Context.of("a", TOKENIZER)
    path = lambda *told: Path(root, calls=tuple({"text": t} for t in told))
    found = merged([(path("x"), 0.25), (path("y"), 0.25), (path("x"), 0.25), (path("y", "x"), 0.25)])
    assert [share for _, share in found] == [0.5, 0.25, 0.25]


def test_a_database_in_a_file_is_asked_and_the_model_is_told_that_it_may(tmp_path: File) -> None:
    file = tmp_path / "pets.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(PETS.statements)
    connection.close()
    question = Question("size of pets?", {"database": str(file)})
    reply, model = said(querying, "<sql>select kind from pets limit 1</sql>", "#x", question=question, tools=None)
    assert reply.data["calls"][0]["text"] == BACK
    assert model.asked[0][0] == "size of pets?" + ABOUT
    with pytest.raises(InputError, match="database"):
        said(querying, "#x", question=Question("3+4="), tools=None)


def test_a_demonstration_runs_through_it_and_no_result_is_learnt() -> None:
    assert solver("querying") is registered is querying
    task, engine = Databases(), LocalEngine(model_of(replace(TINY, context=512)))
    found = Collector(task, engine, querying, Sampling(task.max_tokens), 0).collect(0, [Unit(i, 0, style="trace") for i in range(12)])
    for r in found:
        assert r.error is None and r.verdict is not None and r.verdict.score == 1
        assert r.reply is not None and r.reply.text == task.demonstration(r.problem, "trace", rng(0))
        assert len(r.calls) == len(r.problem.data.looks) and all(not c["error"] for c in r.calls)
        assert not any("<result>" in t.text for t in r.turns)
        assert all(c["text"] in r.turns[-1].context.text for c in r.calls)


def test_sampled_replies_are_the_same_twice(warm: Model) -> None:
    task = Databases(tables=1)
    for way in (querying, voting, branching, retrying):
        units = [Unit(i, k) for i in range(2) for k in range(2)]
        one, two = (Collector(task, LocalEngine(start_of(warm)), way, Sampling(20), 0).collect(0, units) for _ in range(2))
        assert [r.reply for r in one] == [r.reply for r in two]
        assert [[t.ids for t in r.turns] for r in one] == [[t.ids for t in r.turns] for r in two]
        assert all(r.error is None for r in one)


@pytest.mark.skipif(DATA is None, reason="no folder with spider's databases: set THINKERY_DATA")
def test_published_databases_are_asked_and_their_answers_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKERY_DATA", str(DATA))
    task = load_task("spider")
    for i in (0, 60, 400):
        p = task.problem(i, "test")
        reply, model = said(
            querying, "<sql>select name from sqlite_master</sql>", f"```sql\n{p.answer}\n```", question=p.question, tools=None
        )
        (call,) = reply.data["calls"]
        assert not call["error"] and call["text"].startswith("<result>name\n")
        assert task.verify(p, reply).score == 1
        assert len(model.asked) == 2
        voted, _ = said(voting, *[f"Answer: {p.answer}"] * (PATHS - 1), "Answer: select 1", question=p.question, tools=None)
        assert task.verify(p, voted).score == 1
