"""The tree is grown where UCT says, within its budget, and hands in the best reply that ended."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest

from tests.solvers.test_beam import paths
from tests.support import asked, model_of, rollouts_of, texts
from thinkery.core.context import Context
from thinkery.core.errors import BadConfig
from thinkery.core.records import Question, Reply
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.models.tokenizer import character_tokenizer
from thinkery.solvers.beam import Path
from thinkery.solvers.scored import SCORES
from thinkery.solvers.tree_search import Node, chosen, entered, tree_search, worth

ROOM = Sampling(max_tokens=24)
ROOT = Context.root(character_tokenizer())


def test_uct_by_hand() -> None:
    """Two ways of means 0.5 and 0.6, tried 4 times and 16: with c = 0.5 the first is due, 0.933 against 0.816; with c = 0 the second."""
    first, second = Node(Path(ROOT + "a"), 4, 2.0), Node(Path(ROOT + "b"), 16, 9.6)
    root = Node(Path(ROOT), 20, 11.6, 2, [first, second])
    assert 0.5 + 0.5 * math.sqrt(math.log(20) / 4) == pytest.approx(0.9327, abs=1e-4)
    assert 0.6 + 0.5 * math.sqrt(math.log(20) / 16) == pytest.approx(0.8164, abs=1e-4)
    assert chosen(root, 2, 0.5) == [root, first] and chosen(root, 2, 0.0) == [root, second]
    assert chosen(root, 3, 0.5) == [root]  # there is a third way to try
    first.path = Path(ROOT + "a", end="stop")
    assert chosen(root, 2, 0.5) == [root, second]
    second.path = Path(ROOT + "b", end="stop")
    assert not root.open(2) and root.open(3)


def test_what_was_found_counts_on_the_whole_way_and_the_same_step_is_one_place() -> None:
    root = Node(Path(ROOT))
    for text, value in (("a", 0.25), ("b", 0.75), ("a", 0.5)):
        entered([root], Path(ROOT + text), value)
    a, b = root.kids
    entered([root, a], Path(ROOT + "ac"), 1.0)
    assert (root.visits, root.total, root.tried) == (4, 2.5, 3)
    assert (a.visits, a.total, a.tried, b.visits, b.total) == (3, 1.75, 1, 1, 0.75)
    assert [n.path.context.text for n in root.all()] == ["", "a", "ac", "b"]


def test_values() -> None:
    assert worth(Path(ROOT, end="length", score=0.9), 0.3, "grade") == 0
    assert worth(Path(ROOT, score=None), 0.3, "grade") == 0.3
    assert worth(Path(ROOT, score=0.9), 0.3, "grade") == 0.9
    assert worth(Path(ROOT, score=-1.0), 0.3, "likelihood") == pytest.approx(math.exp(-1))


@pytest.mark.parametrize("score", ["approval", "likelihood"])
def test_the_budget_holds_and_the_best_that_ended_is_handed_in(score: str) -> None:
    for r in rollouts_of(LocalEngine(model_of()), partial(tree_search, asks=12, width=2, score=score), sampling=ROOM):
        assert r.reply is not None and r.error is None
        assert len(r.turns) <= 13
        begun: dict[Any, int] = {}
        for t in r.turns:
            begun[t.context] = begun.get(t.context, 0) + 1
        assert sum(max(0, n - 2) for n in begun.values()) <= 1  # the one that writes the best beginning to its end
        assert all(sum(t.n for t in c) <= 24 for c in paths(r.turns))
        whole = ["".join(t.text for t in c) for c in paths(r.turns) if c[-1].ended == "stop" and c[-1].text[-1:] not in tuple("\n;,")]
        assert r.reply.text in whole or r.reply.truncated
        assert not whole or not r.reply.truncated


def test_values_guide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a value that likes "a" the steps have more of it than with one that dislikes it."""

    def share(sign: int) -> float:
        async def by(model: Session, question: Any, reply: Reply, tools: Any) -> float | None:
            return 0.5 + sign * 0.5 * reply.text.count("a") / max(1, len(reply.text))

        monkeypatch.setitem(SCORES, "taste", by)
        solver = partial(tree_search, asks=24, width=3, explore=0.1, score="taste")
        said = [r.reply.text for r in rollouts_of(LocalEngine(model_of(sharp=1.0)), solver, sampling=ROOM) if r.reply is not None]
        assert len(said) == 16
        return sum(s.count("a") for s in said) / sum(map(len, said))

    assert share(1) > 2 * share(-1)


def test_what_is_shared_is_computed_once_and_all_is_the_same_twice() -> None:
    engine, found = LocalEngine(model_of()), list[Session]()

    async def solve(session: Session) -> Reply:
        found.append(session)
        return await tree_search(session, Question("12+34*5="), asks=16, score="likelihood")

    asked(engine, solve, max_tokens=24)
    turns = found[0].close()
    prefixes = {(*t.context.ids, *t.ids)[:n] for t in turns for n in range(1, t.context.n + t.n)}
    assert engine.stats["nodes"] == len(prefixes) < sum(t.context.n + t.n - 1 for t in turns) / 2
    one, two = (rollouts_of(engine, tree_search, problems=2, samples=2, sampling=ROOM) for _ in range(2))
    assert texts(one) == texts(two)


def test_other_settings_are_refused() -> None:
    session = Session(LocalEngine(model_of()), 1, ROOM)
    for wrong in ({"asks": 0}, {"width": 0}, {"explore": -1.0}, {"explore": math.nan}):
        with pytest.raises(BadConfig):
            tree_search(session, Question("1+1="), **wrong).send(None)  # type: ignore[arg-type]
