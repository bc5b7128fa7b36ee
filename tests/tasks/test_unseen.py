"""Difficulty written in a name, and tasks whose test is harder than what is learnt from: a test that leaks into training shows nothing."""

from __future__ import annotations

import pytest

from thinkery.core.errors import BadConfig, UnknownName
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks import load_task, spec_of, task_names


def test_difficulty_in_a_name() -> None:
    assert spec_of("digits=3-5,notation=words,planted=true,n=7") == {"digits": (3, 5), "notation": "words", "planted": True, "n": 7}
    named, given = load_task("functions:depth=2"), load_task("functions", depth=2)
    assert [named.problem(i) for i in range(5)] == [given.problem(i) for i in range(5)]
    assert all(len(load_task("addition:digits=2-3").problem(i).answer) <= 4 for i in range(20))


@pytest.mark.parametrize(
    "text", ["functions:depth", "functions:depth=", "functions:=2", "functions:depth=2,depth=3", "functions:depth=0", "addition:depth=2"]
)
def test_difficulty_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadConfig):
        load_task(text)


def test_names_that_are_none() -> None:
    with pytest.raises(UnknownName, match="composition"):
        load_task("compositon")
    with pytest.raises(UnknownName):
        load_task("composition", depth=2)


def test_composition_is_learnt_at_two_and_tested_at_three() -> None:
    task = load_task("composition")
    assert "composition" in task_names()
    for split, depth in (("train", 2), ("validation", 2), ("test", 3)):
        for i in range(20):
            p = task.problem(i, split)
            assert p.difficulty == depth == p.question.prompt.count("(")
            for style in task.styles:
                text = task.demonstration(p, style, rng(i))
                assert task.verify(p, Reply(text)).score == (style != "corrupted")
                assert len(text) < task.max_tokens
    families = {split: {task.problem(i, split).family for i in range(200)} for split in ("train", "test")}
    assert not families["train"] & families["test"]
