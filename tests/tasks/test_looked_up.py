"""A question behind tools must be answerable by them, by nothing less than them, and the same for every rollout."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.models.tokenizer import CHARACTERS
from thinkery.tasks import load_task
from thinkery.tools.tool import Toolbox

FACT = re.compile(r"the ([a-z]+) of ([a-z]+) is ([a-z]+)\.")


def said(box: Toolbox, tool: str, /, **arguments: object) -> str:
    called = asyncio.run(box.call(tool, json.dumps(arguments)))
    assert called.error == ""
    assert set(called.text) <= set(CHARACTERS)
    return called.text


def searched(box: Toolbox, relation: str, name: str) -> str:
    facts = {(r, of): to for r, of, to in FACT.findall(said(box, "search", query=f"{relation} {name}", count=5))}
    return facts[relation, name]


def walked(box: Toolbox, relation: str, name: str) -> str:
    return said(box, "neighbours", entity=name, relation=relation, direction="out").split(" | ")[-1]


@pytest.mark.parametrize(("name", "step"), [("facts_search", searched), ("facts_graph", walked)])
@pytest.mark.parametrize("hops", [1, (1, 3), 9])
def test_the_tools_lead_to_the_answer(name, step, hops):
    task = load_task(name, hops=hops)
    for i in range(25):
        p = task.problem(i)
        *path, here = re.findall("(?:the ([a-z]+) of)|([a-z]+)[?]", p.question.prompt.split("\n")[1])
        box, here = task.tools(p, rng(0)), here[1]
        for relation, _ in reversed(path):
            here = step(box, relation, here)
        assert task.verify(p, Reply("#" + here)).score == 1, p
        assert len(box.calls) == len(path)


@pytest.mark.parametrize("name", ["facts_search", "facts_graph"])
def test_the_prompt_names_what_is_known_and_no_more(name):
    task = load_task(name)
    for i in range(50):
        p = task.problem(i)
        names, question = p.question.prompt.split("\n")
        documents = p.question.shown["documents"]
        assert names.split(", ") == sorted(FACT.search(d)[2] for d in documents)
        assert question.endswith("?")
        assert not FACT.search(p.question.prompt)
        assert load_task("facts", open_book=True).verify(p, Reply("#" + p.answer)).score == 1


def test_each_rollout_has_tools_of_its_own_over_one_index():
    task = load_task("facts_search")
    p = task.problem(3)
    first, second = task.tools(p, rng(0)), task.tools(p, rng(1))
    assert said(first, "search", query="home") == said(second, "search", query="home")
    assert (len(first.calls), len(second.calls)) == (1, 1)
    assert list(first) == ["search", "read"]
    assert list(load_task("facts_graph").tools(p, rng(0))) == ["find", "neighbours", "paths"]


def test_an_open_book_shows_the_documents_too():
    task = load_task("facts_search", open_book=True)
    p = task.problem(0)
    assert all(d in p.question.prompt for d in p.question.shown["documents"])
    assert list(task.tools(p, rng(0))) == ["search", "read"]
