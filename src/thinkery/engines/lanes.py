"""The state of live asks as arrays, and the compiled loops that walk it: paths, slots of the pool, eviction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .tree import climb


class Lanes:
    """The state of live asks, one lane each, as arrays that compiled code reads and writes.

    at, pos, limit   node of the last token, tokens written, tokens allowed
    length, index    nodes on the path so far, and their slots in the pool [lanes, longest]
    token, logp, entropy   what was written [lanes, width], and of what distribution; its nodes are the path to `at`
    """

    def __init__(self, lanes: int = 64, width: int = 64, longest: int = 128) -> None:
        self.at, self.pos, self.limit, self.setting, self.length = (np.zeros(lanes, np.int32) for _ in range(5))
        self.address, self.state, self.stops = np.zeros(lanes, np.uint64), np.zeros(lanes, np.int16), np.full(lanes, -1, np.int16)
        self.token = np.zeros((lanes, width), np.int32)
        self.logp, self.entropy = np.zeros((lanes, width), np.float32), np.zeros((lanes, width), np.float32)
        self.index = np.zeros((lanes, longest), np.int32)
        self.free = list(range(lanes - 1, -1, -1))

    def room(self, lanes: int, width: int, longest: int) -> None:
        """Make place for `lanes` more asks of `width` tokens on paths of `longest` nodes."""
        have = len(self.at)
        need = have
        while len(self.free) + need - have < lanes:
            need *= 2
        up = lambda n, least: n if n >= least else max(least, 2 * n)
        wide = up(self.token.shape[1], width)
        shapes = {"token": wide, "logp": wide, "entropy": wide, "index": up(self.index.shape[1], longest)}
        for name, columns in shapes.items():
            old = getattr(self, name)
            if old.shape != (need, columns):
                new = np.zeros((need, columns), old.dtype)
                new[: old.shape[0], : old.shape[1]] = old
                setattr(self, name, new)
        if need > have:
            for name in ("at", "pos", "limit", "setting", "length", "address", "state", "stops"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros(need - have, old.dtype)]))
            self.free = list(range(need - 1, have - 1, -1)) + self.free


def rows_for(n: int) -> list[NDArray[Any]]:
    """Room for n rows to compute: token, position, slot, and where the path of each begins and how long it is."""
    return [np.empty(n, np.int32) for _ in range(3)] + [np.empty(n, np.int64) for _ in range(2)]


@njit(cache=True, nogil=True)
def missing(parent, slot_of, tips):  # type: ignore[no-untyped-def]
    """At least as many as the nodes without a slot on the paths to `tips`."""
    total = 0
    for tip in tips:
        node = tip
        while node > 0:
            if slot_of[node] < 0:
                total += 1
            node = parent[node]
    return total


@njit(cache=True, nogil=True)
def settle(lane, d, node, rows, tokens, slot_of, node_of, free, unused, index, token, position, slot, start, count):  # type: ignore[no-untyped-def]
    """Write the slot of a lane's node at depth d into its path; a node without one gets a slot and row `rows`. Returns the rows so far."""
    s = slot_of[node]
    if s < 0:
        unused[0] -= 1
        s = free[unused[0]]
        slot_of[node], node_of[s] = s, node
        token[rows], position[rows], slot[rows] = tokens[node], d, s
        start[rows], count[rows] = np.int64(lane) * index.shape[1], d + 1
        rows += 1
    index[lane, d] = s
    return rows


@njit(cache=True, nogil=True)
def place(lanes, at, parent, tokens, depth, slot_of, node_of, free, unused, index, token, position, slot, start, count):  # type: ignore[no-untyped-def]
    """Fill the paths of new lanes; nodes without a slot get one and a row to compute. Returns the number of rows."""
    rows = 0
    for lane in lanes:
        n = depth[at[lane]] + 1
        climb(parent, at[lane], index[lane, :n])
        for d in range(n):
            rows = settle(lane, d, index[lane, d], rows, tokens, slot_of, node_of, free, unused, index, token, position, slot, start, count)
    return rows


@njit(cache=True, nogil=True)
def step_on(live, at, length, tokens, slot_of, node_of, free, unused, index, token, position, slot, start, count):  # type: ignore[no-untyped-def]
    """Append each live lane's new node to its path; the distinct ones without a slot become rows. Returns the number of rows."""
    rows = 0
    for lane in live:
        node, d = at[lane], length[lane]
        rows = settle(lane, d, node, rows, tokens, slot_of, node_of, free, unused, index, token, position, slot, start, count)
        length[lane] = d + 1
    return rows


@njit(cache=True, nogil=True)
def evict(live, index, length, slot_of, node_of, free, unused):  # type: ignore[no-untyped-def]
    """Free every slot that no live lane's path uses."""
    used = np.zeros(node_of.shape[0], np.bool_)
    for lane in live:
        for d in range(length[lane]):
            used[index[lane, d]] = True
    unused[0] = 0
    for s in range(node_of.shape[0] - 1, -1, -1):
        if not used[s]:
            if node_of[s] >= 0:
                slot_of[node_of[s]] = -1
                node_of[s] = -1
            free[unused[0]] = s
            unused[0] += 1
