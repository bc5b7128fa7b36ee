"""RAFT: keep the replies that were right and imitate them.

Paper    Dong et al. 2023, "RAFT: reward ranked finetuning" (arXiv:2304.06767); Xiong et al. 2025, "A minimalist approach" (arXiv:2504.11343).
Problem  Policy gradients have more moving parts than rejection sampling, and it is not clear what each of them adds.
New      Nothing but the order: sample, select what is `solved`, cross-entropy on the sampled tokens.
Differs  All right replies are kept (Xiong et al.), not the best one alone; samples are learnt from in the step that made them.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import losses, select
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="raft", family="baselines", title="Reward-ranked fine-tuning", year=2023, paper="arXiv:2304.06767", changes=("select", "losses")
)


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(select=select.solved, losses=(losses.likelihood(),))
