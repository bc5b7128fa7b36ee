"""Layout: how a set of token sequences is packed for one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Layout:
    """N tokens in preorder, as runs of only children.

    tokens, positions  int64 [N]
    first              int32 [N]: where the run of each node starts
    parents            int32 [N]: at a run's start, the node above it (-1: none)
    grid               (rows, length) when the tokens are rows of one padded rectangle, else None
    """

    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    first: NDArray[np.int32]
    parents: NDArray[np.int32]
    grid: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.tokens)


def rectangle(rows: list[Any]) -> Layout:
    """Rows of token ids, padded with token 0 at the end: the plain layout, one sequence a row."""
    length = max(len(r) for r in rows)
    tokens = np.zeros((len(rows), length), np.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    starts = np.repeat(np.arange(len(rows)) * length, length).astype(np.int32)
    positions = np.tile(np.arange(length), len(rows))
    return Layout(tokens.reshape(-1), positions, starts, np.full(tokens.size, -1, np.int32), (len(rows), length))


def preorder(parent: NDArray[np.int32], tokens: NDArray[np.int64], positions: NDArray[np.int64]) -> tuple[Layout, NDArray[np.int32]]:
    """Pack a forest given in topological order (a parent's index is smaller; -1: none); siblings keep their order.

    Returns the layout and `place` [N]: where each node went.
    """
    order, first, parents = _preorder(parent)
    place = np.empty_like(order)
    place[order] = np.arange(len(order), dtype=np.int32)
    return Layout(tokens[order], positions[order], first, parents), place


@njit(cache=True, nogil=True)
def _preorder(parent):  # type: ignore[no-untyped-def]
    n = parent.shape[0]
    child, brother = np.full(n + 1, -1, np.int32), np.full(n + 1, -1, np.int32)
    for i in range(n - 1, -1, -1):  # backwards, so that each list of children comes out in order
        p = parent[i] if parent[i] >= 0 else n
        brother[i] = child[p]
        child[p] = i
    order, place = np.empty(n, np.int32), np.empty(n, np.int32)
    first, parents = np.empty(n, np.int32), np.full(n, -1, np.int32)
    stack = np.empty(n + 1, np.int32)
    depth, count = 0, 0
    if child[n] >= 0:
        stack[0] = child[n]
        depth = 1
    while depth > 0:
        depth -= 1
        i = stack[depth]
        if brother[i] >= 0:
            stack[depth] = brother[i]
            depth += 1
        p = parent[i]
        order[count] = i
        place[i] = count
        if p >= 0 and place[p] == count - 1 and brother[child[p]] < 0:
            first[count] = first[count - 1]
        else:
            first[count] = count
            parents[count] = place[p] if p >= 0 else -1
        if child[i] >= 0:
            stack[depth] = child[i]
            depth += 1
        count += 1
    return order, first, parents
