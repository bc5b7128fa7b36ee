"""Published questions that need looking up: what their tools find decides their scores, so that it is measured here.

The files are looked for in THINKERY_DATA, else beside the repository; without them the tests that read them are skipped.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from thinkery.core.errors import BadData
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks import load_task
from thinkery.tasks.real import lookup
from thinkery.tools.ranking import recall
from thinkery.tools.search import Bm25

PLACES = [Path(p) for p in (os.environ.get("THINKERY_DATA"), Path(__file__).parents[3] / "shared" / "data") if p]
DATA = next((p for p in PLACES if p.is_dir()), Path("none"))


@pytest.fixture
def data(monkeypatch) -> Path:
    for folder in ("hotpotqa_paragraphs", "metaqa"):
        if not (DATA / folder).is_dir():
            pytest.skip(f"{folder} is not in {PLACES}")
    monkeypatch.setenv("THINKERY_DATA", str(DATA))
    return DATA


@pytest.mark.parametrize(("kind", "floor"), [("lexical", 0.87), ("bm25", 0.85)])
def test_the_paragraphs_of_hotpotqa_are_found_by_the_questions(data, kind, floor):
    """200 questions over 4,886 paragraphs; two are needed for each, and all are there."""
    index = lookup.library(data / "hotpotqa_paragraphs")
    assert len(index.corpus) == 4886
    if kind == "bm25":
        pytest.importorskip("bm25s")
        index = Bm25(index.corpus)
    asked = load_task("hotpotqa_search").problems["test"]
    assert len(asked) == 200
    assert all(title in index.corpus.places for p in asked for title in p.data.facts)
    found = [recall([h.id for h in index.search(p.question.prompt, 10)], dict.fromkeys(p.data.facts, 1.0), 10) for p in asked]
    assert floor <= sum(found) / len(found) <= floor + 0.04


def test_a_question_of_hotpotqa_comes_without_its_paragraphs(data):
    task = load_task("hotpotqa_search")
    p = task.problem(0, "test")
    assert "\n" not in p.question.prompt
    assert p.question.shown == {}
    box = task.tools(p, rng(0))
    called = asyncio.run(box.call("search", {"query": p.question.prompt, "count": 10}))
    assert called.error == ""
    assert any(title in called.text for title in p.data.facts)
    assert task.verify(p, Reply(f"Answer: {p.answer}")).score == 1
    half = task.verify(p, Reply(f"Answer: {p.answer} and more of it"))
    assert half.score == 0
    assert 0 < half.parts["f1"] < 1


def test_metaqa_is_answered_through_its_tools(data):
    """Questions of one hop whose topic heads no fact, such as actors' films: the neighbours are the answer."""
    task = load_task("metaqa_graph:1hop")
    right = tried = 0
    for p in task.problems["test"][:60]:
        called = asyncio.run(
            task.tools(p, rng(0)).call("neighbours", {"entity": p.question.shown["topic"], "relation": "starred actors", "direction": "in"})
        )
        assert called.error == ""
        if called.text != "nothing was found":
            tried += 1
            films = [line.removeprefix("| ").split(" | ")[0] for line in called.text.split("\n")]
            right += task.verify(p, Reply("Answer: " + "|".join(films))).score == 1
    assert tried >= 40
    assert right >= 0.95 * tried


def test_each_rollout_has_a_box_of_its_own(data):
    task = load_task("metaqa_graph:2hop")
    p = task.problem(0, "test")
    assert task.tools(p, rng(0)) is not task.tools(p, rng(1))
    assert list(task.tools(p, rng(0))) == ["find", "neighbours", "paths"]
    assert load_task("metaqa").tools(p, rng(0)) is None


def test_missing_and_broken_files_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("THINKERY_DATA", str(tmp_path))
    (tmp_path / "metaqa").mkdir()
    for part in ("dev", "test"):
        (tmp_path / "metaqa" / f"1hop_{part}.tsv").write_text(f"who acted in [{part}]\tann|bea\tmovie_to_actor\n")
    task = load_task("metaqa_graph")
    with pytest.raises(BadData, match=r"entity2text\.txt: No such file"):
        task.tools(task.problem(0, "test"), rng(0))
    (tmp_path / "hotpotqa_paragraphs").mkdir()
    row = '{"question": "q?", "answer": "a", "supporting_facts": [["T", 0]], "context": [["T", ["a."]], ["U"]]}\n'
    (tmp_path / "hotpotqa_paragraphs" / "distractor100_x.jsonl").write_text(row)
    hotpot = load_task("hotpotqa_search")
    with pytest.raises(BadData, match="not the columns of HotpotQA"):
        hotpot.tools(hotpot.problem(0, "test"), rng(0))
