"""CISPO: clip the weight of a token, never its gradient.

Paper    MiniMax 2025, "MiniMax-M1" (arXiv:2506.13585), section 3.1.
Problem  Clipping the surrogate drops the rare tokens at which a reply turns ("however", "wait") after the first update.
New      `clipped_weight`: the ratio is cut off and detached, and weighs the log-probability of every token.
Differs  No lower bound, as in the paper; the upper one is not published there and is that of Khatri et al. 2025 (arXiv:2510.13786).
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import advantages, losses
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="cispo",
    family="baselines",
    title="Clipped importance-sampling policy optimization",
    year=2025,
    paper="arXiv:2506.13585",
    changes=("advantage", "losses"),
)

HIGH = 4.0  # weights up to 5


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(advantage=advantages.group_normalised, losses=(losses.clipped_weight(HIGH),))
