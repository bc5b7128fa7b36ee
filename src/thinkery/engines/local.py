"""The local engine: asks queue up, one step decodes a token for every live ask, each distinct prefix is computed once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.context import Context, Turn
from ..core.errors import EngineError
from ..core.rng import addresses
from ..models.model import Model
from .attention import last_row
from .base import check_begun, check_setting, too_long
from .lanes import Lanes, evict, missing, place, rows_for, step_on
from .plan_cpu import CpuPlan
from .plan_torch import TorchPlan
from .precompiled import ready
from .stops import Stops, match
from .tree import Tree
from .work import Answer

KV_BYTES = 1 << 30
SLOTS = 1024  # of the pool at first
NO_STOPS = np.zeros((1, 1), np.int16)


class LocalEngine:
    """Decodes for any number of concurrent asks.

    kv_bytes   memory for keys, values and hidden states; asks that do not fit wait, unused prefixes are dropped first
    stats      counters since the last reset: asks, tokens sampled, nodes computed, steps
    watch      told after each step of every live ask: its answer, and its turn so far (`ended` is "" until it is over)
    """

    watch: Callable[[list[tuple[Answer, Turn]]], None] | None = None

    def __init__(self, model: Model, kv_bytes: int = KV_BYTES) -> None:
        self.model, self.decoder = model, model.decoder
        fits = self.decoder.compiled and self.decoder.dtype == torch.float32
        if fits:
            ready()
        kind: Any = CpuPlan if fits else TorchPlan
        self.most = kv_bytes // kind.slot_bytes(self.decoder)
        self.plan = kind(self.decoder, min(SLOTS, self.most))
        self.holds = self.decoder.config.context
        self.planned = self.decoder.version
        self.ends = np.isin(np.arange(self.decoder.config.vocabulary), list(model.tokenizer.ends))  # by token
        self.wake: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.setting_ids: dict[tuple[float, float, int], int] = {}
        self.temperatures: list[float] = []  # of the settings
        self.whole = True  # no setting cuts the tail of a distribution
        self.stop_ids: dict[tuple[str, ...], int] = {(): -1}
        self.stops: list[Stops] = []
        self.root = Context.root(model.tokenizer)
        self.reset()

    def reset(self) -> None:
        """A new step: an empty tree and pool, the weights as they are now. Nothing may be live."""
        if self.decoder.version != self.planned:
            self.plan.refresh()
            self.planned = self.decoder.version
        self.tree = Tree()
        self.root.release()
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
        self.said: dict[tuple[int, int], tuple[int, ...]] = {}  # (last node, tokens): what was written
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
        place: tuple[int, int, int],
    ) -> Answer:
        """A turn written after `context`, in due time; it draws at the address of (base, context, role, nth ask), the others being `place`.

        Raises PromptTooLong, and InputError for an empty prompt or a setting out of range.
        """
        room = self.holds - context.n
        if room < 1:
            raise too_long(context, self.holds)
        setting = self.setting_ids.get((temperature, top_p, top_k))
        if setting is None or max_tokens < 1 or not context.n:
            setting = self._check(context, max_tokens, (temperature, top_p, top_k))
        automaton = self.stop_ids.get(stop)
        if automaton is None:
            automaton = self._stop(stop)
        limit = max_tokens if max_tokens < room else room
        if context.n + limit > self.most:
            raise EngineError(
                f"an ask of {context.n} + {limit} tokens needs more than the {self.most} nodes the key/value memory holds: raise kv_bytes"
            )
        answer = Answer(self, self.loop)  # to look the loop up costs a system call
        self.queue.append((context, limit, automaton, setting, role, place, answer))
        if self.wake is not None:
            self.wake.set()
        return answer

    def drop(self, answer: Answer) -> None:
        """Forget a cancelled ask."""
        self.dropped.append(answer)

    # ---- admission

    def _check(self, context: Context, max_tokens: int, setting: tuple[float, float, int]) -> int:
        """The number of a new setting, if all is in range."""
        check_setting(max_tokens, *setting)
        self.check_prompt(context)
        self.setting_ids[setting] = len(self.setting_ids)
        self.temperatures.append(setting[0])
        columns = zip(*self.setting_ids)
        self.settings = tuple(np.array(x, kind) for x, kind in zip(columns, (np.float64, np.float64, np.int64)))
        self.whole = bool((self.settings[1] >= 1).all() and (self.settings[2] <= 0).all())
        return self.setting_ids[setting]

    def check_prompt(self, context: Context, tokens: int = 0) -> None:
        """Raises InputError for a context without tokens, PromptTooLong where it and so many further `tokens` do not fit."""
        check_begun(context)
        self.decoder.check_length(context.n + tokens)

    def _stop(self, strings: tuple[str, ...]) -> int:
        """The number of the automaton of new stop strings."""
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
        contexts, limits, stops, settings, _, places, _ = zip(*asks)
        known = list(map(id, contexts))
        distinct = dict(zip(known, contexts))
        number = dict(zip(distinct, range(len(distinct))))
        of = np.array([number[i] for i in known])
        length, limit = np.array([c.n for c in distinct.values()])[of], np.array(limits)
        lanes.room(taken, int(limit.max()), int((length + limit).max()))
        mine = np.array(lanes.free[: -taken - 1 : -1], np.int32)
        del lanes.free[-taken:]
        lanes.at[mine] = np.array([tree.place(c) for c in distinct.values()])[of]
        lanes.length[mine], lanes.limit[mine], lanes.pos[mine], lanes.state[mine] = length, limit, 0, 0
        lanes.setting[mine], lanes.stops[mine] = settings, stops
        base, kind, nth = zip(*places)
        hashes = np.array([c.hash for c in distinct.values()], np.uint64)[of]
        lanes.address[mine] = addresses(0, np.array(base, np.uint64), hashes, np.array(kind, np.uint64), np.array(nth))
        self.asks.update(zip(mine.tolist(), asks))
        self.stats["asks"] += taken
        self._match_tree()
        count = lambda: int(missing(tree.parent, self.slot_of, lanes.at[mine]))
        self._reserve(count())
        need = count()  # more than before, where making room dropped parts of the new paths
        self._reserve(need)
        self.live = np.concatenate([self.live, mine])
        rows = rows_for(need)
        pool = (self.slot_of, self.node_of, self.free, self.unused)
        self._extend(rows, place(mine, lanes.at, tree.parent, tree.token, tree.depth, *pool, lanes.index, *rows))

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
            evict(self.live, self.lanes.index, self.lanes.length, self.slot_of, self.node_of, self.free, self.unused)
        if self.unused[0] < need:
            raise EngineError(f"the key/value memory of {self.most} nodes is full with {len(self.live)} live asks: raise kv_bytes")

    def _extend(self, rows: Sequence[NDArray[Any]], n: int) -> None:
        """Compute the first n rows."""
        if n:
            token, position, slot, start, count = (r[:n] for r in rows)
            self.stats["nodes"] += n
            self.plan.extend(token, position, slot, self.lanes.index, start, count)

    # ---- decoding

    def step(self, most: int = 1) -> None:
        """One token for every live ask, or up to `most`, until half of them are over; those that are over get their turns."""
        if self.dropped:
            self._clear_dropped()
        if self.queue:
            self._admit()
        if not len(self.live):
            return
        over, hit = self._decode(self.live, most if self.watch is None else 1)
        if self.watch is not None:
            self.watch([self._so_far(lane) for lane in [*self.live.tolist(), *over.tolist()]])
        if len(over):
            self._finish(over, hit)
        if len(self.live):
            self._advance(self.live)

    def _decode(self, live: NDArray[np.int32], most: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Sample; which lanes are over, and which of them by a stop string. The others stay live."""
        lanes, n = self.lanes, len(live)
        hit, known, steps, drawn = np.zeros(n, np.bool_), 0, 1, n
        gone = np.empty((2, n), np.int32)
        if most > 1 and self.whole and len(self.stops) <= 1 and isinstance(self.plan, CpuPlan):
            over = np.empty(n, np.bool_)
            self.tree.room(min(most * n, int(self.unused[0]) + 2 * n))  # without a slot are at most the last two of a lane
            self._match_tree()
            pool = (self.slot_of, self.node_of, self.free, self.unused)
            stops = (0, self.stops[0].next, self.stops[0].hit) if self.stops else (-1, NO_STOPS, 0)
            drawn, steps, nodes, last, known = self.plan.burst(
                live, lanes, pool, self.settings, self.ends, self.tree, stops, most, over, hit, gone
            )
            self.stats["nodes"] += nodes
            live, over, hit, gone = live[:last], over[:last], hit[:last], gone[:, : n - last]
        else:
            over = self.plan.sample(live, lanes, self.slot_of, self.settings, self.ends, self.tree)
            self._match_tree()
            gone = gone[:, :0]
        self.stats["tokens"] += drawn
        self.stats["steps"] += steps
        for which, stops_of in enumerate(self.stops):
            self._match_stops(which, stops_of, live, over, hit, known)
        self.live = live[~over]
        return np.concatenate([gone[0], live[over]]), np.concatenate([gone[1].astype(np.bool_), hit[over]])

    def _so_far(self, lane: int) -> tuple[Answer, Turn]:
        """A live ask and what it has written."""
        context, _, _, setting, role, _, answer = self.asks[lane]
        n = int(self.lanes.pos[lane])
        ids = self.lanes.token[lane, :n].copy()
        logp, entropy = (x[lane, :n].copy() for x in (self.lanes.logp, self.lanes.entropy))
        return answer, Turn(context, role, self.model.writer, self.temperatures[setting], "", ids, logp, entropy=entropy)

    def _match_stops(self, which: int, stops: Stops, live: Any, over: Any, hit: Any, known: int) -> None:
        """Look for an automaton's stop strings in the last tokens of the lanes from the first that is not `known`."""
        lanes = self.lanes
        while known < len(live):
            known = match(which, stops.next, stops.hit, live, lanes.stops, lanes.state, lanes.token, lanes.pos, hit, over, known)
            if known < len(live):
                lane = live[known]
                stops.learn(lanes.state[lane], lanes.token[lane, lanes.pos[lane] - 1])

    def _finish(self, over: NDArray[np.int32], hit: NDArray[np.bool_]) -> None:
        lanes, writer = self.lanes, self.model.writer
        length = lanes.pos[over]
        stopped = self.ends[lanes.token[over, length - 1]]
        stopped |= hit
        longest = int(length.max())
        token, logp = lanes.token[over, :longest], lanes.logp[over, :longest]  # turns are views of these
        entropy = lanes.entropy[over, :longest]
        tree, temperatures, where, last = self.tree, self.temperatures, over.tolist(), lanes.at[over].tolist()
        for i, (lane, n, stop, at) in enumerate(zip(where, length.tolist(), stopped.tolist(), last)):
            context, limit, _, setting, role, _, answer = self.asks.pop(lane)
            self.reserved -= context.n + limit
            if not answer.done():
                key = (at, n)  # samples that agree share their tokens
                ids = self.said.get(key)
                if ids is None:
                    ids = self.said[key] = tuple(token[i, :n].tolist())
                ended = "stop" if stop else "length"
                answer.give(
                    Turn(context, role, writer, temperatures[setting], ended, ids, logp[i, :n], None, (tree, at), None, entropy[i, :n])
                )
        lanes.free += where

    def _advance(self, live: NDArray[np.int32]) -> None:
        self._reserve(len(live))
        lanes, rows = self.lanes, rows_for(len(live))
        pool = (self.slot_of, self.node_of, self.free, self.unused)
        self._extend(rows, step_on(live, lanes.at, lanes.length, self.tree.token, *pool, lanes.index, *rows))

    def _clear_dropped(self) -> None:
        """Cancelled asks leave: billed, recorded as cancelled, never a row."""
        gone = {id(a) for a in self.dropped}
        self.dropped = []
        self.queue = [x for x in self.queue if id(x[6]) not in gone]
        lanes = [lane for lane, x in self.asks.items() if id(x[6]) in gone]
        for lane in lanes:
            x = self.asks.pop(lane)
            self.reserved -= x[0].n + x[1]
        self.lanes.free += lanes
        self.stats["cancelled"] += len(gone)
        self.live = self.live[~np.isin(self.live, lanes)]

    # ---- values of given text

    def _computed(self, nodes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Slots of the nodes of one path, computed where missing. Raises PromptTooLong."""
        self.decoder.check_length(len(nodes))
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
        self.check_prompt(context)
        nodes = np.concatenate([self.tree.path(self.tree.place(context)), self.tree.insert(self.tree.place(context), ids)])
        slots = self._computed(nodes[:-1])[context.n - 1 :]
        return self.plan.log_softmax(slots)[np.arange(len(ids)), np.asarray(ids)]  # type: ignore[no-any-return]

    def look(self, context: Context, what: Sequence[str]) -> dict[str, torch.Tensor]:
        """Values inside the model over a context: "hidden" [n, D], "logprobs" [n, V], and "attention" [layers, n], the last position's,
        averaged over heads. Raises EngineError for what it does not have.
        """
        unknown = set(what) - {"hidden", "logprobs", "attention"}
        if unknown:
            raise EngineError(f"the local engine cannot show {', '.join(sorted(unknown))}; it has hidden, logprobs and attention")
        self.check_prompt(context)
        slots = self._computed(self.tree.path(self.tree.place(context)))
        out = {"hidden": self.plan.states(slots)} if "hidden" in what else {}
        if "attention" in what:
            out["attention"] = last_row(self.decoder, context.ids[-1], *self.plan.banks(slots))
        return out | ({"logprobs": torch.from_numpy(self.plan.log_softmax(slots))} if "logprobs" in what else {})
