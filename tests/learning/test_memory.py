"""Rewards and combinations that learn: what they saw decides what they pay next, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.learning.test_loop import SMALL, run
from tests.support import weights_of
from thinkery.core.errors import BadConfig, RewardError
from thinkery.core.records import Rollout
from thinkery.learning import losses, rewards
from thinkery.learning.memory import Seen, State
from thinkery.learning.recipe import Combine, Probe
from thinkery.models.model import Model


def paid(rollouts: Sequence[Rollout], state: State) -> list[float]:
    return [float(state["steps"])] * len(rollouts)


def counted(state: State, seen: Seen) -> State:
    return {"steps": state["steps"] + 1, "seen": [*state["seen"], [seen.step, len(seen.rollouts), sorted(seen.probes)]]}


COUNT = rewards.Stateful(lambda: {"steps": 0, "seen": []}, paid, counted)
PROBES = (Probe(2, 3, name="monitor", samples=4, temperature=1.0, split="train"), Probe(3, 5))


def test_a_reward_pays_by_what_it_has_seen(warm: Model) -> None:
    metrics, learning = run(warm, replace(SMALL, reward=rewards.weighted(count=COUNT), probes=PROBES))
    assert [m["reward/count"] for m in metrics] == [0, 1, 2]
    seen = learning.state.memory["0.0"]["reward"]["count"]["seen"]
    assert seen == [[0, 24, []], [1, 24, ["monitor"]], [2, 24, ["greedy"]]]


def test_a_probe_samples_what_it_says(warm: Model) -> None:
    found: dict[str, list[tuple[int, int]]] = {}

    def keep(state: State, seen: Seen) -> State:
        found.update({k: [(r.index, r.k) for r in v] for k, v in seen.probes.items()})
        assert all(r.verdict is not None for v in seen.probes.values() for r in v)
        return state

    run(warm, replace(SMALL, reward=rewards.weighted(keep=rewards.Stateful(dict, lambda rs, state: [0.0] * len(rs), keep)), probes=PROBES))
    assert found == {"monitor": [(i, k) for i in range(3) for k in range(4)], "greedy": [(i, 0) for i in range(5)]}


def test_each_stage_begins_anew(warm: Model) -> None:
    stage = replace(SMALL, steps=2, reward=rewards.weighted(count=COUNT))
    metrics, _ = run(warm, stage, replace(stage, name="again"))
    assert [m["reward/count"] for m in metrics] == [0, 1, 0, 1]


def test_shuffled_it_keeps_its_memory(warm: Model) -> None:
    placebo = rewards.shuffled(rewards.weighted(count=COUNT))
    metrics, _ = run(warm, replace(SMALL, reward=placebo))
    assert [m["reward/count"] for m in metrics] == [0, 1, 2]


def test_two_probes_of_one_name_are_refused() -> None:
    with pytest.raises(BadConfig, match="same name"):
        replace(SMALL, probes=(Probe(2), Probe(3)))


def test_a_failing_update_has_the_name_of_its_part(warm: Model) -> None:
    def broken(state: State, seen: Seen) -> State:
        raise KeyError("length")

    with pytest.raises(RewardError, match="the update of the reward part 'bad' raised KeyError"):
        run(warm, replace(SMALL, reward=rewards.weighted(bad=rewards.Stateful(dict, lambda rs, state: [0.0] * len(rs), broken))))


# ---- combined gradients


TWO = replace(SMALL, losses=(losses.policy_gradient(), losses.entropy_bonus(0.1)))


def share(first: float, factor: float) -> Combine:
    """The second loss's gradient counts less from update to update."""

    def step(gradients: Any, state: State) -> tuple[Any, State]:
        return gradients["policy"] + state["share"] * gradients["entropy"], {"share": state["share"] * factor}

    return Combine(lambda: {"share": first}, step)


def test_a_combination_remembers_across_steps(warm: Model) -> None:
    _, learning = run(warm, replace(TWO, combine=share(1.0, 0.5)))
    assert learning.state.memory["0.0"]["combine"] == {"share": 0.125}
    _, twice = run(warm, replace(TWO, combine=share(1.0, 0.5), epochs=2))
    assert twice.state.memory["0.0"]["combine"] == {"share": 0.5**6}


def test_it_decides_the_update(warm: Model) -> None:
    weights = lambda combine: weights_of(run(warm, replace(TWO, combine=combine))[1].model)
    assert weights(share(1.0, 1.0)) == weights(lambda g: g["policy"] + 1.0 * g["entropy"])
    assert weights(share(1.0, 0.0)) != weights(share(1.0, 1.0))


@pytest.mark.parametrize("workers", [2])
def test_workers_change_nothing(warm: Model, workers: int) -> None:
    stage = replace(TWO, combine=share(1.0, 0.5), reward=rewards.weighted(count=COUNT), probes=PROBES)
    one, a = run(warm, stage)
    many, b = run(warm, stage, workers=workers)
    assert one == many
    assert weights_of(a.model) == weights_of(b.model)
    assert a.state.memory == b.state.memory
