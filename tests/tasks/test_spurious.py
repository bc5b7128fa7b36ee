"""The cue must be worth learning where one trains and worth nothing where one is tested, or no shortcut could be told from the work."""

from __future__ import annotations

import re

from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, load_task
from thinkery.tasks.spurious import Spurious

TASK = Spurious()


def cued(split: str, n: int = 600, **spec: int) -> float:
    """How often the cue is the answer."""
    return sum(p.question.prompt[1] == p.answer for p in (TASK.problem(i, split, **spec) for i in range(n))) / n


def test_the_cue_tells_the_answer_in_training_alone() -> None:
    assert 0.93 < cued("train") < 0.98  # 95 % told, and a tenth of the rest by chance
    assert all(0.05 < cued(split) < 0.15 for split in SPLITS if split != "train")
    assert cued("train", 100, cue=100) == 1
    assert 0.05 < cued("train", cue=0) < 0.15


def test_what_stands_behind_the_colon_is_worked_as_python_does_it() -> None:
    for i in range(200):
        p = TASK.problem(i, "test")
        cue, asked = p.question.prompt.split(":")
        assert re.fullmatch(r"%[0-9]", cue)
        assert p.answer == str(eval(asked.rstrip("=")) % 10)
        work, answer = TASK.demonstration(p, "trace", rng(i)).split("#")
        assert answer == p.answer
        assert all(eval(x) % 10 == int(y) for x, y in (line.split(":") for line in work.split(",")))


def test_a_corrupted_reply_slips_once() -> None:
    for i in range(100):
        work = TASK.demonstration(TASK.problem(i), "corrupted", rng(i)).split("#")[0]
        assert sum(eval(x) % 10 != int(y) for x, y in (line.split(":") for line in work.split(","))) == 1


def test_one_sum_keeps_its_split_whatever_its_cue() -> None:
    split: dict[str, str] = {}
    for name in SPLITS:
        for i in range(500):
            p = load_task("spurious:steps=1").problem(i, name)
            a, sign, b = p.question.prompt[3:6]
            key = "".join(sorted(a + b)) if sign == "+" else a + "-" + b
            assert split.setdefault(key, name) == name
