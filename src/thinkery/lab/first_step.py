"""What the first step of a run shows beside its own figures: the checks that other trainers' rollouts are given (`diagnosis`), and what only the batch
can tell. Nothing here stops a run: a first step is a small sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..core.records import Rollout
from ..learning.batch import Batch
from ..learning.recipe import Stage
from ..learning.select import everything
from .diagnosis import pay, replies, updates
from .diagnosis.seen import Seen, varies, within
from .dumps import Sample
from .finding import ENOUGH, Finding, warning
from .text import one_line

CHECKS = (
    replies.untemplated, replies.no_generation_prompt, replies.end_tokens, replies.empty, replies.garbled, replies.loops, replies.blind, replies.one_prompt,
    replies.leak, pay.refused, pay.prefilled,
)  # fmt: skip
Learnt = tuple[Sequence[Rollout], Batch]
SMALL, LARGE = 1e-5, 1e3  # advantages between which updates are what a learning rate says
SURE = 0.002  # nats a token below which samples of a problem are nearly always one text
SUM = 256  # tokens over which a loss that is not divided is a sum


class Own(Seen):
    """Samples of tasks with verifiers of their own, which know what is right: only who ends in the very text of the gold answer surely is."""

    @cached_property
    def right(self) -> NDArray[np.bool_] | None:
        """See Seen."""
        ends = [(s.text.rstrip(" .\n"), (s.gold or "").strip()) for s in self.samples]
        if sum(bool(gold) for _, gold in ends) < ENOUGH:
            return None
        return np.array([bool(gold) and text.endswith(gold) and not text[: -len(gold)][-1:].isalnum() for text, gold in ends])


def look(rollouts: Sequence[Rollout], learnt: Learnt | None, stage: Stage) -> list[Finding]:
    """What is wrong with the rollouts of a first step, and with what is learnt from them."""
    valid = [r for r in rollouts if r.error is None and r.reply is not None]
    if stage.source != "task" or len(valid) < ENOUGH:
        return []
    seen = Own(samples_of(valid, learnt))
    found = [f for check in CHECKS if (f := check(seen)) is not None]
    pushed = Own([s for s in seen.samples if s.advantage is not None])
    found += [f for f in (updates.advantages(pushed),) if f is not None and not _chance(f, pushed)]
    found += [f for f in (pay.parts(seen),) if f is not None and f.level == "fatal"]
    if len(stage.reward.parts) == 1 and stage.reward.parts[0][0] != "correct":
        found += [f for f in (pay.length_paid(seen),) if f is not None]
    found += [
        *_tools(valid),
        *_entropy(valid),
        *_selected(valid, learnt, stage),
        *(_pushed(learnt[1], stage) if learnt is not None else ()),
    ]
    return [replace(f, level="warning") if f.level == "fatal" else f for f in found]


def samples_of(rollouts: Sequence[Rollout], learnt: Learnt | None) -> list[Sample]:
    """Rollouts as the checks take them; what was cut off has no gold answer, since it is not paid whatever it says."""
    reward: dict[int, float] = {}
    advantage: dict[int, float] = {}
    if learnt is not None:
        kept, batch = learnt
        rows = Counter(batch.rollout.tolist())
        for row, n in enumerate(batch.rollout.tolist()):
            reward[id(kept[n])] = float(batch.reward[row])
            if batch.advantage.ndim == 1 and rows[n] == 1:
                advantage[id(kept[n])] = float(batch.advantage[row])
    out = []
    for r in rollouts:
        assert r.reply is not None
        total = reward.get(id(r), None if r.verdict is None else r.verdict.score)
        out.append(
            Sample(
                prompt=r.turns[0].context.text if r.turns else r.problem.question.prompt,
                text=r.reply.text,
                group=str(r.index),
                where=f"problem {r.index}, sample {r.k}",
                step=0,
                reward=total,
                parts=dict(r.rewards),
                gold=None if r.reply.truncated else r.problem.answer or None,
                advantage=advantage.get(id(r)),
                truncated=r.reply.truncated,
                tokens=r.tokens,
            )
        )
    return out


def _chance(found: Finding, seen: Seen) -> bool:
    """Whether advantages are those of another baseline than the group's, which is no fault: they still rise with the rewards."""
    if found.check != "advantage groups":
        return False
    known = [g for g in seen.groups if varies(seen.reward[g])]
    a = np.array([np.nan if x.advantage is None else x.advantage for x in seen.samples])
    x, y = np.concatenate([a[g] for g in known]), within(seen.reward, known)
    return bool(np.corrcoef(x, y)[0, 1] > 0.3)


def _tools(valid: Sequence[Rollout]) -> Iterator[Finding]:
    """Calls of tools that nearly always fail."""
    calls = [c for r in valid for c in r.calls]
    failed = [c for c in calls if c.get("error")]
    if len(calls) >= ENOUGH and len(failed) > 0.8 * len(calls):
        ((why, _),) = Counter(one_line(str(c["error"]), 100) for c in failed).most_common(1)
        yield warning(
            "tools",
            f"{len(failed)} of {len(calls)} calls of tools failed, mostly {why!r}",
            "try the tool by hand, and say in its docstring what it takes",
        )


def _entropy(valid: Sequence[Rollout]) -> Iterator[Finding]:
    """A policy that is sure of everything and mostly wrong."""
    known = [t.entropy for r in valid for t in r.turns if t.entropy is not None and len(t.entropy)]
    judged = [r.verdict.score for r in valid if r.verdict is not None]
    if not known or not judged or (mean := float(np.concatenate(known).mean())) >= SURE or sum(judged) > 0.8 * len(judged):
        return
    seen = f"it is {mean:.1g} nats a token at an accuracy of {sum(judged) / len(judged):.0%}: nothing is tried"
    yield warning("entropy", seen, "start from a model that was trained less, or sample at a higher temperature")


def _selected(valid: Sequence[Rollout], learnt: Learnt | None, stage: Stage) -> Iterator[Finding]:
    """A selection that keeps nothing."""
    if stage.select is not everything and (learnt is None or not len(learnt[0])):
        right = sum(r.verdict is not None and r.verdict.score >= 1 for r in valid)
        seen = f"of {len(valid)} rollouts, {right} of them right, the stage's selection kept none"
        yield warning("selection", seen, "easier problems, more samples, or another test: nothing is learnt from a step like this")


def _pushed(batch: Batch, stage: Stage) -> Iterator[Finding]:
    """Advantages and losses of a size, or on tokens, that cannot be meant."""
    largest = float(np.abs(batch.advantage).max()) if batch.advantage.size else 0.0
    spread = float(np.ptp(batch.reward)) if batch.reward.size else 0.0
    if spread > 0 and not SMALL < largest < LARGE and largest > 0:
        seen = f"rewards differ by {spread:.2g}, and the largest advantage is {largest:.2g}"
        yield warning("scale", seen, "pay in amounts around 1, or normalise advantages: the learning rate is made for those")
    for loss in stage.losses:
        weight = np.broadcast_to(loss.weight(batch), batch.mask.shape) * batch.mask
        if stage.reward.parts and loss.name == "policy" and (weight[~batch.sampled & batch.mask] != 0).any():
            n = int((weight[~batch.sampled & batch.mask] != 0).sum())
            yield warning(
                "mask",
                f"the loss {loss.name!r} weighs {n} tokens that the policy did not draw: tool or forced text",
                "weigh batch.sampled alone",
            )
        many = int((weight != 0).sum())
        if many > SUM and loss.denominator(batch) <= 1:
            seen = f"the loss {loss.name!r} is a sum over {many} tokens, not a mean: its size follows lengths and batches"
            yield warning("normalisation", seen, "divide by tokens, replies or groups: give the loss a denominator")
