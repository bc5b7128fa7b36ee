"""LASER-D: a step of reward for right replies that are short enough, where what is enough follows the model's own replies.

Paper    Liu et al. 2025, "Learn to reason efficiently with adaptive length-based reward shaping" (arXiv:2505.15612).
Problem  Reinforcement for right answers lets replies grow; punishing length makes a model give up on what needs many steps.
New      `short`: a right reply earns 0.5 more if it is no longer than a target. Easy, medium and hard problems have targets of their own, set anew
         every 20 steps from sampled replies to a set that is only monitored: so short that of a group one right reply can still be expected.
         LASER (`fixed`) has one target for all; LASER-DE (`exploring`) also spares wrong replies that are long, but do not repeat themselves.
Formula  R = C + S,  C = 1 if right, else -0.5;  S = 0.5 if right and length <= target(d), else 0
         d = easy, medium or hard: accuracy of the prompt's group at least 2/3, at least 1/3, below
         target(d) = smallest l with floor(P_d(l) n_d) >= 1,  n_d = 5, 2, 1,  P_d(l) the share of monitored replies in d of length <= l
         DE:  S = 0.5 also if wrong, longer than the target and not repetitive
Setup    clip = 0.2 below, 0.28 above (repository); KL weight = 1e-3 (repository); entropy weight = 1e-3 (repository);
         temperature = 0.6 (repository); learning rate = 1e-6 (repository); batch = 128 (repository); group size = 8 (repository);
         monitored prompts = 500 (repository).
Differs  64 monitored prompts, the same share of all sampling as published. Lengths are compared as they are, not on a grid. Until the first
         monitoring, and for a difficulty that it met no prompt of, the target is the longest reply. There is no KL and no entropy term. A
         reply repeats itself if four tokens stand in it three times in the same order; the repository also looks at how far apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from thinkery.core.records import Card, Rollout
from thinkery.lab.claims import Claim, less, not_worse, ratio
from thinkery.learning import advantages, losses, rewards
from thinkery.learning.memory import Seen, State
from thinkery.learning.recipe import Probe, Recipe, Setting, WarmStart, default
from thinkery.tasks.chain import Chain
from thinkery.tasks.rechecked import Rechecked

CARD = Card(
    id="laser",
    number=73,
    family="objectives",
    title="Length-based adaptive step reward shaping",
    year=2025,
    paper="arXiv:2505.15612",
    changes=("reward", "advantage", "losses", "probes"),
)

WRONG = -0.5
BONUS = 0.5
LOW, HIGH = 0.2, 0.28
FIXED = 0.5  # of the longest reply
EVERY = 20  # steps from one monitoring to the next
MONITORED = 8  # replies to each prompt
BUCKETS = (("easy", 2 / 3, 5), ("medium", 1 / 3, 2), ("hard", 0.0, 1))  # least accuracy of a group; right replies to expect of MONITORED
GRAM, TIMES = 4, 3


def graded(rollouts: Sequence[Rollout], limit: float = float("inf")) -> list[float]:
    """1 for a right reply, -0.5 for a wrong one or one of more than `limit` sampled tokens; between for a score between."""
    return [WRONG + (1 - WRONG) * score * (r.tokens <= limit) for r, score in zip(rollouts, rewards.correct(rollouts))]


def short(rollouts: Sequence[Rollout], target: int) -> list[float]:
    """1 for a right reply of at most `target` sampled tokens, else 0."""
    return [score * (r.tokens <= target) for r, score in zip(rollouts, rewards.correct(rollouts))]


# ---- targets that follow the model


def difficulties(rollouts: Sequence[Rollout]) -> list[str]:
    """easy, medium or hard for each rollout, by the mean score of all rollouts of its problem."""
    groups: dict[int, list[float]] = {}
    for r, score in zip(rollouts, rewards.correct(rollouts)):
        groups.setdefault(r.index, []).append(score)
    return [next(name for name, least, _ in BUCKETS if sum(groups[r.index]) / len(groups[r.index]) >= least) for r in rollouts]


def covering(lengths: Sequence[int], expected: int) -> int:
    """The smallest of the lengths within which at least one of `expected` replies falls: floor(share of them * expected) >= 1."""
    return sorted(lengths)[-(-len(lengths) // expected) - 1]


def unaimed(longest: int) -> State:
    """The targets before anything was monitored."""
    return {name: longest for name, _, _ in BUCKETS}


def aimed(state: State, seen: Seen, longest: int) -> State:
    """Targets from the monitored replies, right or wrong, of this step; those there are, if it monitored nothing."""
    found = [r for r in seen.probes.get("monitor", ()) if r.verdict is not None]
    if not found:
        return state
    lengths: dict[str, list[int]] = {}
    for r, name in zip(found, difficulties(found)):
        lengths.setdefault(name, []).append(r.tokens)
    return {name: covering(lengths[name], expected) if name in lengths else longest for name, _, expected in BUCKETS}


def within(rollouts: Sequence[Rollout], state: State) -> list[float]:
    """1 for a right reply within the target of its problem's difficulty, else 0."""
    found = zip(rollouts, rewards.correct(rollouts), difficulties(rollouts))
    return [score * (r.tokens <= state[name]) for r, score, name in found]


def spared(rollouts: Sequence[Rollout], state: State) -> list[float]:
    """`within`, and 1 also for a wrong reply that is longer than its target and does not repeat itself (LASER-DE)."""
    found = zip(rollouts, rewards.correct(rollouts), difficulties(rollouts))
    return [score if r.tokens <= state[name] else (1 - score) * (not repetitive(r)) for r, score, name in found]


def repetitive(rollout: Rollout) -> bool:
    """Whether some GRAM sampled tokens stand in one of its turns TIMES times, in the same order."""
    turns = [t.ids for t in rollout.turns if not t.forced]
    grams = Counter(ids[i : i + GRAM] for ids in turns for i in range(len(ids) - GRAM + 1))
    return max(grams.values(), default=0) >= TIMES


Score = Callable[[Sequence[Rollout], State], list[float]]
Update = Callable[..., State]


def adaptive(setting: Setting, score: Score = within, update: Update = aimed) -> Recipe:
    """Reinforcement by `graded` and a part that is paid by targets, with the monitoring that sets them."""
    (base,) = default(setting).flat()
    part = rewards.Stateful(partial(unaimed, setting.longest), score, partial(update, longest=setting.longest))
    monitor = Probe(EVERY, name="monitor", samples=MONITORED, temperature=base.temperature, split="train")
    return shaped(setting, short=(BONUS, part)).rl(probes=(monitor,))


def shaped(setting: Setting, **parts: tuple[float, rewards.Part]) -> Recipe:
    """Reinforcement by `graded` and further parts."""
    return default(setting).rl(
        reward=rewards.weighted(correct=0.0, graded=graded, **parts),
        advantage=advantages.group_normalised,
        losses=(losses.clipped(LOW, HIGH),),
    )


def recipe(setting: Setting) -> Recipe:
    """LASER-D."""
    return adaptive(setting)


# ---- the claim's other arms, and the method's other forms


def exploring(setting: Setting) -> Recipe:
    """LASER-DE."""
    return adaptive(setting, score=spared)


def fixed(setting: Setting) -> Recipe:
    """LASER: one target for all problems and all steps."""
    return shaped(setting, short=(BONUS, partial(short, target=half(setting))))


def truncation(setting: Setting) -> Recipe:
    """A right reply that is longer than the fixed target is as bad as a wrong one."""
    return shaped(setting).rl(reward=rewards.weighted(correct=0.0, graded=partial(graded, limit=half(setting))))


def plain(setting: Setting) -> Recipe:
    """The same without a word on length."""
    return shaped(setting)


def once(state: State, seen: Seen, longest: int) -> State:
    """Targets from the first monitoring; later ones change nothing."""
    return aimed(state, seen, longest) if state == unaimed(longest) else state


def static(setting: Setting) -> Recipe:
    """Targets that do not follow the model."""
    return adaptive(setting, update=once)


def half(setting: Setting) -> int:
    """The fixed target, in tokens."""
    return max(1, round(FIXED * setting.longest))


TASK = Rechecked(Chain(steps=(2, 4)))

CLAIM = Claim(
    primary=less("tokens", "laser-d", "plain", by=ratio(0.5), why="the card's threshold; the paper saves 63 %"),
    secondary=(not_worse("accuracy", "laser-d", "plain", margin=0.03, why="the paper gains accuracy while it shortens"),),
    arms={"plain": plain, "truncation": truncation, "laser": fixed, "laser-d": recipe, "static": static},
    baseline="plain",
    method="laser-d",
    must_move="static",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(TASK, {"direct": 0.6, "trace": 0.4}, steps=1000)),
    config={"problems": 16, "lr": 1e-3},
    paper="+6.1 points on AIME 2024 with 63 % fewer tokens (LASER-D, 1.5B model).",
)
