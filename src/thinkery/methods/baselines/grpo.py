"""GRPO: the group's mean as baseline, its deviation as scale, a clipped ratio.

Paper    Shao et al. 2024, "DeepSeekMath" (arXiv:2402.03300), section 4.1.
Problem  A critic costs as much as the policy; the other samples of the same problem tell what to expect.
New      `group_normalised` (eq. for A-hat, outcome supervision) and the clipped surrogate; the rest is the default recipe.
Formula  A_i = (R_i - mean(R)) / std(R) over the samples of a problem
         L = -min(rho A, clip(rho, 1 - 0.2, 1 + 0.2) A),  rho = pi(token) / pi_old(token)
Differs  The loss is a mean over the step's tokens, not over each reply first. No KL term (beta = 0).
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import advantages, losses
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="grpo",
    family="baselines",
    title="Group relative policy optimization",
    year=2024,
    paper="arXiv:2402.03300",
    changes=("advantage", "losses"),
)


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(advantage=advantages.group_normalised, losses=(losses.clipped(0.2),))
