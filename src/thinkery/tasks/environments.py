"""Environments as tasks: the solver `environment` acts turn by turn, and the score is the return on a declared scale.

An episode is a run through an environment from one seed. Adapters: Gymnasium (Towers et al. 2024, arXiv:2407.17032) for text and grid
worlds, and OpenEnv servers, whose sessions run over a web socket (their plain HTTP steps begin a new environment each).
"""

from __future__ import annotations

import copy
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from ..core.errors import BadConfig, InputError, MissingExtra, RunError, VerifierError
from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream, address
from .base import Task, check_split, check_style, digest, split_of
from .markers import tails

PATIENCE = 400  # seeds before a split is called empty
LONGEST = 200  # characters of an action in what the model is shown
EPISODE = "episode"  # where a reply keeps how its episode went
SECONDS = 60.0  # that a server may take
COLOURED = re.compile(r"\x1b\[([0-9;]+)m(.*?)\x1b\[0m", re.DOTALL)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
NAMES = {  # of actions that an environment only numbers
    "FrozenLake": ("left", "down", "right", "up"),
    "CliffWalking": ("up", "right", "down", "left"),
    "Taxi": ("south", "north", "east", "west", "pickup", "dropoff"),
    "Blackjack": ("stick", "hit"),
}


class Episode(ABC):
    """A run through an environment: `begin` gives the first observation, `act` the next; `total` sums the rewards, `done` ends it.

    turns    after which it ends anyway
    remote   it is elsewhere, so that others may go on while one waits for it
    """

    remote = False

    def __init__(self, turns: int) -> None:
        self.turns, self.taken, self.total, self.done = turns, 0, 0.0, False

    @abstractmethod
    def begin(self) -> str:
        """The first observation."""

    @abstractmethod
    def step(self, action: str) -> tuple[str, float, bool]:
        """Observation, reward, and whether that was the end. Raises InputError, to be shown to the model, for no action of its own."""

    def act(self, action: str) -> str:
        """The observation after an action; one that there is not costs the turn. Raises RunError past the end or for no finite reward."""
        if self.done:
            raise RunError("the episode is over: begin another")
        try:
            observation, reward, self.done = self.step(action)
        except InputError as error:
            observation, reward = str(error), 0.0
        if not math.isfinite(reward):
            raise RunError(f"the environment gave the reward {reward!r} for {action[:LONGEST]!r}; a reward is a finite number")
        self.taken, self.total = self.taken + 1, self.total + reward
        self.done = self.done or self.taken >= self.turns
        return observation

    def record(self) -> dict[str, Any]:
        """How it went, as plain values."""
        return {"return": self.total, "turns": self.taken, "done": self.done}

    def snapshot(self) -> Any:
        """The state, to go back to by `restore` as often as one likes. Raises InputError where the environment cannot."""
        raise InputError("this environment's state cannot be saved: begin another episode with the same actions")

    def restore(self, state: Any) -> None:
        """Go back to a snapshot."""
        raise InputError("this environment's state cannot be restored: begin another episode with the same actions")

    def close(self) -> None:
        """Give back what it holds."""
        return None


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
                shown = episode.begin()
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
        return Verdict(score, reply.text[-LONGEST:].strip() or None, {"return": total, "turns": float(went["turns"])}, f"return {total:g}")

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

    def snapshot(self) -> Any:
        """See Episode: a copy of the environment."""
        return copy.deepcopy((self.env, self.taken, self.total, self.done))

    def restore(self, state: Any) -> None:
        """See Episode."""
        self.env, self.taken, self.total, self.done = copy.deepcopy(state)

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


# ---- OpenEnv


class OpenEnvEpisode(Episode):
    """A session with an OpenEnv server. What it may be asked is its own; a message is {type, data}, in JSON."""

    remote = True

    def __init__(self, url: str, seed: int, turns: int, field: str, reset: Mapping[str, Any]) -> None:
        super().__init__(turns)
        try:
            from websockets.sync.client import connect
        except ImportError:
            raise MissingExtra("websockets", "games", "an OpenEnv server") from None
        self.url, self.field, self.settings, self.held = url, field, {**reset, "seed": seed}, ExitStack()
        try:
            self.socket = self.held.enter_context(connect(url, open_timeout=SECONDS))
        except (OSError, TimeoutError) as error:
            raise RunError(f"no OpenEnv server answers at {url}: {error}; start it, or mend the address") from error

    def begin(self) -> str:
        """See Episode."""
        return self._asked({"type": "reset", "data": self.settings})[0]

    def step(self, action: str) -> tuple[str, float, bool]:
        """See Episode."""
        return self._asked({"type": "step", "data": {self.field: action}})

    def close(self) -> None:
        """See Episode."""
        self.held.close()

    def _asked(self, message: Mapping[str, Any]) -> tuple[str, float, bool]:
        """Observation, reward (0 where none is given) and end. Raises RunError for what is no observation."""
        try:
            self.socket.send(json.dumps(message))
            answer = json.loads(self.socket.recv(timeout=SECONDS))
            if answer["type"] == "error":
                raise RunError(f"{self.url} refused {message['type']}: {str(answer['data'].get('message', answer['data']))[:500]}")
            data = answer["data"]
            return written(data["observation"]), float(data.get("reward") or 0.0), bool(data.get("done", False))
        except RunError:
            raise
        except Exception as error:  # a server may say anything, or go away
            raise RunError(f"{self.url} gave no observation after {message['type']}: {type(error).__name__}: {error}") from error


def written(observation: Any) -> str:
    """An observation as text: itself, its only text, or all its values as JSON."""
    if isinstance(observation, Mapping):
        shown = {k: v for k, v in observation.items() if k not in ("done", "reward", "metadata")}
        texts = [v for v in shown.values() if isinstance(v, str)]
        return texts[0] if len(texts) == len(shown) == 1 else json.dumps(shown, ensure_ascii=False, sort_keys=True)
    return observation if isinstance(observation, str) else json.dumps(observation, ensure_ascii=False)


def openenv_task(
    url: str,
    rewards: tuple[float, float],
    turns: int = 50,
    field: str = "message",
    instruction: str = "",
    one_start: bool = False,
    **reset: Any,
) -> Environment:
    """An OpenEnv server at ws://host:port/ws as a task. `field` is the part of its action that the model's text fills; `reset` goes to every
    reset, with the problem's seed. Raises BadConfig for another address.
    """
    if not url.startswith(("ws://", "wss://")):
        raise BadConfig(f"{url!r} is no address of an OpenEnv session; give ws://host:port/ws")
    told = instruction or "Answer with one action."
    return Environment(f"openenv:{url}", lambda seed: OpenEnvEpisode(url, seed, turns, field, reset), rewards, told, one_start)
