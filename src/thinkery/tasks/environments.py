"""Environments as tasks: the solver `environment` acts turn by turn, and the score is the return on a declared scale.

An episode is a run through an environment from one seed. Here is the adapter for Gymnasium (Towers et al. 2024, arXiv:2407.17032), for text
and grid worlds.
"""

from __future__ import annotations

import copy
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import BadConfig, InputError, MissingExtra, RunError, VerifierError
from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream, address
from .base import Task, check_split, check_style, digest, split_of
from .markers import tails

PATIENCE = 400  # seeds before a split is called empty
LONGEST = 200  # characters of an action in what the model is shown
SEEN = 8000  # characters of an observation
EPISODE = "episode"  # where a reply keeps how its episode went
COLOURED = re.compile(r"\x1b\[([0-9;]+)m(.*?)\x1b\[0m", re.DOTALL)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
NAMES = {  # of actions that an environment only numbers
    "FrozenLake": ("left", "down", "right", "up"),
    "CliffWalking": ("up", "right", "down", "left"),
    "Taxi": ("south", "north", "east", "west", "pickup", "dropoff"),
    "Blackjack": ("stick", "hit"),
}


@dataclass(frozen=True)
class Standing:
    """Where an episode stands: all that there is to go back to.

    acted   the actions in order, each with what was seen after it and why it was none ("" for one that was)
    total   the sum of rewards
    done    whether it is over
    world   the environment's own state, a value that nothing changes; None: only the same actions lead back to it
    """

    acted: tuple[tuple[str, str, str], ...] = ()
    total: float = 0.0
    done: bool = False
    world: Any = None


class Episode(ABC):
    """A run through an environment: `begin` gives the first observation, `act` the next; `total` sums the rewards, `done` ends it.

    turns    after which it ends anyway
    world    where the environment keeps its state, if that is a frozen value; then a snapshot holds just that
    remote   it is elsewhere, so that others may go on while one waits for it
    """

    remote = False

    def __init__(self, turns: int) -> None:
        self.turns, self.standing = turns, Standing()
        self.world: Any = None

    @property
    def taken(self) -> int:
        """Turns so far."""
        return len(self.standing.acted)

    @property
    def total(self) -> float:
        """The sum of rewards so far."""
        return self.standing.total

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self.standing.done

    @abstractmethod
    def begin(self) -> str:
        """The first observation. Begins anew if it has begun."""

    @abstractmethod
    def step(self, action: str) -> tuple[str, float, bool]:
        """Observation, reward, and whether that was the end. Raises InputError, to be shown to the model, for no action of its own."""

    def act(self, action: str) -> str:
        """The observation after an action; one that there is not costs the turn. Raises RunError past the end or for no finite reward."""
        if self.done:
            raise RunError("the episode is over: begin another")
        observation, error, reward, over = self._tried(action)
        if not math.isfinite(reward):
            raise RunError(f"the environment gave the reward {reward!r} for {action[:LONGEST]!r}; a reward is a finite number")
        acted = (*self.standing.acted, (action, observation, error))
        self.standing = Standing(acted, self.total + reward, over or len(acted) >= self.turns)
        return observation

    def record(self) -> dict[str, Any]:
        """How it went, as plain values. `errors` has the actions that were none, each as a tool's call."""
        calls = [{"tool": "act", "arguments": a[:LONGEST], "text": seen, "error": why} for a, seen, why in self.standing.acted if why]
        return {"return": self.total, "turns": self.taken, "done": self.done, "errors": calls}

    def snapshot(self) -> Standing:
        """Where it stands, to go back to by `restore` as often as one likes."""
        return replace(self.standing, world=self.saved())

    def restore(self, standing: Standing) -> None:
        """Go back to a snapshot: to the state it holds, or from the beginning by its actions. Raises RunError if those lead elsewhere."""
        if standing.world is not None:
            self.resume(standing.world)
        else:
            self.begin()
            for action, observation, _ in standing.acted:
                if (again := self._tried(action)[0]) != observation:
                    raise RunError(
                        f"this environment's state cannot be copied, and it does not repeat itself: {action[:LONGEST]!r} led to "
                        f"{again[:LONGEST]!r}, before to {observation[:LONGEST]!r}; begin another episode"
                    )
        self.standing = standing

    def saved(self) -> Any:
        """The environment's own state as a value that nothing changes; None where it has none to give."""
        return self.world

    def resume(self, world: Any) -> None:
        """Go on from what `saved` gave."""
        self.world = world

    def close(self) -> None:
        """Give back what it holds."""
        return None

    def _tried(self, action: str) -> tuple[str, str, float, bool]:
        """Observation, what is wrong with the action ("" for nothing), reward and end."""
        try:
            observation, reward, over = self.step(action)
        except InputError as error:
            return within(str(error)), str(error)[:LONGEST], 0.0, False
        return within(observation), "", reward, over


def within(observation: str) -> str:
    """An observation that a model can be shown: of one that is too long the beginning, and how much is left out."""
    more = len(observation) - SEEN
    return observation if more <= 0 else f"{observation[:SEEN]}\n(and {more} characters more)"


class Environment(Task):
    """An environment as a task: the prompt is the first observation, the score is where the return lies within `rewards`.

    open       makes an episode of a seed, or of what else a problem holds as its data
    rewards    the least and the largest return; a return outside them is an error, never cut off
    one_start  every seed begins alike, so splits differ by their seeds alone; otherwise by what the first observation shows
    """

    styles: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        open: Callable[[Any], Episode],
        rewards: tuple[float, float],
        instruction: str = "",
        one_start: bool = False,
        max_tokens: int = 256,
    ) -> None:
        low, high = rewards
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise BadConfig(f"{name}: rewards is {rewards!r}; give the least and the largest return of an episode, as (0, 1)")
        self.name, self.open, self.rewards, self.instruction = name, open, (low, high), instruction
        self.one_start, self.max_tokens = one_start, max_tokens

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task. Raises BadConfig where no seed begins in the split."""
        check_split(split)
        if spec:
            raise BadConfig(f"the environment {self.name!r} has no difficulty keys, so not {next(iter(spec))!r} either")
        if index < 0:
            raise InputError(f"problem index {index}: indices start at 0")
        for k in range(PATIENCE):
            draw = address(seed, "environment", self.name, split, index, k) >> 33
            episode = self.open(draw)
            try:
                shown = within(episode.begin())
            finally:
                episode.close()
            family = f"seed {draw}" if self.one_start else digest(shown).hex()
            if split_of(family) == split:
                return Problem(f"{digest(shown).hex()}-{draw}", Question(f"{shown}\n", {}, self.instruction), "", family, 0.0, draw)
        raise BadConfig(f"{self.name}: none of {PATIENCE} seeds begins in the {split} split; if all begin alike, say one_start=True")

    def tools(self, problem: Problem, rng: Stream) -> Episode:
        """A new episode of the problem's seed."""
        return self.open(problem.data)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. A reply of another solver is played as a plan, an action a line. Raises VerifierError for a return out of range."""
        if reply.truncated:
            return Verdict(0.0, reason="cut off at the token limit")
        went: Mapping[str, Any] = reply.data.get(EPISODE) or self._played(problem, reply.text)
        low, high = self.rewards
        total = float(went["return"])
        score = (total - low) / (high - low)
        if not -1e-9 <= score <= 1 + 1e-9:
            raise VerifierError(
                f"{self.name}: the return {total:g} lies outside the declared {low:g}..{high:g}; declare rewards that hold it"
            )
        score = min(1.0, max(0.0, score))  # sums of rewards are rounded
        parts = {"return": total, "turns": float(went["turns"]), "errors": float(len(went["errors"]))}
        return Verdict(score, reply.text[-LONGEST:].strip() or None, parts, f"return {total:g}")

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task: there are none."""
        check_style(self, style)
        raise AssertionError("unreachable: there is no style")

    def _played(self, problem: Problem, plan: str) -> dict[str, Any]:
        """How the episode goes if the lines are its actions; what follows its end does not count."""
        episode = self.open(problem.data)
        try:
            episode.begin()
            for line in filter(None, map(str.strip, plan.splitlines())):
                if episode.done:
                    break
                episode.act(action_of(line))
            return episode.record()
        finally:
            episode.close()


def action_of(text: str) -> str:
    """The action in what a model wrote: what stands behind its last marker, else its last line that says something."""
    tail = next(tails(text), text)
    lines = [line.strip(" \t>*`\"'.") for line in tail.strip().splitlines()]
    return next(filter(None, lines if tail is not text else reversed(lines)), "")


# ---- Gymnasium


class GymnasiumEpisode(Episode):
    """An episode of a Gymnasium environment with discrete or text actions."""

    def __init__(self, env: Any, seed: int, turns: int, names: Sequence[str], describe: Callable[[Any, Any], str]) -> None:
        super().__init__(turns)
        self.env, self.seed, self.names, self.describe = env, seed, [n.casefold() for n in names], describe

    def begin(self) -> str:
        """See Episode."""
        observation, _ = self.env.reset(seed=self.seed)
        return self.describe(self.env, observation)

    def step(self, action: str) -> tuple[str, float, bool]:
        """See Episode."""
        chosen: Any = action
        if self.names:
            if action.casefold() not in self.names:
                raise InputError(f"there is no action {action[:LONGEST]!r}; the actions are {', '.join(self.names)}")
            chosen = self.names.index(action.casefold()) + int(self.env.action_space.start)
        elif not self.env.action_space.contains(action):
            raise InputError(f"{action[:LONGEST]!r} is no action here")
        observation, reward, terminated, truncated, _ = self.env.step(chosen)
        return self.describe(self.env, observation), float(reward), bool(terminated or truncated)

    def saved(self) -> Any:
        """See Episode: a copy of the environment, its chance too; None where it holds what cannot be copied."""
        try:
            return copy.deepcopy(self.env)
        except Exception:  # somebody's code, that holds windows, processes or locks
            return None

    def resume(self, world: Any) -> None:
        """See Episode."""
        self.env = copy.deepcopy(world)

    def close(self) -> None:
        """See Episode."""
        self.env.close()


def gymnasium_task(
    env: str,
    rewards: tuple[float, float],
    turns: int = 50,
    actions: Sequence[str] | None = None,
    describe: Callable[[Any, Any], str] | None = None,
    instruction: str = "",
    one_start: bool = False,
    **make: Any,
) -> Environment:
    """A Gymnasium environment by its id, as a task. `make` goes to gymnasium.make.

    actions    names of discrete actions, in order; without them those known of the environment, else their numbers
    describe   (env, observation) -> what the model reads; without it what the environment draws as text
    Raises MissingExtra, BadConfig for an environment there is not, or whose actions are neither discrete nor text.
    """
    try:
        import gymnasium
    except ImportError:
        raise MissingExtra("gymnasium", "games", f"the environment {env!r}") from None
    if env.startswith(("MiniGrid", "BabyAI")):
        try:
            import minigrid  # noqa: F401  (registers its ids)
        except ImportError:
            raise MissingExtra("minigrid", "games", f"the environment {env!r}") from None
    try:
        first = gymnasium.make(env, **make)
        if describe is None and "ansi" in first.metadata.get("render_modes", ()):
            make = {"render_mode": "ansi", **make}
    except (gymnasium.error.Error, TypeError, ModuleNotFoundError) as error:
        raise BadConfig(f"no environment {env!r} with {make}: {error}") from None
    names = _names(env, first, actions)
    first.close()
    told = instruction or (f"Answer with one action: {', '.join(names)}." if names else "Answer with one action.")

    def opened(seed: int) -> Episode:
        return GymnasiumEpisode(gymnasium.make(env, **make), seed, turns, names, describe or described)

    return Environment(f"gymnasium:{env}", opened, rewards, told, one_start)


def described(env: Any, observation: Any) -> str:
    """What an environment draws as text: its own drawing, a MiniGrid's mission and grid, or the observation as it is."""
    if isinstance(observation, str):
        return observation
    if env.render_mode == "ansi":
        return ESCAPES.sub("", COLOURED.sub(bracketed, env.render())).rstrip()
    if isinstance(observation, Mapping) and "mission" in observation:
        return f"{observation['mission']}\n{env.unwrapped.pprint_grid()}"
    return str(observation.tolist() if hasattr(observation, "tolist") else observation)


def bracketed(match: re.Match[str]) -> str:
    """Coloured text in brackets instead: [on a ground of colour], (blue), <in another colour>."""
    codes = match[1].split(";")
    before, after = "[]" if any(c.startswith("4") for c in codes) else "()" if "34" in codes else "<>"
    return f"{before}{ESCAPES.sub('', match[2])}{after}"


def _names(env: str, made: Any, actions: Sequence[str] | None) -> tuple[str, ...]:
    """The names of an environment's actions; none where they are texts. Raises BadConfig."""
    kind = type(made.action_space).__name__
    if kind == "Text":
        return ()
    if kind != "Discrete":
        raise BadConfig(f"{env}: its actions are a {kind} space; only discrete and text actions can be written by a model")
    n, start = int(made.action_space.n), int(made.action_space.start)
    listed = [a.name for a in made.unwrapped.actions] if hasattr(made.unwrapped, "actions") else None
    known = next((names for prefix, names in NAMES.items() if env.startswith(prefix)), None)
    names = tuple(actions or listed or known or map(str, range(start, start + n)))
    if len(set(map(str.casefold, names))) != n:
        raise BadConfig(f"{env} has {n} actions, but the names are {', '.join(names)}; give {n} different ones")
    return names
