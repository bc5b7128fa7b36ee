"""SFT: learn to write what demonstrations write.

Paper    The standard next-token objective; no paper of its own.
Problem  A model that never writes a worked reply has nothing that a reward could strengthen.
New      Nothing: rollouts in which nothing is sampled, under cross-entropy.
Differs  Muon for the matrices, because it needs a third of the steps on small models.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning.recipe import Recipe, Setting, default, imitation

CARD = Card(id="sft", family="baselines", title="Supervised fine-tuning", changes=("source", "losses", "reward", "optimizer"))


def recipe(setting: Setting) -> Recipe:
    """The task's demonstrations, all styles alike but those it marks as corrupted."""
    (base,) = default(setting).flat()
    styles = {s: 1.0 for s in setting.task.styles if s != "corrupted"}
    return Recipe((imitation(3 * base.steps, styles, shards=base.shards),))
