"""What a user of tools and environments is promised of time: one that is slow delays its own rollout alone, one that computes much does so on a
core of its own, and no token depends on either.

Proved elsewhere, for every solver: evaluation and training make the same rollouts, a turn is trained in the context that it was written in,
and nothing but what was written has a gradient (tests/solvers/test_all.py); the gradient of a tree of turns against one by one
(tests/learning/test_gradient.py); a call that hangs or dies is an error of its own (tests/tools/test_tool.py).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from tests.support import TINY, model_of
from thinkery.core.records import Question, Reply
from thinkery.core.rng import address
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run
from thinkery.solvers import environment
from thinkery.tasks.environments import Episode
from thinkery.tools.tool import Toolbox, tool

LIMIT = 60.0  # seconds until a test gives up: ten times what it takes and more
MANY = 12  # asks of the others, one after the other
BURNT = 0.4  # seconds of a core

Slow = Callable[[threading.Event, threading.Event], Toolbox | Episode]


class Held:
    """A wait that lasts until the others are through; `waited` says whether they came."""

    def __init__(self, begun: threading.Event, over: threading.Event) -> None:
        self.begun, self.over = begun, over

    def wait(self) -> str:
        self.begun.set()
        return "came" if self.over.wait(LIMIT) else "waited in vain"


def in_a_thread(begun: threading.Event, over: threading.Event) -> Toolbox:
    held = Held(begun, over)

    def slow() -> str:
        """Take as long as the others."""
        return held.wait()

    return Toolbox([tool(slow, seconds=None)])


def as_a_coroutine(begun: threading.Event, over: threading.Event) -> Toolbox:
    held = Held(begun, over)

    async def slow() -> str:
        """Take as long as the others."""
        return await asyncio.to_thread(held.wait)

    return Toolbox([tool(slow, seconds=None)])


class Elsewhere(Episode):
    """A server that answers when the others are through."""

    remote = True

    def __init__(self, begun: threading.Event, over: threading.Event) -> None:
        super().__init__(2)
        self.held, self.came = Held(begun, over), ""

    def begin(self) -> str:
        self.came = self.held.wait()
        return ""

    def step(self, action: str) -> tuple[str, float, bool]:
        return "go on", 1.0, False


async def calling(model: Session, question: Question, tools: Any) -> Reply:
    """Ask, call, ask again with what the call gave."""
    context = model.context(question)
    turn = await model.ask(context)
    given = await tools.call("slow", {})
    context = model.follow(context + turn, given.text.replace(" ", ""))
    turn = await model.ask(context)
    return Reply(f"{given.text} {turn.text}")


async def asking(model: Session, begun: threading.Event) -> list[str]:
    """One ask after the other, from when the slow one waits on."""
    limit = time.monotonic() + LIMIT
    while not begun.is_set():
        assert time.monotonic() < limit, "the slow one never began"
        await asyncio.sleep(0)
    return [(await model.ask(f"{i}+{i}=")).text for i in range(MANY)]


def sessions(n: int) -> tuple[LocalEngine, list[Session]]:
    engine = LocalEngine(model_of(replace(TINY, context=1000)))
    return engine, [Session(engine, address("promises", i), Sampling(8)) for i in range(n)]


@pytest.mark.parametrize("slow", [in_a_thread, as_a_coroutine, Elsewhere], ids=lambda made: made.__name__)
def test_what_is_slow_delays_its_own_rollout_alone(slow: Slow) -> None:
    """The slow one returns when three others have asked a dozen times each; were they held up by it, it would wait in vain."""
    begun, over, left = threading.Event(), threading.Event(), count(1)
    engine, (first, *others) = sessions(4)
    tools = slow(begun, over)

    async def other(model: Session) -> list[str]:
        said = await asking(model, begun)
        if next(left) == len(others):
            over.set()
        return said

    solving = environment if isinstance(tools, Episode) else calling
    reply, *said = run([solving(first, Question("1+2="), tools), *map(other, others)], [engine])
    assert isinstance(reply, Reply), reply
    assert all(len(texts) == MANY for texts in said)
    if isinstance(tools, Elsewhere):
        assert tools.came == "came"
    else:
        assert reply.text.startswith("came ")
    ready = threading.Event()
    ready.set()
    for i, texts in enumerate(said):
        engine, alone = sessions(4)
        assert run([asking(alone[i + 1], ready)], [engine]) == [texts], "what the others say depends on the slow one"


def test_what_a_rollout_says_does_not_depend_on_how_long_its_tool_takes() -> None:
    def lasting(seconds: float) -> Toolbox:
        def slow() -> str:
            """Sleep."""
            time.sleep(seconds)
            return "came"

        return Toolbox([tool(slow)])

    found = []
    for seconds in ((0.0, 0.3, 0.1), (0.2, 0.0, 0.0)):
        engine, made = sessions(3)
        found.append(run([calling(s, Question(f"{i}+2="), lasting(t)) for i, (s, t) in enumerate(zip(made, seconds))], [engine]))
    assert found[0] == found[1] and len({r.text for r in found[0]}) > 1


def burnt(seconds: float) -> str:
    """Compute for so long on a core, and say which process did.

    Args:
        seconds: of the core's time
    """
    begun = time.process_time()
    while time.process_time() - begun < seconds:
        pass
    return f"{os.getpid()} {time.process_time() - begun}"


def test_what_computes_much_does_so_on_a_core_of_its_own() -> None:
    """Its seconds are another process's: ours spends next to nothing on it."""
    box = Toolbox([tool(burnt, process=True, seconds=LIMIT)])
    asyncio.run(box.call("burnt", {"seconds": 0.0}))  # starts the process
    before = time.process_time()
    called = asyncio.run(box.call("burnt", {"seconds": BURNT}))
    ours = time.process_time() - before
    process, spent = called.text.split()
    assert int(process) != os.getpid() and float(spent) >= BURNT
    assert ours < BURNT / 4, f"{ours:.3f} s of our own for {BURNT} s of the tool's"


def test_several_that_compute_much_share_no_core_with_each_other_or_with_us() -> None:
    """As many at once as there are cores: each in a process of its own, while we go on asking the model."""
    cores = min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    engine, (asker, *callers) = sessions(cores + 1)
    running = [True] * cores

    async def computes(model: Session, i: int) -> str:
        box = Toolbox([tool(burnt, process=True, seconds=LIMIT)])
        called = await box.call("burnt", {"seconds": BURNT})
        running[i] = False
        return called.text

    async def asks(model: Session) -> int:
        n = 0
        while any(running):
            await model.ask(f"{n % 50}+1=")
            n += 1
        return n

    asked, *texts = run([asks(asker), *(computes(s, i) for i, s in enumerate(callers))], [engine])
    processes = {text.split()[0] for text in texts}
    assert len(processes) == cores and str(os.getpid()) not in processes
    assert asked > 3
