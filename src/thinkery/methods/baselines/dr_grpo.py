"""Dr. GRPO: GRPO without the two divisions that bias it.

Paper    Liu et al. 2025, "Understanding R1-Zero-like training: a critical perspective" (arXiv:2503.20783), section 3.
Problem  Dividing by a reply's length lets long wrong replies off; dividing by the group's deviation favours problems nearly solved or failed.
New      A constant denominator, and the group's mean alone as baseline, which is the default.
Differs  Nothing.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import losses
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(id="dr_grpo", family="baselines", title="GRPO done right", year=2025, paper="arXiv:2503.20783", changes=("losses",))


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(losses=(losses.clipped(0.2, denominator=losses.at_most(setting.longest)),))
