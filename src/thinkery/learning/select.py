"""Selection between collecting and learning: filter, cap, relabel, rewrite, pair, mine. The output is what is learnt from, and saved."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..core.context import Context, Ids, Turn
from ..core.records import Reply, Rollout
from ..core.rng import Stream, address, rng
from ..engines.base import Engine
from ..engines.session import Session
from .collect import Collector

Groups = Sequence[Sequence[Rollout]]
Select = Callable[[Groups], Coroutine[Any, Any, list[Rollout]]]


async def everything(groups: Groups) -> list[Rollout]:
    """All rollouts."""
    return [r for g in groups for r in g]


async def nothing(groups: Groups) -> list[Rollout]:
    """No rollout: a stage that learns nothing, as for a way of thinking that is only measured."""
    return []


@dataclass(frozen=True)
class Where:
    """Whole groups that pass every test. As each test sees one group, two such selections join in any order."""

    tests: tuple[Callable[[Sequence[Rollout]], bool], ...]

    async def __call__(self, groups: Groups) -> list[Rollout]:
        return [r for g in groups if all(test(g) for test in self.tests) for r in g]


@dataclass(frozen=True)
class Differs:
    """Whether a group's samples differ in some part of the reward, those named apart."""

    without: tuple[str, ...] = ()

    def __call__(self, group: Sequence[Rollout]) -> bool:
        seen = {tuple(sorted((k, v) for k, v in r.rewards.items() if k not in self.without)) for r in group if r.error is None}
        return len(seen) > 1


mixed = Where((Differs(),))  # the other groups carry no gradient under a group baseline


@dataclass(frozen=True)
class Best:
    """Each group's rollout of the highest score, a cut-off one only if all are; the earliest of equals."""

    score: Callable[[Rollout], float]

    async def __call__(self, groups: Groups) -> list[Rollout]:
        whole = lambda r: r.reply is not None and not r.reply.truncated
        return [max(g, key=lambda r: (whole(r), self.score(r))) for g in groups]


async def solved(groups: Groups) -> list[Rollout]:
    """Rollouts that score 1: rejection sampling (RAFT, STaR)."""
    return [r for g in groups for r in g if r.verdict is not None and r.verdict.score >= 1]


def by_index(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """Groups of one problem's samples, in order of first appearance."""
    groups: dict[int, list[Rollout]] = {}
    for r in rollouts:
        groups.setdefault(r.index, []).append(r)
    return list(groups.values())


# ---- selections that ask


@dataclass
class Selecting:
    """What a selection that asks has in its step: sessions in the step's own tree, and rollouts made of what they wrote.

    metrics   what the selection tells of itself, as "select/NAME" among the step's
    """

    collector: Collector
    step: int
    metrics: dict[str, float] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)

    @property
    def engines(self) -> list[Engine]:
        """All that may be asked."""
        return [self.collector.engine, *dict.fromkeys((self.collector.cast or {}).values())]

    def _parts(self, rollout: Rollout, *parts: int | str) -> tuple[int | str, ...]:
        return (self.collector.seed, "select", self.step, rollout.index, rollout.k, *parts)

    def rng(self, rollout: Rollout, *parts: int | str) -> Stream:
        """Draws apart from all others, addressed by the rollout's problem and sample and by `parts`."""
        return rng(*self._parts(rollout, "rng", *parts))

    def session(self, rollout: Rollout, *parts: int | str) -> Session:
        """Asks on behalf of a rollout, sampling as the stage does; they draw at an address of the rollout and of `parts`."""
        c = self.collector
        self.sessions.append(Session(c.engine, address(*self._parts(rollout, *parts)), c.sampling, c.cast))
        return self.sessions[-1]

    def adopted(self, context: Context, ids: Ids) -> Turn:
        """Tokens as if the policy had drawn them, with the log-probabilities that they have under it: they are learnt from like its own."""
        engine, temperature = self.collector.engine, self.collector.sampling.temperature
        engine.check_prompt(context, len(ids))
        logp = engine.look(context + ids, ("logprobs",))["logprobs"][context.n - 1 : -1]
        logp = (logp / temperature).log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids)]
        return Turn(context, "policy", engine.model.writer, temperature, "said", ids, logp.float().numpy())

    def made(self, like: Rollout, turns: Sequence[Turn], reply: Reply) -> Rollout:
        """Another rollout of the same problem and sample, verified as those that were sampled; parts of the reward noted there are noted here."""
        out = Rollout(like.step, like.index, like.k, like.problem, list(turns), rewards=dict(like.rewards))
        self.collector._close(out, reply)
        return out

    def told(self) -> dict[str, float]:
        """The step's metrics: what the selection noted, and the tokens that it sampled."""
        if not (self.sessions or self.metrics):
            return {}
        sampled = sum(t.n for s in self.sessions for t in s.close() if not t.forced)
        return {f"select/{name}": value for name, value in self.metrics.items()} | {"select/tokens": float(sampled)}


@dataclass(frozen=True)
class Asking:
    """A selection that asks models: `choose(groups, ctx) -> rollouts`. The loop puts in `ctx`; what failed there is left out."""

    choose: Callable[[Groups, Selecting], Coroutine[Any, Any, list[Rollout]]]
    ctx: Selecting | None = None

    async def __call__(self, groups: Groups) -> list[Rollout]:
        assert self.ctx is not None, "selections that ask are called by the loop"
        return [r for r in await self.choose(groups, self.ctx) if r.error is None]
