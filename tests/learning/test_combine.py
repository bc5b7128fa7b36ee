"""Methods combine by the parts of their slots or clash aloud; a part that another one replaced in silence would make the name of a run a lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tests.support import Sums
from thinkery.core.errors import InputError
from thinkery.core.records import Rollout
from thinkery.learning import advantages, losses, pairs, rewards, select, signals
from thinkery.learning.batch import Batch
from thinkery.learning.losses import Loss
from thinkery.learning.recipe import Setting, Stage, combine, default

SETTING = Setting(Sums())


def join(**methods: dict[str, Any]) -> Stage:
    (stage,) = combine(SETTING, {name: default(SETTING).rl(**changes) for name, changes in methods.items()}).flat()
    return stage


def length(rollouts: Sequence[Rollout]) -> list[float]:
    return [float(r.tokens) for r in rollouts]


def turns(rollouts: Sequence[Rollout]) -> list[float]:
    return [float(len(r.turns)) for r in rollouts]


SHORT, BRIEF = {"reward": rewards.weighted(length=(-0.1, length))}, {"reward": rewards.weighted(turns=turns)}


def names(stage: Stage) -> list[tuple[str, float]]:
    return [(name, weight) for name, weight, _ in stage.reward.parts]


def test_reward_parts_add() -> None:
    assert names(join(a=SHORT, b=BRIEF)) == [("correct", 1.0), ("length", -0.1), ("turns", 1.0)]
    assert names(join(a=SHORT, b=SHORT)) == [("correct", 1.0), ("length", -0.1)]
    label = {"reward": rewards.weighted(correct=0.0, majority=rewards.majority)}
    assert names(join(a=label, b=SHORT)) == [("majority", 1.0), ("length", -0.1)], "what one takes out stays out"
    assert join(a={"reward": rewards.NOTHING}, b=SHORT).reward.verifies
    assert not join(a={"reward": rewards.NOTHING}, b={"samples": 4}).reward.verifies


def test_the_same_part_twice_clashes() -> None:
    with pytest.raises(InputError, match=r"a and b both change 'reward' \(length\); they cannot be combined"):
        join(a=SHORT, b={"reward": rewards.weighted(length=(-0.2, length))})
    with pytest.raises(InputError, match=r"a and b both change 'reward' \(length\)"):
        join(a=SHORT, b={"reward": rewards.weighted(length=(-0.1, turns))})
    with pytest.raises(InputError, match=r"a and b both change 'reward' \(correct\)"):
        join(a={"reward": rewards.weighted(correct=2.0)}, b={"reward": rewards.weighted(correct=0.0, turns=turns)})


def test_losses_add_by_name() -> None:
    clip = {"losses": (losses.clipped(0.2),)}
    kl = {"losses": (losses.policy_gradient(), losses.kl_penalty(0.1)), "signals": {"ref": signals.logprobs_of("reference")}}
    stage = join(a=clip, b=kl)
    assert [x.name for x in stage.losses] == ["policy", "kl"]
    assert stage.losses[0].term.__code__ is losses.clipped().term.__code__
    assert list(stage.signals) == ["ref"]
    with pytest.raises(InputError, match=r"a and b both change 'losses' \(policy\)"):
        join(a=clip, b={"losses": (losses.clipped_weight(4.0),)})
    with pytest.raises(InputError, match=r"b and c both change 'losses' \(kl\)"):
        join(a=clip, b=kl, c={"losses": (losses.policy_gradient(), losses.kl_penalty(0.2))})


@dataclass(frozen=True)
class Scaled:
    """Doubles, or whatever, what a loss weighs."""

    by: float

    def __call__(self, loss: Loss) -> Loss:
        return replace(loss, weight=lambda b: self.by * loss.weight(b))


def weight(stage: Stage) -> float:
    batch = Batch.scored(np.zeros(1), np.zeros(1, int))
    batch.advantage = np.ones(1)
    return float(stage.losses[0].weight(batch)[0, 0])


def test_what_is_put_around_a_loss_goes_around_anothers() -> None:
    around = lambda by: {"losses": (losses.wrapped(losses.policy_gradient(), Scaled(by)),)}
    clip = {"losses": (losses.clipped(0.2),)}
    for stage in (join(a=clip, b=around(2)), join(a=around(2), b=clip)):
        assert weight(stage) == 2
        assert stage.losses[0].term.__code__ is losses.clipped().term.__code__
    assert weight(join(a=around(2), b=around(3), c=clip)) == 6
    assert weight(join(a=around(2), b=around(2))) == 2, "the same change made twice is one"
    with pytest.raises(InputError, match="b changes the loss 'policy', which a has not"):
        join(a={"losses": (losses.likelihood(),)}, b=around(2))


def test_selections_of_whole_groups_join() -> None:
    large = lambda group: len(group) > 2
    stage = join(a={"select": select.mixed}, b={"select": select.Where((large,))})
    assert isinstance(stage.select, select.Where)
    assert stage.select.tests == (*select.mixed.tests, large)
    for one, other in ((select.mixed, select.solved), (select.solved, select.mixed)):
        with pytest.raises(InputError, match="a and b both change 'select'; they cannot be combined"):
            join(a={"select": one}, b={"select": other})
    assert join(a={"select": select.solved}, b={"select": select.solved}).select is select.solved


def test_mappings_and_heads_unite() -> None:
    stage = join(
        a={"heads": ("x",), "signals": {"ref": signals.logprobs_of("reference")}},
        b={"heads": ("y", "x"), "estimates": {"v": signals.head("x")}},
    )
    assert stage.heads == ("x", "y")
    assert (list(stage.signals), list(stage.estimates)) == (["ref"], ["v"])
    with pytest.raises(InputError, match=r"a and b both change 'cast' \(judge\)"):
        join(a={"cast": {"judge": "one"}}, b={"cast": {"judge": "two"}})


def test_an_advantage_that_nothing_reads_clashes() -> None:
    """The other method has no policy gradient, so the change would be lost."""
    with pytest.raises(InputError, match="b changes 'advantage', which only the loss 'policy' reads, and a takes that out"):
        join(a={"losses": (pairs.preference(0.1),), "pair": pairs.extremes}, b={"advantage": advantages.leave_one_out})
    alone = join(a={"losses": (pairs.preference(0.1),), "advantage": advantages.raw})
    assert alone.advantage is advantages.raw
