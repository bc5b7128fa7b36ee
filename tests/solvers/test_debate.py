"""Agents answer apart, hear the others' last answers and no more, and the commonest of the last answers is handed in."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from tests.learning.steps import start
from tests.solvers.test_thinking import model_of as chatting
from tests.support import model_of, rollouts_of
from thinkery.core.errors import BadConfig
from thinkery.core.records import Reply, Rollout
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.solvers.debate import OPINIONS, debate, heard, opinion

ROOM = Sampling(max_tokens=10)


def debates(agents: int = 3, rounds: int = 2, problems: int = 4) -> list[Rollout]:
    found = rollouts_of(LocalEngine(start()), partial(debate, agents=agents, rounds=rounds), problems=problems, sampling=ROOM)
    assert all(r.error is None and r.reply is not None for r in found)
    return found


def test_each_agent_answers_once_in_each_round() -> None:
    for r in debates():
        assert len(r.turns) == 9
        assert len(r.reply.data[OPINIONS]) == 3 and all(len(o) == 3 for o in r.reply.data[OPINIONS])


def test_an_agent_hears_the_last_answers_its_own_first_and_nothing_else() -> None:
    seen = set()
    for r in debates():
        prompt, opinions = r.problem.question.prompt, r.reply.data[OPINIONS]
        for agent in range(3):
            mine = r.turns[3 * agent : 3 * agent + 3]  # a branch for each agent, in the order asked
            assert mine[0].context.text.endswith(prompt)
            for k in (1, 2):
                said = [opinions[k - 1][agent], *(o for i, o in enumerate(opinions[k - 1]) if i != agent)]
                said = [o for o in said if o is not None]
                assert mine[k].context.text.endswith(heard(prompt, said))
                seen.add(len(said))
            assert [opinion(Reply(t.text, t.ended == "length")) for t in mine] == [o[agent] for o in opinions]
    assert len(seen) > 1, "some were cut off and were not heard"


def test_the_commonest_last_answer_counts() -> None:
    sure = set()
    for r in debates(agents=5, rounds=1, problems=12):
        last = [o for o in r.reply.data[OPINIONS][-1] if o is not None]
        if not last:
            assert r.reply.truncated and r.reply.data["confidence"] == 0
            continue
        answer, count = Counter(last).most_common(1)[0]
        assert opinion(r.reply) == answer and r.reply.data["confidence"] == count / 5
        sure.add(count)
    assert len(sure) > 1


def test_without_rounds_it_is_a_vote() -> None:
    for r in debates(agents=4, rounds=0):
        assert len(r.turns) == 4 and len({t.context for t in r.turns}) == 1


def test_a_chat_goes_on_in_its_own_context_and_reads_the_others() -> None:
    (r, *_) = rollouts_of(LocalEngine(chatting("llama3")), partial(debate, agents=2, rounds=1), problems=1, sampling=ROOM)
    assert r.error is None
    first, second = r.turns[0], r.turns[1]
    assert second.context.ids[: len(first.context.ids) + len(first.ids)] == (*first.context.ids, *first.ids)
    assert "Other agents answered" in second.context.text


@pytest.mark.parametrize("settings", [{"agents": 1}, {"agents": 65}, {"rounds": -1}, {"agents": 2.5}])
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    (r, *_) = rollouts_of(LocalEngine(model_of()), partial(debate, **settings), problems=1, sampling=ROOM)
    assert r.error is not None and BadConfig.__name__ in r.error
