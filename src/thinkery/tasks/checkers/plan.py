"""Plans by simulation: any that is legal step by step and ends in a goal is right, however long within the limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ...core.records import Verdict
from .judge import SHOWN

State = TypeVar("State")


class World(Protocol[State]):
    """What is simulated.

    legal(state, action) -> the state after it, or None where it is not allowed or is no action; states are values, never changed
    goal(state) -> whether it is one
    """

    def legal(self, state: State, action: str) -> State | None: ...
    def goal(self, state: State) -> bool: ...


def simulated(world: World[State], start: State, actions: Sequence[str], most: int = 10_000) -> Verdict:
    """1 if the actions lead from the start to a goal. Parts: `legal`, the share of actions before the first that was not."""
    if not actions:
        return Verdict(0.0, reason="no action to be read")
    shown = " ".join(actions)[:SHOWN]
    if len(actions) > most:
        return Verdict(0.0, shown, reason=f"{len(actions)} actions, at most {most}")
    state = start
    for n, action in enumerate(actions):
        after = world.legal(state, action)
        if after is None:
            return Verdict(0.0, shown, {"legal": n / len(actions)}, f"action {n + 1}, {action[:40]!r}, is not allowed")
        state = after
    right = world.goal(state)
    return Verdict(float(right), shown, {"legal": 1.0}, "right" if right else "the plan ends before the goal")
