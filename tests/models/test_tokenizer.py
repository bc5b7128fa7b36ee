"""Where every character is a token, text and ids are looked up; the library is the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkery.core.errors import InputError
from thinkery.models.tokenizer import CHARACTERS, END, character_tokenizer, train_tokenizer

LETTERS = character_tokenizer()
PIECES = train_tokenizer(["one and two", "two and three"], 300)


@given(st.text(CHARACTERS, max_size=30))
def test_text_becomes_the_librarys_ids(text: str) -> None:
    assert len(LETTERS.letters) == len(CHARACTERS)
    assert LETTERS.encode(text) == tuple(LETTERS.backend.encode(text, add_special_tokens=False).ids)


@given(st.lists(st.integers(0, LETTERS.size + 5), max_size=30))
def test_ids_become_the_librarys_text(ids: list[int]) -> None:
    assert LETTERS.decode(tuple(ids)) == LETTERS.backend.decode(ids, skip_special_tokens=True)


def test_a_special_token_that_a_user_types_stays_text() -> None:
    assert LETTERS.end not in LETTERS.encode(END) and LETTERS.decode(LETTERS.encode(END)) == END
    with pytest.raises(InputError, match="lacks the character 'é'"):
        LETTERS.encode("café")


def test_pieces_of_several_characters_go_through_the_library() -> None:
    assert not PIECES.letters
    assert PIECES.decode(PIECES.encode("one and three é")) == "one and three é"
