"""Thoughts and steps are cut on tokens: a cut beside a token, or a tag taken for a thought, would hand a model text that it never wrote."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.solvers.test_thinking import model_of
from thinkery.core.context import Context, Ids, Turn
from thinkery.core.records import Question
from thinkery.models.model import Model
from thinkery.models.tokenizer import character_tokenizer, train_tokenizer
from thinkery.solvers.steps import MARKERS, SEPARATORS, cut, places, thought


def turn_of(model: Model, text: str) -> Turn:
    tokenizer = model.tokenizer
    ids = (tokenizer.chat.controls.encode(text) if tokenizer.chat else tokenizer.encode(text)) + (tokenizer.end,)
    return Turn(
        model.context(Context.root(tokenizer), Question("12+34=")), "policy", ("m", 0), 1.0, "stop", ids, np.zeros(len(ids), np.float32)
    )


@pytest.mark.parametrize(
    ("family", "text", "want"),
    [
        ("qwen3", "<think>\nso we</think>46", "\nso we"),
        ("qwen35", "so we\n</think>\n\n46", "so we\n"),  # opened by the template
        ("qwen3", "<think>so</think>4</think>6", None),
        ("qwen3", "<think>so 46", None),
        ("qwen3", "<think></think>46", None),
        ("llama3", "1+1#2", "1+1"),  # its template knows no thoughts
    ],
)
def test_where_a_thought_stands(family: str, text: str, want: str | None) -> None:
    model = model_of(family)
    turn = turn_of(model, text)
    place = thought(turn)
    assert (None if place is None else model.tokenizer.decode(turn.ids[slice(*place)])) == want


def test_without_a_template_it_ends_with_the_mark_of_the_answer() -> None:
    tokenizer = character_tokenizer()
    said = lambda text: Turn(
        Context.root(tokenizer), "policy", ("m", 0), 1.0, "stop", tokenizer.encode(text), np.zeros(len(text), np.float32)
    )
    assert [thought(said(text)) for text in ("1;1#1", "#1", "1;1", "1#1#1", "")] == [(0, 3), None, None, None, None]


def test_places() -> None:
    assert places((1, 2, 1, 2, 1), (1, 2)) == [0, 2]
    assert places((1, 1, 1), (1, 1)) == [0, 1]
    assert places((1,), (1, 2)) == places((), (1,)) == []


def words(text: str, marks: re.Pattern[str] = MARKERS) -> list[str]:
    """The steps of a text, in tokens of several characters."""
    tokenizer = train_tokenizer([text] * 3, 300)
    ids = tokenizer.encode(text)
    steps = cut(ids, tokenizer.pieces, marks)
    assert tuple(i for s in steps for i in s) == ids, "nothing is lost"
    return [tokenizer.decode(s) for s in steps]


def test_text_is_cut_before_its_markers() -> None:
    text = "It is 4. Wait, no. Sooner or later: Hmm it is 5. So 5 it is. Also so."
    assert [s.strip() for s in words(text)] == ["It is 4.", "Wait, no. Sooner or later:", "Hmm it is 5.", "So 5 it is. Also so."]
    assert words("Wait, I see") == ["Wait, I see"], "a marker that comes first begins no second step"
    assert words("Naïve – so. Wait: ünd") == ["Naïve – so.", " Wait: ünd"], "a cut lies between tokens, whatever bytes they hold"


def test_work_is_cut_behind_its_separators() -> None:
    tokenizer = character_tokenizer()
    said = lambda text: [tokenizer.decode(s) for s in cut(tokenizer.encode(text), tokenizer.pieces, SEPARATORS)]
    assert said("3+4:7,7*2:4;3+4:7,7*2:4") == ["3+4:7,7*2:4;", "3+4:7,7*2:4"]
    assert said("1;1;") == ["1;", "1;"]
    assert said("3+4:7") == ["3+4:7"]


def test_tokens_that_add_no_text_are_in_one_step() -> None:
    ids: Ids = (0, 1, 2, 0, 1)
    assert cut(ids, ["", "a", ";"], SEPARATORS) == [(0, 1, 2, 0), (1,)]
