"""Environments of `verifiers` that go over several turns: their own loop runs, and asks us where it would ask a server.

Their `rollout` gets a client of ours. What it asks is handed to the solver as an observation, and the solver's action goes back as the
response; setup, stop conditions, changes of state and cleanup are theirs. Their loop runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ..core.errors import BadConfig, MissingExtra, RunError
from .environments import Environment, Episode
from .finite import Finite
from .foreign_rows import by_split, payment, summed

SECONDS = 600.0  # that an environment may take between two turns


class TurnsTask(Finite, Environment):
    """An environment of several turns as a task: its rows by the split of their prompts, its rubric's weighted sum on the scale of `rewards`.

    Raises BadConfig for one that calls tools, since an action here is text.
    """

    kind = "environment"

    def __init__(self, name: str, env: Any, rewards: tuple[float, float] | None, max_tokens: int, turns: int) -> None:
        if getattr(env, "tool_defs", None) or getattr(env, "oai_tools", None):
            raise BadConfig(f"{name} calls tools by a server's protocol, and an action here is text: it cannot be read")
        if env.max_turns <= 0:
            env.max_turns = turns  # its own loop ends there, so that its rubric sees an episode that has ended
        self.env, self.client = env, client_class()
        self.paid, scale = payment(name, env, rewards)
        self.problems = by_split(name, env)
        Environment.__init__(self, name, lambda row: TurnsEpisode(self, row), scale, max_tokens=max_tokens)


class TurnsEpisode(Episode):
    """One rollout of the environment from one row. The reward comes with the end."""

    remote = True

    def __init__(self, task: TurnsTask, row: Mapping[str, Any]) -> None:
        super().__init__(task.env.max_turns)
        self.task, self.row = task, row
        self.events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.running: Any = None
        self.awaited: asyncio.Future[str] | None = None

    def begin(self) -> str:
        """See Episode. Raises RunError for an environment whose setup asks something else than its row."""
        self.close()
        self.running = asyncio.run_coroutine_threadsafe(self._rollout(), loop(os.getpid()))
        kind, messages = self._next()
        if kind == "ended":
            raise RunError(f"{self.task.name}: the episode ended before its first turn")
        if texts(messages) != texts(self.row["prompt"]):
            raise RunError(f"{self.task.name}: its setup changes the prompt that its row has, so the model would be shown another")
        return "\n\n".join(texts(messages))

    def step(self, action: str) -> tuple[str, float, bool]:
        """See Episode."""
        assert self.awaited is not None
        future, self.awaited = self.awaited, None
        future.get_loop().call_soon_threadsafe(future.set_result, action)
        kind, found = self._next()
        if kind == "asked":
            last = max(i for i, m in enumerate(found) if m.get("role") == "assistant")
            return "\n\n".join(texts(found[last + 1 :])), 0.0, False
        rest = {k: v for k, v in self.row.items() if k not in ("prompt", "completion")}
        named = {"answer": "", "info": {}, "task": "default", **rest, "prompt": found["prompt"], "completion": found["completion"]}
        paid = summed(self.task.name, self.task.paid, {**named, "state": found})
        return "\n\n".join(texts(found.get("final_env_response") or [])), sum(paid.values()), True

    def close(self) -> None:
        """See Episode."""
        if self.running is not None:
            self.running.cancel()

    async def answer(self, messages: Sequence[Any]) -> str:
        """What the solver does when the environment's loop asks."""
        self.awaited = asyncio.get_running_loop().create_future()
        self.events.put(("asked", list(messages)))
        return await self.awaited

    async def _rollout(self) -> None:
        try:
            self.events.put(("ended", await self.task.env.rollout(dict(self.row), self.task.client(self), "policy", {})))
        except Exception as error:  # somebody's code may raise anything; the solver that waits hears of it
            self.events.put(("failed", error))

    def _next(self) -> tuple[str, Any]:
        """What the environment's loop does next: it asks, or ends. Raises RunError where it fails or is silent."""
        try:
            kind, found = self.events.get(timeout=SECONDS)
        except queue.Empty:
            raise RunError(f"{self.task.name}: nothing came of an action within {SECONDS:g} s") from None
        error = found if kind == "failed" else found.get("error") if kind == "ended" else None
        if error is not None:
            raise RunError(f"{self.task.name}: the environment failed: {type(error).__name__}: {error}")
        return kind, found


def texts(messages: Any) -> list[str]:
    """What a text or a list of messages says, the system's left out. Raises RunError for one that is not text."""
    if isinstance(messages, str):
        return [messages]
    found = [m.get("content") for m in messages if m.get("role") != "system"]
    for content in found:
        if not isinstance(content, str):
            raise RunError(f"the environment says {type(content).__name__} where a model reads text")
    return found


@cache
def loop(process: int) -> asyncio.AbstractEventLoop:
    """The event loop of a process's environments, running in a thread: a forked process has none yet, though it has this one's memory."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, name="environments", daemon=True).start()
    return made


@cache
def client_class() -> Any:
    """The package's client, answered by an episode. Raises MissingExtra, and BadConfig for a version of other clients."""
    try:
        import verifiers
    except ImportError:
        raise MissingExtra("verifiers", "verifiers", "an environment of several turns") from None
    if not hasattr(verifiers, "Client"):
        version = getattr(verifiers, "__version__", "that is installed")
        raise BadConfig(
            f"verifiers {version} has no Client; environments of several turns want 0.1.14: pip install 'verifiers>=0.1.14,<0.2'"
        )
    from verifiers.types import Response, ResponseMessage

    class Answering(verifiers.Client):  # type: ignore[misc]  # the package carries no types here
        """Its native client is an episode, its native response a text."""

        def setup_client(self, config: Any) -> Any:
            return config

        async def to_native_tool(self, tool: Any) -> Any:
            raise RunError("an environment that calls tools cannot be read")

        async def to_native_prompt(self, messages: Any) -> tuple[Any, dict[str, Any]]:
            return messages, {}

        async def get_native_response(self, prompt: Any, model: str, sampling_args: Any, tools: Any = None, **more: Any) -> str:
            text: str = await self.client.answer(prompt)
            return text

        async def raise_from_native_response(self, response: str) -> None:
            return None

        async def from_native_response(self, response: str) -> Any:
            message = ResponseMessage(content=response, finish_reason="stop", is_truncated=False)
            return Response(id="", created=0, model="policy", message=message)

        async def close(self) -> None:
            return None

    return Answering
