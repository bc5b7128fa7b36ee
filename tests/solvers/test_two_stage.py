"""The second ask has the first before it, and what each is cued with."""

from __future__ import annotations

import asyncio

import pytest

from tests.solvers.test_thinking import Scripted
from tests.solvers.test_thinking import model_of as chatting
from tests.support import model_of
from thinkery.core.records import Question
from thinkery.solvers.two_stage import CARRY_OUT, PLAN, STEPS, THEREFORE, chain, plan_then_solve

ASKED = Question("3+4=", instruction="End with #.")


@pytest.mark.parametrize(("solve", "first", "then"), [(chain, STEPS, THEREFORE), (plan_then_solve, PLAN, CARRY_OUT)])
def test_a_chat_is_told_twice(solve: object, first: tuple[str, str], then: tuple[str, str]) -> None:
    model = Scripted(chatting("qwen3"), ("add them", "stop"), ("#7", "stop"))
    reply = asyncio.run(solve(model, ASKED))  # type: ignore[operator]
    assert (reply.text, reply.data["thought"]) == ("#7", "add them")
    one, two = (t.context.text for t in model.close())
    assert first[0] in one and ASKED.instruction not in one
    assert two.startswith(one + "add them") and f"{then[0]} {ASKED.instruction}" in two


@pytest.mark.parametrize(("solve", "first", "then"), [(chain, STEPS, THEREFORE), (plan_then_solve, PLAN, CARRY_OUT)])
def test_others_are_cued_in_their_own_words(solve: object, first: tuple[str, str], then: tuple[str, str]) -> None:
    model = Scripted(model_of(), ("3+4", "stop"), ("7", "length"))
    reply = asyncio.run(solve(model, ASKED, shots="1+1=2\n"))  # type: ignore[operator]
    assert (reply.text, reply.truncated, reply.data["thought"]) == ("7", True, "3+4")
    one, two = (t.context.text for t in model.close())
    assert one == f"1+1=2\n3+4={first[1]}" and two == f"{one}3+4{then[1]}"
