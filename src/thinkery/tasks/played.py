"""Worlds that are acted in: problems that are drawn, with an episode each, and a right return of 1."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from ..core.errors import InputError
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .checkers.plan import World
from .environments import EPISODE, LONGEST, Episode
from .generated import Generated, checked

MOST = 200  # actions of a plan

S = TypeVar("S")
State = TypeVar("State")


class Acting(Episode, Generic[State]):
    """An episode in a world whose states are values: the reward is 1 on reaching a goal, which ends it.

    observed   what the model sees of a state
    """

    def __init__(self, world: World[State], start: State, observed: Callable[[State], str], turns: int) -> None:
        super().__init__(turns)
        self.rules, self.start, self.observed = world, start, observed
        self.world = start

    def begin(self) -> str:
        """See Episode."""
        self.world = self.start
        return self.observed(self.world)

    def step(self, action: str) -> tuple[str, float, bool]:
        """See Episode."""
        after = self.rules.legal(self.world, action)
        if after is None:
            raise InputError(f"not possible here: {action[:LONGEST]}")
        self.world, done = after, self.rules.goal(after)
        return self.observed(after), float(done), done


class Played(Generated[S]):
    """A task whose problems are acted in turn by turn; the reply of another solver is a plan, the actions behind its last "#".

    action   the form of an action
    """

    action: ClassVar[str]
    styles: tuple[str, ...] = ("trace", "direct", CORRUPTED)  # type: ignore[assignment]  # that of Generated has five

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.plan = re.compile(f"{self.action}(?:(?:, ?|\n){self.action}){{0,{MOST - 1}}}")

    @abstractmethod
    def tools(self, problem: Problem, rng: Stream | None = None) -> Episode:
        """A new episode of the problem."""

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. Parts: see `came_to`."""
        if EPISODE in reply.data or reply.truncated:
            return came_to(reply)
        plan = checked(reply, self.plan, "actions", lambda tail: "")
        if plan.parsed is None:
            return plan
        went = performed(self.tools(problem), re.split(", ?|\n", plan.parsed))
        return came_to(Reply(plan.parsed, data={EPISODE: went}))


def performed(episode: Episode, actions: Sequence[str]) -> dict[str, Any]:
    """How an episode goes by a plan; what follows its end does not count."""
    episode.begin()
    for action in actions:
        if episode.done:
            break
        episode.act(action)
    return episode.record()


def came_to(reply: Reply) -> Verdict:
    """The verdict on an episode that pays up to 1: what it paid. Parts: return, turns, errors (actions that were none), solved; what the episode's
    record has as `parts`, too.
    """
    if reply.truncated:
        return Verdict(0.0, reason="cut off at the token limit")
    went: Mapping[str, Any] = reply.data[EPISODE]
    total = float(went["return"])
    score = min(1.0, total)
    parts = {"return": total, "turns": float(went["turns"]), "errors": float(len(went["errors"])), "solved": float(score == 1)}
    parts |= went.get("parts", {})
    reason = "right" if score == 1 else f"after {went['turns']} turns the return is {total:g}"
    return Verdict(score, reply.text[-LONGEST:].strip() or None, parts, reason)
