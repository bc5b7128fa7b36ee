"""Noisy rewards: learning survives rewards that are often wrong, as long as they are right more often than not.

Paper    Lv et al. 2025, "The climb carves wisdom deeper than the summit: on the noisy rewards in learning to reason" (arXiv:2505.22653).
Problem  Real rewards err. Whether reinforcement bears that, and what a reward for the mere look of reasoning is worth, is seldom measured.
New      `Flipped` turns the reward of a question round with probability p, for all its samples alike; `Pattern` pays for phrases of reasoning,
         right or wrong; `Calibrated` adds it where a reward model is below its threshold, and so forgives false negatives alone.
Formula  flipped: r' = 1 - r with probability p, one coin a question; a reply without an answer keeps its 0
         pattern: clip(min(1, hits / enough) - repeated share - breaks, 0, 1), 0 without an answer
         calibrated: rm + alpha pattern if rm < tau, else rm
Setup    noise p = 0, 0.1, ..., 0.5 (repository); samples = 4 (repository); algorithm = PPO with a critic (repository); learning
         rate = 1e-6, critic 5e-6 (repository); critic warm-up = 20 steps (repository); batch = 128 (repository); KL weight = 0 (repository);
         tau = 0.5 (paper); alpha = 0.1 (paper).
Differs  GRPO without division by the deviation in place of PPO with a critic. The phrases are of our own choosing for English, and for the tiny
         model the marks of a worked sum, so many of which make up a whole one. The reward model is the verifier, wrong with a set probability for each
         pair of question and answer, not a trained one. A coin for a whole question turns round its whole advantage, so the expected
         gradient shrinks to 1 - 2p of itself: all arms have the same large batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thinkery.core.records import Card, Rollout
from thinkery.core.rng import rng
from thinkery.lab.claims import Claim, more, ratio
from thinkery.learning import rewards
from thinkery.learning.recipe import Recipe, Setting, WarmStart, default
from thinkery.tasks.addition import Addition

CARD = Card(
    id="noisy_rewards",
    number=12,
    family="objectives",
    title="Noisy rewards in learning to reason",
    year=2025,
    paper="arXiv:2505.22653",
    changes=("reward",),
)

P = 0.4
TAU, ALPHA = 0.5, 0.1
PHRASES = (
    "first", "second", "then", "next", "because", "since", "so ", "thus", "hence", "therefore", "wait", "but ", "however", "let me",
    "we need", "check", "suppose", "if ", "finally", "in total",
)  # fmt: skip
WORKED = ("+", ":", ",")  # marks of a worked sum of the house: of its form, not of what it says
STRANGE = ("~", "|", ";")  # marks that tell nothing
BREAK = "user: "  # a reply that goes on with somebody else's turn


@dataclass(frozen=True)
class Flipped:
    """1 - r with probability `p`, one coin for all samples of a question in a step, or, with `by_sample`, one for each."""

    p: float
    by_sample: bool = False

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float]:
        scores = rewards.correct(rollouts)
        return [1 - score if read(r) and self.coin(r) else score for r, score in zip(rollouts, scores)]

    def coin(self, r: Rollout) -> bool:
        """Whether this reward is turned round."""
        return rng("flipped", r.step, r.problem.id, *([r.k] if self.by_sample else [])).random() < self.p


def read(r: Rollout) -> bool:
    """Whether an answer could be read."""
    return r.verdict is not None and r.verdict.parsed is not None


@dataclass(frozen=True)
class Pattern:
    """How much a reply looks like reasoning, in [0, 1]: different phrases found, `enough` of them for 1, less what repeats, less breaks."""

    phrases: tuple[str, ...] = PHRASES
    enough: int = 10
    gram: int = 20

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float]:
        return [self.look(r.reply.text) if r.reply is not None and read(r) else 0.0 for r in rollouts]

    def look(self, text: str) -> float:
        """Of one text."""
        lower = text.lower()
        hits = sum(phrase in lower for phrase in self.phrases)
        return min(1.0, max(0.0, min(1.0, hits / self.enough) - repeated(lower.split(), self.gram) - lower.count(BREAK)))


def repeated(words: Sequence[str], gram: int) -> float:
    """The share of runs of `gram` words that were there before."""
    runs = [tuple(words[i : i + gram]) for i in range(len(words) - gram + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


@dataclass(frozen=True)
class Erring:
    """A reward model of set accuracy: the verifier's score, turned round for a share of all pairs of question and answer, always the same ones."""

    accuracy: float

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float]:
        said = ["" if r.verdict is None or r.verdict.parsed is None else r.verdict.parsed for r in rollouts]
        wrong = [rng("erring", r.problem.id, text).random() >= self.accuracy for r, text in zip(rollouts, said)]
        return [1 - score if w else score for w, score in zip(wrong, rewards.correct(rollouts))]


@dataclass(frozen=True)
class Calibrated:
    """`model` + alpha * `pattern` where the model's score is below tau; scores from there on are left alone."""

    model: Callable[[Sequence[Rollout]], Sequence[float]]
    pattern: Callable[[Sequence[Rollout]], Sequence[float]]
    tau: float = TAU
    alpha: float = ALPHA

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float]:
        return [m + self.alpha * look if m < self.tau else m for m, look in zip(self.model(rollouts), self.pattern(rollouts))]


def paid(setting: Setting, part: Callable[[Sequence[Rollout]], Sequence[float]]) -> Recipe:
    """The default recipe with another reward in the verifier's place."""
    return default(setting).rl(reward=rewards.weighted(correct=0.0, noisy=part))


def recipe(setting: Setting) -> Recipe:
    return paid(setting, Flipped(P))


# ---- the claim's other arms


def clean(setting: Setting) -> Recipe:
    return default(setting)


def coin(setting: Setting) -> Recipe:
    """As often wrong as right: nothing is told."""
    return paid(setting, Flipped(0.5))


def by_sample(setting: Setting) -> Recipe:
    """A coin for every sample, which a group's mean averages out."""
    return paid(setting, Flipped(P, by_sample=True))


def pattern_alone(setting: Setting) -> Recipe:
    """Paid for the look of a worked sum, whatever comes out."""
    return paid(setting, Pattern(WORKED, len(WORKED)))


def strange_alone(setting: Setting) -> Recipe:
    """Paid for marks that have nothing to do with working."""
    return paid(setting, Pattern(STRANGE, len(STRANGE)))


def erring(setting: Setting) -> Recipe:
    return paid(setting, Erring(0.65))


def calibrated(setting: Setting) -> Recipe:
    return paid(setting, Calibrated(Erring(0.65), Pattern(WORKED, len(WORKED))))


TASK = Addition(digits=(2, 3))

CLAIM = Claim(
    primary=more("accuracy", "noisy_rewards", "clean", by=ratio(0.9), why="the paper keeps 72 of 75 points with 40 % of the rewards turned round"),
    secondary=(
        more("accuracy", "pattern alone", "clean", by=ratio(0.85), why="the paper's reward for patterns comes as far at its peak"),
        more("accuracy", "calibrated", "erring", by=ratio(1.0), why="forgiving false negatives must help a model that errs in a third of all cases"),
    ),
    arms={
        "clean": clean, "noisy_rewards": recipe, "by sample": by_sample, "coin": coin, "pattern alone": pattern_alone,
        "strange marks": strange_alone, "erring": erring, "calibrated": calibrated,
    },
    baseline="clean",
    method="noisy_rewards",
    must_move="coin",
    placebo="shuffled reward",
    setting=Setting(TASK, WarmStart(TASK, {"direct": 0.9, "trace": 0.1}, steps=250)),
    config={"steps": 100, "problems": 64, "samples": 8, "lr": 1e-3},
    paper="p = 0.4: 72 against 75 % without noise, from 5 % (7B model, mathematics).",
)  # fmt: skip
