"""What a solver waits for, how it is stepped, and `drive`, which runs solvers to their ends.

asyncio's own tasks cost three rounds through the event loop an ask, more than the rest of the ask. So `drive` steps solvers by
itself and an engine's answer wakes its solver directly; whatever else a solver awaits goes through the event loop as usual.
"""

from __future__ import annotations

import asyncio
import gc
import os
from asyncio.tasks import _enter_task, _leave_task  # for tasks of one's own: "Extending asyncio" in Python's documentation
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from ..core.context import Turn

T = TypeVar("T")

DRAIN = 100  # rounds in which tasks may run before a decode step goes ahead; a solver that polls is always runnable
LOOK = 16  # decode steps at most before the event loop gets a turn: signals, timers


Ended = Callable[[int, Any], None]  # which solver, and what it returned or the exception it ended in


class Decoding(Protocol):
    """What `drive` needs of an engine, and gives it: the loop that it works in, and an event that whoever asks sets."""

    loop: asyncio.AbstractEventLoop | None
    wake: asyncio.Event | None

    @property
    def busy(self) -> bool: ...
    def step(self, most: int = 1) -> None: ...


class Answer(asyncio.Future[Turn]):
    """The future of an ask. Cancelling it tells the engine, which frees its lane at once.

    work, turn   the solver that waits for it; the result, once it is there
    """

    __slots__ = ("engine", "turn", "work")

    def __init__(self, engine: Any, loop: asyncio.AbstractEventLoop | None = None) -> None:
        asyncio.Future.__init__(self, loop=loop)
        self.engine = engine
        self.work: Work | None = None
        self.turn: Turn | None = None

    def give(self, turn: Turn) -> None:
        """Set the result and wake the solver."""
        self.turn = turn
        self.set_result(turn)
        if self.work is not None:
            self.work.driver.ready.append(self.work)

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        self.engine.drop(self)
        if self.work is not None:
            self.work.wake()
        return super().cancel(msg)


class Driver:
    """What is runnable: `ready` solvers, how many are `left`, how many wait for something `elsewhere` than at an engine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Ended) -> None:
        self.loop, self.ended, self.wake = loop, ended, asyncio.Event()
        self.ready: list[Work] = []
        self.works: list[Work] = []
        self.left = self.elsewhere = 0
        self.scheduled = getattr(loop, "_ready", None)  # no public way to see what the loop is about to run

    @contextmanager
    def instead(self) -> Iterator[None]:
        """While solvers are stepped, they are the current task."""
        me = asyncio.current_task(self.loop)
        assert me is not None
        _leave_task(self.loop, me)
        try:
            yield
        finally:
            _enter_task(self.loop, me)

    def start(self, coroutines: Iterable[Awaitable[Any]]) -> None:
        """Make each solver and run it to its first wait at once, while what was made for it is in the cache."""
        with self.instead():
            for i, coroutine in enumerate(coroutines):
                work = Work(coroutine, self, i)
                self.works.append(work)
                self.left += 1
                work.advance()

    def run(self) -> None:
        """Step ready solvers until none is."""
        with self.instead():
            while self.ready:
                works, self.ready = self.ready, []
                for work in works:
                    work.advance()

    async def settle(self, look: bool) -> None:
        """Run all that is runnable, here and in the event loop."""
        if look or self.elsewhere or self.scheduled is None:
            await asyncio.sleep(0)
        for _ in range(DRAIN if self.scheduled is not None else 4):
            if self.ready:
                self.run()
            if self.scheduled is not None and not self.scheduled:
                return
            await asyncio.sleep(0)


class Work(asyncio.Future[Any]):
    """A solver at work: a task, so that timeouts, task groups and cancelling work inside it, but stepped by a driver."""

    __slots__ = ("cancels", "context", "coroutine", "driver", "index", "throw", "waiting")

    def __init__(self, coroutine: Any, driver: Driver, index: int) -> None:
        asyncio.Future.__init__(self, loop=driver.loop)
        self.coroutine, self.driver, self.index = coroutine, driver, index
        self.context = copy_context()
        self.waiting: asyncio.Future[Any] | None = None
        self.throw: BaseException | None = None
        self.cancels = 0

    def advance(self) -> None:
        """Run the solver to where it waits next, or to its end."""
        loop, error = self.driver.loop, self.throw
        self.waiting = self.throw = None
        _enter_task(loop, self)  # type: ignore[arg-type]
        try:
            found = self.context.run(self.coroutine.send, None) if error is None else self.context.run(self.coroutine.throw, error)
        except BaseException as end:
            self._end(end)
        else:
            if type(found) is Answer and found.work is None:
                found._asyncio_future_blocking = False  # type: ignore[attr-defined]
                found.work, self.waiting = self, found
            else:
                self._wait(found)
        finally:
            _leave_task(loop, self)  # type: ignore[arg-type]

    def _end(self, end: BaseException) -> None:
        """Report what came out of the coroutine."""
        self.driver.left -= 1
        self.set_result(None)
        if type(end) is StopIteration:
            self.driver.ended(self.index, end.value)
        elif isinstance(end, (Exception, asyncio.CancelledError)):
            self.driver.ended(self.index, end)
        else:
            raise end

    def _wait(self, found: Any) -> None:
        """Wait for anything else than a fresh answer, by the event loop."""
        self.driver.elsewhere += 1
        if found is None:  # asyncio.sleep(0)
            self.driver.loop.call_soon(self._back)
        elif getattr(found, "_asyncio_future_blocking", False):
            found._asyncio_future_blocking = False
            self.waiting = found
            found.add_done_callback(self._back)
        else:
            self.throw = RuntimeError(f"a solver awaited {found!r}, which is no future")
            self.driver.loop.call_soon(self._back)

    def _back(self, _: Any = None) -> None:
        self.driver.elsewhere -= 1
        self.wake()

    def wake(self) -> None:
        """Ready again."""
        self.driver.ready.append(self)
        self.driver.wake.set()

    def cancel(self, msg: Any = None) -> bool:
        """As of a task: CancelledError is raised inside, where the solver waits."""
        if self.done():
            return False
        self.cancels += 1
        if self.waiting is None or not self.waiting.cancel(msg):
            self.throw = asyncio.CancelledError()
        return True

    def uncancel(self) -> int:
        """As of a task."""
        self.cancels = max(0, self.cancels - 1)
        return self.cancels

    def cancelling(self) -> int:
        """As of a task."""
        return self.cancels

    def get_coro(self) -> Any:
        """As of a task."""
        return self.coroutine

    def get_name(self) -> str:
        """As of a task."""
        return "solver"


async def drive(coroutines: Iterable[Awaitable[Any]], engines: Sequence[Decoding], ended: Ended) -> None:
    """Run solvers to their ends, decoding for all of them together; `ended` is told of each at once.

    Everything runnable runs before each decode step, so that asks merge; what is drawn never depends on it.
    """
    driver = Driver(asyncio.get_running_loop(), ended)
    collecting = gc.isenabled()
    gc.disable()  # with thousands of live solvers the collector costs as much as all the rest of an ask
    for engine in engines:
        engine.loop, engine.wake = driver.loop, driver.wake
    try:
        driver.start(coroutines)
        await _pump(driver, engines)
    finally:
        for work in driver.works:
            if not work.done():
                if work.waiting is not None:
                    work.waiting.add_done_callback(_passed_over)
                work.coroutine.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # what a solver left running
        for engine in engines:
            engine.loop = engine.wake = None
        if collecting:
            gc.enable()


def _passed_over(future: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: its exception is not news."""
    if not future.cancelled():
        future.exception()


async def _pump(driver: Driver, engines: Sequence[Decoding]) -> None:
    steps = 0
    while True:
        await driver.settle(steps % LOOK == LOOK - 1)
        if not driver.left:
            return
        steps += 1
        busy = [engine for engine in engines if engine.busy]
        for engine in busy:
            engine.step(1 if len(busy) > 1 or driver.elsewhere else LOOK)
        if not busy and not driver.ready:
            driver.wake.clear()
            await driver.wake.wait()


def run(coroutines: Iterable[Awaitable[Any]], engines: Sequence[Decoding], ended: Ended | None = None) -> list[Any]:
    """`drive`, from plain code, also where an event loop is at work already, as in a notebook.

    Results in order, exceptions in their places; none if `ended` takes them.
    """
    results: dict[int, Any] = {}
    result(drive(coroutines, engines, ended or results.__setitem__))
    return [results[i] for i in sorted(results)]


def result(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, from plain code."""
    try:
        asyncio.get_running_loop()
        running = True
    except RuntimeError:
        running = False
    if not running:  # outside of the except: it is no part of what may be raised below
        return _runner(os.getpid()).run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@lru_cache(maxsize=1)
def _runner(process: int) -> asyncio.Runner:
    """One event loop for all steps of a process: to make one costs as much as a dozen asks."""
    return asyncio.Runner()
