"""Pieces of work beside each other, each in a forked process of its own."""

from __future__ import annotations

import multiprocessing as mp
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch

from ..core.errors import EngineError

T = TypeVar("T")
Tick = Callable[[Any], None]  # hears how far a work has come


def beside(works: Sequence[Callable[[Tick], T]], jobs: int, tick: Callable[[int, Any], None]) -> Iterator[tuple[int, T]]:
    """Do all works, at most `jobs` at once; yields (which, result) as each ends. `tick` hears which one has come how far.

    What a work raises is raised here, and the others are stopped, as they are when the caller stops early or dies.
    """
    if jobs == 1 or len(works) == 1:
        for i, work in enumerate(works):
            yield i, work(lambda share, i=i: tick(i, share))  # type: ignore[misc]
        return
    torch.set_num_threads(1)  # a forked child must not meet a pool of threads that exists only in its parent
    context, left = mp.get_context("fork"), list(enumerate(works))[::-1]
    running: dict[Any, tuple[int, Any]] = {}
    try:
        while left or running:
            while left and len(running) < jobs:
                i, work = left.pop()
                here, there = context.Pipe(duplex=False)
                child = context.Process(target=_do, args=(work, there, [here, *running]), daemon=True)
                child.start()
                there.close()
                running[here] = i, child
            for pipe in wait(list(running)):
                i, child = running[pipe]
                kind, value = _heard(pipe)
                if kind == "tick":
                    tick(i, value)
                    continue
                child.join()
                del running[pipe]
                if kind == "error":
                    raise value
                yield i, value
    finally:
        for _, child in running.values():
            child.kill()
            child.join()


def _heard(pipe: Any) -> tuple[str, Any]:
    """The next message of a child; an error where it died without one."""
    try:
        kind, value = pipe.recv()
        return kind, value
    except EOFError:
        return "error", EngineError("a process that did a part of the work was killed, maybe for memory: run fewer at once with --jobs")


def _do(work: Callable[[Tick], Any], pipe: Connection, others: Sequence[Any]) -> None:
    """A child's life. A parent that is gone breaks the pipe, and the next tick ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone answers Ctrl-C
    for other in others:
        other.close()
    try:
        found = ("done", work(lambda share: pipe.send(("tick", share))))
    except BrokenPipeError:
        return
    except Exception as error:
        found = ("error", error)
    pipe.send(found)
