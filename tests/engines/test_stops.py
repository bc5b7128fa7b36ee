"""A stop string ends a turn at the token that completes it, wherever token borders fall; an automaton that forgets a half-matched string would run on."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support import asked
from thinkery.core.context import Turn
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.engines.stops import Stops
from thinkery.models.decoder import DecoderConfig
from thinkery.models.model import new_model
from thinkery.models.tokenizer import train_tokenizer

words = st.text("abc", min_size=1, max_size=4)


@given(
    strings=st.lists(words, min_size=1, max_size=3, unique=True),
    pieces=st.lists(st.text("abc", max_size=4), min_size=1, max_size=8),
    tokens=st.lists(st.integers(0, 7), max_size=30),
)
def test_same_as_searching_the_whole_text(strings: list[str], pieces: list[str], tokens: list[int]) -> None:
    stops, text, state = Stops(tuple(strings), pieces), "", np.zeros(1, np.int16)
    for token in (t % len(pieces) for t in tokens):
        text += pieces[token]
        state = stops.advance(state, np.array([token], np.int32))
        complete = any(s in text for s in strings)
        assert (state[0] == stops.hit) == complete
        if complete:
            break


def test_by_hand() -> None:
    pieces = ["a", "b", "c", "xab", "abx", "bcab"]
    for strings, tokens, ends in (
        (("ab", "bc"), [0, 0, 1], 2),  # a a b
        (("ab", "bc"), [1, 1, 2], 2),  # b b c
        (("ab", "bc"), [2, 4], 1),  # c abx: inside a piece
        (("abab",), [3, 4], 1),  # xab abx: over a border, beginning and ending inside pieces
        (("aab",), [0, 0, 0, 1], 3),  # after a a a the tail "aa" is still open
        (("ab",), [0, 0, 2], None),
    ):
        stops, state, found = Stops(strings, pieces), np.zeros(1, np.int16), None
        for i, token in enumerate(tokens):
            state = stops.advance(state, np.array([token], np.int32))
            if state[0] == stops.hit and found is None:
                found = i
        assert found == ends, (strings, tokens)


def test_stops_across_the_pieces_of_a_learnt_vocabulary() -> None:
    """Characters outside ASCII are several tokens here, none of which is text by itself."""
    tokenizer = train_tokenizer(["the cat sat on the mat and that is that"] * 4, 280)
    config = DecoderConfig(vocabulary=300, width=32, layers=1, heads=2, kv_heads=1, head_width=16, feed_forward=32, context=200)
    engine = LocalEngine(new_model(config, tokenizer, "learnt"))
    for stop in ("é", " t", "at", "9e", "字"):
        pieces = [p for p in tokenizer.pieces if p]
        assert len(pieces) > 256
        wanted = tokenizer.encode(stop)

        async def one(model: Session, stop: str = stop) -> Turn:
            return await model.ask("go", 150, stop=(stop,))

        turns = asked(engine, one, 60)
        for turn in turns:
            assert (stop in turn.text) == (turn.ended == "stop" and turn.ids[-1] != tokenizer.end)
            assert stop not in tokenizer.decode(turn.ids[:-1])
        if len(wanted) < 3:
            assert any(stop in t.text for t in turns)
