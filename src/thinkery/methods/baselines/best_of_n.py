"""Best of n: sample several replies and keep the one that the model itself is surest of.

Paper    Adiwardana et al. 2020, "Towards a human-like open-domain chatbot" (arXiv:2001.09977), sample-and-rank.
Problem  One sample shows little of what a model can do; ranking several needs a scorer, and there may be no verifier.
New      Replies are ranked by the mean log-probability of their tokens. The solver does so when asked; the recipe imitates the best one.
Differs  The recipe is ours: what the solver finds with n samples is distilled into one (as Sessa et al. 2024, arXiv:2407.14622, do with rewards).
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import losses, select
from thinkery.learning.recipe import Recipe, Setting, default
from thinkery.solvers.best_of_n import best_of_n, confidence

CARD = Card(
    id="best_of_n",
    family="baselines",
    title="Best of n",
    year=2020,
    paper="arXiv:2001.09977",
    changes=("select", "losses"),
)

solver = best_of_n


def recipe(setting: Setting) -> Recipe:
    surest = select.Best(lambda rollout: confidence(rollout.turns))
    return default(setting).rl(select=surest, losses=(losses.likelihood(),))
