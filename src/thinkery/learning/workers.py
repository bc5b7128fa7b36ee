"""Who collects and who computes gradients: this process alone, or others beside it. What comes out is the same to the bit.

A step is cut into a fixed number of shards by problem. Weights and gradients lie in memory that all processes share, so an
update costs no copy; gradients are added in shard order whoever computed them. A worker that dies loses nothing: its units are
computed here.
"""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing as mp
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..core.errors import BadConfig
from ..core.records import Rollout
from ..models.decoder import Decoder
from .batch import Array, Batch
from .collect import Collector, Unit, pack, unpack
from .gradient import Learner, Plan, Signal, estimate, shard_gradient, trained
from .recipe import Stage


class Executor(Protocol):
    """collect(step, shards of units) -> rollouts in order; gradients(batch, plan, old) -> [shards, 1 or losses, parameters], metric sums;
    estimate(signal, batch, upto, dtype) -> [B, T]. After collecting, the engine of this process's collector has the step's tree."""

    @property
    def collector(self) -> Collector: ...
    def collect(self, step: int, shards: Sequence[Sequence[Unit]]) -> list[Rollout]: ...
    def gradients(self, batch: Batch, plan: Plan, old: Tensor | None) -> tuple[Tensor, dict[str, float]]: ...
    def estimate(self, signal: Signal, batch: Batch, upto: Array, dtype: torch.dtype) -> Tensor: ...
    def close(self) -> None: ...


def gradient_buffer(stage: Stage, decoder: Decoder, allocate: Callable[..., Tensor]) -> Tensor:
    """[shards, 1 or losses, parameters that learn]."""
    learnt = list(trained(decoder).values())
    return allocate(stage.shards, 1 if stage.combine is None else len(stage.losses), sum(p.numel() for p in learnt), dtype=learnt[0].dtype)


@dataclass
class Inline:
    """Everything in this process."""

    stage: Stage
    learner: Learner
    collector: Collector
    buffer: Tensor = field(init=False)

    def __post_init__(self) -> None:
        device = self.learner.decoder.device
        self.buffer = gradient_buffer(
            self.stage, self.learner.decoder, lambda *shape, dtype: torch.empty(*shape, dtype=dtype, device=device)
        )

    def collect(self, step: int, shards: Sequence[Sequence[Unit]]) -> list[Rollout]:
        return self.collector.attempt(step, [u for shard in shards for u in shard])

    def estimate(self, signal: Signal, batch: Batch, upto: Array, dtype: torch.dtype) -> Tensor:
        return estimate(self.learner, signal, batch, upto, self.stage.cells, dtype)

    def gradients(self, batch: Batch, plan: Plan, old: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        sums = [shard_gradient(self.learner, self.stage, batch, plan, s, old, self.buffer[s]) for s in range(self.stage.shards)]
        return self.buffer, merged(sums)

    def close(self) -> None:
        return None


def merged(sums: Sequence[dict[str, float]]) -> dict[str, float]:
    """Sums of the shards' sums, in shard order."""
    out: dict[str, float] = {}
    for found in sums:
        for k, v in found.items():
            out[k] = out.get(k, 0.0) + v
    return out


def count(workers: int | str, shards: int) -> int:
    """How many processes: "auto" is one for each core, at most one for each shard."""
    if workers == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, shards) if sys.platform == "linux" else 1
    try:
        wanted = int(workers)
    except ValueError:
        wanted = 0
    if wanted < 1:
        raise BadConfig(f"workers is {workers!r}: give a number from 1 on, or auto")
    if wanted > 1 and sys.platform != "linux":
        raise BadConfig("several workers need Linux; run with --workers 1")
    return min(wanted, shards)


def shared(*shape: int, dtype: torch.dtype) -> Tensor:
    """A tensor in memory that forked processes share."""
    n = int(np.prod(shape))
    return torch.frombuffer(mmap.mmap(-1, max(1, n * dtype.itemsize)), dtype=dtype, count=n).view(*shape)


def share_parameters(decoder: Decoder) -> None:
    """Move what learns of a decoder into shared memory."""
    for p in trained(decoder).values():
        place = shared(*p.shape, dtype=p.dtype)
        place.copy_(p.data)
        p.data = place


class Processes:
    """This process and forked ones beside it, each with its share of the shards."""

    def __init__(self, inline: Inline, workers: int) -> None:
        self.inline, self.stage, self.workers = inline, inline.stage, workers
        share_parameters(inline.learner.decoder)
        inline.buffer = gradient_buffer(inline.stage, inline.learner.decoder, shared)
        context = mp.get_context("fork")
        self.pipes: dict[int, Connection] = {}
        self.children: list[Any] = []
        torch.set_num_threads(1)  # a forked child must not meet a pool of threads that exists only in its parent
        for rank in range(1, workers):
            here, there = context.Pipe()
            ours = [*self.pipes.values(), here]  # the driver's ends: a child that kept one would outlive a driver that is killed
            child = context.Process(target=_serve, args=(inline, there, ours), daemon=True)
            child.start()
            there.close()
            self.pipes[rank] = here
            self.children.append(child)

    @property
    def collector(self) -> Collector:
        return self.inline.collector

    def _send(self, rank: int, message: Any) -> bool:
        pipe = self.pipes.get(rank)
        if pipe is None:
            return False
        try:
            pipe.send(message)
        except (BrokenPipeError, ConnectionError):
            del self.pipes[rank]
            return False
        return True

    def _receive(self, rank: int) -> Any:
        """The worker's answer; None when it died. An error that it met is raised here."""
        try:
            kind, value = self.pipes[rank].recv()
        except (EOFError, ConnectionError):
            del self.pipes[rank]
            return None
        if kind == "error":
            raise value
        return value

    @contextlib.contextmanager
    def _all_or_none(self) -> Iterator[None]:
        """After an error no answer may be left in a pipe for the next question."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _share(self, work: Callable[[int], Any], message: Callable[[int], Any]) -> dict[int, Any]:
        """`work(shard)` for every shard, those of other ranks by `message(shards)`; results by shard."""
        mine = {rank: [s for s in range(self.stage.shards) if s % self.workers == rank] for rank in range(self.workers)}
        sent = [rank for rank in range(1, self.workers) if self._send(rank, message(rank))]
        done = {s: work(s) for s in mine[0]}
        for rank in range(1, self.workers):
            answer = self._receive(rank) if rank in sent else None
            done |= answer if answer is not None else {s: work(s) for s in mine[rank]}
        return done

    def collect(self, step: int, shards: Sequence[Sequence[Unit]]) -> list[Rollout]:
        with self._all_or_none():
            return self._collect(step, shards)

    def _collect(self, step: int, shards: Sequence[Sequence[Unit]]) -> list[Rollout]:
        version = self.inline.learner.decoder.version
        collector = self.inline.collector

        def here(s: int) -> list[Rollout]:
            return collector.attempt(step, shards[s]) if shards[s] else []

        mine = lambda rank: {s: shards[s] for s in range(self.stage.shards) if s % self.workers == rank}
        first = [u for s in range(self.stage.shards) if s % self.workers == 0 for u in shards[s]]
        sent = [rank for rank in range(1, self.workers) if self._send(rank, ("collect", version, step, mine(rank)))]
        own = iter(collector.attempt(step, first) if first else [])
        done = {s: [next(own) for _ in shards[s]] for s in range(self.stage.shards) if s % self.workers == 0}
        tree, own_root = collector.engine.tree, collector.engine.root
        roots = {role: engine.root for role, engine in (collector.cast or {}).items()}
        for rank in range(1, self.workers):
            answer = self._receive(rank) if rank in sent else None
            for s in mine(rank):
                done[s] = unpack(answer[s], lambda role: roots.get(role, own_root)) if answer is not None else here(s)
        if collector.engine.tree is not tree:  # what a dead worker left was collected on a tree of its own
            collector.engine.reset()
            collector.engine.tree = tree
        return [r for s in range(self.stage.shards) for r in done[s]]

    def estimate(self, signal: Signal, batch: Batch, upto: Array, dtype: torch.dtype) -> Tensor:
        return self.inline.estimate(signal, batch, upto, dtype)

    def gradients(self, batch: Batch, plan: Plan, old: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        learner, version = self.inline.learner, self.inline.learner.decoder.version
        work = lambda s: shard_gradient(learner, self.stage, batch, plan, s, old, self.inline.buffer[s])
        message = lambda rank: ("gradients", version, rank, self.workers, batch, plan, old)
        with self._all_or_none():
            done = self._share(work, message)
        return self.inline.buffer, merged([done[s] for s in range(self.stage.shards)])

    def close(self) -> None:
        for rank in list(self.pipes):
            self._send(rank, None)
        for child in self.children:
            child.join(timeout=2)
            if child.is_alive():
                child.kill()
        self.pipes.clear()


def _serve(inline: Inline, pipe: Connection, others: list[Connection]) -> None:
    """A worker's life: messages in, answers out."""
    import signal  # the driver alone answers Ctrl-C

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    for other in others:
        other.close()
    decoder = inline.learner.decoder
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
        if message is None:
            return
        kind, version, *rest = message
        if version != decoder.version:
            decoder.changed()
            decoder.version = version
        try:
            answer: Any
            if kind == "collect":
                step, shards = rest
                made = iter(inline.collector.attempt(step, [u for units in shards.values() for u in units]))
                answer = {s: pack([next(made) for _ in units]) for s, units in shards.items()}
            else:
                rank, workers, batch, plan, old = rest
                mine = [s for s in range(inline.stage.shards) if s % workers == rank]
                answer = {s: shard_gradient(inline.learner, inline.stage, batch, plan, s, old, inline.buffer[s]) for s in mine}
            pipe.send(("done", answer))
        except Exception as error:
            pipe.send(("error", error))
