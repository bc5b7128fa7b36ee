"""DRQA: a model learns to say no more than a question needs by grading its own chains, of which those to many questions at once are short.

Paper    Yan et al. 2025, "DRQA: dynamic reasoning quota allocation for controlling overthinking in reasoning large language models"
         (arXiv:2508.17803).
Problem  Rewards or limits on length shorten hard questions' chains as well as easy ones'. Asked many questions at once, models already spend
         little on the easy and more on the hard; fine-tuning on such chains keeps the brevity, but loses accuracy on hard questions.
New      `told`: the model is rewarded for the label it gives to a chain, not for its own length: a for a right chain in company, b for a right
         one alone, c for a wrong one. The same weights then answer single questions (`recipe`). `preferring` goes on from there with the same
         chains as preferences, a over b over c.
Formula  R = 1 if the label is the chain's, 0 else; + 0.1 if a label can be read
         preferences: -log sigmoid(beta (d_better - d_worse)),  d = log policy - log reference of a chain after the single question
Setup    judged questions = 30000 (paper); labelled pairs = more than 50000 (paper).
Differs  Chains are the model's own at the time, most likely ones for grading and sampled ones for preferences; the paper has a set made once, by
         another model. What was cut off is no chain. Preferences are not in the paper. In the claim the start's demonstrations are brief in company
         by construction; `batch_effect` measures on any model whether its chains are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from thinkery.core.errors import BadConfig
from thinkery.core.records import Card, Rollout
from thinkery.engines.base import Engine
from thinkery.engines.session import Sampling
from thinkery.lab.claims import Claim, Gates, difference, less, more, not_worse, ratio
from thinkery.learning import advantages, losses, pairs, rewards, signals
from thinkery.learning.collect import Collector, Unit
from thinkery.learning.curriculum import in_order
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage, WarmStart, default
from thinkery.learning.select import Groups
from thinkery.solvers import single
from thinkery.solvers.batched import graded, in_company, recited
from thinkery.tasks.batched import CONCISE, VERBOSE, WRONG, Batched, Graded, Several
from thinkery.tasks.chain import Chain
from thinkery.tasks.mixture import Mixture

CARD = Card(
    id="drqa",
    number=33,
    family="objectives",
    title="Dynamic reasoning quota allocation",
    year=2025,
    paper="arXiv:2508.17803",
    changes=("solver", "curriculum", "select", "reward", "advantage", "losses"),
)

COMPANY = 2  # questions in one prompt
READ = 0.1  # for a label that can be read
WIDER = 4  # times more questions, with fewer samples of each: these grade the same chain, and are one pair
JUDGED = 0.5  # of the steps, before preferences
BETA = 0.1
PENALTY = 0.5
GENTLE = Optimizer(lr=1e-4)  # for imitation, which feeds on itself


# ---- labels


def label(rollout: Rollout, swapped: bool = False) -> str:
    """What the chain deserves. Length plays no part: a right one is named by what it came from."""
    assert rollout.reply is not None
    if rewards.correct([rollout])[0] < 1:
        return WRONG
    return CONCISE if rollout.reply.data["company"] != swapped else VERBOSE


def told(rollouts: Sequence[Rollout], swapped: bool = False) -> list[float]:
    """1 for the label that the chain deserves, 0 for another, for none, and for a chain that was cut off."""
    return [float(has_chain(r) and given(r) == label(r, swapped)) for r in rollouts]


def readable(rollouts: Sequence[Rollout]) -> list[float]:
    """1 for a label that can be read."""
    return [float(given(r) is not None) for r in rollouts]


def ranked(rollouts: Sequence[Rollout], swapped: bool = False) -> list[float]:
    """2, 1 and 0 for chains that deserve a, b and c; 0 for one that was cut off."""
    worth = {CONCISE: 2.0, VERBOSE: 1.0, WRONG: 0.0}
    return [worth[label(r, swapped)] if has_chain(r) else 0.0 for r in rollouts]


def given(rollout: Rollout) -> str | None:
    """The label that the policy gave."""
    return None if rollout.reply is None else rollout.reply.data.get("label")


def has_chain(rollout: Rollout) -> bool:
    """Whether a chain was drawn and came to its end."""
    return rollout.reply is not None and not rollout.reply.truncated and "company" in rollout.reply.data


def agreement(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """The share of labels that are right, of all finished chains and of those of each kind: a, b, and c in company and alone."""
    found: dict[str, list[float]] = {}
    for r, right in zip(rollouts, told(rollouts)):
        if has_chain(r) and r.reply is not None:
            deserved = label(r)
            kind = deserved if deserved != WRONG else f"{WRONG} in company" if r.reply.data["company"] else f"{WRONG} alone"
            for name in ("all", kind):
                found.setdefault(name, []).append(right)
    return {name: sum(values) / len(values) for name, values in sorted(found.items())}


async def finished(groups: Groups) -> list[Rollout]:
    """Rollouts with a chain that came to its end: what a limit shortened is not concise."""
    return [r for g in groups for r in g if has_chain(r)]


async def concise(groups: Groups) -> list[Rollout]:
    """Rollouts with a chain that deserves an a."""
    return [r for r in await finished(groups) if label(r) == CONCISE]


# ---- recipes


def grading(setting: Setting, swapped: bool = False) -> Stage:
    """Reinforcement of right labels for the policy's own chains. Raises BadConfig for a task without company."""
    if not isinstance(setting.task, Batched):
        raise BadConfig(
            f"drqa asks several questions in one prompt, and the task {setting.task.name!r} is not made for that; wrap it: Batched(task)"
        )
    (base,) = default(setting).flat()
    return replace(
        base,
        problems=WIDER * base.problems,
        samples=max(2, base.samples // WIDER),
        solver=graded,
        curriculum=in_order(batch=COMPANY),
        select=finished,
        reward=rewards.weighted(correct=0.0, told=partial(told, swapped=swapped), readable=(READ, readable)),
        advantage=advantages.group_normalised,
        losses=(losses.clipped(),),
    )


def recipe(setting: Setting) -> Recipe:
    """Grading alone, as published."""
    return Recipe((grading(setting),))


def preferring(setting: Setting, swapped: bool = False) -> Recipe:
    """Grading, then preferences between the same kinds of chains."""
    judge = grading(setting, swapped)
    early = max(1, round(JUDGED * judge.steps))
    prefer = replace(
        default(setting).flat()[0],
        steps=max(1, judge.steps - early),
        problems=judge.problems,
        samples=judge.samples,
        solver=recited,
        curriculum=judge.curriculum,
        select=finished,
        reward=rewards.weighted(correct=0.0, ranked=partial(ranked, swapped=swapped)),
        pair=pairs.extremes,
        losses=(pairs.preference(BETA),),
        signals={"ref": signals.logprobs_of("reference")},
    )
    return Recipe((replace(judge, name="judge", steps=early), prefer))


# ---- the claim's other arms


def untaught(setting: Setting) -> Recipe:
    """The start as it is: one step of which nothing is learnt."""
    return default(setting).rl(steps=1, select=nothing)


async def nothing(groups: Groups) -> list[Rollout]:
    """No rollout."""
    return []


def imitating(setting: Setting) -> Recipe:
    """Supervised fine-tuning on right chains in company."""
    (prefer,) = ungraded(setting).flat()
    return recipe(setting).rl(
        steps=prefer.steps,
        solver=recited,
        select=concise,
        reward=rewards.CORRECT,
        advantage=advantages.group_mean,
        losses=(losses.cross_entropy(),),
        optimizer=GENTLE,
    )


def brief(rollouts: Sequence[Rollout], room: int) -> list[float]:
    """The share of its room that a right reply leaves; 0 for a wrong one."""
    return [score * max(0.0, 1 - r.tokens / room) for r, score in zip(rollouts, rewards.correct(rollouts))]


def penalised(setting: Setting) -> Recipe:
    """Reinforcement of right answers that pays brevity directly."""
    reward = rewards.weighted(brief=(PENALTY, partial(brief, room=setting.longest)))
    return default(setting).rl(reward=reward, advantage=advantages.group_normalised, losses=(losses.clipped(),))


def ungraded(setting: Setting) -> Recipe:
    """Preferences alone."""
    return Recipe(preferring(setting).stages[1:])


def exchanged(setting: Setting) -> Recipe:
    """The same with the labels of right chains exchanged: what is said alone is the better."""
    return preferring(setting, swapped=True)


def shuffled(setting: Setting) -> Recipe:
    """Both stages with rewards that tell nothing."""
    return Recipe(tuple(replace(s, reward=rewards.shuffled(s.reward)) for s in preferring(setting).flat()))


# ---- what company does


def batch_effect(engine: Engine, task: Batched, m: int = COMPANY, problems: int = 64, seed: int = 0) -> dict[str, Mapping[str, float]]:
    """What m questions in one prompt do to a model's chains, greedy, on validation problems: for "all", and for "hard" and "easy" ones by the task's
    own bound, the mean tokens of a chain alone and in company, the accuracies, and the share of problems whose chains both came to their end, which
    the others are means over.
    """
    base = Collector(task, engine, single, Sampling(task.max_tokens, 0.0, stop=tuple(task.stop)), seed, "evaluate", "validation")
    units = [Unit(i, 0, {"batch": m}) for i in range(problems)]
    both = list(zip(base.collect(0, units), replace(base, solver=in_company).collect(0, units)))
    hard = lambda pair: pair[0].problem.difficulty >= task.hard
    parts = {"all": both, "easy": [p for p in both if not hard(p)], "hard": [p for p in both if hard(p)]}
    return {name: compared(engine, found) for name, found in parts.items() if found}


def compared(engine: Engine, both: Sequence[tuple[Rollout, Rollout]]) -> dict[str, float]:
    """Means over problems whose chain came to its end both times; without any only the share is given."""
    whole = [pair for pair in both if all(r.reply is not None and not r.reply.truncated for r in pair)]
    out = {"finished": len(whole) / len(both)}
    for name, column in zip(("alone", "company"), zip(*whole)):
        chains = [r.reply.text for r in column if r.reply is not None]
        out[f"tokens {name}"] = sum(len(engine.model.tokenizer.encode(c)) for c in chains) / len(whole)
        out[f"accuracy {name}"] = sum(rewards.correct(column)) / len(whole)
    return out


TASK = Batched(Chain(steps=(2, 4)), hard=4)
START = Mixture((TASK, Several(TASK, COMPANY), Graded(TASK)))

CLAIM = Claim(
    primary=less("tokens", "preferring", "untaught", by=ratio(0.75), why="the card's threshold; the paper saves 30 %"),
    secondary=(
        not_worse("accuracy", "preferring", "untaught", margin=0.01, why="the card: at most a point may be lost"),
        less("tokens", "grading", "untaught", by=ratio(0.75), why="the published form, without preferences"),
        more(
            "hard", "preferring", "imitating", by=difference(0.03), why="the card: fine-tuning loses at least 3 points on the hardest third"
        ),
    ),
    arms={
        "untaught": untaught,
        "imitating": imitating,
        "penalised": penalised,
        "grading": recipe,
        "preferring": preferring,
        "ungraded": ungraded,
        "exchanged": exchanged,
        "shuffled reward": shuffled,
    },
    baseline="untaught",
    method="preferring",
    must_move="exchanged",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(START, {"trace": 1.0}, steps=240)),
    gates=Gates(greedy=(0.2, 0.8)),  # what is shortened must be right often enough, or most chains in company are wrong ones
    paper="Over 30 % fewer tokens at equal or better accuracy.",
)
