"""OpenEnv servers as tasks. Their sessions run over a web socket, for their plain HTTP steps begin a new environment each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from ..core.errors import BadConfig, MissingExtra, RunError
from .environments import Environment, Episode

SECONDS = 60.0  # that a server may take


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
