"""Claims: what a method says it does, as comparisons between arms, and the verdict that seeds give.

A comparison is judged by two t intervals over paired seed differences: of the effect, and of its distance from what was claimed.

    supported      the distance lies above 0: what was claimed holds
    smaller        the effect lies above 0, the distance below: real, but less than claimed
    contradicted   the distance lies below 0, and the effect is not shown to be real
    inconclusive   anything else
    invalid        a gate or a control failed: the setting cannot show it
    not run        no seeds

Comparisons of benefit share the error rate by Holm's step-down (1979); each look at the seeds spends half of what is left of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from statistics import fmean, stdev
from typing import Any

from ..core.errors import BadConfig
from ..learning.recipe import Recipe, Setting
from .statistics import ALPHA, detectable, t_interval
from .verdicts import NOT_RUN

FEWEST = 3  # seeds of which anything is said
SUPPORTED, SMALLER, CONTRADICTED, INCONCLUSIVE, INVALID = "supported", "smaller", "contradicted", "inconclusive", "invalid"
LOWER = {"tokens", "truncated", "ece", "brier"}  # metrics of which less is better; of all others more is
Outcomes = Mapping[str, Mapping[str, Sequence[float]]]  # arm -> metric -> one value a seed, in the same order
Arm = str | Callable[[Setting], Recipe]  # a method's id, or a recipe


@dataclass(frozen=True)
class Amount:
    """How much: a difference in the metric's own unit, or a ratio to the other arm."""

    kind: str
    value: float


def difference(value: float) -> Amount:
    """At least so much more, or less, than the other arm."""
    return Amount("difference", value)


def ratio(value: float) -> Amount:
    """At most (`less`) or at least (`more`) so many times the other arm."""
    return Amount("ratio", value)


@dataclass(frozen=True)
class Comparison:
    """`kind` of arm `a` against arm `b` on a metric, by an amount, and why that amount."""

    kind: str
    metric: str
    a: str
    b: str
    by: Amount
    why: str

    def __str__(self) -> str:
        amount = f"{self.by.value:g} times" if self.by.kind == "ratio" else f"{self.by.value:g}"
        if self.kind == "not_worse":
            return f"{self.metric}: {self.a} not worse than {self.b} by {amount}"
        return f"{self.metric}: {self.a} {self.kind} than {self.b}, " + (f"{amount} of it" if self.by.kind == "ratio" else f"by {amount}")

    @property
    def sign(self) -> int:
        """1 if the claim is that `a` lies above `b`, else -1."""
        return 1 if self.kind == "more" or (self.kind == "not_worse" and self.metric not in LOWER) else -1

    def effects(self, outcomes: Outcomes) -> tuple[list[float], list[float]]:
        """By seed: the effect, positive in the claimed direction, and its distance from what is claimed."""
        a, b = ([float(x) for x in outcomes[arm][self.metric]] for arm in (self.a, self.b))
        effect = [self.sign * (x - y) for x, y in zip(a, b, strict=True)]
        if self.kind == "not_worse":
            return effect, [e + self.by.value for e in effect]
        if self.by.kind == "ratio":
            return effect, [self.sign * (x - self.by.value * y) for x, y in zip(a, b)]
        return effect, [e - self.by.value for e in effect]


def less(metric: str, a: str, b: str, by: Amount, why: str) -> Comparison:
    """Arm `a` has less of the metric than arm `b`: by=ratio(0.5) at most half of it, by=difference(0.05) at least that much less."""
    return Comparison("less", metric, a, b, by, why)


def more(metric: str, a: str, b: str, by: Amount, why: str) -> Comparison:
    """Arm `a` has more of the metric than arm `b`."""
    return Comparison("more", metric, a, b, by, why)


def not_worse(metric: str, a: str, b: str, margin: float, why: str) -> Comparison:
    """Arm `a` is not worse than arm `b` by more than the margin."""
    return Comparison("not_worse", metric, a, b, Amount("difference", margin), why)


@dataclass(frozen=True)
class Gates:
    """What the baseline must be before it is trained, on the mean over seeds: neither hopeless nor done, and with something to find.

    greedy   range of its accuracy        lift   pass@8 - pass@1, at least        mixed   share of groups partly right, at least
    """

    greedy: tuple[float, float] = (0.2, 0.6)
    lift: float = 0.1
    mixed: float = 0.4

    def failed(self, before: Sequence[Mapping[str, float]]) -> list[str]:
        """What does not hold, in words. `before`: greedy accuracy, pass@1, pass@8 and mixed, by seed."""
        mean = {k: sum(b[k] for b in before) / len(before) for k in ("accuracy", "pass@1", "pass@8", "mixed")}
        lift, out = mean["pass@8"] - mean["pass@1"], []
        if not self.greedy[0] <= mean["accuracy"] <= self.greedy[1]:
            out.append(f"greedy accuracy {mean['accuracy']:.3f} is outside {self.greedy[0]:g} to {self.greedy[1]:g}")
        if lift < self.lift:
            out.append(f"pass@8 is {lift:.3f} above pass@1, less than {self.lift:g}")
        if mean["mixed"] < self.mixed:
            out.append(f"{mean['mixed']:.3f} of the groups are mixed, fewer than {self.mixed:g}")
        return out


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a method claims in miniature, and how that is measured.

    primary     the one comparison that the verdict is about; `secondary` stand beside it
    mechanism   what holds by construction if the parts work (a length penalty shortens): no benefit is claimed by it
    arms        by name: a method's id, or a recipe; the placebo's is made from `method` and need not stand here
    baseline    the plainest arm, which the gates look at; `method` the arm that the claim is about
    must_move   the arm without the method's own part: on the primary metric the method must differ from it
    placebo     the name of the arm whose rewards are permuted within each step; None where nothing is rewarded
    config      settings of the last stage, the same for all arms
    problems    of the test split, for each measurement
    samples     of each of half of them after training, at the stage's temperature, for pass@k; 0: none
    seeds, most   confirmatory seeds by default, and at most
    minutes     of CPU for all arms and seeds
    paper       what the paper reports, in its own setting: never the same quantity
    """

    primary: Comparison
    arms: Mapping[str, Arm]
    baseline: str
    method: str
    setting: Setting
    must_move: str
    placebo: str | None
    secondary: tuple[Comparison, ...] = ()
    mechanism: tuple[Comparison, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    gates: Gates = Gates()
    problems: int = 400
    samples: int = 0
    seeds: int = 10
    most: int = 20
    minutes: float = 30.0
    paper: str = ""

    def __post_init__(self) -> None:
        names = [*self.arms, *([self.placebo] if self.placebo else [])]
        used = [self.baseline, self.method, self.must_move, *(x for c in self.comparisons for x in (c.a, c.b))]
        for name in used:
            if name not in names:
                raise BadConfig(f"the claim compares an arm {name!r}; its arms are {', '.join(names)}")
        if not 1 <= self.seeds <= self.most:
            raise BadConfig(f"the claim wants {self.seeds} seeds and at most {self.most}")

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All of them, the primary one first."""
        return (self.primary, *self.secondary, *self.mechanism)


# ---- judging


@dataclass(frozen=True)
class Finding:
    """A comparison judged. `low` and `high` bound the effect, `margin` its distance from what was claimed, both at `level`."""

    role: str
    text: str
    verdict: str
    why: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    margin: tuple[float, float] | None = None
    level: float | None = None
    detectable: float | None = None
    a: float | None = None
    b: float | None = None


@dataclass(frozen=True)
class Judgement:
    """The verdict with its reasons, and every comparison, mechanism check and control judged."""

    verdict: str
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]


def judge(claim: Claim, outcomes: Outcomes, before: Sequence[Mapping[str, float]], look: int = 1) -> Judgement:
    """The verdict on a claim. `before`: the baseline's start, by seed; `look`: which look at the seeds this is, from 1."""
    if not before:
        return Judgement(NOT_RUN, ("no confirmatory seed was run",), ())
    alpha = ALPHA / 2**look
    benefits = [("primary", claim.primary), *(("secondary", c) for c in claim.secondary)]
    findings = [*_holm(benefits, outcomes, alpha), *(_found("mechanism", c, outcomes, alpha) for c in claim.mechanism)]
    controls = [_found(role, c, outcomes, alpha) for role, c in _controls(claim)]
    failed = claim.gates.failed(before)
    verdict, reasons = findings[0].verdict, tuple(f"gate: {x}" for x in failed)
    if verdict in (SUPPORTED, SMALLER):
        verdict, why = _controlled(verdict, {c.role: c for c in controls})
        reasons += why
    return Judgement(INVALID if failed else verdict, reasons, (*findings, *controls))


def _controls(claim: Claim) -> list[tuple[str, Comparison]]:
    """What the controls ask: does the ablation fall behind, and does the placebo do what is claimed of the method?"""
    p = claim.primary
    kind = "more" if p.sign > 0 else "less"
    moved = Comparison(kind, p.metric, claim.method, claim.must_move, difference(0.0), "or the method's own part does nothing")
    out = [("must move", moved)]
    if claim.placebo is not None and p.a == claim.method and p.kind != "not_worse":
        out.append(("placebo", replace(p, a=claim.placebo, why="or training as such does it, not the reward")))
    return out


def _controlled(verdict: str, controls: Mapping[str, Finding]) -> tuple[str, tuple[str, ...]]:
    """A favourable verdict after the controls."""
    moved, placebo = controls["must move"].verdict, controls.get("placebo")
    if placebo is not None and placebo.verdict == SUPPORTED:
        return INVALID, ("the placebo, whose rewards tell nothing, does the same",)
    if placebo is not None and placebo.verdict == NOT_RUN:
        return INCONCLUSIVE, ("the placebo could not be measured: what is compared is not defined for it",)
    if moved == CONTRADICTED:
        return INVALID, ("without the method's own part the result is better",)
    if moved != SUPPORTED:
        return INCONCLUSIVE, ("whether the method's own part makes the difference is open",)
    return verdict, ()


def _holm(comparisons: Sequence[tuple[str, Comparison]], outcomes: Outcomes, alpha: float) -> list[Finding]:
    """Comparisons in their order, judged by step-down: the clearest at alpha / m, the next at alpha / (m - 1), …; after the first that
    stays open the level does not loosen any more."""
    order = sorted(range(len(comparisons)), key=lambda i: -_clarity(comparisons[i][1], outcomes))
    found: dict[int, Finding] = {}
    left = len(comparisons)
    for i in order:
        found[i] = _found(*comparisons[i], outcomes, alpha / left)
        if found[i].verdict not in (INCONCLUSIVE, NOT_RUN):
            left -= 1
    return [found[i] for i in range(len(comparisons))]


def _clarity(comparison: Comparison, outcomes: Outcomes) -> float:
    """|t| of the distance from what is claimed."""
    if not _measured(comparison, outcomes):
        return -1.0
    values = comparison.effects(outcomes)[1]
    spread = stdev(values) if len(values) > 1 else 0.0
    return abs(fmean(values)) / spread if spread else inf if fmean(values) else 0.0


def _measured(comparison: Comparison, outcomes: Outcomes) -> bool:
    """Whether both arms have the metric for at least one seed."""
    return all(outcomes.get(arm, {}).get(comparison.metric) for arm in (comparison.a, comparison.b))


def _found(role: str, comparison: Comparison, outcomes: Outcomes, alpha: float) -> Finding:
    """One comparison at the level 1 - alpha."""
    if not _measured(comparison, outcomes):
        return Finding(role, str(comparison), NOT_RUN, comparison.why)
    effect, distance = comparison.effects(outcomes)
    a, b = (fmean(outcomes[arm][comparison.metric]) for arm in (comparison.a, comparison.b))
    if len(effect) < FEWEST:
        return Finding(role, str(comparison), INCONCLUSIVE, comparison.why, fmean(effect), a=a, b=b)
    level = 1 - alpha
    mean, low, high = t_interval(effect, level)
    margin = t_interval(distance, level)[1:]
    verdict, least = _verdict(comparison, (low, high), margin), detectable(stdev(effect), len(effect))
    return Finding(role, str(comparison), verdict, comparison.why, mean, low, high, margin, level, least, a, b)


def _verdict(comparison: Comparison, effect: tuple[float, float], distance: tuple[float, float]) -> str:
    """From the two intervals."""
    if comparison.by.kind == "ratio" and effect == distance == (0.0, 0.0):
        return INCONCLUSIVE  # both arms have none of it in any seed: nothing is any share of nothing
    exact = comparison.kind != "not_worse" and comparison.by == Amount("difference", 0.0)  # nothing is claimed but a direction
    if distance[0] > 0 or (distance[0] == 0 and not exact):
        return SUPPORTED
    if distance[1] < 0:
        return SMALLER if comparison.kind != "not_worse" and effect[0] > 0 else CONTRADICTED
    return INCONCLUSIVE
