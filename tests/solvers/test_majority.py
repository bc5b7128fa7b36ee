"""A vote must be counted over answers, not over texts, and must not depend on the order in which replies come."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.support import Sums, asked, start_of
from thinkery.core.context import Turn
from thinkery.core.records import Question, Reply
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.lab.evaluation import evaluate_model
from thinkery.models.model import Model
from thinkery.solvers import solver
from thinkery.solvers.majority import final, majority

SAMPLES = 8


@pytest.mark.parametrize(
    ("text", "answer"),
    [("3+4:7#7", "7"), ("so the answer is 12.", "12"), ("\\boxed{5}", "5"), (" 42 ", "42"), ("1#2#3", "3"), ("", "")],
)
def test_the_answer_stands_behind_the_last_marker(text: str, answer: str) -> None:
    assert final(text) == answer


def test_the_commonest_answer_is_handed_in(warm: Model) -> None:
    engine = LocalEngine(start_of(warm))

    async def watched(model: Session) -> tuple[Reply, list[Turn]]:
        return await majority(model, Question("3+4=")), model.close()

    found: list[Any] = asked(engine, watched, 5, max_tokens=8, temperature=0.0)
    for reply, turns in found:
        assert len(turns) == SAMPLES and len({t.ids for t in turns}) > 1, "greedy asks are sampled all the same"
        votes = Counter(final(t.text) for t in turns if t.ended != "length")
        (best, count), *_ = votes.most_common()
        assert count == max(votes.values()) and final(reply.text) == best
        assert reply.data["confidence"] == count / SAMPLES and not reply.truncated
    assert any(reply.data["confidence"] < 1 for reply, _ in found)


def test_all_cut_off_is_cut_off(warm: Model) -> None:
    (reply,) = asked(LocalEngine(start_of(warm)), lambda s: majority(s, Question("3+4=")), max_tokens=1)
    assert reply.truncated


def test_voting_is_better_than_one_sample_and_the_same_twice(warm: Model) -> None:
    assert solver("majority") is majority
    one, two = (evaluate_model(warm, Sums(), n=60, solver="majority", split="train") for _ in range(2))
    assert [s["reply"] for s in one.samples] == [s["reply"] for s in two.samples]
    single = evaluate_model(warm, Sums(), n=60, split="train", samples=8, temperature=1.0)
    assert one.accuracy > single.accuracy
