"""A stop string ends a turn at the token that completes it, wherever token borders fall; an automaton that forgets a half-matched string would run on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers

from tests.support import asked
from thinkery.core.context import Turn
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.engines.stops import Stops, match
from thinkery.models.decoder import DecoderConfig
from thinkery.models.model import new_model
from thinkery.models.tokenizer import Tokenizer, character_tokenizer, train_tokenizer

words = st.text("abc", min_size=1, max_size=4)


def advance(stops: Stops, states: Any, tokens: Any) -> Any:
    """The states after one more token each, as the engine's loop has them."""
    n = len(tokens)
    state, hit, at = np.array(states), np.zeros(n, np.bool_), 0
    lanes = (np.arange(n, dtype=np.int32), np.zeros(n, np.int16), state, np.array(tokens)[:, None], np.ones(n, np.int32))
    while (at := match(0, stops.next, stops.hit, *lanes, hit, hit, at)) < n:
        stops.learn(state[at], tokens[at])
    assert (hit == (state == stops.hit)).all()
    return state


@given(
    strings=st.lists(words, min_size=1, max_size=3, unique=True),
    pieces=st.lists(st.text("abc", max_size=4), min_size=1, max_size=8),
    tokens=st.lists(st.integers(0, 7), max_size=30),
)
def test_same_as_searching_the_whole_text(strings: list[str], pieces: list[str], tokens: list[int]) -> None:
    stops, text, state = Stops(tuple(strings), pieces), "", np.zeros(1, np.int16)
    for token in (t % len(pieces) for t in tokens):
        text += pieces[token]
        state = advance(stops, state, np.array([token], np.int32))
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
            state = advance(stops, state, np.array([token], np.int32))
            if state[0] == stops.hit and found is None:
                found = i
        assert found == ends, (strings, tokens)


def metaspace() -> Tokenizer:
    """A vocabulary as Llama 2 has it: spaces inside tokens, unknown characters as bytes, and a decoder that strips the first space."""
    vocabulary = {
        t: float(-i) for i, t in enumerate(["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "▁the", "▁a", *"aceht"])
    }
    backend = Backend(models.Unigram(list(vocabulary.items()), 0, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    backend.add_special_tokens(["<s>", "</s>", "<unk>"])
    return Tokenizer(backend, 1, 2, 0)


TOKENIZERS = {
    "characters": character_tokenizer,
    "byte-level": lambda: train_tokenizer(["the cat sat on the mat and that is that"] * 4, 280),
    "metaspace": metaspace,
}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_pieces_of_real_vocabularies(kind: str) -> None:
    """Tokens that are half a character, or that begin with a space: the turn ends where the decoded text first has the string."""
    tokenizer = TOKENIZERS[kind]()
    texts = ["the cat a the hat", "tthe at eat the that"] + (
        ["caf\xe9 the \u5b57\u6570 end", "\xe8\xe9a\u5b58\u5b57"] if kind != "characters" else []
    )
    hits = 0
    for text in texts:
        ids = tokenizer.encode(text)
        decoded = [tokenizer.decode(ids[: i + 1]) for i in range(len(ids))]
        for strings in (("the",), (" the",), ("t t",), ("e a",), (" ",), ("at", "eat"), ("\xe9",), ("\u5b57", "zz"), ("\xe9 t",)):
            want = next((i for i, d in enumerate(decoded) if any(s in d for s in strings)), None)
            stops, state, found = Stops(strings, tokenizer.pieces), np.zeros(1, np.int16), None
            for i, token in enumerate(ids):
                state = advance(stops, state, np.array([token], np.int32))
                if state[0] == stops.hit:
                    found = i
                    break
            assert found == want or (kind == "metaspace" and strings[0][0] == " " and found == 0), (text, strings)
            hits += found is not None
    assert hits > 6


def test_a_turn_ends_between_learnt_pieces() -> None:
    tokenizer = TOKENIZERS["byte-level"]()
    config = DecoderConfig(vocabulary=300, width=32, layers=1, heads=2, kv_heads=1, head_width=16, feed_forward=32, context=200)
    engine = LocalEngine(new_model(config, tokenizer, "learnt"))

    async def both(model: Session) -> tuple[Turn, Turn, str]:
        whole = await model.branch(0).ask("go", 40)
        model.branch(0)._nth.clear()  # the same draws again
        stop = tokenizer.decode(whole.ids[6:9])[1:]
        return whole, await model.branch(0).ask("go", 40, stop=(stop,)), stop

    fair = [x for x in asked(engine, both, 60) if len(x[2]) > 1 and "\ufffd" not in x[2] and x[2] in x[0].text]
    assert len(fair) > 5
    for whole, stopped, stop in fair:
        assert stopped.ended == "stop"
        assert stopped.ids == whole.ids[: stopped.n]
        assert stop in stopped.text
        assert stop not in tokenizer.decode(stopped.ids[:-1])
