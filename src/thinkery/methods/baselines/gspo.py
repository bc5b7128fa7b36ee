"""GSPO: the ratio of whole replies instead of tokens.

Paper    Zheng et al. 2025, "Group sequence policy optimization" (arXiv:2507.18071), section 4.
Problem  A token's ratio is one draw of what it is to weigh: noise that adds up over long replies and breaks mixtures of experts.
New      `sequence_clipped`: one ratio for a rollout, the geometric mean over its tokens, clipped very near to 1.
Differs  One update a collection by default; the paper has 4.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import advantages, losses
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="gspo",
    family="baselines",
    title="Group sequence policy optimization",
    year=2025,
    paper="arXiv:2507.18071",
    changes=("advantage", "losses"),
)

LOW, HIGH = 3e-4, 4e-4


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(advantage=advantages.group_normalised, losses=(losses.sequence_clipped(LOW, HIGH),))
