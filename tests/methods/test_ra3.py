"""RA3's numbers worked by hand, and its traps: a z that sees the line to come, lines that are learnt in the E-step, an M-step that leaves z or lines
out, and a cost that changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support import Sums, model_of, start_of, weights_of
from thinkery.core.context import Context, Turn
from thinkery.core.records import Problem, Question, Reply, Rollout
from thinkery.core.rng import Stream
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.lab import catalogue
from thinkery.learning.batch import Batch
from thinkery.learning.collect import Collector, Unit
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Repeat, Setting, imitation
from thinkery.models.model import Model
from thinkery.models.tokenizer import character_tokenizer
from thinkery.solvers.between import ROOM, between
from thinkery.tasks.pipelines import MARK

ra3 = catalogue.load("ra3")
TOKENIZER = character_tokenizer()


@pytest.fixture(scope="module")
def talker() -> Model:
    """A tiny model that has read loose comments."""
    model = model_of(sharp=1.0)
    stage = replace(imitation(300, {"loose": 1.0}, problems=25, shards=1), optimizer=Optimizer(lr=3e-3))
    learning = Learning(Recipe((stage,)), Setting(Lines()), model)
    while not learning.done:
        learning.step()
    learning.leave()
    return model


class Lines(Sums):
    """Sums whose worked reply has three lines; "loose" says the sum before the first in one of two."""

    name, styles, max_tokens = "lines", ("code", "loose"), 40

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        a, b = problem.data
        comment = f"{MARK}{problem.answer}" if style == "loose" and rng.below(2) else ""
        return f"{comment}\nx={a}\n x+={b}\ny={problem.answer}"


def engine_of(model: Model) -> LocalEngine:
    return LocalEngine(start_of(model))


def written(engine: LocalEngine, problems: int = 3, samples: int = 2, temperature: float = 1.0, task: Sums | None = None) -> list[Rollout]:
    """Rollouts of `between` on the tiny task's demonstrations."""
    sampling = Sampling(40, temperature)
    units = [Unit(i, k, style="code") for i in range(problems) for k in range(samples)]
    return Collector(task or Lines(), engine, between, sampling, seed=0, verifies=False).collect(0, units)


# ---- between the lines


def test_lines_and_what_stands_before_them_take_turns() -> None:
    for r in written(engine_of(model_of())):
        assert [t.forced for t in r.turns] == [False, True] * 3
        a, b = r.problem.data
        assert [t.text for t in r.turns if t.forced] == [f"x={a}", f" x+={b}", f"y={a + b}"]
        assert [t.ended for t in r.turns if t.forced] == ["said"] * 3 and r.turns[-1].ids[-1] == TOKENIZER.end
        assert TOKENIZER.end not in r.turns[1].ids + r.turns[3].ids, "only the last line ends the reply"
        assert all(t.n <= ROOM for t in r.turns if not t.forced)


def test_a_z_sees_the_lines_before_and_nothing_more() -> None:
    """The same lines but the last: what is written before it, and before the others, is the same to the bit."""

    class Other(Lines):
        def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
            return super().demonstration(problem, style, rng) + "*9-1"

    engine = engine_of(model_of())
    z = lambda rs: [[(t.ids, t.context.ids, t.logp.tobytes()) for t in r.turns if not t.forced] for r in rs]
    one = z(written(engine))
    assert one == z(written(engine, task=Other()))
    for r in written(engine):
        for before, after in zip(r.turns, r.turns[1:]):
            assert after.context.ids[: before.context.n + before.n] == before.context.ids + before.ids
            assert after.context.text.endswith("\n") == after.forced, "a line begins behind a break"


def test_without_a_demonstration_there_are_no_lines() -> None:
    collector = Collector(Lines(), engine_of(model_of()), between, Sampling(40), seed=0, verifies=False)
    (r,) = collector.attempt(0, [Unit(0, 0)])
    assert r.error is not None and "demonstration" in r.error


def test_what_is_read_is_lines_behind_breaks_and_comments() -> None:
    """A random model's z is mostly neither; a comment that was broken off keeps its break outside what is learnt."""
    for r in written(engine_of(model_of())):
        turns = ra3.forced(r)
        assert all(t.forced for t in turns) and [t.text for t in turns[1::2]] == [t.text for t in r.turns[1::2]]
        for t, was in zip(turns[::2], r.turns[::2]):
            assert t.ids == was.ids if was.text == "\n" or was.text.startswith(MARK) else t.text == "\n"
        assert all(t.context.text.endswith("\n") for t in turns[1::2])
    begun = rollout(f"{MARK}abcde", "x", "\n", "y")
    first, line, *_ = ra3.forced(begun)
    assert first.text == f"{MARK}abcde" and line.context.text == f"{MARK}abcde\n"


# ---- rewards and advantages


def turn(text: str, forced: bool) -> Turn:
    ids = TOKENIZER.encode(text)
    logp = None if forced else np.zeros(len(ids), np.float32)
    return Turn(Context.root(TOKENIZER), "policy", ("tiny", 0), 1.0, "said" if forced else "stop", ids, logp)


def rollout(*texts: str, k: int = 0) -> Rollout:
    """Turns in turn, asked and said."""
    return Rollout(0, 0, k, Problem("0", Question("q"), "1"), [turn(t, bool(i % 2)) for i, t in enumerate(texts)], Reply("x"))


def test_a_comment_costs_and_a_break_does_not() -> None:
    (a, b) = ra3.comments([rollout("\n", "x", f"{MARK}al\n", "y"), rollout(f"{MARK}al", "x", "2", "\n")])
    assert a.tolist() == [0, 0, -1, 0] and b.tolist() == [-1, 0, -1, 0], "what is neither costs as much; a line never does"


def batch(costs: list[list[float]], fixed: list[list[float]]) -> Batch:
    """Two tokens a row: z and line by turns; `fixed` is what both tokens of a line have, together."""
    rows = [(i, 2 * n + said) for i, c in enumerate(costs) for n in range(len(c)) for said in (0, 1)]
    out = Batch.scored(np.zeros(len(rows)), np.zeros(len(rows), np.int64), np.array([i for i, _ in rows]))
    out.turn = np.array([t for _, t in rows])
    out.mask, out.sampled = np.ones((len(rows), 2), bool), np.repeat(out.turn[:, None] % 2 == 0, 2, 1)
    out.reward = np.array([costs[i][t // 2] if t % 2 == 0 else 0.0 for i, t in rows])
    out.extra[ra3.FIXED] = np.array([[fixed[i][t // 2] / 2] * 2 if t % 2 else [-9.0, -9.0] for i, t in rows])
    return out


COSTS, LOGP = [[0.0, -0.5], [-0.5, 0.0]], [[-3.0, -1.0], [-1.0, -2.0]]


def test_the_advantage_worked_by_hand() -> None:
    """To go: -3 - 1 - 0.5 = -4.5 and -1.5 in the one, -1 - 0.5 - 2 = -3.5 and -2 in the other; means -4 and -1.75."""
    b = batch(COSTS, LOGP)
    got = ra3.ToGo()(b)
    assert got.tolist() == pytest.approx([-0.5, 0, 0.25, 0, 0.5, 0, -0.25, 0])
    assert b.reward.tolist() == pytest.approx([-4.5, -4.5, -1.5, -1.5, -3.5, -3.5, -2, -2])


def test_one_line_alone_worked_by_hand() -> None:
    """-3 and -1.5 in the one, -1.5 and -2 in the other; means -2.25 and -1.75."""
    assert ra3.ToGo(horizon=1)(batch(COSTS, LOGP)).tolist() == pytest.approx([-0.75, 0, 0.25, 0, 0.75, 0, -0.25, 0])
    assert ra3.ToGo(horizon=2)(batch(COSTS, LOGP)).tolist() == pytest.approx(ra3.ToGo()(batch(COSTS, LOGP)).tolist())


def test_snippets_of_different_lengths() -> None:
    got = ra3.ToGo()(batch([[0.0], [0.0, 0.0]], [[-1.0], [-1.0, -4.0]]))
    assert got.tolist() == pytest.approx([2, 0, -2, 0, 0, 0]), "at a line that one alone has there is nothing to compare"


def test_shuffled_within_a_line() -> None:
    many = [[-float(i), -10.0 - i] for i in range(6)]
    straight, moved = (ra3.ToGo(shuffled=s)(batch([[0.0, 0.0]] * 6, many)).reshape(6, 4) for s in (False, True))
    assert not np.allclose(straight, moved)
    for column in range(4):
        assert sorted(straight[:, column]) == pytest.approx(sorted(moved[:, column]))


# ---- learning


def small(recipe: Recipe, **changes: Any) -> Recipe:
    """Two steps a stage, of four snippets."""
    size = lambda s: replace(s, steps=2, problems=4, samples=min(4, s.samples), **(changes if s.name == "explore" else {}))
    part = lambda s: replace(s, stages=tuple(map(size, s.stages))) if isinstance(s, Repeat) else size(s)
    return Recipe(tuple(map(part, recipe.stages)))


def learning_of(recipe: Recipe) -> Learning:
    return Learning(recipe, Setting(Lines()), model_of(sharp=1.0))


def test_rounds_of_e_and_m_and_then_reinforcement() -> None:
    learning, names = learning_of(small(ra3.recipe(Setting(Lines())))), []
    before = weights_of(learning.model)
    while not learning.done:
        names.append(learning.stage.name)
        metrics = learning.step()
        assert metrics["errors"] == 0
        if names[-1] == "explore":
            rollouts, batch = learning.learnt or ([], None)
            assert batch is not None and {len(r.turns) for r in rollouts} == {6}
            assert not batch.advantage[batch.turn % 2 == 1].any() and batch.advantage[batch.turn % 2 == 0].any()
            fixed = batch.extra[ra3.FIXED]
            if names.count("explore") == 1:  # the fixed copy is the policy itself
                assert fixed[batch.sampled] == pytest.approx(batch.behaviour[batch.sampled], abs=1e-4)
        if names[-1] == "write":
            assert metrics["idle"] == 1, "what is written waits"
        if names[-1] == "read":
            _, batch = learning.learnt or ([], None)
            assert batch is not None and not batch.sampled.any() and (batch.weight[batch.mask] == 1).all() and batch.turn.max() == 5
    learning.leave()
    assert names == ["explore"] * 2 + ["write"] * 2 + ["read"] * 2 + ["explore"] * 2 + ["write"] * 2 + ["read"] * 2 + ["rl"] * 2
    assert weights_of(learning.model) != before


def explored(talker: Model, cost: float) -> float:
    """The share of lines with a comment after some steps of E."""
    (repeat,) = ra3.midtrained(Setting(Lines()), cost=cost).stages
    stage = replace(repeat.stages[0], steps=20, problems=8, samples=8, optimizer=Optimizer(lr=1e-3, warmup=1, decay="none"))
    learning = Learning(Recipe((stage,)), Setting(Lines()), start_of(talker))
    while not learning.done:
        metrics = learning.step()
    learning.leave()
    return -metrics["reward/comments"] / 3


def test_comments_become_fewer_as_they_cost_more(talker: Model) -> None:
    shares = [explored(talker, cost) for cost in (0.01, 0.2, 4.0)]
    assert shares[0] > shares[1] > shares[2], "and a high cost leaves the code alone"


def test_the_z_of_other_snippets_surprises(talker: Model) -> None:
    engine = engine_of(talker)
    found = written(engine, problems=25, samples=1)
    assert sum(t.text.startswith(MARK) for r in found for t in r.turns) > 5
    own, *others = (ra3.surprise(engine, found, turned) for turned in (0, 1, 7))
    assert all(own < other / 4 for other in others), "z is of use to the lines it was written for, and only to them"


def test_surprise_is_that_of_the_lines_alone() -> None:
    """The mean over the tokens of lines of -log p, z given but not counted."""
    engine = engine_of(model_of())
    found = written(engine, problems=2, samples=1)
    said = [engine.score(t.context, t.ids) for r in found for t in ra3.forced(r)[1::2]]
    assert ra3.surprise(engine, found) == pytest.approx(-float(np.concatenate(said).mean()), abs=1e-4)
