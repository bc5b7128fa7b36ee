"""What fails is reported as a failure, with its name and place; a swallowed error would look like a model that cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.learning.test_loop import SMALL, run
from tests.support import Sums, weights_of
from thinkery.core.errors import BadConfig, PromptTooLong, RewardError, SolverError
from thinkery.core.records import Question, Reply, Rollout, Verdict
from thinkery.engines.session import Session
from thinkery.learning import losses, rewards
from thinkery.models.model import Model


def test_a_reward_that_raises_is_named(warm: Model) -> None:
    def broken(rollouts: Sequence[Rollout]) -> list[float]:
        return [len(r.nonsense) for r in rollouts]  # type: ignore[attr-defined]

    with pytest.raises(RewardError, match=r"'length' raised AttributeError: .*nonsense"):
        run(warm, replace(SMALL, reward=rewards.weighted(length=broken)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_is_named(value: float, warm: Model) -> None:
    part = lambda rs: [value if r.k == 3 else 0.0 for r in rs]
    with pytest.raises(RewardError, match=r"'odd' gave (nan|inf) for problem 0\+0, sample 3: rewards must be finite numbers"):
        run(warm, replace(SMALL, reward=rewards.weighted(odd=part)))


class Fragile(Sums):
    """A verifier that fails on some problems by itself."""

    def __init__(self, fails: set[int], score: Any = None) -> None:
        self.fails, self.score = fails, score

    def verify(self, problem: Any, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        if rollout is not None and rollout.index in self.fails and rollout.k < 3:
            if self.score is not None:
                return Verdict(self.score)
            raise ZeroDivisionError("the checker's own fault")
        return super().verify(problem, reply, rollout)


@pytest.mark.parametrize(
    ("score", "says"), [(None, "ZeroDivisionError: the checker's own fault"), (float("nan"), "VerifierError: .* score nan")]
)
def test_a_verifier_that_fails_is_outside_the_groups_statistics(score: Any, says: str, warm: Model) -> None:
    stage = replace(SMALL, steps=1)
    metrics, learning = run(warm, stage, task=Fragile({1}, score))
    failed = [r for r in learning.rollouts if r.error is not None]
    assert [(r.index, r.k) for r in failed] == [(1, 0), (1, 1), (1, 2)]
    assert all(r.verdict is None and r.rewards == {} for r in failed)
    assert re.search(f"verifier: {says}", str(failed[0].error))
    assert metrics[0]["errors"] == 3
    right = [r for r in learning.rollouts if r.error is None]
    assert metrics[0]["accuracy"] == np.mean([r.verdict.score for r in right if r.verdict is not None])


@pytest.mark.parametrize("workers", [1, 4])
def test_one_problem_that_always_fails_is_not_the_end(workers: int, warm: Model) -> None:
    """Even if it is all that one worker has to do."""

    async def picky(model: Session, question: Question, tools: Any = None) -> Reply:
        if question.prompt.startswith("3"):
            raise RuntimeError("no threes")
        return Reply.of(await model.ask(question))

    metrics, learning = run(warm, replace(SMALL, steps=1, shards=4, solver=picky), workers=workers)
    assert metrics[0]["errors"] == 6
    assert {r.error for r in learning.rollouts if r.index == 3} == {"solver: RuntimeError: no threes"}


@pytest.mark.parametrize("share", ["all", "most"])
def test_too_many_failures_end_the_run(share: str, warm: Model) -> None:
    async def failing(model: Session, question: Question, tools: Any = None) -> Reply:
        if share == "all" or not question.prompt.startswith("0"):
            raise RuntimeError("nothing works")
        return Reply("1")

    with pytest.raises(SolverError, match=r"(24|18) .*rollouts of step 0 failed; the first: solver: RuntimeError: nothing works"):
        run(warm, replace(SMALL, solver=failing))


def test_an_over_long_prompt_is_the_users_error(warm: Model) -> None:
    class Long(Sums):
        def problem(self, index: int, *args: Any, **spec: Any) -> Any:
            return replace(super().problem(index), question=Question("1" * 500))

    with pytest.raises(PromptTooLong, match="501 tokens, the model's context holds 160"):
        run(warm, SMALL, task=Long())


def test_a_rollout_that_outgrows_the_context_is_cut_off(warm: Model) -> None:
    """Because of what it wrote itself, so it scores 0 and the run goes on; what it wrote is still learnt from."""

    async def outgrowing(model: Session, question: Question, tools: Any = None) -> Reply:
        context = model.context(question)
        for _ in range(5 if question.prompt.startswith("0") else 1):
            turn = await model.ask(context)
            context = context + turn + "1" * 70
        return Reply.of(turn)

    metrics, learning = run(warm, replace(SMALL, steps=1, solver=outgrowing))
    long = [r for r in learning.rollouts if r.index == 0]
    assert {len(r.turns) for r in long} == {3}
    assert all(r.error is None and r.reply is not None and r.reply.truncated and r.verdict is not None for r in long)
    assert long[0].reply is not None
    assert long[0].reply.text == "".join(t.text for t in long[0].turns)
    assert metrics[0]["truncated"] >= 6 / 24
    assert metrics[0]["errors"] == 0


def test_unverified_rollouts_are_no_zeros(warm: Model) -> None:
    stage = replace(SMALL, source="demonstrations", losses=(losses.cross_entropy(),))
    with pytest.raises(RewardError, match=r"'correct' raised ValueError: problem 0\+0 has no verdict .*: use reward=NOTHING"):
        run(warm, stage)


def test_unknown_sources_and_styles_are_named(warm: Model) -> None:
    with pytest.raises(BadConfig, match="unknown source 'web'; choose task, demonstrations"):
        run(warm, replace(SMALL, source="web"))
    with pytest.raises(BadConfig, match="the task 'sums' has no style 'loud'; it has direct, spoken"):
        run(warm, replace(SMALL, source="demonstrations", styles={"loud": 1.0}))
    with pytest.raises(BadConfig, match="replays 'rl', which holds no rollouts"):
        run(warm, replace(SMALL, name="replay", source=("stage", "rl")))


def test_a_gradient_that_is_no_number_changes_nothing(warm: Model) -> None:
    term = lambda p, rows: p.logp * float("nan")
    loss = losses.Loss("odd", lambda b: b.sampled * 1.0, term)
    metrics, learning = run(warm, replace(SMALL, losses=(loss,)))
    assert [m["skipped"] for m in metrics] == [1.0] * 3
    assert weights_of(learning.model) == weights_of(warm)
