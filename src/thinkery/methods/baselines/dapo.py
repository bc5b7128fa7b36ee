"""DAPO: GRPO with a higher ceiling, full batches of mixed groups, tokens that count alike, and soft punishment of length.

Paper    Yu et al. 2025, "DAPO: an open-source LLM reinforcement learning system at scale" (arXiv:2503.14476), section 3.
Problem  Entropy collapses, as unlikely tokens can hardly rise; groups all right or all wrong leave little of a batch; cut-off replies add noise.
New      Clip-higher, dynamic sampling (`mixed` groups, and further problems until the step is full), `Overlong`; tokens count alike by default.
Differs  At most `REFILL` further collections a step instead of no bound. One update a collection by default; the paper has 16.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import advantages, losses, rewards, select
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="dapo",
    family="baselines",
    title="Decoupled clip and dynamic sampling policy optimization",
    year=2025,
    paper="arXiv:2503.14476",
    changes=("advantage", "losses", "reward", "select", "refill"),
)

LOW, HIGH = 0.2, 0.28
REFILL = 3
MARGIN = 0.2  # of the longest reply: 4096 of 20480 tokens in the paper


def recipe(setting: Setting) -> Recipe:
    limit = setting.longest
    return default(setting).rl(
        advantage=advantages.group_normalised,
        losses=(losses.clipped(LOW, HIGH),),
        reward=rewards.weighted(overlong=rewards.Overlong(limit, max(1, round(MARGIN * limit)))),
        select=select.Where((select.Differs(without=("overlong",)),)),
        refill=REFILL,
    )
