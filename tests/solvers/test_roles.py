"""Each player sees what it should, is cast by its role, and the game ends where it is over."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.solvers.test_thinking import Scripted
from tests.solvers.test_thinking import model_of as chatting
from tests.support import model_of, rollouts_of, texts
from thinkery.core.records import Question
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.solvers.roles import roles
from thinkery.solvers.scored import approval

ROOM = Sampling(max_tokens=8)


class Played(Scripted):
    """The lines as they come, each recorded with the role that was asked."""

    __slots__ = ("parts",)

    async def ask(self, context: Any, max_tokens: int | None = None, *more: Any, role: str = "policy", **how: Any) -> Any:  # type: ignore[override]
        self.parts = [*getattr(self, "parts", []), (role, self.context(context, role).text)]
        return await super().ask(context, max_tokens)


def play(model: Played, **settings: Any) -> Any:
    """The reply of a game in which nobody waits."""
    with pytest.raises(StopIteration) as ended:
        roles(model, Question("3+4=", instruction="End with #."), **settings).send(None)
    return ended.value.value


def test_the_policy_goes_on_in_its_own_context_and_the_critic_reads_the_proposal_alone() -> None:
    for r in rollouts_of(LocalEngine(model_of()), partial(roles, rounds=2), sampling=Sampling(max_tokens=14)):
        assert r.reply is not None and r.error is None
        mine, theirs = ([t for t in r.turns if t.role == role] for role in ("policy", "critic"))
        assert r.reply.data["proposals"] == [t.text for t in mine] and r.reply.text == mine[-1].text
        prompt = r.problem.question.prompt
        for before, critic in zip(mine, theirs):
            assert critic.context.text.endswith(f"{prompt}{before.text}?")
            assert len(critic.context.text) <= len(mine[0].context.text) + len(before.text) + 1
        for before, critic, after in zip(mine, theirs, mine[1:]):
            assert after.context is before.context + before + f"?{critic.text.removesuffix(';')};"


def test_a_chat_is_told_what_the_critic_says_and_approval_ends_it() -> None:
    model = Played(chatting("qwen3"), ("#8", "stop"), ("<think>\nhm\n</think>\n\nit is 7", "stop"), ("#7", "stop"), ("fine #right", "stop"))
    reply = play(model, rounds=5)
    assert reply.text == "#7" and reply.data["proposals"] == ["#8", "#7"]
    assert [role for role, _ in model.parts] == ["policy", "critic", "policy", "critic"]
    assert "A critic says:\nit is 7" in model.parts[2][1] and "hm" not in model.parts[2][1] and "#8" in model.parts[2][1]
    assert "#7" in model.parts[3][1] and "#8" not in model.parts[3][1]


def test_what_was_cut_off_is_not_criticised() -> None:
    model = Played(chatting("llama3"), ("3+4 is", "length"))
    reply = play(model)
    assert reply.truncated and len(model.parts) == 1


def test_a_judge_takes_the_likeliest() -> None:
    engine, other, chosen = LocalEngine(model_of()), LocalEngine(model_of(seed=4)), 0
    for r in rollouts_of(engine, partial(roles, rounds=3, judge=True), sampling=Sampling(max_tokens=14), cast={"judge": other}):
        assert r.reply is not None
        mine = [t for t in r.turns if t.role == "policy"]
        whole = [t for t in mine if t.ended != "length"] or mine
        assert r.reply.text in {t.text for t in whole}
        chosen += len(whole) > 1 and r.reply.text != whole[-1].text
    assert chosen, "the judge always took the last"
    assert approval.__defaults__ == ("scorer",)


def test_the_critic_is_cast_and_without_rounds_it_is_one_shot() -> None:
    engine, other = LocalEngine(model_of()), LocalEngine(model_of(seed=5))
    one, two = rollouts_of(engine, roles, sampling=ROOM), rollouts_of(engine, roles, sampling=ROOM, cast={"critic": other})
    first = lambda rollouts, role: [next((t.ids for t in r.turns if t.role == role), None) for r in rollouts]
    assert first(one, "policy") == first(two, "policy") and first(one, "critic") != first(two, "critic")
    assert texts(one) == texts(rollouts_of(engine, roles, sampling=ROOM))
    assert all(len(r.turns) == 1 for r in rollouts_of(engine, partial(roles, rounds=0), sampling=ROOM))
