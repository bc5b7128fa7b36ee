"""Pipelines: what each block does, that its meaning hangs on the type, and that comments change nothing."""

from __future__ import annotations

from itertools import product

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks import CORRUPTED, load_task
from thinkery.tasks.pipelines import BLOCKS, INPUTS, LIST, MARK, NUMBER, OPERATIONS, Pipelines, laid, lines_of, named, results

WANT = {  # worked by hand, for 14 and for [2, 9, 5]
    "an": 29, "al": [3, 10, 6], "bn": [14, 4], "bl": 5, "cn": 0, "cl": 16, "dn": [7, 3], "dl": [2, 9, 5, 2],
    "en": 14, "el": [5, 9, 2], "fn": [14, 15, 16], "fl": 11, "gn": 6, "gl": 4, "hn": [14, 1, 14], "hl": [16, 2, 9, 5],
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_what_a_block_does(name: str) -> None:
    found = results("\n".join(lines_of([name])), name[1])
    assert found is not None and found[2] == WANT[name]
    assert {type(x) for x in found} == {list if BLOCKS[name][0] == LIST else int}, "the type it says it leaves"


def test_each_operation_is_another_block_for_another_type() -> None:
    assert set(BLOCKS) == {a + b for a, b in product(OPERATIONS, (NUMBER, LIST))}
    assert len({tuple(lines) for _, *lines in BLOCKS.values()}) == len(BLOCKS)
    assert all(2 <= len(lines) <= 4 for _, *lines in BLOCKS.values())
    assert named("l", "cb") == ("cl", "bn") and named("n", "cb") == ("cn", "bn") and named("l", "ab") == ("al", "bl")


def test_comments_change_nothing_and_say_what_comes() -> None:
    task = Pipelines()
    p = task.problem(3)
    noted = task.demonstration(p, "noted", rng(0))
    assert noted.count(MARK) == len(p.data[0]) and noted.startswith(f"{MARK}{p.data[0][0]}\n")
    assert [part[:2] for part in noted.split(MARK)[1:]] == list(p.data[0])
    assert task.verify(p, Reply(noted)).parsed == p.answer.strip()
    random = [task.demonstration(task.problem(i), "random", rng(0, i)) for i in range(100)]
    assert all(text.count(MARK) == len(task.problem(i).data[0]) for i, text in enumerate(random))
    assert {part[:2] for text in random for part in text.split(MARK)[1:]} == set(BLOCKS)
    loose = [task.demonstration(task.problem(i), "loose", rng(0, i)) for i in range(200)]
    lines = sum(text.count("\n") for text in loose)
    said = [part[:2] for text in loose for part in text.split(MARK)[1:]]
    assert 0.2 < len(said) / lines < 0.3 and set(said) == set(BLOCKS)


def test_what_runs_and_what_does_not() -> None:
    task = Pipelines()
    p = next(p for p in map(task.problem, range(500)) if p.data[0][:1] == ("cl",))
    swapped = p.answer.replace("y=0", "z=0").replace("y+=a", "z+=a", 1).replace("x=y", "x=z", 1)
    assert task.verify(p, Reply(swapped)).score == 1, "any program with the right results"
    assert task.verify(p, Reply(p.answer.replace("y=0", "y=1"))).reason.startswith("it gives")
    assert "no program" in task.verify(p, Reply("\nx=")).reason
    assert task.verify(p, Reply("\nfor i in range(1000000):\n x=i")).score == 0
    assert task.verify(p, Reply(p.answer, truncated=True)).score == 0


def test_blocks_of_one_kind_stand_in_for_none_other() -> None:
    task = Pipelines()
    for i in range(30):
        p = task.problem(i)
        wrong = task.demonstration(p, CORRUPTED, rng(0, i))
        assert wrong != laid(p.data[0]) and results(wrong.strip(), p.data[0][0][1]) not in (None, p.data[1])


def test_lengths() -> None:
    assert {len(load_task("pipelines:operations=2").problem(i).data[0]) for i in range(20)} == {2}
    assert len(INPUTS[NUMBER]) == len(INPUTS[LIST])
    with pytest.raises(BadConfig, match="operations"):
        Pipelines(operations=(3, 9))
