"""Judging: both labels for every question, no gold in sight, and a label that nothing but the work gives away."""

from __future__ import annotations

import re

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Question, Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS
from thinkery.tasks.addition import Addition
from thinkery.tasks.chain import Chain
from thinkery.tasks.judging import Judging, approves, asked_of

TASK = Judging(Addition())


def parts(prompt: str) -> tuple[int, int, int]:
    a, b, c = map(int, re.findall(r"\d+", prompt))
    return a, b, c


def test_each_question_comes_once_right_and_once_wrong() -> None:
    firsts = []
    for j in range(100):
        pair = [TASK.problem(i) for i in (2 * j, 2 * j + 1)]
        assert sorted(p.answer for p in pair) == ["right", "wrong"]
        assert len({p.family for p in pair}) == 1 and len({p.id for p in pair}) == 2
        for p in pair:
            a, b, c = parts(p.question.prompt)
            assert (a + b == c) == (p.answer == "right"), "the label is true"
        firsts.append(pair[0].answer)
    assert 30 < firsts.count("right") < 70, "the order tells nothing"


def test_wrong_replies_are_near_misses() -> None:
    """As long as the right one in most cases, and wrong in any digit."""
    wrong = [parts(p.question.prompt) for p in map(TASK.problem, range(300)) if p.answer == "wrong"]
    same = sum(len(str(a + b)) == len(str(c)) for a, b, c in wrong)
    units = sum((a + b) % 10 == c % 10 for a, b, c in wrong)
    assert same > 0.6 * len(wrong) and 0.2 * len(wrong) < units < 0.9 * len(wrong)


@pytest.mark.parametrize("work", [False, True])
@pytest.mark.parametrize("inner", [Addition(), Chain()], ids=["addition", "chain"])
def test_worked_judgements_verify_and_corrupted_ones_do_not(inner: Addition | Chain, work: bool) -> None:
    task = Judging(inner, work)
    for i in range(60):
        p = task.problem(i)
        for style in task.styles:
            text = task.demonstration(p, style, rng(i))
            assert task.verify(p, Reply(text)).score == (style != "corrupted")
            assert len(text) < task.max_tokens
        assert ("," in p.question.prompt) == work or inner.name == "chain"


def test_no_constant_scores_more_than_half() -> None:
    problems = [TASK.problem(i, "test") for i in range(200)]
    for constant in ("right", "#right", "#wrong", "#rightwrong", "", "#", "#true", "#Right!"):
        assert sum(TASK.verify(p, Reply(constant)).score for p in problems) <= 100
    assert TASK.verify(problems[0], Reply("right or wrong")).reason == "no right or wrong after the last #"


def test_splits_follow_the_question() -> None:
    families = {split: {TASK.problem(i, split).family for i in range(60)} for split in SPLITS}
    assert not families["train"] & families["test"]
    inner = {Addition().problem(i, "test").family for i in range(30)}
    assert families["test"] == inner


def test_what_is_asked_of_a_judge_is_what_was_trained() -> None:
    assert asked_of(Question("12+34="), "2+4+0:6,1+3+0:4#46").prompt == "12+34=#46?"
    assert asked_of(Question("12+34="), "46").prompt == "12+34=46?"
    assert [approves(x) for x in ("7#right", "#wrong ", "right", "#perhaps", "")] == [True, False, True, None, None]


def test_a_task_without_wrong_replies_is_refused() -> None:
    with pytest.raises(BadConfig, match="addition"):
        Judging(type("Bare", (Addition,), {"styles": ("trace",)})())
