"""What is not in the note is gone: a window that let more through would show nothing about memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.support import model_of, rollouts_of, texts
from thinkery.core.context import Turn
from thinkery.core.errors import BadConfig, UnknownName
from thinkery.core.records import Problem, Question
from thinkery.core.rng import rng
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.learning.collect import Collector, Unit
from thinkery.solvers.windowed import ROOM, windowed
from thinkery.tasks.noted import Noted, noted, pieces
from thinkery.tasks.spurious import Spurious

TASK = Noted(Spurious())


def collected(solver: Any, task: Noted = TASK, n: int = 20, style: str | None = None) -> Any:
    at = Collector(task, LocalEngine(model_of()), solver, Sampling(task.max_tokens), 0)
    found = at.collect(0, [Unit(i, 0, {}, style) for i in range(n)])
    assert all(r.error is None for r in found)
    return found


def test_notes_by_hand() -> None:
    """3+4-7+5: 3, 3+, 7, 7-, 0, 0+, 5."""
    values, operations = [3, 7, 0, 5], "+-+"
    assert [noted(values, operations, n) for n in range(8)] == ["", "3", "3+", "7", "7-", "0", "0+", "5"]
    p = Problem("by hand", Question("%5:3+4-7+5="), "5", data=((3, 4, 7, 5), operations, 5))
    assert Noted(Spurious(), 7).demonstration(p, "notes", rng(0)) == "7-;#5"
    assert Noted(Spurious(), 4).demonstration(p, "notes", rng(0)) == "3;0;#5"
    assert Noted(Spurious(), 11).demonstration(p, "notes", rng(0)) == "#5"
    assert pieces("%5:3+4-7+5=", 4) == ["%5:3", "+4-7", "+5="]


@pytest.mark.parametrize("window", [4, 7, 16])
def test_a_demonstration_is_said_note_by_note_and_each_is_read_with_its_piece(window: int) -> None:
    task = Noted(Spurious(), window)
    for r in collected(partial(windowed, window=window), task, style="notes"):
        assert r.verdict.score == 1
        parts = pieces(r.problem.question.prompt, window)
        assert len(r.turns) == len(parts)
        note = ""
        for turn, part in zip(r.turns, parts):
            assert turn.context.text.endswith(f"{note}|{part}")
            assert "%" not in turn.context.text or turn is r.turns[0]
            note = turn.text.removesuffix(";")
        assert r.turns[-1].text == f"#{r.problem.answer}"
        assert len("".join(t.text for t in r.turns)) < task.max_tokens


def test_what_is_lost_is_not_read_and_notes_have_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int | None]] = []

    async def ask(self: Session, context: Any, max_tokens: int | None = None, **how: Any) -> Turn:
        place = self.context(context)
        asked.append((place.text, max_tokens))
        return self.say(place, "ab;")

    monkeypatch.setattr(Session, "ask", ask)
    prompt = TASK.problem(0).question.prompt
    for keeps, note in ((True, "ab"), (False, "")):
        asked.clear()
        collected(partial(windowed, window=5, keeps=keeps), n=1)
        assert [text.split("|")[0][-2:] for text, _ in asked] == ["", *[note] * (len(asked) - 1)]
        assert "".join(text.split("|")[1] for text, _ in asked) == prompt
        assert [room for _, room in asked] == [*[ROOM] * (len(asked) - 1), None]


def test_it_says_the_same_twice() -> None:
    engine = LocalEngine(model_of())
    one, two = (rollouts_of(engine, windowed, problems=3, samples=2) for _ in range(2))
    assert texts(one) == texts(two)


def test_other_styles_and_windows_are_refused() -> None:
    with pytest.raises(UnknownName, match="trace"):
        TASK.demonstration(TASK.problem(0), "trace", rng(0))
    with pytest.raises(BadConfig, match="window is 3"):
        Noted(Spurious(), 3)
