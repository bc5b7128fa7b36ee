"""The local engine: asks queue up, one step decodes a token for every live ask, each distinct prefix is computed once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from ..core.context import Context, Turn
from ..core.errors import EngineError, PromptTooLong
from ..models.model import Model
from .plan_cpu import CpuPlan
from .plan_torch import TorchPlan
from .stops import Stops
from .tree import Tree, climb

KV_BYTES = 1 << 30


class Answer(asyncio.Future[Turn]):
    """The future of an ask; cancelling it frees its lane at once."""

    drop: Any = None

    def cancel(self, msg: Any = None) -> bool:
        if self.drop is not None:
            self.drop(self)
        return super().cancel(msg)


class Lanes:
    """The state of live asks, one lane each, as arrays that compiled code reads and writes.

    at, pos, limit   node of the last token, tokens written, tokens allowed
    length, index    nodes on the path so far, and their slots in the pool [lanes, longest]
    token, logp, node   what was written [lanes, width]
    """

    def __init__(self, lanes: int = 64, width: int = 64, longest: int = 128) -> None:
        self.at, self.pos, self.limit, self.setting, self.length = (np.zeros(lanes, np.int32) for _ in range(5))
        self.address, self.state, self.stops = np.zeros(lanes, np.uint64), np.zeros(lanes, np.int16), np.full(lanes, -1, np.int16)
        self.token, self.node = np.zeros((lanes, width), np.int32), np.zeros((lanes, width), np.int32)
        self.logp, self.index = np.zeros((lanes, width), np.float32), np.zeros((lanes, longest), np.int32)
        self.free = list(range(lanes - 1, -1, -1))

    def room(self, lanes: int, width: int, longest: int) -> None:
        """Make place for `lanes` more asks of `width` tokens on paths of `longest` nodes."""
        have = len(self.at)
        need = have
        while len(self.free) + need - have < lanes:
            need *= 2
        up = lambda n, least: n if n >= least else max(least, 2 * n)
        shapes = {"token": up(self.token.shape[1], width), "logp": up(self.token.shape[1], width), "node": up(self.token.shape[1], width)}
        shapes["index"] = up(self.index.shape[1], longest)
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


class LocalEngine:
    """Decodes for any number of concurrent asks.

    kv_bytes   memory for keys, values and hidden states; asks that do not fit wait, unused prefixes are dropped first
    stats      counters since the last reset: asks, tokens sampled, nodes computed, steps
    """

    def __init__(self, model: Model, kv_bytes: int = KV_BYTES) -> None:
        self.model, self.decoder = model, model.decoder
        fits = self.decoder.compiled and self.decoder.dtype == torch.float32
        self.plan: Any = CpuPlan(self.decoder) if fits else TorchPlan(self.decoder)
        self.most = kv_bytes // self.plan.slot_bytes(self.decoder)
        self.planned = self.decoder.version
        self.wake: asyncio.Event | None = None
        self.setting_ids: dict[tuple[float, float, int], int] = {}
        self.stop_ids: dict[tuple[str, ...], int] = {}
        self.stops: list[Stops] = []
        self.reset()

    def reset(self) -> None:
        """A new step: an empty tree and pool, the weights as they are now. Nothing may be live."""
        if self.decoder.version != self.planned:
            self.plan.refresh()
            self.planned = self.decoder.version
        self.tree = Tree()
        self.root = Context.root(self.model.tokenizer)
        self.slot_of = np.full(len(self.tree.parent), -1, np.int32)
        self.node_of = np.full(self.plan.slots, -1, np.int32)
        self.free = np.arange(self.plan.slots - 1, -1, -1, dtype=np.int32)
        self.unused = np.array([self.plan.slots], np.int64)  # how many entries of `free` count
        self.lanes, self.live = Lanes(), np.zeros(0, np.int32)
        self.queue: list[tuple[Any, ...]] = []
        self.asks: dict[int, tuple[Any, ...]] = {}
        self.reserved = 0
        self.dropped: list[Answer] = []
        self.stats = {"asks": 0, "tokens": 0, "nodes": 0, "steps": 0, "cancelled": 0}

    @property
    def busy(self) -> bool:
        return bool(self.queue) or len(self.live) > 0

    def ask(
        self,
        context: Context,
        max_tokens: int,
        stop: tuple[str, ...],
        temperature: float,
        top_p: float,
        top_k: int,
        role: str,
        address: int,
    ) -> Answer:
        """A turn written after `context`, in due time. Raises PromptTooLong."""
        room = self.decoder.config.context - context.n
        if room < 1:
            raise PromptTooLong(
                f"the prompt has {context.n} tokens, the model's context holds {self.decoder.config.context}: "
                f"shorten the prompt or use a model with a longer context ({context.text[:60]!r}…)"
            )
        answer = Answer(loop=asyncio.get_running_loop())
        limit = min(max_tokens, room)
        if context.n + limit > self.most:
            raise EngineError(
                f"an ask of {context.n} + {limit} tokens needs more than the {self.most} nodes the key/value memory holds: raise kv_bytes"
            )
        self.queue.append((context, limit, stop, (temperature, top_p, top_k), role, address, answer))
        answer.drop = self._drop
        if self.wake is not None:
            self.wake.set()
        return answer

    def _drop(self, answer: Answer) -> None:
        if not answer.done():
            self.dropped.append(answer)

    # ---- admission

    def _setting(self, key: tuple[float, float, int]) -> int:
        found = self.setting_ids.get(key)
        if found is None:
            found = self.setting_ids[key] = len(self.setting_ids)
            temperature, top_p, top_k = zip(*self.setting_ids)
            self.settings = (np.array(temperature, np.float64), np.array(top_p, np.float64), np.array(top_k, np.int64))
        return found

    def _stop(self, strings: tuple[str, ...]) -> int:
        if not strings:
            return -1
        found = self.stop_ids.get(strings)
        if found is None:
            found = self.stop_ids[strings] = len(self.stops)
            pieces = self.model.tokenizer.pieces
            beyond = self.decoder.config.vocabulary - len(pieces)  # embeddings are often padded past the tokenizer
            self.stops.append(Stops(strings, pieces + [""] * beyond))
        return found

    def _admit(self) -> None:
        """Give queued asks lanes, in order, as long as their nodes fit; compute what their contexts lack."""
        taken = 0
        for x in self.queue:
            if self.reserved + x[0].n + x[1] > self.most:
                break
            self.reserved += x[0].n + x[1]
            taken += 1
        asks, self.queue = self.queue[:taken], self.queue[taken:]
        if not asks:
            return
        tree, lanes = self.tree, self.lanes
        lanes.room(taken, max(x[1] for x in asks), max(x[0].n + x[1] for x in asks))
        mine = np.array([lanes.free.pop() for _ in asks], np.int32)
        lanes.at[mine] = [tree.place(x[0]) for x in asks]
        lanes.limit[mine], lanes.pos[mine], lanes.state[mine] = [x[1] for x in asks], 0, 0
        lanes.setting[mine] = [self._setting(x[3]) for x in asks]
        lanes.stops[mine] = [self._stop(x[2]) for x in asks]
        lanes.address[mine] = np.array([x[5] for x in asks], np.uint64)
        lanes.length[mine] = [x[0].n for x in asks]
        self.asks.update(zip(mine.tolist(), asks))
        self.live = np.concatenate([self.live, mine])
        self.stats["asks"] += taken
        self._match_tree()
        new = int(_missing(tree.parent, tree.depth, self.slot_of, lanes.at[mine]))
        if new:
            self._reserve(new)
            rows = [np.empty(new, np.int32) for _ in range(3)] + [np.empty(new, np.int64) for _ in range(2)]
            n = _place(
                mine, lanes.at, tree.parent, tree.token, tree.depth, self.slot_of, self.node_of, self.free, self.unused, lanes.index, *rows
            )
            self._extend([r[:n] for r in rows])
        else:
            _place(
                mine,
                lanes.at,
                tree.parent,
                tree.token,
                tree.depth,
                self.slot_of,
                self.node_of,
                self.free,
                self.unused,
                lanes.index,
                *_NO_ROWS,
            )

    def _match_tree(self) -> None:
        """slot_of covers the tree's capacity."""
        more = len(self.tree.parent) - len(self.slot_of)
        if more > 0:
            self.slot_of = np.concatenate([self.slot_of, np.full(more, -1, np.int32)])

    def _reserve(self, need: int) -> None:
        """At least `need` free slots: grow the pool, then drop what no live ask stands on."""
        if self.unused[0] >= need:
            return
        have = self.plan.slots
        target = min(self.most, max(2 * have, have + need))
        if target > have:
            self.plan.grow(target)
            self.node_of = np.concatenate([self.node_of, np.full(target - have, -1, np.int32)])
            kept = self.free[: self.unused[0]]
            self.free = np.concatenate([kept, np.arange(target - 1, have - 1, -1, dtype=np.int32), np.zeros(have - len(kept), np.int32)])
            self.unused[0] += target - have
        if self.unused[0] < need:
            _evict(self.live, self.lanes.index, self.lanes.length, self.slot_of, self.node_of, self.free, self.unused)
        if self.unused[0] < need:
            raise EngineError(f"the key/value memory of {self.most} nodes is full with {len(self.live)} live asks: raise kv_bytes")

    def _extend(self, rows: Sequence[NDArray[Any]]) -> None:
        token, position, slot, start, count = rows
        self.stats["nodes"] += len(token)
        self.plan.extend(token, position, slot, self.lanes.index, start, count)

    # ---- decoding

    def step(self) -> None:
        """One token for every live ask; those that are over get their turns."""
        if self.dropped:
            self._clear_dropped()
        if self.queue:
            self._admit()
        live, lanes = self.live, self.lanes
        if not len(live):
            return
        over = self.plan.sample(live, lanes, self.slot_of, self.settings, self.model.tokenizer.end, self.tree)
        self._match_tree()
        self.stats["tokens"] += len(live)
        self.stats["steps"] += 1
        hit = self._match_stops(live) if self.stops else None
        if hit is not None:
            over |= hit
        if over.any():
            self._finish(live[over], None if hit is None else hit[over])
            self.live = live = live[~over]
        if len(live):
            self._advance(live)

    def _match_stops(self, live: NDArray[np.int32]) -> NDArray[np.bool_]:
        lanes = self.lanes
        hit = np.zeros(len(live), bool)
        for i in np.unique(lanes.stops[live]).tolist():
            if i >= 0:
                mine = lanes.stops[live] == i
                who = live[mine]
                state = self.stops[i].advance(lanes.state[who], lanes.token[who, lanes.pos[who] - 1])
                lanes.state[who] = state
                hit[mine] = state == self.stops[i].hit
        return hit

    def _finish(self, over: NDArray[np.int32], hit: NDArray[np.bool_] | None) -> None:
        lanes, writer, end = self.lanes, self.model.writer, self.model.tokenizer.end
        for i, lane in enumerate(over.tolist()):
            context, limit, _, setting, role, _, answer = self.asks.pop(lane)
            n = int(lanes.pos[lane])
            stopped = lanes.token[lane, n - 1] == end or (hit is not None and hit[i])
            self._release(lane, context.n + limit)
            if not answer.done():
                nodes = (self.tree, lanes.node[lane, :n].copy())
                ids, logp = lanes.token[lane, :n].copy(), lanes.logp[lane, :n].copy()
                answer.set_result(Turn(context, role, writer, setting[0], "stop" if stopped else "length", ids, logp, None, nodes))

    def _release(self, lane: int, reserved: int) -> None:
        self.reserved -= reserved
        self.lanes.free.append(lane)

    def _advance(self, live: NDArray[np.int32]) -> None:
        self._reserve(len(live))
        n = len(live)
        rows = [np.empty(n, np.int32) for _ in range(3)] + [np.empty(n, np.int64) for _ in range(2)]
        lanes, tree = self.lanes, self.tree
        new = _step_on(live, lanes.at, lanes.length, tree.token, self.slot_of, self.node_of, self.free, self.unused, lanes.index, *rows)
        if new:
            self._extend([r[:new] for r in rows])

    def _clear_dropped(self) -> None:
        """Cancelled asks leave: billed, recorded as cancelled, never a row."""
        gone = {id(a) for a in self.dropped}
        self.dropped = []
        self.queue = [x for x in self.queue if id(x[6]) not in gone]
        lanes = [lane for lane, x in self.asks.items() if id(x[6]) in gone]
        for lane in lanes:
            x = self.asks.pop(lane)
            self._release(lane, x[0].n + x[1])
        self.stats["cancelled"] += len(gone)
        self.live = self.live[~np.isin(self.live, lanes)]

    # ---- values of given text

    def _computed(self, nodes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Slots of the nodes of one path, computed where missing."""
        self._match_tree()
        self._reserve(len(nodes))
        slots = self.slot_of[nodes]
        new = np.flatnonzero(slots < 0)
        if len(new):
            left = int(self.unused[0]) - len(new)
            slots[new] = self.free[left : left + len(new)][::-1]
            self.unused[0] = left
            self.slot_of[nodes], self.node_of[slots] = slots, nodes
            token = self.tree.token[nodes]
            self.stats["nodes"] += len(new)
            self.plan.extend(token[new], new.astype(np.int32), slots[new], slots, np.zeros(len(new), np.int64), new + 1)
        return slots

    def score(self, context: Context, ids: Sequence[int]) -> NDArray[np.float32]:
        """Log-probability of each given token after `context` at temperature 1, in nats, float32 [n]."""
        nodes = np.concatenate([self.tree.path(self.tree.place(context)), self.tree.insert(self.tree.place(context), ids)])
        slots = self._computed(nodes[:-1])[context.n - 1 :]
        return self.plan.log_softmax(slots)[np.arange(len(ids)), np.asarray(ids)]  # type: ignore[no-any-return]

    def look(self, context: Context, what: Sequence[str]) -> dict[str, torch.Tensor]:
        """Values inside the model over a context: "hidden" [n, D], "logprobs" [n, V]. Raises EngineError for what it does not have."""
        unknown = set(what) - {"hidden", "logprobs"}
        if unknown:
            raise EngineError(f"the local engine cannot show {', '.join(sorted(unknown))}; it has hidden and logprobs")
        slots = self._computed(self.tree.path(self.tree.place(context)))
        out = {"hidden": self.plan.states(slots)} if "hidden" in what else {}
        return out | ({"logprobs": torch.from_numpy(self.plan.log_softmax(slots))} if "logprobs" in what else {})


_NO_ROWS = [np.empty(0, np.int32) for _ in range(3)] + [np.empty(0, np.int64) for _ in range(2)]


@njit(cache=True)
def _missing(parent, depth, slot_of, tips):  # type: ignore[no-untyped-def]
    """At least as many as the nodes without a slot on the paths to `tips`."""
    total = 0
    for tip in tips:
        node = tip
        while node > 0:
            if slot_of[node] < 0:
                total += 1
            node = parent[node]
    return total


@njit(cache=True)
def _place(lanes, at, parent, tokens, depth, slot_of, node_of, free, unused, index, token, position, slot, start, count):  # type: ignore[no-untyped-def]
    """Fill the paths of new lanes; nodes without a slot get one and a row to compute. Returns the number of rows."""
    rows = 0
    for lane in lanes:
        n = depth[at[lane]] + 1
        climb(parent, at[lane], index[lane, :n])
        for d in range(n):
            node = index[lane, d]
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


@njit(cache=True)
def _step_on(live, at, length, tokens, slot_of, node_of, free, unused, index, token, position, slot, start, count):  # type: ignore[no-untyped-def]
    """Append each live lane's new node to its path; the distinct ones without a slot become rows. Returns the number of rows."""
    rows = 0
    for lane in live:
        node, d = at[lane], length[lane]
        s = slot_of[node]
        if s < 0:
            unused[0] -= 1
            s = free[unused[0]]
            slot_of[node], node_of[s] = s, node
            token[rows], position[rows], slot[rows] = tokens[node], d, s
            start[rows], count[rows] = np.int64(lane) * index.shape[1], d + 1
            rows += 1
        index[lane, d] = s
        length[lane] = d + 1
    return rows


@njit(cache=True)
def _evict(live, index, length, slot_of, node_of, free, unused):  # type: ignore[no-untyped-def]
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
