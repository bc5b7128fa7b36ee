"""What is heard is half right, as the solver `debate` puts it, and the worked reply is still the task's."""

from __future__ import annotations

import re

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.solvers.debate import heard
from thinkery.tasks.addition import Addition
from thinkery.tasks.chain import Chain
from thinkery.tasks.debated import MOST, Debated


@pytest.mark.parametrize("inner", [Addition(), Chain()], ids=["addition", "chain"])
def test_prompts_are_what_an_agent_reads(inner: Addition | Chain) -> None:
    task, numbers, right = Debated(inner), set(), []
    for i in range(200):
        plain, p = inner.problem(i), task.problem(i)
        said = re.findall(r"#(\d+)", p.question.prompt)
        assert p.question.prompt == heard(plain.question.prompt, said)
        assert (p.answer, p.family, p.difficulty) == (plain.answer, plain.family, plain.difficulty) and p.id != plain.id
        numbers.add(len(said))
        right += [s == p.answer for s in said]
        assert task.verify(p, Reply(task.demonstration(p, "trace", rng(i)))).score == 1
    assert numbers == set(range(1, MOST + 1))
    assert 0.4 < sum(right) / len(right) < 0.62, "half of them, and corrupted work that comes out right by chance"


def test_problems_are_the_same_again() -> None:
    assert [Debated(Chain()).problem(i, "test", 3) for i in range(5)] == [Debated(Chain()).problem(i, "test", 3) for i in range(5)]


def test_a_task_without_wrong_replies_is_refused() -> None:
    class Answers(Chain):
        styles = ("direct",)

    with pytest.raises(BadConfig, match="right and wrong worked replies"):
        Debated(Answers())
