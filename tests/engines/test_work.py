"""Solvers are stepped by a driver of our own, so whatever asyncio offers a task must work in them as in a task."""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar
from typing import Any

import pytest

from tests.support import model_of
from thinkery.core.errors import InputError
from thinkery.core.rng import address
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.engines.work import run

NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


def outcomes(*solvers: Any, **sampling: Any) -> list[Any]:
    """What the solvers end in, driven together on one engine."""
    engine = LocalEngine(model_of())
    sessions = [Session(engine, address("work", i), Sampling(6, **sampling)) for i in range(len(solvers))]
    return run([solver(s) for solver, s in zip(solvers, sessions)], [engine])


async def one(model: Session) -> str:
    return (await model.ask("1+2=")).text


def test_a_solver_that_never_waits_or_that_polls_ends() -> None:
    async def still(model: Session) -> int:
        return 7

    async def polls(model: Session) -> int:
        answer = asyncio.ensure_future(model.ask("1+2="))
        turns = 0
        while not answer.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    a, b = outcomes(still, polls)
    assert a == 7 and b >= 1


def test_errors_stand_in_their_places_and_spoil_nothing_else() -> None:
    async def fails(model: Session) -> None:
        await model.ask("1+2=")
        raise LookupError("no")

    alone = outcomes(one)
    a, b, c = outcomes(fails, one, fails)
    assert isinstance(a, LookupError) and isinstance(c, LookupError) and isinstance(b, str)
    assert isinstance(alone[0], str)


def test_gather_wait_for_and_task_groups_ask_concurrently() -> None:
    async def gathers(model: Session) -> list[str]:
        return [t.text for t in await asyncio.gather(*(model.branch(i).ask("1+2=") for i in range(3)))]

    async def groups(model: Session) -> list[str]:
        async def ask(i: int) -> str:
            return (await asyncio.wait_for(model.branch(i).ask("1+2="), 60)).text

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(i)) for i in range(3)]
        return [t.result() for t in tasks]

    (a,), (b,) = outcomes(gathers), outcomes(groups)
    assert a == b  # the draws depend on the branch, not on who waits how


def test_a_group_whose_task_fails_cancels_its_solver_with_the_group_s_error() -> None:
    async def grouped(model: Session) -> None:
        async def fails() -> None:
            await asyncio.sleep(0)
            raise ValueError("inner")

        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            for _ in range(1000):
                await model.ask("1+2=")

    (end,) = outcomes(grouped)
    assert isinstance(end, ExceptionGroup) and isinstance(end.exceptions[0], ValueError)


def test_a_timeout_ends_a_wait_for_the_model_and_the_solver_goes_on() -> None:
    async def patient(model: Session) -> str:
        try:
            async with asyncio.timeout(0.02):
                while True:
                    await model.ask("1+2=")
        except TimeoutError:
            return "timeout, then " + (await model.ask("2+2=")).ended
        raise AssertionError

    (end,) = outcomes(patient)
    assert end in ("timeout, then stop", "timeout, then length")


def test_a_solver_that_cancels_itself_is_cancelled_and_may_clean_up() -> None:
    seen = []

    async def leaves(model: Session) -> None:
        me = asyncio.current_task()
        assert me is not None
        me.cancel()
        try:
            await model.ask("1+2=")
        finally:
            seen.append("cleaned")

    a, b = outcomes(leaves, one)
    assert isinstance(a, asyncio.CancelledError) and seen == ["cleaned"] and isinstance(b, str)


def test_what_is_no_future_is_refused_where_it_is_awaited() -> None:
    class Odd:
        def __await__(self) -> Any:
            yield "text"

    async def odd(model: Session) -> None:
        await Odd()

    (end,) = outcomes(odd)
    assert isinstance(end, RuntimeError) and "no future" in str(end)


def test_context_variables_belong_to_each_solver() -> None:
    async def named(model: Session) -> str:
        NAME.set(f"{NAME.get()} {model.base}")
        await model.ask("1+2=")
        return NAME.get()

    assert len(set(outcomes(named, named))) == 2
    assert NAME.get() == "nobody"


def test_tasks_left_behind_are_cancelled() -> None:
    left: list[asyncio.Task[Any]] = []

    async def careless(model: Session) -> str:
        left.append(asyncio.ensure_future(asyncio.sleep(3600)))
        return await one(model)

    outcomes(careless)
    outcomes(one)
    assert left[0].cancelled()


def test_works_inside_a_running_loop() -> None:
    async def notebook() -> list[Any]:
        return outcomes(one)

    assert asyncio.run(notebook()) == outcomes(one)


def test_nothing_is_logged_of_those_who_waited_when_one_ends_the_run(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise InputError("not so")

    async def several() -> None:
        await asyncio.gather(*(fails() for _ in range(3)))

    def ended(_: int, found: Any) -> None:
        raise found

    with pytest.raises(InputError, match="not so") as raised:
        run([several() for _ in range(3)], [], ended)
    assert raised.value.__context__ is None
    del raised
    run([], [])  # the loop hears of the others
    gc.collect()
    assert not caplog.records


def test_an_interrupt_in_a_solver_stops_everything() -> None:
    async def interrupted(model: Session) -> None:
        await model.ask("1+2=")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes(one, interrupted, one)
    assert isinstance(outcomes(one)[0], str)
