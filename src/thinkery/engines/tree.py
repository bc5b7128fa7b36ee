"""The token tree of a step: every context and output as paths from a root, each distinct prefix one node.

A node's identity is (parent, content). Content is a token id; other kinds (image patches, vectors) are interned above the
vocabulary, and every adapter or model state has a root of its own, so neither needs another structure. Ids are topological:
a parent's id is smaller than its children's. Engine and learner share one Tree per step and weights version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..core.context import Context, Turn


class Tree:
    """parent, token, depth: int32 [capacity]; the first `len(tree)` entries are nodes. Node 0 is the empty root, at depth -1."""

    def __init__(self, capacity: int = 1024) -> None:
        capacity = 1 << max(capacity - 1, 1).bit_length()  # a power of two: the table is probed by a mask
        self.parent = np.full(capacity, -1, np.int32)
        self.token = np.zeros(capacity, np.int32)
        self.depth = np.full(capacity, -1, np.int32)
        self.table = np.full(4 * capacity, -1, np.int32)  # open addressing: (parent, token) -> node
        self.count = np.ones(1, np.int64)

    def __len__(self) -> int:
        return int(self.count[0])

    def room(self, more: int) -> None:
        """Make place for `more` further nodes."""
        need = len(self) + more
        capacity = len(self.parent)
        if need <= capacity:
            return
        while capacity < need:
            capacity *= 2
        grow = lambda a: np.concatenate([a, np.full(capacity - len(a), -1, np.int32)])
        self.parent, self.token, self.depth = grow(self.parent), grow(self.token), grow(self.depth)
        self.table = np.full(4 * capacity, -1, np.int32)
        _rebuild(self.parent, self.token, self.table, len(self))

    def insert(self, node: int, ids: Any) -> NDArray[np.int32]:
        """The nodes of `ids` below `node`, made where they are missing."""
        tokens = np.asarray(ids, np.int32)
        self.room(len(tokens))
        out = np.empty(len(tokens), np.int32)
        insert_path(self.parent, self.token, self.depth, self.table, self.count, node, tokens, out)
        return out

    def place(self, context: Context) -> int:
        """The node of a context's last token; remembered on the context while this tree lives."""
        kept = context._place
        if kept is not None and kept[0] is self:
            return kept[1]
        node = 0 if context.parent is None else self.place(context.parent)
        if context.segment:
            node = int(self.insert(node, context.segment)[-1])
        context._place = (self, node)
        return node

    def last(self, turn: Turn) -> int:
        """The node of a turn's last token: known when the engine that sampled it used this tree."""
        if turn._place is not None and turn._place[0] is self:
            return turn._place[1]
        return int(self.insert(self.place(turn.context), turn.ids)[-1])

    def nodes(self, turns: Sequence[Turn], width: int) -> NDArray[np.int32]:
        """The nodes of each turn's tokens, and -1 after them: [turns, width]. No turn is empty."""
        last, n = np.array([self.last(t) for t in turns], np.int32), np.array([t.n for t in turns], np.int32)
        out = np.full((len(turns), width), -1, np.int32)
        climb_all(self.parent, last, n, out)
        return out

    def path(self, node: int) -> NDArray[np.int32]:
        """The nodes from the first token to `node`."""
        out = np.empty(int(self.depth[node]) + 1, np.int32)
        climb(self.parent, node, out)
        return out


@njit(cache=True, nogil=True)
def _slot(parent, token, mask):  # type: ignore[no-untyped-def]
    h = np.uint64(parent) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(token) * np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(29)
    h *= np.uint64(0x94D049BB133111EB)
    return np.int64((h ^ h >> np.uint64(32)) & np.uint64(mask))


@njit(cache=True, nogil=True)
def _rebuild(parent, token, table, count):  # type: ignore[no-untyped-def]
    mask = table.shape[0] - 1
    for node in range(1, count):
        at = _slot(parent[node], token[node], mask)
        while table[at] >= 0:
            at = (at + 1) & mask
        table[at] = node


@njit(cache=True, nogil=True)
def child(parent, token, depth, table, count, node, content):  # type: ignore[no-untyped-def]
    """The child of `node` with this content, made if missing; room must be there."""
    mask = table.shape[0] - 1
    at = _slot(node, content, mask)
    while table[at] >= 0:
        found = table[at]
        if parent[found] == node and token[found] == content:
            return found
        at = (at + 1) & mask
    new = np.int32(count[0])
    count[0] += 1
    parent[new], token[new], depth[new] = node, content, depth[node] + 1
    table[at] = new
    return new


@njit(cache=True, nogil=True)
def insert_path(parent, token, depth, table, count, node, contents, out):  # type: ignore[no-untyped-def]
    """`child` along a sequence of contents."""
    for i in range(contents.shape[0]):
        node = child(parent, token, depth, table, count, node, contents[i])
        out[i] = node


@njit(cache=True, nogil=True)
def climb(parent, node, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the path to `node`, from its end."""
    for i in range(out.shape[0] - 1, -1, -1):
        out[i] = node
        node = parent[node]


@njit(cache=True, nogil=True)
def climb_all(parent, tips, lengths, out):  # type: ignore[no-untyped-def]
    """Fill the beginning of each row of `out` with the last nodes of a path."""
    for r in range(tips.shape[0]):
        climb(parent, tips[r], out[r, : lengths[r]])
