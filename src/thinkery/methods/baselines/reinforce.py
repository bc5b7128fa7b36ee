"""REINFORCE: push each reply by its reward, less the step's mean.

Paper    Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement learning".
Problem  A verifier's score has no gradient; the log-probability of what was sampled has.
New      `batch_mean`: one baseline for the whole step, so easy problems are pushed up and hard ones down.
Differs  Nothing.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import advantages
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(id="reinforce", family="baselines", title="REINFORCE with a batch baseline", year=1992, changes=("advantage",))


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(advantage=advantages.batch_mean)
