"""OPD: a teacher grades every token that the student writes.

Paper    Agarwal et al. 2024, "On-policy distillation of language models" (arXiv:2306.13649); Lu et al. 2025, "On-policy distillation".
Problem  Imitating a teacher's texts never shows the student its own mistakes; a reward says one bit a reply.
New      `reverse_kl` to the teacher on the student's own samples, token by token; scores are not learnt from.
Differs  One sampled token stands for the whole vocabulary; `signals.exact_kl` has it all, at twice the passes. The teacher is `tiny` unless
         set (--set cast.teacher=FOLDER) and must have the student's tokenizer.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning import losses, signals
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="opd",
    family="baselines",
    title="On-policy distillation",
    year=2024,
    paper="arXiv:2306.13649",
    changes=("cast", "signals", "losses"),
)


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(
        cast={"teacher": "tiny"},
        signals={"teacher": signals.logprobs_of("teacher")},
        losses=(losses.reverse_kl("teacher"),),
    )
