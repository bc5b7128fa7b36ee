"""What is learnt from it: advantages, the sampler against the learner, masks, and what becomes of the run."""

from __future__ import annotations

import math

import numpy as np

from ..finding import ENOUGH, Finding, fatal, warning
from .seen import Check, Seen, inside, varies

DRIFT = 0.05  # nats a token between sampler and learner, on average, that is too much


def advantages(s: Seen) -> Finding | None:
    """Advantages against the rewards of their groups."""
    a = np.array([math.nan if x.advantage is None else x.advantage for x in s.samples])
    if not np.isfinite(a).any():
        told = any(x.advantage is not None for x in s.samples)
        return (
            fatal("advantages", "all advantages are nan", "a group's rewards held nan, or its deviation 0 without an epsilon")
            if told
            else None
        )
    mixed = [g for g in s.groups if varies(s.reward[g]) and np.isfinite(a[g]).all()]
    if not np.isfinite(a).all():
        return fatal("advantages", f"{int((~np.isfinite(a)).sum())} advantages are nan", "one nan reward makes its whole group nan")
    if len(mixed) < 4:
        return None
    flat = np.concatenate([a[g] for g in mixed])
    if not varies(flat):
        return fatal(
            "advantages",
            f"all advantages are {flat[0]:g} though the rewards of {len(mixed)} groups vary",
            "the groups were lost: each sample is compared with itself alone",
        )
    r = float(np.corrcoef(flat, np.concatenate([s.reward[g] - s.reward[g].mean() for g in mixed]))[0, 1])
    if r < -0.5:
        return fatal(
            "sign",
            f"advantages fall where rewards rise (correlation {r:.2f})",
            "the sign of the advantage or of the loss is turned",
        )
    one_sided = np.mean([bool((a[g] >= 0).all() or (a[g] <= 0).all()) for g in mixed])
    if r < 0.7 or one_sided > 0.5:
        seen = f"advantages are not those of the samples' own groups: correlation {r:.2f} with reward minus the group's mean"
        return fatal(
            "advantage groups",
            seen,
            "the advantage is computed over other groups than were sampled: check the group size, and shuffling or sharding between the two",
        )
    return None


def mismatch(s: Seen) -> Finding | None:
    """Log-probabilities of the sampler against the learner's."""
    pairs = [(inside(x.sampler, x), inside(x.learner, x)) for x in s.samples if x.sampler is not None and x.learner is not None]
    pairs = [(a, b) for a, b in pairs if len(a) == len(b) and len(a)]
    if len(pairs) < ENOUGH:
        return None
    a, b = np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])
    fine = np.isfinite(a) & np.isfinite(b)
    a, b = a[fine], b[fine]
    off = float(np.abs(a - b).mean())
    if off < DRIFT or len(a) < 32:
        return None
    seen = f"sampler and learner differ by {off:.2g} nats a token on average"
    shifted = [(x[1:], y[:-1]) for x, y in pairs if len(x) > 2]
    beside = min(
        float(np.abs(np.concatenate([x for x, _ in side]) - np.concatenate([y for _, y in side])).mean()) if side else math.inf
        for side in (shifted, [(x[:-1], y[1:]) for x, y in pairs if len(x) > 2])
    )
    if beside < 0.3 * off:
        return fatal(
            "shifted log-probabilities",
            f"{seen}, but {beside:.2g} one token further",
            "the logits of a token are those of the position before it: shift them once, not twice or never",
        )
    slope, r = float((a @ b) / (a @ a + 1e-12)), float(np.corrcoef(a, b)[0, 1]) if varies(a) and varies(b) else 0.0
    if r > 0.9 and abs(slope - 1) > 0.1:
        return fatal(
            "temperature",
            f"{seen}, in proportion (the learner's are {slope:.2f} times the sampler's)",
            "the learner computes at another temperature than the sampler drew at: divide its logits by it",
        )
    first = float(np.median([abs(x[0] - y[0]) for x, y in pairs]))
    rest = float(np.median([np.abs(x[1:] - y[1:]).mean() for x, y in pairs if len(x) > 1] or [0.0]))
    if first > 5 * rest and first > 0.5:
        return fatal(
            "context",
            f"{seen}, nearly all of it at the first token",
            "prompt and reply are joined otherwise in training: another template, a begin token more or less, a space",
        )
    aged = [x.version for x in s.samples if x.version]
    cause = f"; samples are up to {max(aged):g} updates old" if aged and max(aged) > 1 else ""
    return Finding(
        "stale or other weights",
        "fatal" if off > 0.5 else "warning",
        seen + cause,
        "weights were not sent to the sampler, or it is quantized or cuts the tail (top_p, top_k): compare after a sync at learning rate 0",
    )


def masks(s: Seen) -> Finding | None:
    """Loss masks that cover the prompt, or nothing."""
    known = [x for x in s.samples if x.mask is not None and len(x.mask) > 1]
    if len(known) < ENOUGH:
        return None
    none, every = np.mean([not x.mask.any() for x in known]), np.mean([bool(x.mask.all()) for x in known])
    whole = [x for x in known if x.tokens is not None and len(x.mask) == x.tokens]
    if none > 0.5:
        return fatal(
            "mask",
            f"{none:.0%} of the samples have no token in the loss",
            "the mask is computed for another template, or cut off with the reply",
        )
    if every > 0.5 and whole and any(x.sampler is not None for x in whole):
        return fatal(
            "mask",
            f"{every:.0%} of the sequences are in the loss from their first token on, prompt and tool text too",
            "mask what the model did not write",
        )
    return None


def old_policy(s: Seen) -> Finding | None:
    """Samples of weights long gone: `version` is how many updates behind, or the number of the weights."""
    aged = [(x.version, x.step) for x in s.samples if x.version is not None and x.step is not None]
    if len(aged) < ENOUGH:
        return None
    version, step = (np.array(x, float) for x in zip(*aged))
    behind = version if version.max() < step.max() / 2 or version.min() == 0 else step - version
    if np.median(behind) <= 8:
        return None
    return warning(
        "stale samples", f"half of the samples are {np.median(behind):g} updates old and more", "let sampling run fewer steps ahead"
    )


def over_time(s: Seen) -> Finding | None:
    """Reward against right answers, length and variety, in the first and the last quarter."""
    parts_of = s.halves()
    if parts_of is None:
        return None
    first, last = parts_of
    if min(first.sum(), last.sum()) < ENOUGH:
        return None
    up = float(np.nanmean(s.reward[last]) - np.nanmean(s.reward[first])) if np.isfinite(s.reward).any() else 0.0
    spread = float(np.nanstd(s.reward)) + 1e-9
    right = s.right
    if right is not None and up > 0.3 * spread and right[last].mean() <= right[first].mean() - 0.02 + 1e-9:
        return fatal(
            "reward hacking",
            f"the reward rose from {np.nanmean(s.reward[first]):.2f} to {np.nanmean(s.reward[last]):.2f}, right answers went from "
            f"{right[first].mean():.0%} to {right[last].mean():.0%}; such as {s.example(int(np.flatnonzero(last)[0]))}",
            "something else than the answer is paid: read twelve replies of the last step",
        )
    variety = [len({s.text(i) for i in np.flatnonzero(part)}) / part.sum() for part in (first, last)]
    if variety[0] > 0.5 and variety[1] < 0.3 * variety[0]:
        return warning(
            "collapsed variety",
            f"distinct replies fell from {variety[0]:.0%} to {variety[1]:.0%}",
            "entropy has collapsed: lower the learning rate, raise temperature or clip-high, add an entropy bonus",
        )
    longer = float(s.length[last].mean() / max(1.0, s.length[first].mean()))
    if longer > 2 and up < 0.1 * spread:
        return warning(
            "length blow-up",
            f"replies are {longer:.1f} times as long as at first, the reward did not rise",
            "sum over tokens with per-sequence averaging favours length: check the loss's normalisation, or limit length",
        )
    if longer < 0.4 and up < 0.5 * spread:
        return warning(
            "length collapse",
            f"replies are {longer:.2f} times as long as at first",
            "something punishes length more than a wrong answer: check length terms and the limit",
        )
    return None


CHECKS: tuple[Check, ...] = (advantages, mismatch, masks, old_policy, over_time)
