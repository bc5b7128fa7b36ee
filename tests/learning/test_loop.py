"""The loop is a function of seed and recipe, reports failures as failures, and learns; a swallowed error would look like a model that cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import Sums, start_of, weights_of
from thinkery.core.errors import BadConfig, PromptTooLong, RewardError, SolverError
from thinkery.core.records import Question, Reply, Rollout, Verdict
from thinkery.engines.session import Session
from thinkery.learning import advantages, losses, rewards, select
from thinkery.learning.curriculum import Curriculum, in_order
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Probe, Recipe, Repeat, Setting, Stage
from thinkery.learning.signals import logprobs_of
from thinkery.models.model import Model

SMALL = Stage(steps=3, problems=4, samples=6, shards=4, max_tokens=6, optimizer=Optimizer(lr=1e-3))


def run(
    model: Model, *stages: Stage | Repeat, seed: int = 0, task: Any = None, workers: int = 1
) -> tuple[list[dict[str, float]], Learning]:
    """All metrics of a run on a copy of the model."""
    learning = Learning(Recipe(stages), Setting(task or Sums(), seed=seed), start_of(model), workers)
    metrics = []
    while not learning.done:
        metrics.append(learning.step())
    return metrics, learning


# ---- determinism


def test_same_seed_same_metrics_and_weights(warm: Model) -> None:
    (a, x), (b, y) = run(warm, SMALL), run(warm, SMALL)
    assert a == b
    assert weights_of(x.model) == weights_of(y.model) != weights_of(warm)
    other, _ = run(warm, SMALL, seed=1)
    assert other != a
    assert all(m["trained_tokens"] > 0 for m in a)


def test_old_policy_is_the_sampled_one_to_the_bit(warm: Model) -> None:
    metrics, _ = run(warm, replace(SMALL, temperature=0.85))
    assert [m["drift"] for m in metrics] == [0.0] * 3


def test_cells_change_rounding_only(warm: Model) -> None:
    (_, one), (_, many) = run(warm, SMALL), run(warm, replace(SMALL, cells=7))
    for p, q in zip(one.model.decoder.parameters(), many.model.decoder.parameters()):
        assert (p - q).abs().max() < 1e-4


def test_probes_change_nothing(warm: Model) -> None:
    plain, x = run(warm, SMALL)
    probed, y = run(warm, replace(SMALL, probes=(Probe(2, 5),)))
    assert weights_of(x.model) == weights_of(y.model)
    assert [{k: v for k, v in m.items() if not k.startswith("probe")} for m in probed] == plain
    assert ["probe/0" in m for m in probed] == [False, True, False]
    assert 0 <= probed[1]["probe/0"] <= 1
    assert probed[1]["probe_tokens"] > 0


async def abandoning(model: Session, question: Question, tools: Any = None) -> Reply:
    """Waits for one ask of two; how far the other one comes must not depend on who else is sampling."""
    model.branch(1).ask(question, 6, stop=("never",))
    return Reply.of(await model.branch(0).ask(question, 1))


def test_abandoned_asks_leave_the_same_record_in_any_company(warm: Model) -> None:
    """The second problem's solver runs long after the first one's is done."""

    async def uneven(model: Session, question: Question, tools: Any = None) -> Reply:
        if question.prompt.startswith("0"):
            return await abandoning(model, question)
        return Reply.of(await model.ask(question, 12, stop=("never",)))

    def turns(problems: int) -> list[list[tuple[int, ...]]]:
        _, learning = run(warm, replace(SMALL, steps=1, problems=problems, shards=1, solver=uneven))
        return [[t.ids for t in r.turns] for r in learning.rollouts if r.index == 0]

    assert turns(1) == turns(5)
    assert max(len(t) for t in turns(1)) <= 2


# ---- stages


def stages_seen(learning: Learning) -> list[str]:
    seen = []
    while not learning.done:
        seen.append(learning.stage.name)
        learning.step()
    return seen


def test_stages_and_rounds_in_order(warm: Model) -> None:
    a, b, c = (replace(SMALL, name=n, steps=s, problems=1, samples=2) for n, s in (("a", 2), ("b", 1), ("c", 1)))
    learning = Learning(Recipe((a, Repeat((b, c), 3), a)), Setting(Sums()), start_of(warm))
    assert learning.steps == 10
    assert stages_seen(learning) == ["a", "a", "b", "c", "b", "c", "b", "c", "a", "a"]


def test_a_repeat_ends_when_told(warm: Model) -> None:
    seen: list[float] = []

    def enough(metrics: Any) -> bool:
        seen.append(metrics["tokens"])
        return len(seen) == 2

    learning = Learning(Recipe((Repeat((replace(SMALL, steps=1, problems=1),), 9, enough), SMALL)), Setting(Sums()), start_of(warm))
    assert len(stages_seen(learning)) == 2 + SMALL.steps
    assert seen[0] > 0


def test_the_reference_is_the_policy_as_its_stage_began(warm: Model) -> None:
    """The KL to it is 0 in the first step of every stage, and only there."""
    stage = replace(
        SMALL,
        steps=2,
        losses=(losses.policy_gradient(), losses.kl_penalty(0.1)),
        signals={"ref": logprobs_of("reference")},
        advantage=advantages.raw,
    )
    metrics, _ = run(warm, stage, replace(stage, name="again"))
    kl = [m["loss/kl"] for m in metrics]
    assert abs(kl[0]) < 1e-9
    assert abs(kl[2]) < 1e-9
    assert kl[1] > 1e-6
    assert kl[3] > 1e-6


def test_replay_of_a_stage(warm: Model) -> None:
    """STaR in two stages: collect and keep what was right, then learn it as text."""
    collect = replace(SMALL, name="collect", steps=2, select=select.solved, losses=(losses.entropy_bonus(0.0),), advantage=advantages.raw)
    imitate = replace(
        SMALL, name="imitate", steps=3, samples=1, source=("stage", "collect"), reward=rewards.NOTHING, losses=(losses.cross_entropy(),)
    )
    metrics, learning = run(warm, collect, imitate)
    assert weights_of(learning.model) != weights_of(warm)
    assert all(m["loss/sft"] > 0 and m["tokens"] == 0 for m in metrics[2:])
    assert all(t.forced for r in learning.rollouts for t in r.turns)
    texts = [r.turns[0].text for r in learning.rollouts]
    assert texts == [r.problem.answer for r in learning.rollouts]


# ---- selection and curricula


def test_selecting_mixed_groups_leaves_out_the_others(warm: Model) -> None:
    plain, x = run(warm, replace(SMALL, steps=1))
    chosen, y = run(warm, replace(SMALL, steps=1, select=select.mixed))
    scores = {r.index: {q.rewards["correct"] for q in x.rollouts if q.index == r.index} for r in x.rollouts}
    mixed = [i for i, s in scores.items() if len(s) > 1]
    assert 0 < len(mixed) < 4
    assert chosen[0]["mixed"] == 1.0
    assert plain[0]["mixed"] == len(mixed) / 4
    assert chosen[0]["accuracy"] == plain[0]["accuracy"], "what was collected is reported, not what was kept"
    assert chosen[0]["trained_tokens"] == sum(t.n for r in y.rollouts if r.index in mixed for t in r.turns)


def test_nothing_selected_is_an_idle_step(warm: Model) -> None:
    async def nothing(groups: Any) -> list[Rollout]:
        return []

    metrics, learning = run(warm, replace(SMALL, select=nothing))
    assert [m["idle"] for m in metrics] == [1.0] * 3
    assert weights_of(learning.model) == weights_of(warm)


def test_equal_rewards_are_an_idle_step(warm: Model) -> None:
    """Also where means round: the mean of seven times 0.1 is not 0.1 in floating point."""
    part = rewards.weighted(correct=0.0, constant=lambda rs: [0.1] * len(rs))
    for advantage in (advantages.group_mean, advantages.group_normalised, advantages.leave_one_out, advantages.batch_mean):
        metrics, learning = run(warm, replace(SMALL, steps=1, samples=7, reward=part, advantage=advantage))
        assert metrics[0]["idle"] == 1.0
        assert metrics[0]["mixed"] == 0.0
        assert weights_of(learning.model) == weights_of(warm)


def test_a_curriculum_sees_rollouts_and_keeps_state(warm: Model) -> None:
    shown: list[Any] = []

    def pick(state: dict[str, Any], step: int, n: int) -> list[tuple[int, dict[str, Any]]]:
        shown.append(dict(state))
        return [(state["level"] * 5 + i, {}) for i in range(n)]

    def update(state: dict[str, Any], step: int, rollouts: Sequence[Rollout]) -> dict[str, Any]:
        return {"level": state["level"] + 1, "last": max(r.index for r in rollouts)}

    _, learning = run(warm, replace(SMALL, problems=2, curriculum=Curriculum(lambda: {"level": 0}, pick, update)))
    assert shown == [{"level": 0}, {"level": 1, "last": 1}, {"level": 2, "last": 6}]
    assert learning.state.curricula == {"0.0": {"level": 3, "last": 11}}


def test_problems_in_order_are_met_once(warm: Model) -> None:
    learning = Learning(Recipe((replace(SMALL, curriculum=in_order()),)), Setting(Sums()), start_of(warm))
    met = []
    while not learning.done:
        learning.step()
        met += sorted({r.index for r in learning.rollouts})
    assert met == list(range(12))


# ---- failures are failures


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


def test_bfloat16_learns_almost_the_same(warm: Model) -> None:
    """Float32 masters, bfloat16 compute: another decode plan, plain torch operations, gradients in float32."""
    half = start_of(warm)
    half.decoder.compute = torch.bfloat16
    learning = Learning(Recipe((replace(SMALL, samples=16),)), Setting(Sums()), half)
    metrics = [learning.step() for _ in range(3)]
    exact, _ = run(warm, replace(SMALL, samples=16))
    assert all(p.dtype == torch.float32 for p in half.decoder.parameters())
    assert 0 < metrics[0]["drift"] < 0.02
    assert abs(metrics[0]["entropy"] - exact[0]["entropy"]) < 0.1
    assert weights_of(half) != weights_of(warm)


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


# ---- demonstrations


def test_demonstrations_follow_their_shares(warm: Model) -> None:
    stage = Stage(
        name="sft", steps=1, problems=200, samples=1, source="demonstrations", styles={"direct": 0.7, "spoken": 0.3},
        reward=rewards.NOTHING, losses=(losses.cross_entropy(),), curriculum=Curriculum(lambda: {}, lambda s, t, n: [(i, {}) for i in range(n)]),
    )  # fmt: skip
    metrics, learning = run(warm, stage)
    spoken = sum(r.turns[0].text.startswith("is ") for r in learning.rollouts)
    assert 35 < spoken < 90
    assert metrics[0]["tokens"] == 0
    assert all(t.forced and t.weight is not None and t.weight.tolist() == [1.0] * t.n for r in learning.rollouts for t in r.turns)


def test_several_updates_from_one_collection(warm: Model) -> None:
    """Two epochs of two minibatches are four updates."""
    stage = replace(SMALL, steps=1, epochs=2, minibatches=2, losses=(losses.clipped(),), advantage=advantages.raw)
    learning = Learning(Recipe((stage,)), Setting(Sums()), start_of(warm))
    before = learning.model.decoder.version
    learning.step()
    assert learning.model.decoder.version == before + 4
