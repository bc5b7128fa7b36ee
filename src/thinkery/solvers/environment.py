"""Acting in an environment: an action a turn, and what comes of it before the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..core.errors import InputError
from ..core.records import CALLS, Question, Reply
from ..engines.session import Session
from ..tasks.environments import EPISODE, Episode, action_of
from .thinking import reply_of

END = "\n"  # of an action, for models without a chat template


async def environment(model: Session, question: Question, tools: Any = None) -> Reply:
    """The reply is the actions, a line each; `data` holds how the episode went. Observations are context, never trained.

    A turn that is cut off ends the episode. Raises InputError for a task that is no environment.
    """
    if not isinstance(tools, Episode):
        raise InputError("the solver 'environment' needs a task that is an environment; use the solver 'single' for others")
    plain = model.chat() is None
    context, actions, cut = model.context(question), list[str](), False
    try:
        await waited(tools, tools.begin)
        while not (tools.done or cut):
            turn = await model.ask(context, stop=(END,) if plain else None)
            said = reply_of(model, turn)
            actions.append(action_of(said.text))
            cut = said.truncated
            if not cut:
                context = model.follow(context + turn, await waited(tools, tools.act, actions[-1]) + END)
        went = tools.record()
        return Reply("\n".join(actions), cut, {EPISODE: went, CALLS: went["errors"]})
    finally:
        tools.close()


async def waited(episode: Episode, call: Callable[..., str], *arguments: str) -> str:
    """What a call gives; in a thread, so that other rollouts go on, if the environment is elsewhere."""
    return await asyncio.to_thread(call, *arguments) if episode.remote else call(*arguments)
