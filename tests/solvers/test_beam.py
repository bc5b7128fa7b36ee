"""A beam keeps the best of what it grew, shares what beginnings have in common, and stays within the room of one reply."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.support import Sums, asked, model_of, rollouts_of, texts
from thinkery.core.context import Turn
from thinkery.core.errors import EngineError
from thinkery.core.records import Question, Reply
from thinkery.core.rng import address
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling, Session
from thinkery.solvers.beam import beam, search
from thinkery.solvers.best_of_n import confidence
from thinkery.solvers.scored import SCORES, scored

ROOM = Sampling(max_tokens=24)


def paths(turns: list[Turn]) -> list[list[Turn]]:
    """The turns as chains from the question to a leaf."""
    starts = {t.context for t in turns}
    leaves = [t for t in turns if t.context + t not in starts]
    by = {t.context + t: t for t in turns}
    chains = []
    for leaf in leaves:
        chain = [leaf]
        while chain[0].context in by:
            chain.insert(0, by[chain[0].context])
        chains.append(chain)
    return chains


def test_steps_end_where_they_should_and_the_room_is_that_of_one_reply() -> None:
    cut = 0
    for r in rollouts_of(LocalEngine(model_of()), partial(beam, width=3, expand=2), sampling=ROOM):
        assert r.reply is not None and r.error is None
        for chain in paths(r.turns):
            assert sum(t.n for t in chain) <= 24
            assert all(t.ended == "stop" and t.text[-1] in "\n;," for t in chain[:-1])
            assert all(sum(c in "\n;," for c in t.text) <= 1 for t in chain)
        cut += any(len(c) > 2 for c in paths(r.turns))
        said = ["".join(t.text for t in c) for c in paths(r.turns)]
        assert r.reply.text in said
    assert cut, "no beginning had more than two steps"


def test_a_beam_of_everything_hands_in_the_likeliest_of_all() -> None:
    """Nothing is thrown away, so what is handed in is the best of all that ended."""
    seen = 0
    for r in rollouts_of(LocalEngine(model_of()), partial(beam, width=300, expand=1), problems=1, samples=2, sampling=ROOM):
        assert r.reply is not None
        whole = [c for c in paths(r.turns) if c[-1].ended == "stop" and c[-1].text[-1:] not in tuple("\n;,")]
        assert not r.reply.truncated and r.reply.data["score"] == pytest.approx(max(map(confidence, whole)))
        seen += len(whole)
    assert seen > 20


def test_a_scorer_decides_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def by(model: Session, question: Any, reply: Reply, tools: Any) -> float | None:
        return -len(reply.text)

    monkeypatch.setitem(SCORES, "short", by)
    for r in rollouts_of(LocalEngine(model_of()), partial(beam, width=4, expand=2, score="short"), sampling=ROOM):
        assert r.reply is not None
        first = sorted({t.text for t in r.turns if t.context.text.endswith("=")}, key=len)
        assert len(r.reply.text) == r.reply.data["score"] * -1
        whole = [c for c in paths(r.turns) if c[-1].ended == "stop" and c[-1].text[-1:] not in tuple("\n;,")]
        if whole and not r.reply.truncated:
            assert len(r.reply.text) <= min(len("".join(t.text for t in c)) for c in whole)
        assert first


def test_beginnings_are_computed_once() -> None:
    """The nodes that were computed are the distinct prefixes: far fewer than the tokens that all paths have together."""
    engine = LocalEngine(model_of())
    engine.reset()
    found: list[Session] = []

    async def solve(session: Session) -> Reply:
        found.append(session)
        return await beam(session, Question("12+34*5="), width=4, expand=3)

    asked(engine, solve, max_tokens=24)
    turns = found[0].close()
    prefixes = {(*t.context.ids, *t.ids)[:n] for t in turns for n in range(1, t.context.n + t.n)}
    alone = sum(t.context.n + t.n - 1 for t in turns)
    assert engine.stats["nodes"] == len(prefixes)
    assert len(prefixes) < alone / 2


def test_the_same_twice_and_no_two_paths_alike() -> None:
    engine = LocalEngine(model_of(sharp=8.0))
    one, two = (rollouts_of(engine, beam, problems=2, samples=2, sampling=ROOM) for _ in range(2))
    assert texts(one) == texts(two)
    for r in one:
        assert len({(t.context, t.ids, i) for i, t in enumerate(r.turns)}) == len(r.turns)


def test_what_has_no_log_probabilities_is_refused_in_words() -> None:
    session = Session(LocalEngine(model_of()), address("x"), Sampling())
    looked = search(session, Sums().problem(0).question, None, "likelihood")
    turn = session.say("1+1=", "2")
    turn._logp = turn.logp * float("nan")
    with pytest.raises(EngineError, match="score=grade"):
        looked.value(session, (turn,)).send(None)


def test_a_beam_of_whole_replies_is_what_scoring_does() -> None:
    """Where no step ends before the reply, a beam asks what best-of-n asks: the question, once for each place."""
    engine = LocalEngine(model_of())
    tight = Sampling(max_tokens=1)
    one = rollouts_of(engine, partial(beam, width=5, expand=1), sampling=tight)
    two = rollouts_of(engine, partial(scored, samples=5), sampling=tight)
    assert [{t.context for t in r.turns} for r in one] == [{t.context for t in r.turns} for r in two]
    assert all(len(r.turns) == 5 for r in one)
