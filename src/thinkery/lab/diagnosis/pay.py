"""What is paid: graders that refuse, pay anything, or fail, and parts that never vary."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np

from ..finding import ENOUGH, Finding, fatal, warning
from ..text import one_line
from .seen import Check, Seen, agreement, mentions, varies, within

FORMAT = re.compile(r"format|tag|think|xml|structure|style", re.I)
RIGHT = re.compile(r"acc|correct|answer|exact|solve|pass|verif", re.I)


def no_numbers(s: Seen) -> Finding | None:
    """Rewards that are no numbers."""
    bad = sum(x.reward is not None and not math.isfinite(x.reward) for x in s.samples)
    none = sum(x.reward is None for x in s.samples)
    if bad:
        return fatal(
            "reward",
            f"{bad} of {s.n} rewards are no finite numbers",
            "a reward function divides by zero or returns nan: one such reward makes a whole group's advantages nan",
        )
    if 0 < none < s.n:
        return warning(
            "reward",
            f"{none} of {s.n} samples have no reward",
            "a reward function returned None, or fewer values than there are samples",
        )
    return None


def failing(s: Seen) -> Finding | None:
    """Errors that became rewards."""
    failed = [
        i
        for i, x in enumerate(s.samples)
        if x.error or re.search(r"Traceback \(most recent call last\)|TimeoutError|signal only works in main thread", x.text[-2000:])
    ]
    if len(failed) < 0.05 * s.n or not failed:
        return None
    told = Counter(one_line(s.samples[i].error or s.text(i)[-80:], 80) for i in failed).most_common(1)[0][0]
    return Finding(
        "errors",
        "fatal" if len(failed) > s.n / 2 else "warning",
        f"{len(failed)} of {s.n} samples carry an error, mostly {told!r}",
        "a failure is no reward of 0: leave these out and mend the cause",
    )


def gold(s: Seen) -> Finding | None:
    """Gold answers that are not there."""
    told = [x.gold for x in s.samples if x.gold is not None]
    blank = sum(g.strip() in ("", "None", "nan", "null", "[]") for g in told)
    if not told or blank < 0.2 * len(told):
        return None
    return fatal(
        "gold answers",
        f"{blank} of {len(told)} gold answers are empty",
        "the column that holds them is called otherwise, or was lost when the data were mapped",
    )


def refused(s: Seen) -> Finding | None:
    """Right replies that are paid like wrong ones: the grader's fault, or rewards that stand beside their replies."""
    right = s.right
    if right is None or right.sum() < ENOUGH or not np.isfinite(s.reward).any():
        return None
    best = float(np.nanmax(s.reward))
    unpaid = right & (s.reward <= s.least + 1e-9) if varies(s.reward) else right & (s.reward <= 0)
    if unpaid.sum() < 0.3 * right.sum():
        return None
    if varies(s.reward):
        agree = {k: agreement(right, np.roll(s.reward, -k)) for k in range(-4, 5)}
        k = max(agree, key=lambda k: (agree[k], -abs(k)))
        if k and agree[k] > 0.85 and agree[k] > agree[0] + 0.25:
            where = f"{abs(k)} place{'s' if abs(k) > 1 else ''} {'before' if k > 0 else 'behind'} them"
            seen = f"rewards agree with the replies {where} ({agree[k]:.0%}), not with their own ({agree[0]:.0%})"
            return fatal("shifted rewards", seen, "one reply that could not be graded moved all after it: return a value for every sample")
        if agreement(right, -s.reward) > 0.85:
            return fatal(
                "sign",
                f"right replies get {s.reward[right].mean():.2g} on average, wrong ones {s.reward[~right].mean():.2g}",
                "the reward's sign is turned: costs are subtracted, rewards are not",
            )
    seen = f"{int(unpaid.sum())} of {int(right.sum())} replies that end in the gold answer are paid {s.least:g} (the most is {best:g})"
    seen += f", as {s.with_gold(int(np.argmax(unpaid)))}"
    return Finding(
        "grader",
        "fatal" if unpaid.sum() > 0.7 * right.sum() else "warning",
        seen,
        "the grader cannot read these: run it by hand on one; look for a time limit by signal.alarm in a thread, a missing \\boxed{}, strings compared with numbers",
    )


def lenient(s: Seen) -> Finding | None:
    """Wrong replies that are paid most."""
    right = s.right
    honest = {k for x in s.samples for k in x.parts if RIGHT.search(k) and not FORMAT.search(k)}
    if right is None or not varies(s.reward) or honest:  # where a part judges the answer, the sum says nothing of the grader
        return None
    best = float(np.nanmax(s.reward))
    paid = ~right & (s.reward >= best - 1e-9) & np.array([x.gold is not None and not mentions(x) for x in s.samples])
    early = s.halves()
    if paid.sum() < max(ENOUGH, 0.3 * s.n) or (early is not None and paid[early[0]].mean() < 0.2):  # not from the beginning: `over_time`
        return None
    return fatal(
        "grader",
        f"{int(paid.sum())} of {s.n} replies are paid {best:g} though the gold answer is nowhere in them, as {s.with_gold(int(np.argmax(paid)))}",
        "the grader pays for something else than the answer: run it on an empty reply",
    )


def prefilled(s: Seen) -> Finding | None:
    """A format reward that wants a tag which the template has written already."""
    for name in {k for x in s.samples for k in x.parts if FORMAT.search(k)}:
        values = np.array([x.parts.get(name, math.nan) for x in s.samples])
        closed = np.array(["</think>" in x.text and "<think>" not in x.text for x in s.samples])
        if closed.mean() > 0.3 and np.nanmax(values[closed]) <= 0:
            return fatal(
                "prefilled tag",
                f"{name} never pays, and {closed.mean():.0%} of the replies close a <think> that they did not open",
                "the template opens it in the prompt: have the format reward look at prompt and reply together",
            )
    return None


def constant(s: Seen) -> Finding | None:
    """Rewards that are all the same."""
    if varies(s.reward) or not np.isfinite(s.reward).any() or s.n < ENOUGH:
        return None
    worth = float(s.reward[np.isfinite(s.reward)][0])
    advice = (
        "easier problems, a warm start or a format that the model knows"
        if worth <= 0
        else "harder problems, or a grader that tells right from wrong"
    )
    return fatal("constant reward", f"all {s.n} rewards are {worth:g}: nothing is learnt from them", advice)


def dead_groups(s: Seen) -> Finding | None:
    """Groups whose samples are paid alike."""
    if not varies(s.reward):
        return None
    if not s.groups:
        several = len({x.group for x in s.samples}) > 1
        return (
            fatal(
                "groups",
                "each problem has one sample a step, so none differs from its group's mean",
                "several samples a problem (num_generations, rollout.n), or a baseline across problems",
            )
            if several and s.n >= ENOUGH and any(x.advantage == 0 for x in s.samples)
            else None
        )
    same = np.array([not varies(s.reward[g]) for g in s.groups])
    if same.mean() < 0.7 or len(same) < 4:
        return None
    means = np.array([np.nanmean(s.reward[g]) for g in s.groups])[same]
    where = f"{(means <= s.least + 1e-9).mean():.0%} of those all wrong"
    return warning(
        "dead groups",
        f"{same.mean():.0%} of {len(same)} groups have samples that are all paid alike ({where})",
        "filter or resample such groups, mix difficulties, or take more samples a problem",
    )


def parts(s: Seen) -> Finding | None:
    """Parts that never vary beside one that does; and a format that is all there is to learn from."""
    names = sorted({k for x in s.samples for k in x.parts})
    values = {k: np.array([x.parts.get(k, math.nan) for x in s.samples]) for k in names}
    still = [k for k in names if not varies(values[k]) and np.isfinite(values[k]).any()]
    moving = [k for k in names if varies(values[k])]
    dead = [k for k in still if RIGHT.search(k) and not FORMAT.search(k)]
    if dead and any(FORMAT.search(k) for k in moving):
        return fatal(
            "format alone",
            f"{', '.join(dead)} is always {float(np.nanmax(values[dead[0]])):g}; what varies is {', '.join(moving)}",
            "the model learns the look of an answer alone: mend the part that never pays",
        )
    if still and moving and len(names) > 1:
        return Finding("reward parts", "note", f"{', '.join(still)} never varied", "a part that is constant teaches nothing")
    return None


def length_paid(s: Seen) -> Finding | None:
    """Within groups, pay that follows length."""
    x, y = within(s.length, s.groups), within(s.reward, s.groups)
    if len(x) < 32 or not varies(y) or not varies(x):
        return None
    r = float(np.corrcoef(x, y)[0, 1])
    right = s.right
    if abs(r) < 0.75 or (right is not None and abs(float(np.corrcoef(within(right.astype(float), s.groups), y)[0, 1])) > abs(r)):
        return None
    return warning(
        "length bias",
        f"within groups the reward follows the length of the reply (correlation {r:.2f})",
        "a judge or a reward model that likes length: compare replies of one length, or take it out of the reward",
    )


CHECKS: tuple[Check, ...] = (no_numbers, failing, gold, refused, lenient, prefilled, constant, dead_groups, parts, length_paid)
