"""DPO: prefer the better of two replies, with no reward in the loss.

Paper    Rafailov et al. 2023, "Direct preference optimization" (arXiv:2305.18290), eq. 7; on-policy pairs: Guo et al. 2024 (arXiv:2402.04792).
Problem  A reward model and reinforcement are much machinery, where the preference itself has a closed form.
New      `preference` over pairs: each group's best and worst sample.
Differs  Pairs are sampled by the policy and ranked by the reward. For a file of saved rollouts change `source`: their scores rank them.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import pairs, signals
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="dpo",
    family="baselines",
    title="Direct preference optimization",
    year=2023,
    paper="arXiv:2305.18290",
    changes=("pair", "losses", "signals"),
)

BETA = 0.1


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(pair=pairs.extremes, losses=(pairs.preference(BETA),), signals={"ref": signals.logprobs_of("reference")})
