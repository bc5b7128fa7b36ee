"""What the doctor sees while a run goes on: updates that break the model at once, and what becomes of reward, accuracy, length and entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from .finding import Finding, warning

WIDE = 10  # steps that are averaged, at the beginning and at the end
LONG = 2 * WIDE  # steps of a stage before trends are looked at
Metrics = Mapping[str, float]


class Watch:
    """One stage at a time; each finding is told once a stage."""

    def __init__(self) -> None:
        self.history: list[Metrics] = []
        self.told: set[str] = set()
        self.where: object = None

    def look(self, where: object, metrics: Metrics) -> list[Finding]:
        """What is new in a step's metrics. `where` names the stage and its round."""
        if where != self.where:
            self.history, self.told, self.where = [], set(), where
        self.history.append(metrics)
        found = [f for rule in RULES if (f := rule(self.history)) is not None and f.check not in self.told]
        self.told |= {f.check for f in found}
        return found


def _mean(steps: Sequence[Metrics], name: str) -> float:
    """The mean of a metric where it is there; nan where it nowhere is."""
    known = [m[name] for m in steps if name in m and math.isfinite(m[name])]
    return sum(known) / len(known) if known else math.nan


def _ends(history: Sequence[Metrics], name: str) -> tuple[float, float]:
    """A metric's mean at the beginning and at the end; nan before there are enough steps."""
    return (_mean(history[:WIDE], name), _mean(history[-WIDE:], name)) if len(history) >= LONG else (math.nan, math.nan)


def broken(history: Sequence[Metrics]) -> Finding | None:
    """An update after which replies no longer end, can no longer be read, or are no longer right."""
    if len(history) < 2:
        return None
    before, now = history[-3] if len(history) > 2 else history[-2], history[-1]
    for name, what in (("truncated", "are cut off"), ("unparsed", "hold no answer")):
        a, b = before.get(name, math.nan), now.get(name, math.nan)
        if b - a > 0.5 and b > 0.8:
            return warning(
                "update",
                f"{b:.0%} of the replies {what}, {a:.0%} did one or two steps before",
                "an update broke the model: lower --set lr=…, or clip gradients",
            )
    a, b = before.get("accuracy", math.nan), now.get("accuracy", math.nan)
    if a > 0.4 and b < 0.05 and now.get("rollouts", 0) >= 16:
        return warning(
            "update",
            f"accuracy fell from {a:.0%} to {b:.0%} in one or two steps",
            "an update broke the model: lower --set lr=…; if rewards rose meanwhile, look at their sign",
        )
    return None


def exploding(history: Sequence[Metrics]) -> Finding | None:
    """A gradient far beyond those before it."""
    norms = [m["gradient_norm"] for m in history if m.get("gradient_norm", 0) > 0 and math.isfinite(m["gradient_norm"])]
    if len(norms) < WIDE or norms[-1] < 100 * median(norms[:-1]):
        return None
    return warning(
        "gradient",
        f"its norm is {norms[-1]:.3g}, {norms[-1] / median(norms[:-1]):.0f} times the median before",
        "a rare token or an importance weight: clip, and look at the step's rollouts",
    )


def dead(history: Sequence[Metrics]) -> Finding | None:
    """Steps in a row in which no group has samples that differ in reward."""
    last = history[-WIDE:]
    if len(last) < WIDE or any(m.get("mixed", 1.0) > 0 or m.get("trained_tokens", 0.0) > 0 for m in last):
        return None
    accuracy = _mean(last, "accuracy")
    where = " all wrong" if accuracy == 0 else " all right" if accuracy == 1 else ""
    advice = "harder problems: the task is solved" if accuracy == 1 else "easier problems, more samples a problem, or a warm start"
    return warning("signal", f"for {WIDE} steps no group has had samples that differ in reward{',' if where else ''}{where}", advice)


def collapsed(history: Sequence[Metrics]) -> Finding | None:
    """Entropy gone before the task is solved."""
    first, last = _ends(history, "entropy")
    if not (last < 0.1 * first and last < 0.02 and first > 0.05) or _mean(history[-WIDE:], "accuracy") > 0.9:
        return None
    return warning(
        "entropy",
        f"it fell from {first:.2g} to {last:.2g} nats a token, at an accuracy of {_mean(history[-WIDE:], 'accuracy'):.0%}",
        "the policy no longer tries anything: lower lr, raise temperature or the upper clip, or pay for entropy",
    )


def hacked(history: Sequence[Metrics]) -> Finding | None:
    """Reward that rises while right answers fall."""
    (r0, r1), (a0, a1) = _ends(history, "reward"), _ends(history, "accuracy")
    if not (r1 > r0 + 0.02 * max(1.0, abs(r0)) and a1 < a0 - 0.1):
        return None
    return warning(
        "reward hacking",
        f"the reward rose from {r0:.3g} to {r1:.3g} while accuracy fell from {a0:.0%} to {a1:.0%}",
        "something else than right answers is paid: read the replies of the last steps",
    )


def longer(history: Sequence[Metrics]) -> Finding | None:
    """Length that grows for nothing."""
    (l0, l1), (a0, a1) = _ends(history, "length"), _ends(history, "accuracy")
    if not (l1 > 3 * l0 and not a1 > a0 + 0.05):
        return None
    return warning(
        "length",
        f"replies grew from {l0:.0f} to {l1:.0f} tokens, accuracy went from {a0:.0%} to {a1:.0%}",
        "a loss averaged by reply favours long wrong ones (see dr_grpo, dapo); or limit length (see laser)",
    )


def fallen(history: Sequence[Metrics]) -> Finding | None:
    """Accuracy far below what it was at its best."""
    if len(history) < LONG:
        return None
    best = max(_mean(history[i : i + WIDE], "accuracy") for i in range(0, len(history) - WIDE + 1, WIDE // 2))
    last = _mean(history[-WIDE:], "accuracy")
    if not best - last > 0.3:
        return None
    return warning(
        "accuracy",
        f"on the problems of a step it was {best:.0%} at its best and is {last:.0%}",
        "lower lr, fewer updates a collection (epochs), or a penalty on the distance from the start",
    )


RULES = (broken, exploding, dead, collapsed, hacked, longer, fallen)
