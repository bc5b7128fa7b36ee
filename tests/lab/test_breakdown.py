"""Rows of a breakdown must hold every rollout once: one left out or counted twice would show a model as better where it is not."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkery.core.context import Context, Turn
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab.breakdown import LEVELS, by_difficulty, by_part
from thinkery.models.tokenizer import character_tokenizer

ROOT = Context.root(character_tokenizer())


def rollout(difficulty: float, score: float | None, tokens: int = 1, **parts: float) -> Rollout:
    turn = Turn(ROOT, "policy", ("tiny", 0), 1.0, "stop", tuple(range(tokens)), ())
    verdict = None if score is None else Verdict(score, "1", parts)
    return Rollout(0, 0, 0, Problem("0", Question("q"), "1", difficulty=difficulty), [turn], Reply("1"), verdict)


def test_by_hand() -> None:
    found = [rollout(3, 1.0, 4), rollout(1, 1.0, 2), rollout(1, 0.0, 4), rollout(2, None)]
    assert by_difficulty(found) == [
        {"difficulty": [1, 1], "n": 2, "accuracy": 0.5, "tokens": 3.0},
        {"difficulty": [3, 3], "n": 1, "accuracy": 1.0, "tokens": 4.0},
    ]
    assert by_difficulty(found[:1]) == by_difficulty([]) == by_difficulty(found[1:3]) == []
    assert by_part([rollout(1, 1.0, a=1.0), rollout(1, 0.0, a=0.0, b=0.5), rollout(1, None)]) == {"a": (0.5, 2), "b": (0.5, 1)}


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1), st.integers(0, 9)), max_size=60))
def test_every_rollout_stands_in_one_row(drawn: list[tuple[float, float, int]]) -> None:
    rows = by_difficulty([rollout(*d) for d in drawn])
    assert len(rows) <= LEVELS
    if len({d for d, _, _ in drawn}) < 2:
        assert rows == []
        return
    assert sum(row["n"] for row in rows) == len(drawn)
    assert sum(row["n"] * row["accuracy"] for row in rows) == pytest.approx(sum(score for _, score, _ in drawn))
    assert sum(row["n"] * row["tokens"] for row in rows) == pytest.approx(sum(tokens for _, _, tokens in drawn))
    edges = [edge for row in rows for edge in row["difficulty"]]
    assert edges == sorted(edges)
    assert all(a["difficulty"][1] < b["difficulty"][0] for a, b in pairwise(rows))
