"""DRQA's labels worked by hand: what counts is what a chain came from and whether it is right, never how long it is, nor that it was cut off."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tests.support import Sums, model_of, start_of, weights_of
from thinkery.core.context import Context, Turn
from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import rng
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.lab import catalogue
from thinkery.learning import pairs, rewards
from thinkery.learning.batch import Batch
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting
from thinkery.models.tokenizer import character_tokenizer
from thinkery.solvers import batched
from thinkery.tasks.chain import Chain

drqa = catalogue.load("drqa")
SETTING = Setting(drqa.TASK)


def chain(score: float, company: bool, label: str | None = None, text: str = "#1", truncated: bool = False, index: int = 0) -> Rollout:
    data = {} if truncated else {"company": company, "label": label}
    return Rollout(0, index, 0, Problem(str(index), Question("q"), "1"), reply=Reply(text, truncated, data), verdict=Verdict(score, "1"))


# right in company, right alone, wrong of both kinds, cut off
FIVE = [chain(1.0, True), chain(1.0, False), chain(0.0, True), chain(0.0, False), chain(0.0, True, truncated=True)]


def total(recipe: Recipe, found: list[Rollout]) -> list[float]:
    reward = recipe.flat()[0].reward
    return [sum(weight * values[i] for weight, values in reward.score(found)) for i in range(len(found))]


def test_what_each_chain_deserves() -> None:
    assert [drqa.label(r) for r in FIVE[:4]] == ["a", "b", "c", "c"]
    assert [drqa.label(r, swapped=True) for r in FIVE[:4]] == ["b", "a", "c", "c"]
    assert drqa.ranked(FIVE) == [2.0, 1.0, 0.0, 0.0, 0.0]
    assert drqa.ranked(FIVE, swapped=True) == [1.0, 2.0, 0.0, 0.0, 0.0]


def test_a_label_is_paid_if_it_is_deserved() -> None:
    said = [chain(1.0, True, x) for x in ("a", "b", "c", None)] + [chain(0.0, False, x) for x in ("a", "b", "c", None)]
    assert total(drqa.recipe(SETTING), said) == pytest.approx([1.1, 0.1, 0.1, 0.0, 0.1, 0.1, 1.1, 0.0])
    assert total(drqa.exchanged(SETTING), said) == pytest.approx([0.1, 1.1, 0.1, 0.0, 0.1, 0.1, 1.1, 0.0])


def test_length_is_not_paid() -> None:
    """A long chain in company is an a, a short one alone a b, a short wrong one a c: nothing here counts tokens."""
    for text in ("#1", "1+1:2," * 20 + "#1"):
        same = [chain(1.0, True, "a", text), chain(1.0, False, "b", text), chain(0.0, True, "c", text), chain(0.0, False, "c", text)]
        assert drqa.told(same) == [1.0] * 4
        assert drqa.ranked(same) == [2.0, 1.0, 0.0, 0.0]


def test_what_was_cut_off_is_left_out() -> None:
    kept = asyncio.run(drqa.finished([FIVE[:2], FIVE[2:]]))
    assert kept == FIVE[:4]
    assert asyncio.run(drqa.concise([FIVE[:2], FIVE[2:]])) == FIVE[:1]
    assert drqa.told(FIVE[4:]) == drqa.readable(FIVE[4:]) == [0.0]
    assert asyncio.run(drqa.nothing([FIVE])) == []


def test_agreement_is_told_apart_by_kind() -> None:
    said = [chain(1.0, True, "a"), chain(1.0, True, "b"), chain(0.0, True, "a"), chain(0.0, False, "c"), chain(1.0, False, "b"), FIVE[4]]
    assert drqa.agreement(said) == {"a": 0.5, "all": 0.6, "b": 1.0, "c alone": 1.0, "c in company": 0.0}


def test_the_penalty_pays_right_replies_for_room_they_leave() -> None:
    tokenizer = character_tokenizer()

    def replied(score: float, tokens: int) -> Rollout:
        turn = Turn(Context.root(tokenizer), "policy", ("tiny", 0), 1.0, "stop", tuple(range(tokens)), np.zeros(tokens, np.float32))
        return Rollout(0, 0, 0, Problem("0", Question("q"), "1"), [turn], Reply("1"), Verdict(score, "1"))

    assert drqa.brief([replied(1.0, 10), replied(1.0, 40), replied(0.0, 10), replied(1.0, 50)], 40) == [0.75, 0.0, 0.0, 0.0]


def test_pairs_are_the_best_and_the_worst_of_a_question() -> None:
    """a over c where both are there, a over b and b over c else; equals are no pair."""
    worth = [2.0, 1.0, 0.0, 2.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    batch = Batch.scored(np.array(worth), np.array([0, 0, 0, 1, 1, 2, 2, 3, 3]))
    batch.pair = pairs.extremes(batch, [])
    assert pairs.side(batch).tolist() == [1, 0, -1, 1, -1, -1, 1, 0, 0]


def test_stages_and_what_they_need() -> None:
    judge, prefer = drqa.preferring(SETTING).flat()
    assert (judge.name, judge.steps, prefer.name, prefer.steps) == ("judge", 50, "rl", 50)
    assert [s.name for s in drqa.ungraded(SETTING).flat()] == ["rl"]
    assert (judge.solver, prefer.solver) == (batched.graded, batched.recited)
    assert judge.trains == prefer.trains == ("policy",), "the author is recorded, not trained"
    for of in (drqa.recipe, drqa.preferring, drqa.imitating, drqa.exchanged):
        with pytest.raises(BadConfig, match=r"drqa .*'chain'"):
            of(Setting(Chain()))
    parts = [part for stage in drqa.CLAIM.arms["shuffled reward"](SETTING).flat() for _, _, part in stage.reward.parts]
    assert len(parts) == 3 and all(isinstance(part, rewards.Shuffled) for part in parts), "the placebo is told nothing in either stage"
    assert drqa.penalised(Setting(Sums())).flat()[0].curriculum.pick({"next": 0}, 0, 1) == [(0, {})]


# ---- at work


@pytest.fixture
def authored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The author says worked chains, every fourth question's wrong ones, every fifth's cut off."""
    problems = {p.question.prompt: (i, p) for i in range(400) for p in [drqa.TASK.problem(i)]}

    async def drawn(model: Session, question: Question, company: bool, temperature: float | None = None) -> Reply:
        i, problem = problems[question.prompt]
        write = drqa.TASK.in_company if company else drqa.TASK.demonstration
        text = write(problem, "corrupted" if i % 4 == 0 else "trace", rng(i))
        model.say(question, text, batched.AUTHOR)
        return Reply(text[:-2], True) if i % 5 == 0 else Reply(text)

    monkeypatch.setattr(batched, "drawn", drawn)


def learnt(recipe: Recipe) -> tuple[list[dict[str, float]], bytes]:
    small = recipe
    for name in {s.name for s in recipe.flat()}:
        small = small.stage(name, steps=1, problems=6, samples=4, shards=1, max_tokens=24)
    learning = Learning(small, SETTING, start_of(model_of()))
    metrics = []
    while not learning.done:
        metrics.append(learning.step())
        assert not metrics[-1]["errors"]
    learning.leave()
    return metrics, weights_of(learning.model)


def test_the_order_of_labels_is_what_is_learnt(authored: None) -> None:
    """By preferences alone: a random model gives no label that can be read."""
    prefer = lambda recipe: Recipe(recipe.stages[1:])
    metrics, weights = learnt(drqa.ungraded(SETTING))
    assert metrics[0]["loss/preference"] == pytest.approx(float(np.log(2)), rel=1e-4), "the start is the reference"
    assert weights != learnt(prefer(drqa.exchanged(SETTING)))[1]
    assert weights == learnt(prefer(drqa.preferring(SETTING)))[1]


def test_preferences_move_the_single_question_towards_the_better_chain(authored: None) -> None:
    model = start_of(model_of())
    recipe = drqa.ungraded(SETTING).rl(steps=6, problems=6, samples=4, shards=1)
    learning = Learning(recipe, SETTING, model)
    margins = []
    while not learning.done:
        margins.append(learning.step()["loss/preference"])
    learning.leave()
    assert margins[-1] < margins[0] - 0.05


def test_imitation_learns_concise_chains_alone_and_the_start_learns_nothing(authored: None) -> None:
    metrics, weights = learnt(drqa.imitating(SETTING))
    assert weights != weights_of(model_of()) and metrics[0]["loss/sft"] > 0
    metrics, weights = learnt(drqa.untaught(SETTING))
    assert weights == weights_of(model_of()) and metrics[0]["idle"] == 1


def test_what_company_does_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """On chains that are known: brief ones in company, some of them cut off."""
    engine = LocalEngine(model_of())

    async def said(model: Session, question: Question, tools: Any = None) -> Reply:
        return Reply("3+4:7;3+4:7#7")

    async def in_company(model: Session, question: Question, tools: Any = None) -> Reply:
        return Reply("3+4:7#7", truncated=question.shown["place"] == 2)

    monkeypatch.setattr(drqa, "single", said)
    monkeypatch.setattr(drqa, "in_company", in_company)
    found = drqa.batch_effect(engine, drqa.TASK, 3, problems=30)
    right = [drqa.TASK.problem(i, "validation").answer == "7" for i in range(30) if i % 3 < 2]
    share = sum(right) / len(right)
    expected = {"finished": 2 / 3, "tokens alone": 13.0, "accuracy alone": share, "tokens company": 7.0, "accuracy company": share}
    assert found["all"] == pytest.approx(expected)
    assert set(found) == {"all", "easy", "hard"}


def test_it_is_measured_on_any_model() -> None:
    found = drqa.batch_effect(LocalEngine(model_of()), drqa.TASK, 2, problems=4)
    assert 0 <= found["all"]["finished"] <= 1
