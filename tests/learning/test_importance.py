"""What another engine drew is weighted by how likely the learner would have drawn it, and what has no probability is not learnt from."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.engines.vllm_stub import Vllm
from tests.learning import oracle
from tests.learning.test_gradient import distance, gradient, stage_of, step, truth
from tests.support import SOLVERS, Sums, model_of, rollouts_of, start_of
from thinkery.core.errors import InputError
from thinkery.engines.local import LocalEngine
from thinkery.learning import losses
from thinkery.learning.batch import build
from thinkery.learning.importance import check_known, corrected, truncated
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Repeat, Setting, Stage
from thinkery.models.model import Model


@pytest.mark.parametrize("by", [0.0, 0.02], ids=["first epoch", "second epoch"])
@pytest.mark.parametrize("cap", [0.9, 1.3])
def test_weighted_terms_equal_the_formula(by: float, cap: float) -> None:
    s = copy.copy(step("spoken"))
    noise = torch.Generator().manual_seed(0)
    off = 0.4 * torch.randn(s.batch.behaviour.shape, generator=noise).numpy()
    s.batch = copy.copy(s.batch)
    s.batch.behaviour = (s.batch.behaviour + off * s.batch.sampled).astype(np.float32)

    def formula(rs: list[oracle.Row]) -> torch.Tensor:
        parts = []
        for r in rs:
            behaviour = torch.tensor(s.batch.behaviour[r.place][: r.turn.n]).double()
            weight = torch.minimum((r.old.detach() - behaviour).exp(), torch.tensor(cap, dtype=torch.float64))
            parts.append((weight * r.advantage * (r.logp - r.old.detach()).exp() * oracle.sampled(r)).sum())
        return -torch.stack(parts).sum() / sum(r.turn.n for r in rs) + oracle.cross_entropy(rs)

    chosen = (truncated(losses.policy_gradient(), cap), truncated(losses.cross_entropy(), cap))
    want = truth(s, formula, by)
    assert distance(gradient(s.batch, stage_of(chosen), by)[0], want) < 1e-6  # behaviour is kept in float32
    plain = gradient(s.batch, stage_of((losses.policy_gradient(), losses.cross_entropy())), by)[0]
    assert distance(plain, want) > 1e-3


def test_drawn_by_the_learner_itself_nothing_changes() -> None:
    s = step("fork")
    plain, _ = gradient(s.batch, stage_of((losses.policy_gradient(),)))
    weighted, _ = gradient(s.batch, stage_of((truncated(losses.policy_gradient()),)))
    assert distance(weighted, plain) < 1e-5


def test_which_stages_are_corrected() -> None:
    sampled, said = Stage(name="rl"), Stage(name="sft", source="demonstrations", losses=(losses.cross_entropy(),))
    found = corrected(Recipe((said, Repeat((sampled, said), 2))))
    flat = found.flat()
    assert flat[0] == said
    assert flat[1].losses[0].term is not sampled.losses[0].term
    assert flat[1].losses[0].name == "policy"
    assert flat[2] == said


def test_what_has_no_probability_is_refused() -> None:
    engine = LocalEngine(model_of())
    rollouts = rollouts_of(engine, SOLVERS["tool_loop"], problems=2, samples=2)
    batch = build(rollouts, engine.tree)
    check_known(batch, rollouts)
    rollouts[2].turns[1]._logp = np.full(rollouts[2].turns[1].n, np.nan, np.float32)
    rollouts[2].turns[1].writer = ("chatty", 0)
    with pytest.raises(InputError, match="chatty gave no log-probabilities with what it wrote as 'policy'"):
        check_known(build(rollouts, engine.tree), rollouts)


def test_a_run_on_a_server(warm: Model) -> None:
    """Another engine draws, and has the learner's weights before each step: its log-probabilities agree with the learner's."""
    stage = Stage(steps=3, problems=8, samples=4)
    model, stub = start_of(warm), Vllm(warm)
    try:
        learning = Learning(corrected(Recipe((stage,))), Setting(Sums()), model, workers=2, engine=stub.url)
        drifts = []
        while not learning.done:
            drifts.append(learning.step()["drift"])
        learning.leave()
    finally:
        stub.close()
    assert max(drifts) < 1e-4
    assert model.decoder.version == warm.decoder.version + 3
    assert [b["method"] for b in stub.bodies("/collective_rpc")] == ["reload_weights"] * 3
