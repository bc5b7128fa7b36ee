"""ORPO: imitate the better reply and push the odds of the worse one down, without a reference.

Paper    Hong et al. 2024, "ORPO: monolithic preference optimization without reference model" (arXiv:2403.07691), eq. 6 and 7.
Problem  Fine-tuning on good replies raises the bad ones' likelihood too; DPO mends that at the price of a second model.
New      `odds_ratio` beside the likelihood of the better reply.
Differs  Pairs are sampled by the policy, each group's best and worst. For a file of saved rollouts change `source`: their scores rank them.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import pairs
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="orpo",
    family="baselines",
    title="Odds ratio preference optimization",
    year=2024,
    paper="arXiv:2403.07691",
    changes=("pair", "losses"),
)

SCALE = 0.1


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(pair=pairs.extremes, losses=(pairs.imitate_better(), pairs.odds_ratio(SCALE)))
