"""TTRL: learn from the majority's answer where no answer is known.

Paper    Zuo et al. 2025, "TTRL: test-time reinforcement learning" (arXiv:2504.16084), section 2.
Problem  At test time there are problems and no labels.
New      `majority`: the answer that most samples of a problem gave is its label. Scores of verifiers are never read, only parsed answers.
Differs  Plain policy gradient; the paper's is grpo+ttrl. The same samples vote and learn (there 64 vote and 32 of them learn).
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import rewards
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="ttrl", family="baselines", title="Test-time reinforcement learning", year=2025, paper="arXiv:2504.16084", changes=("reward",)
)


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(reward=rewards.weighted(correct=0.0, majority=rewards.majority))
