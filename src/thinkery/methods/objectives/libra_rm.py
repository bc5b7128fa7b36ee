"""Libra-RM: a reward model that reasons before it judges, taught by verifiable judging, and used where there are no labels.

Paper    Zhou et al. 2025, "Libra: assessing and improving reward model by learning to think" (arXiv:2507.21645).
Problem  A classifier of replies sees the answer at a glance; on hard questions a glance is not enough to tell right from wrong.
New      Whether a reply to a checkable question is right is itself checkable: the judge works the question anew, without the gold answer, and is
         rewarded when its verdict is the verifier's. First it imitates its own judgements that were right (`judge`), then it is reinforced.
         `unlabelled` puts a trained judge in the verifier's place: `approved` pays the share of its verdicts that call a reply right.
Formula  R = 1 if the verdict is the verifier's, 0 if it is not, -0.5 if none can be read
         score(question, reply) = share of k sampled verdicts that say "right"
Differs  Replies to judge are worked ones of the task's generator, right and near misses, not those of several reasoners; the form of a judgement is
         taught by warm start. The classifier head is replaced by the same model forced to answer at once. No other preference data is mixed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from thinkery.core.errors import BadConfig
from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, difference, more
from thinkery.learning import advantages, losses, rewards, select
from thinkery.learning.recipe import Recipe, Setting, WarmStart, default
from thinkery.solvers.judged import blunt, judged
from thinkery.tasks.addition import Addition
from thinkery.tasks.judging import Judging

CARD = Card(
    id="libra_rm",
    number=50,
    family="objectives",
    title="A reward model that learns to think",
    year=2025,
    paper="arXiv:2507.21645",
    changes=("select", "losses", "advantage"),
)

IMITATED = 0.5  # of the steps, before reinforcement
UNREAD = -0.5


def approved(rollouts: Sequence[Rollout]) -> list[float]:
    """The share of the judge's verdicts that call the reply right; 0 for one that was cut off, a half where no verdict can be read."""
    said = [None if r.reply is None else r.reply.data.get("judged") for r in rollouts]
    return [0.0 if r.reply is None or r.reply.truncated else 0.5 if s is None else s for r, s in zip(rollouts, said)]


def unread(rollouts: Sequence[Rollout]) -> list[float]:
    """1 for a judgement without a readable verdict."""
    return [float(r.verdict is None or r.verdict.parsed is None) for r in rollouts]


def recipe(setting: Setting) -> Recipe:
    """Rejection sampling of judgements, then reinforcement. Raises BadConfig for a task that is not one of judging."""
    if not isinstance(setting.task, Judging):
        raise BadConfig(f"libra_rm teaches to judge, and the task {setting.task.name!r} is no task of judging; wrap it: Judging(task)")
    (base,) = default(setting).flat()
    early = max(1, round(IMITATED * base.steps))
    imitate = replace(base, name="imitate", steps=early, select=select.solved, losses=(losses.likelihood(),))
    return Recipe((imitate, *reinforced(setting).flat()))


def reinforced(setting: Setting) -> Recipe:
    """Reinforcement of right verdicts, with a fine for those that cannot be read."""
    (base,) = default(setting).flat()
    stage = default(setting).rl(
        steps=max(1, base.steps - round(IMITATED * base.steps)),
        reward=rewards.weighted(correct=1.0, unread=(UNREAD, unread)),
        advantage=advantages.group_normalised,
        losses=(losses.clipped(),),
    )
    return stage


def unlabelled(setting: Setting, judge: str) -> Recipe:
    """Reinforcement by a trained judge, a model folder, in the verifier's place."""
    return default(setting).rl(
        solver=judged,
        cast={"judge": judge},
        reward=rewards.Reward((("approved", 1.0, approved),), verifies=False),
        advantage=advantages.group_normalised,
    )


# ---- the claim's other arms


def glance(setting: Setting) -> Recipe:
    """The same, but the verdict is given at once."""
    return Recipe(tuple(replace(s, solver=blunt) for s in recipe(setting).flat()))


def imitation(setting: Setting) -> Recipe:
    """Rejection sampling to the end."""
    imitate, _ = recipe(setting).flat()
    return Recipe((imitate, replace(imitate, name="rl", steps=default(setting).flat()[0].steps - imitate.steps)))


TASK = Judging(Addition(digits=(2, 2)))

CLAIM = Claim(
    primary=more(
        "accuracy", "libra_rm", "at a glance", by=difference(0.08), why="the card's threshold; the paper has 9 points at the least"
    ),
    secondary=(more("accuracy", "libra_rm", "imitation alone", by=difference(0.02), why="reinforcement must add to rejection sampling"),),
    arms={"at a glance": glance, "imitation alone": imitation, "libra_rm": recipe},
    baseline="at a glance",
    method="libra_rm",
    must_move="at a glance",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(TASK, {"trace": 0.85, "direct": 0.15}, steps=1000)),
    config={"problems": 32, "lr": 1e-3},
    paper="On Libra Bench thinking judges 73.7 to 78.7 %, others 55.1 to 69.1 %.",
)
