"""REINFORCE++: no critic and no groups; returns with a KL penalty, normalised over the whole step.

Paper    Hu et al. 2025, "REINFORCE++" (arXiv:2501.03262), section 3.
Problem  Normalising within a small group is biased, and overfits easy prompts.
New      `penalised_returns`: each token loses beta * (log policy - log reference); what is left to come is whitened over the step's tokens.
Differs  The reference is the policy as the stage began. The default number of samples a problem stays; the paper's need no group.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import critic, losses, signals
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="reinforce_pp",
    family="baselines",
    title="REINFORCE++ with global advantage normalisation",
    year=2025,
    paper="arXiv:2501.03262",
    changes=("advantage", "losses", "estimates"),
)

BETA = 0.01


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(
        advantage=critic.penalised_returns(BETA), losses=(losses.clipped(0.2),), estimates={"ref": signals.logprobs_of("reference")}
    )
