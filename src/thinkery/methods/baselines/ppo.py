"""PPO: a critic says at every token what to expect.

Paper    Schulman et al. 2017, "Proximal policy optimization" (arXiv:1707.06347); for language models Ouyang et al. 2022 (arXiv:2203.02155).
Problem  One reward for a whole reply does not say which token earned it.
New      A value head on the policy's hidden states, generalised advantages over all tokens of a rollout, whitened; clipped losses of both.
Differs  The critic shares the policy's body. No KL to a reference: a verifier cannot be gamed as a learnt reward can.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import critic, losses, signals
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="ppo",
    family="baselines",
    title="Proximal policy optimization",
    year=2017,
    paper="arXiv:1707.06347",
    changes=("heads", "estimates", "advantage", "losses", "epochs"),
)

GAMMA, LAMBDA = 1.0, 0.95
CLIP, VALUE_CLIP, VALUE_SCALE = 0.2, 0.2, 0.1


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(
        heads=("value",),
        estimates={"value_before": signals.head("value")},
        advantage=critic.gae("value", GAMMA, LAMBDA),
        losses=(losses.clipped(CLIP), losses.clipped_value("value", VALUE_SCALE, VALUE_CLIP)),
        epochs=2,
    )
