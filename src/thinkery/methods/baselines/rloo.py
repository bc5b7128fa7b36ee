"""RLOO: the mean of the group's other samples as baseline.

Paper    Ahmadian et al. 2024, "Back to Basics" (arXiv:2402.14740), section 3.3; Kool et al. 2019.
Problem  A baseline that contains the sample itself is biased towards it.
New      `leave_one_out`; the rest is the default recipe.
Differs  Nothing.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import advantages
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(id="rloo", family="baselines", title="REINFORCE leave-one-out", year=2024, paper="arXiv:2402.14740", changes=("advantage",))


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(advantage=advantages.leave_one_out)
