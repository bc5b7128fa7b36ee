"""What was read is gone but for the memory: a turn sees the question, the memory and one piece, and is trained in just that."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.solvers.test_thinking import Scripted
from tests.solvers.test_thinking import model_of as chatting
from tests.support import asked, model_of
from thinkery.core.context import Turn
from thinkery.core.errors import BadConfig
from thinkery.core.records import Question, Reply
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.solvers.memory import KEEP, memory

TEXT = "tom has 3 cats. eva has 9 dogs. ida has 4 fish. "
ASKED = "how many dogs?"


def told(question: Question, **settings: Any) -> tuple[Reply, list[Turn]]:
    """The reply and the turns of a random model."""
    sessions: list[Session] = []

    async def solve(session: Session) -> Reply:
        sessions.append(session)
        return await memory(session, question, **settings)

    (reply,) = asked(LocalEngine(model_of()), solve, max_tokens=20)
    if isinstance(reply, Exception):
        raise reply
    return reply, sessions[0].close()


def test_each_context_is_written_anew_from_what_was_kept() -> None:
    reply, turns = told(Question(f"{TEXT}\n{ASKED}"), piece=16, room=6)
    start = turns[0].context.text.removesuffix(f"|{TEXT[:16]}|{ASKED}")
    kept = ""
    for i, turn in enumerate(turns[:-1]):
        assert turn.context.text == f"{start}{kept}|{TEXT[16 * i : 16 * i + 16]}|{ASKED}"
        assert turn.n <= 6
        kept = turn.text.removesuffix(";")
    assert turns[-1].context.text == f"{start}{kept}|{ASKED}"
    assert len(turns) == 4 and reply.text == turns[-1].text and reply.data["memory"] == kept


def test_contexts_are_bounded_whatever_the_length() -> None:
    longest = [max(t.context.n for t in told(Question(f"{TEXT * n}\n{ASKED}"), piece=16, room=6)[1]) for n in (1, 4, 12)]
    assert longest[1] <= longest[0] + 6 and longest[2] <= longest[0] + 6


def test_the_last_line_is_the_question() -> None:
    assert len(told(Question(ASKED))[1]) == 1
    one, two = (told(Question(f"{TEXT}\nb\n{ASKED}{end}"), piece=16, room=6)[1] for end in ("", "\n"))
    assert [(t.context.ids, t.ids) for t in one] == [(t.context.ids, t.ids) for t in two] and len(one) == 5


def test_a_chat_is_told_and_its_thoughts_are_not_kept() -> None:
    model = Scripted(chatting("qwen3"), ("<think>\nhm\n</think>\n\neva: 9 dogs", "stop"), ("9", "stop"))
    with pytest.raises(StopIteration) as ended:
        memory(model, Question(f"eva has 9 dogs.\n{ASKED}", instruction="End with #.")).send(None)
    assert ended.value.value.text == "9" and ended.value.value.data["memory"] == "eva: 9 dogs"
    first, last = (t.context.text for t in model.close())
    assert "eva has 9 dogs." in first and KEEP in first and "End with #." not in first
    assert "eva: 9 dogs" in last and "eva has" not in last and "hm" not in last and "End with #." in last


def test_shots_and_settings() -> None:
    _, turns = told(Question(f"{TEXT}\n{ASKED}"), piece=30, room=6, shots="a|b|c?d;\n")
    assert all("a|b|c?d;" in t.context.text for t in turns)
    for wrong in ({"piece": 0}, {"room": 0}, {"piece": True}):
        with pytest.raises(BadConfig, match="give a whole number"):
            partial(told, Question(ASKED))(**wrong)
