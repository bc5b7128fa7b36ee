"""The fast CPU decode, derived from a decoder: keys and values by node, one compiled call a step.

Any set of nodes whose ancestors are computed, or stand earlier in the same call, can be computed together: prefill, decode
and late branches are one function. Every operation works row by row in a fixed order, so a node's values are the same bits
alone, in company, decoded or prefilled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from ..core.rng import GOLDEN, MIX1, MIX2
from ..models.adapters import JOINED
from ..models.decoder import Decoder
from ..models.gemm import multiply
from ..models.kernels import FAST, attend, entropy_row, log_softmax_row, rms_norm, rotate, swiglu
from ..models.ops_cpu import effective, panels
from ..models.simd import exp
from .lanes import step_on
from .stops import match
from .tree import child

ROWS = 1024  # nodes of one call: bounds the work space
FIELDS = (
    "attention_norm", "qkv", "qkv_bias", "q_norm", "k_norm", "out", "out_bias", "ff_norm", "gate_up", "down", "gate_up_bias", "down_bias",
)  # fmt: skip


class CpuPlan:
    """A decoder's weights laid out for decoding, and the pool of keys, values and final hidden states."""

    exact = True  # a node's values never depend on its company

    def __init__(self, decoder: Decoder, slots: int = 1024) -> None:
        c = decoder.config
        self.decoder, self.config = decoder, c
        self.sizes = np.array([c.width, c.heads, c.kv_heads, c.head_width, c.feed_forward, c.layers], np.int64)
        self.cos, self.sin = decoder.cos.numpy(), decoder.sin.numpy()
        self.keys = np.zeros((c.layers, 0, c.kv_heads * c.head_width), np.float32)
        self.values, self.hidden = self.keys.copy(), np.zeros((0, c.width), np.float32)
        self.grow(slots)
        self.refresh()

    @staticmethod
    def slot_bytes(decoder: Decoder) -> int:
        """Memory of one node, in bytes."""
        c = decoder.config
        return 4 * (2 * c.layers * c.kv_heads * c.head_width + c.width)

    @property
    def slots(self) -> int:
        return len(self.hidden)

    def grow(self, slots: int) -> None:
        """Make the pool this large; what it holds stays."""
        c, have = self.config, self.slots
        keys, values = (np.empty((c.layers, slots, c.kv_heads * c.head_width), np.float32) for _ in range(2))
        hidden = np.empty((slots, c.width), np.float32)
        keys[:, :have], values[:, :have], hidden[:have] = self.keys, self.values, self.hidden
        self.keys, self.values, self.hidden = keys, values, hidden

    def refresh(self) -> None:
        """Take the decoder's weights as they are now."""
        pieces: list[NDArray[Any]] = []
        offsets = np.full((self.config.layers, len(FIELDS)), -1, np.int64)
        at = 0
        for i, layer in enumerate(self.decoder.blocks):
            for j, name in enumerate(FIELDS):
                p = getattr(layer, name)
                if p is not None:
                    flat = panels(effective(*layer.matrix(name), torch.float32), True) if name in JOINED else p.detach().numpy()
                    offsets[i, j] = at
                    at += flat.size
                    pieces.append(flat)
        self.weights, self.offsets = np.concatenate(pieces), offsets
        self.embed, self.norm = self.decoder.embed.detach().numpy(), self.decoder.norm.detach().numpy()
        self.head = panels(self.decoder.head, True)

    def extend(self, tokens: Any, positions: Any, slots: Any, index: Any, i0: Any, count: Any) -> None:
        """Compute nodes: row r has its path's slots (its own last) at index.flat[i0[r] :][:count[r]]; topological order."""
        flat = index.reshape(-1)
        for lo in range(0, len(tokens), ROWS):
            s = slice(lo, lo + ROWS)
            part = (tokens[s], positions[s], slots[s], flat, i0[s], count[s])
            pool = (self.keys, self.values, self.hidden)
            _extend(self.weights, self.offsets, self.sizes, self.config.eps, self.embed, self.norm, self.cos, self.sin, *pool, *part)

    def sample(self, live: Any, lanes: Any, slot_of: Any, settings: Any, ends: Any, tree: Any) -> NDArray[np.bool_]:
        """One token for every live lane (see `lanes.Lanes`), recorded there; True where the reply is over by one of the `ends` [V] or limit."""
        tree.room(len(live))
        over = np.empty(len(live), np.bool_)
        temperature, top_p, top_k = settings
        logps, entropies, row_of, first = _distributions(
            live, lanes.at, lanes.setting, self.hidden, slot_of, self.head, self.embed.shape[0], temperature
        )
        masses = logps
        if (top_p < 1).any() or (top_k > 0).any():
            masses = logps.copy()
            truncate(masses, lanes.setting[first], top_p, top_k)
        _draw_all(
            live, lanes.at, lanes.pos, lanes.limit, lanes.setting, lanes.address, lanes.token, lanes.logp, lanes.entropy, logps, entropies, masses,
            row_of, first, temperature, ends, tree.parent, tree.token, tree.depth, tree.table, tree.count, over,
        )  # fmt: skip
        return over

    def burst(
        self, live: Any, lanes: Any, pool: Any, settings: Any, ends: Any, tree: Any, stops: Any, most: int, over: Any, hit: Any, gone: Any
    ) -> tuple[int, int, int, int, int]:
        """Up to `most` tokens for the live lanes without a return to Python, until half of the replies are over by end token, limit or stop.

        `pool` is (slot_of, node_of, free, unused), `stops` (automaton, transitions, complete state). Lanes that are over leave on the
        way: they go to gone[0], whether by a stop string to gone[1], and the others move up in `live`. Returns how many tokens were
        drawn, in how many steps, nodes computed, the lanes of the last step, for which `over` and `hit` are filled, and the first of
        these whose stop strings are not looked at yet (its transition is unknown). Only for settings that cut no tail off.
        """
        net = (self.weights, self.offsets, self.sizes, self.config.eps, self.embed, self.norm, self.cos, self.sin)
        state = (lanes.at, lanes.pos, lanes.limit, lanes.setting, lanes.address, lanes.token, lanes.logp, lanes.entropy)
        path = (lanes.length, lanes.index, lanes.state, lanes.stops)
        grown = (tree.parent, tree.token, tree.depth, tree.table, tree.count)
        banks = (self.keys, self.values, self.hidden)
        return _burst(most, live, state, path, pool, net, banks, self.head, settings[0], ends, grown, stops, over, hit, gone)  # type: ignore[no-any-return]

    def log_softmax(self, slots: NDArray[np.int32], temperature: float = 1.0) -> NDArray[np.float32]:
        """Log-probabilities of the next token after each slot's node, float32 [n, V]."""
        hidden = np.ascontiguousarray(self.hidden[slots])
        out = np.empty((len(slots), self.embed.shape[0]), np.float32)
        _logits(hidden, self.head, out)
        for row in out:
            log_softmax_row(row, out.shape[1], np.float32(1) / np.float32(temperature))
        return out

    def states(self, slots: NDArray[np.int32]) -> torch.Tensor:
        """Final hidden states, float32 [n, D]."""
        return torch.from_numpy(self.hidden[slots])

    def banks(self, slots: NDArray[np.int32]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotated keys, and values, float32 [layers, n, key/value heads, head width] each."""
        c = self.config
        keys, values = (
            torch.from_numpy(x[:, slots]).view(c.layers, len(slots), c.kv_heads, c.head_width) for x in (self.keys, self.values)
        )
        return keys, values


def compiled() -> bool:
    """Whether the kernels are compiled for this machine already; the first use of all compiles them, which takes some seconds."""
    return any(Path(_extend.stats.cache_path).glob("plan_cpu._extend-*.nbi"))


@njit(cache=True, nogil=True)
def _logits(hidden, head, out):  # type: ignore[no-untyped-def]
    rows, width = hidden.shape
    columns = out.shape[1]
    multiply(hidden.ravel(), 0, width, 1, rows, head, 0, width, columns, out.ravel(), 0, columns)


@njit(**FAST)
def _add_bias(x, w, at, rows, width):  # type: ignore[no-untyped-def]
    for r in range(rows):
        for j in range(width):
            x[r, j] += w[at + j]


@njit(**FAST)
def _extend(w, offsets, sizes, eps, embed, norm, cos, sin, keys, values, hidden, tokens, positions, slots, index, i0, count):  # type: ignore[no-untyped-def]
    width, heads, kv, size, ff, layers = sizes
    rows, q, k = tokens.shape[0], heads * size, kv * size
    x, h = np.empty((rows, width), np.float32), np.empty((rows, width), np.float32)
    qkv, att = np.empty((rows, q + 2 * k), np.float32), np.empty((rows, q), np.float32)
    gate_up, act = np.empty((rows, 2 * ff), np.float32), np.empty((rows, ff), np.float32)
    inverse, lse = np.empty(max(rows, heads), np.float32), np.empty(heads, np.float32)
    longest = 1
    for r in range(rows):
        longest = max(longest, count[r])
        x[r] = embed[tokens[r]]
    scores = np.empty(longest, np.float32)
    scale = np.float32(size**-0.5)
    key_bank, value_bank, pool = keys.ravel(), values.ravel(), keys.shape[1]
    for i in range(layers):
        o = offsets[i]
        base = i * pool * k
        rms_norm(x, w[o[0] : o[0] + width], eps, h, inverse)
        multiply(h.ravel(), 0, width, 1, rows, w, o[1], width, q + 2 * k, qkv.ravel(), 0, q + 2 * k)
        if o[2] >= 0:
            _add_bias(qkv, w, o[2], rows, q + 2 * k)
        for r in range(rows):
            if o[3] >= 0:
                _norm_heads(qkv, r, 0, heads, w[o[3] : o[3] + size], eps)
                _norm_heads(qkv, r, q, kv, w[o[4] : o[4] + size], eps)
            rotate(qkv, r, 0, heads + kv, cos, sin, positions[r], np.float32(1))
            at = base + slots[r] * k
            for j in range(q):
                qkv[r, j] *= scale
            for j in range(k):
                key_bank[at + j] = qkv[r, q + j]
                value_bank[at + j] = qkv[r, q + k + j]
        for r in range(rows):
            attend(
                qkv.ravel(), r * (q + 2 * k), heads, kv, size, key_bank, value_bank, k, base, index, i0[r], count[r], scores,
                att.ravel(), r * q, lse, 0,
            )  # fmt: skip
        multiply(att.ravel(), 0, q, 1, rows, w, o[5], q, width, h.ravel(), 0, width)
        if o[6] >= 0:
            _add_bias(h, w, o[6], rows, width)
        x += h
        rms_norm(x, w[o[7] : o[7] + width], eps, h, inverse)
        multiply(h.ravel(), 0, width, 1, rows, w, o[8], width, 2 * ff, gate_up.ravel(), 0, 2 * ff)
        if o[10] >= 0:
            _add_bias(gate_up, w, o[10], rows, 2 * ff)
        swiglu(gate_up, act)
        multiply(act.ravel(), 0, ff, 1, rows, w, o[9], ff, width, h.ravel(), 0, width)
        if o[11] >= 0:
            _add_bias(h, w, o[11], rows, width)
        x += h
    rms_norm(x, norm, eps, h, inverse)
    for r in range(rows):
        hidden[slots[r]] = h[r]


@njit(**FAST)
def _norm_heads(qkv, r, column, heads, weight, eps):  # type: ignore[no-untyped-def]
    size = weight.shape[0]
    one, out, inverse = np.empty((1, size), np.float32), np.empty((1, size), np.float32), np.empty(1, np.float32)
    for h in range(heads):
        at = column + h * size
        one[0] = qkv[r, at : at + size]
        rms_norm(one, weight, eps, out, inverse)
        qkv[r, at : at + size] = out[0]


@njit(cache=True, nogil=True)
def uniform(address, position):  # type: ignore[no-untyped-def]
    """`core.rng.uniforms` for one (address, position)."""
    x = address + (np.uint64(position) + np.uint64(1)) * np.uint64(GOLDEN)
    for _ in range(2):
        x = (x ^ x >> np.uint64(30)) * np.uint64(MIX1)
        x = (x ^ x >> np.uint64(27)) * np.uint64(MIX2)
        x ^= x >> np.uint64(31)
    return np.float64(x >> np.uint64(11)) * 2.0**-53


@njit(cache=True, nogil=True)
def truncate(logps, setting, top_p, top_k):  # type: ignore[no-untyped-def]
    """Set to -inf what lies outside the nucleus (Holtzman et al. 2020) or the top k of each row's setting."""
    for r in range(logps.shape[0]):
        p, k = top_p[setting[r]], top_k[setting[r]]
        if p >= 1.0 and k <= 0:
            continue
        order = np.argsort(-logps[r], kind="mergesort")
        mass = 0.0
        for i in range(order.shape[0]):
            beyond = (k > 0 and i >= k) or mass >= p
            mass += np.float64(exp(logps[r, order[i]]))
            if beyond:
                logps[r, order[i]] = -np.inf


@njit(cache=True, nogil=True)
def cumulative(logps, sums):  # type: ignore[no-untyped-def]
    """sums[v] = mass of tokens 0..v; -inf has none."""
    total = 0.0
    for v in range(logps.shape[0]):
        if logps[v] > -np.inf:
            total += np.float64(exp(logps[v]))
        sums[v] = total


@njit(cache=True, nogil=True)
def draw(sums, columns, u):  # type: ignore[no-untyped-def]
    """The first token whose cumulative mass exceeds u times the total."""
    target = u * sums[columns - 1]
    low, high = 0, columns - 1
    while low < high:
        middle = (low + high) // 2
        if sums[middle] > target:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True, nogil=True)
def distinct(live, at, setting):  # type: ignore[no-untyped-def]
    """Rows of distinct (node, setting) among the live lanes: (row of each lane, a lane of each row)."""
    n = live.shape[0]
    size = 16
    while size < 2 * n:
        size *= 2
    table, row_of, first = np.full(size, -1, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    rows = 0
    for i in range(n):
        lane = live[i]
        h = (np.int64(at[lane]) * 31 + setting[lane]) * 0x9E3779B1
        slot = (h ^ h >> 15) & (size - 1)
        while table[slot] >= 0:
            other = first[table[slot]]
            if at[other] == at[lane] and setting[other] == setting[lane]:
                break
            slot = (slot + 1) & (size - 1)
        if table[slot] < 0:
            table[slot] = rows
            first[rows] = lane
            rows += 1
        row_of[i] = table[slot]
    return row_of, first[:rows]


@njit(cache=True, nogil=True)
def _distributions(live, at, setting, hidden, slot_of, head, columns, temperature):  # type: ignore[no-untyped-def]
    """Log-probabilities [rows, V] of the distinct rows at their temperatures, and their entropies; the row of each lane; a lane of each row."""
    row_of, first = distinct(live, at, setting)
    rows = first.shape[0]
    gathered, logps = np.empty((rows, hidden.shape[1]), np.float32), np.empty((rows, columns), np.float32)
    entropies = np.empty(rows, np.float32)
    for r in range(rows):
        gathered[r] = hidden[slot_of[at[first[r]]]]
    _logits(gathered, head, logps)
    for r in range(rows):
        t = temperature[setting[first[r]]]
        log_softmax_row(logps[r], columns, np.float32(1) / np.float32(t) if t > 0 else np.float32(1))
        entropies[r] = entropy_row(logps[r], columns)
    return logps, entropies, row_of, first


@njit(cache=True, nogil=True)
def _draw_all(  # type: ignore[no-untyped-def]
    live, at, pos, limit, setting, address, token, logp, entropy, logps, entropies, masses, row_of, first, temperature, ends,
    tree_parent, tree_token, tree_depth, tree_table, tree_count, over,
):  # fmt: skip
    rows, columns = logps.shape
    sums, best = np.empty((rows, columns), np.float64), np.empty(rows, np.int32)
    for r in range(rows):
        greedy = temperature[setting[first[r]]] <= 0
        best[r] = np.argmax(logps[r]) if greedy else -1
        if not greedy:
            cumulative(masses[r], sums[r])
    for i in range(live.shape[0]):
        lane, r = live[i], row_of[i]
        p = pos[lane]
        v = best[r] if best[r] >= 0 else draw(sums[r], columns, uniform(address[lane], p))
        below = child(tree_parent, tree_token, tree_depth, tree_table, tree_count, at[lane], v)
        token[lane, p], logp[lane, p], entropy[lane, p] = v, logps[r, v], entropies[r]
        at[lane], pos[lane] = below, p + 1
        over[i] = ends[v] or p + 1 >= limit[lane]


@njit(cache=True, nogil=True)
def _burst(most, live, state, path, pool, net, banks, head, temperature, ends, grown, stops, over, hit, gone):  # type: ignore[no-untyped-def]
    at, pos, limit, setting, address, token, logp, entropy = state
    length, index, automaton_state, automaton = path
    which, following, complete = stops
    n, columns, flat, nodes, drawn, left = live.shape[0], net[4].shape[0], index.ravel(), 0, 0, 0
    new, position, slot = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    start, count = np.empty(n, np.int64), np.empty(n, np.int64)
    m = n
    for step in range(1, most + 1):
        now = live[:m]
        logps, entropies, row_of, first = _distributions(now, at, setting, banks[2], pool[0], head, columns, temperature)
        _draw_all(
            now, at, pos, limit, setting, address, token, logp, entropy, logps, entropies, logps, row_of, first, temperature, ends,
            grown[0], grown[1], grown[2], grown[3], grown[4], over,
        )  # fmt: skip
        drawn += m
        hit[:m] = False
        known = m if which < 0 else match(which, following, complete, now, automaton, automaton_state, token, pos, hit, over, 0)
        if known < m or step == most or 2 * (left + over[:m].sum()) >= n or pool[3][0] < m:
            return drawn, step, nodes, m, known
        kept = 0
        for i in range(m):
            if over[i]:
                gone[0, left], gone[1, left] = now[i], hit[i]
                left += 1
            else:
                live[kept] = now[i]
                kept += 1
        m = kept
        rows = step_on(live[:m], at, length, grown[1], pool[0], pool[1], pool[2], pool[3], index, new, position, slot, start, count)
        nodes += rows
        for lo in range(0, rows, ROWS):
            up = min(rows, lo + ROWS)
            _extend(
                net[0], net[1], net[2], net[3], net[4], net[5], net[6], net[7], banks[0], banks[1], banks[2],
                new[lo:up], position[lo:up], slot[lo:up], flat, start[lo:up], count[lo:up],
            )  # fmt: skip
    return drawn, most, nodes, m, m
