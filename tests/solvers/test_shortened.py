"""What is left out is what the answer does without; what is said again is trained alone, after the question and the share that it has."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
import torch

from tests.learning.steps import start
from tests.solvers.test_thinking import model_of as chatting
from tests.support import model_of, rollouts_of
from thinkery.core.errors import BadConfig
from thinkery.core.records import Question, Reply, Rollout
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.solvers import shortened
from thinkery.solvers.shortened import LEAST, PIECE, RATIOS, asking, compressed, compressing, fitting, halves, importance, inward

ROOM = Sampling(max_tokens=24)


@pytest.mark.parametrize(
    ("text", "work", "answer"),
    [
        ("3+6+0:9,2+5+0:7#79", "3+6+0:9,2+5+0:7", "#79"),
        ("a#1;b#2", "a#1;b", "#2"),
        ("So it is 5.\nThe answer is 5.", "So it is 5.\nThe ", "answer is 5."),
        ("hence \\boxed{3}", "hence ", "\\boxed{3}"),
        ("42", "", "42"),
        ("#7", "", "#7"),
    ],
)
def test_work_and_answer(text: str, work: str, answer: str) -> None:
    assert halves(text) == (work, answer)


def test_pieces_are_numbers_or_words_and_nothing_is_lost() -> None:
    assert PIECE.findall("3+6+0:9,2+5") == ["3+", "6+", "0:", "9,", "2+", "5"]
    assert PIECE.findall("Ann has 3 + 4 pens.") == ["Ann ", "has ", "3 + ", "4 ", "pens."]
    for text in ("", " a", "::", "3+4:7;\n\nso 7"):
        assert "".join(PIECE.findall(text)) == text


@pytest.mark.parametrize(
    ("ratio", "kept"),
    [
        (0.0, []),
        (0.25, ["d"]),  # 2.5 tokens of ten: the worthiest takes two, and no other fits
        (0.5, ["a", "d"]),
        (0.7, ["a", "c", "d"]),  # the larger one does not fit any more, a smaller one of less worth does
        (1.0, ["a", "b", "c", "d"]),
    ],
)
def test_the_worthiest_pieces_that_fit(ratio: float, kept: list[str]) -> None:
    found = fitting([3, 4, 1, 2], [2.0, 1.0, 0.0, 9.0], ratio)
    assert [name for name, k in zip("abcd", found) if k] == kept


def test_of_equal_pieces_the_later_is_kept() -> None:
    assert fitting([1, 1, 1, 1], [0.0] * 4, 0.5) == [False, False, True, True]


class Reads:
    """A model to which an answer is likelier by 3 nats for each of some pieces, and by 0.2 for each of others."""

    def __init__(self, matter: set[str]) -> None:
        self.matter = matter

    def context(self, x: Any) -> str:
        return x.prompt + "|"

    def score(self, context: str, text: str) -> Any:
        import numpy as np

        work = PIECE.findall(context.partition("|")[2])
        return np.float32([-20 + sum(3.0 if p in self.matter else 0.2 for p in work)])


def test_worth_is_what_the_answer_loses() -> None:
    work = ["3+", "6:", "9,", "2+", "7"]
    found = importance(Reads({"9,", "7"}), Question("q"), work, "#79")  # type: ignore[arg-type]
    assert found == pytest.approx([0, 0, 3, 0, 3], abs=1e-5)
    assert 0.2 < LEAST < 3


def said(solver: Any, problems: int = 6) -> list[Rollout]:
    found = rollouts_of(LocalEngine(start()), solver, problems=problems, samples=4, sampling=ROOM)
    assert [r.error for r in found if r.error] == []
    return found


def test_what_is_said_again_comes_after_the_share_and_is_forced() -> None:
    seen, again = set(), 0
    for r in said(compressing):
        assert r.reply is not None
        if r.reply.truncated:
            assert len(r.turns) == 1
            continue
        first, last = r.turns
        again += 1
        assert not first.forced and last.forced and last.context.text.endswith(r.problem.question.prompt)
        percent = int(last.context.text.rsplit("%:", 1)[0].rsplit(">")[-1][-3:].lstrip("<|"))
        seen.add(percent)
        work, answer = halves(r.reply.text)
        assert last.text.endswith(answer) and len(last.text) <= percent / 100 * len(work) + len(answer) + 1e-6
    assert again > 5 and len(seen) > 1 and seen <= {round(100 * x) for x in RATIOS}


def test_what_is_left_out_at_random_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though of the same work as much."""
    monkeypatch.setattr(shortened, "PIECE", re.compile("."))
    model = model_of(seed=3, sharp=3.0)
    with torch.no_grad():
        model.decoder.embed[model.tokenizer.end] *= 4
    monkeypatch.setattr(shortened, "halves", lambda text: (text[:-1], text[-1:]))

    def texts(at_random: bool) -> list[str]:
        solver = partial(compressing, ratio=0.5, at_random=at_random)
        found = rollouts_of(LocalEngine(model), solver, problems=6, samples=4, sampling=ROOM)
        return [r.turns[-1].text for r in found if len(r.turns) == 2]

    ordered, drawn = texts(False), texts(True)
    assert [len(t) for t in ordered] == [len(t) for t in drawn] and ordered != drawn
    assert texts(True) == drawn, "but not from time to time"


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_beginning_is_left_out(share: float) -> None:
    for r in said(partial(inward, share=share)):
        if r.reply is None or r.reply.truncated:
            continue
        work, answer = halves(r.reply.text)
        text = r.turns[-1].text
        assert r.reply.text.endswith(text) and text.endswith(answer)
        dropped = len(work) + len(answer) - len(text)
        assert dropped <= share * len(work) if share < 1 else text == answer
        assert r.turns[-1].context.text.endswith(r.problem.question.prompt)


def test_a_share_is_asked_for() -> None:
    (r, *_) = rollouts_of(LocalEngine(start()), partial(compressed, ratio=0.3), problems=1, samples=1, sampling=ROOM)
    assert "30%:" in r.turns[0].context.text and len(r.turns) == 1
    (r, *_) = rollouts_of(LocalEngine(chatting("llama3")), partial(compressed, ratio=0.3), problems=1, samples=1, sampling=ROOM)
    assert "about 30 % of the work" in r.turns[0].context.text


@pytest.mark.parametrize("ratio", [-0.1, 1.2])
def test_shares_outside_are_refused(ratio: float) -> None:
    class Plain:
        def chat(self) -> None:
            return None

    with pytest.raises(BadConfig):
        asking(Plain(), Question("1+1="), ratio)  # type: ignore[arg-type]
    for solver in (partial(inward, share=ratio), partial(compressed, ratio=ratio)):
        (r, *_) = rollouts_of(LocalEngine(start()), solver, problems=1, samples=1, sampling=ROOM)
        assert r.error is not None and BadConfig.__name__ in r.error


def test_without_work_nothing_is_left_out() -> None:
    assert shortened.fitting([], [], 0.5) == []
    assert halves(Reply("12").text) == ("", "12")
