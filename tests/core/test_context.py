"""A context is its tokens: how it was put together decides neither its hash, its node nor its text; a token encoded twice would train on what no model wrote."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkery.core.context import Context, Ids, Turn
from thinkery.engines.tree import Tree
from thinkery.models.tokenizer import character_tokenizer


class Counting:
    """A codec of one token a character that says what it was asked to encode."""

    def __init__(self, start: Ids = (1,)) -> None:
        self.start, self.end, self.encoded = start, 2, list[str]()

    def encode(self, text: str) -> Ids:
        self.encoded.append(text)
        return tuple(100 + ord(c) for c in text)

    def decode(self, ids: Ids) -> str:
        return "".join(chr(i - 100) for i in ids if i >= 100)

    def same(self, other: object) -> bool:
        return self is other


def turn(context: Context, ids: Ids, **changes: Any) -> Turn:
    return Turn(context, "policy", ("m", 0), 1.0, "stop", ids, np.zeros(len(ids), np.float32), **changes)


text = st.text("abc ", max_size=12)


@given(whole=text, cuts=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["text", "ids", "turn"])), max_size=6))
def test_cuts_change_nothing(whole: str, cuts: list[tuple[int, str]]) -> None:
    codec = Counting()
    straight, pieces = Context.of(whole, codec), Context.root(codec)
    edges = sorted({0, len(whole), *(min(c, len(whole)) for c, _ in cuts)})
    kinds = [k for _, k in cuts] + ["text"] * len(edges)
    for low, high, kind in zip(edges, edges[1:], kinds):
        part = whole[low:high]
        ids = codec.encode(part)
        pieces = pieces + (part if kind == "text" else ids if kind == "ids" else turn(pieces, ids))
    assert pieces.ids == straight.ids == (1, *(100 + ord(c) for c in whole))
    assert (pieces.hash, pieces.n, pieces.text) == (straight.hash, straight.n, whole)
    assert pieces == straight
    assert hash(pieces) == hash(straight)
    tree = Tree()
    assert tree.place(pieces) == tree.place(straight)
    assert tree.token[tree.path(tree.place(pieces))].tolist() == list(straight.ids)


@given(a=st.lists(st.integers(0, 5), max_size=8), b=st.lists(st.integers(0, 5), max_size=8))
def test_other_tokens_are_another_context(a: list[int], b: list[int]) -> None:
    root = Context.root(Counting())
    x, y = root + tuple(a), root + tuple(b)
    assert (x == y) == (x.hash == y.hash) == (a == b)
    tree = Tree()
    assert (tree.place(x) == tree.place(y)) == (a == b)


def test_equal_hashes_are_not_identity() -> None:
    """The hash addresses draws; two contexts that collide are still two."""
    a, b = Context.of("a", Counting()), Context.of("b", Counting())
    b.hash = a.hash
    assert a != b


def test_equal_appends_give_the_same_object() -> None:
    codec = Counting()
    root = Context.root(codec)
    first = root + "ab"
    assert root + "ab" is first
    assert root + codec.encode("ab") is first
    assert root + turn(root, codec.encode("ab")) is first
    assert (root + "a") + "b" is not first
    assert (root + "a") + "b" == first
    assert root + "" is root
    assert root + () is root
    assert Context.root(codec) + "ab" is not first, "each root keeps its own"


def test_text_is_encoded_once_and_what_was_written_never() -> None:
    codec = Counting()
    root = Context.root(codec)
    odd = (7, 8, 9)  # tokens that no text would encode to
    for _ in range(3):
        context = root + "ab" + turn(root, odd) + "c"
    assert codec.encoded == ["ab", "c"]
    assert context.ids == (1, 197, 198, 7, 8, 9, 199)


def test_contexts_do_not_change() -> None:
    root = Context.root(Counting())
    first = root + "ab"
    kept = (first.ids, first.hash, first.n, first.text)
    _ = first + "c", first + "d" + "e"
    assert (first.ids, first.hash, first.n, first.text) == kept
    assert root.ids == (1,)


def test_a_root_takes_its_contexts_with_it() -> None:
    """Interning must not keep the contexts of all steps for ever."""

    class Watched(Context):
        __slots__ = ("__weakref__",)

    root = Watched.root(Counting())
    for i in range(10):
        _ = root + str(i)
    alive = weakref.ref(root)
    del root, _
    gc.collect()
    assert alive() is None


# ---- turns


def test_a_sampled_turn() -> None:
    codec = character_tokenizer()
    context = Context.of("1+2=", codec)
    t = Turn(context, "policy", ("tiny", 3), 0.7, "stop", np.array([7, 2], np.int32), np.array([-0.5, -0.1], np.float32))
    assert (t.ids, t.n, t.text, t.ended, t.forced) == ((7, 2), 2, "2", "stop", False)
    assert t.sampled.tolist() == [True, True]
    assert t.logp.tolist() == pytest.approx([-0.5, -0.1])
    assert (context + t).ids == (*context.ids, 7, 2), "the end token is part of what was written"
    assert (context + t).text == "1+2=2"
    cut = Turn(context, "policy", ("tiny", 3), 0.7, "length", (7,), np.zeros(1, np.float32))
    assert cut.text == "2"


def test_a_forced_turn() -> None:
    context = Context.of("1+2=", character_tokenizer())
    t = Turn(context, "policy", ("tiny", 3), 1.0, "said", (7, 2), None, np.array([0.5, 1], np.float32))
    assert t.forced
    assert t.sampled.tolist() == [False, False]
    assert t.logp.tolist() == [0, 0]
    assert repr(t) == "Turn('2', said, n=2)"
    assert repr(context) == "Context('1+2=', n=5)"


# ---- the tree


@given(paths=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=10), min_size=1, max_size=30), capacity=st.integers(1, 16))
def test_one_node_for_each_distinct_prefix(paths: list[list[int]], capacity: int) -> None:
    """Also while it grows from next to nothing."""
    tree = Tree(capacity)
    placed = [tree.insert(0, p) for p in paths]
    prefixes = {tuple(p[: i + 1]) for p in paths for i in range(len(p))}
    assert len(tree) == len(prefixes) + 1
    for path, nodes in zip(paths, placed):
        assert tree.token[nodes].tolist() == path
        assert tree.depth[nodes].tolist() == list(range(len(path)))
        assert tree.parent[nodes].tolist() == [0, *nodes[:-1].tolist()]
        assert tree.path(int(nodes[-1])).tolist() == nodes.tolist()
        assert tree.insert(0, path).tolist() == nodes.tolist()
    assert (tree.parent[1 : len(tree)] < np.arange(1, len(tree))).all(), "topological: a parent's id is smaller"
