"""Who answers: a model that was loaded here, by one of the engines, or one behind a server."""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

from ..core.errors import InputError
from ..engines.base import Engine
from ..engines.choice import engine_of, remote
from ..engines.openai import OpenAIEngine
from ..models.foreign import ForeignDecoder
from ..models.model import Model
from .events import Event, Listener
from .manner import spoken_to, tell_format


def address(model: object) -> TypeGuard[str]:
    """Whether a model is named by the address of its server."""
    return isinstance(model, str | Path) and "://" in str(model)


def answering(model: Model | str, served: str | None, thinking: str, system: str, engine: str, budget: int | None = None) -> Engine:
    """What decodes: an engine for a loaded model, or for the model `served` at an address, which may bill `budget` tokens.

    Raises InputError for what does not fit.
    """
    if isinstance(model, Model):
        if budget is not None:
            raise InputError(f"--budget {budget} limits what a server may bill; a model that is loaded here costs nothing")
        if served is not None:
            raise InputError(f"--served {served} names a model on a server; give its address with --model http://HOST:PORT/v1")
        return engine_of(spoken_to(model, thinking, system), engine)
    if engine != "auto":
        raise InputError(f"--engine {engine} decodes for a model folder; {model} is a server and does that by itself")
    if thinking != "auto":
        raise InputError(f"--thinking {thinking} needs the model's chat template, which {model} keeps for itself; set it there")
    if budget is not None and budget < 1:
        raise InputError(f"a budget of {budget} tokens: give at least 1, or none")
    return OpenAIEngine(model, served, system, budget=budget)


def tell_engine(model: object, engine: str, listen: Listener) -> None:
    """Say what a user should know of how a model is asked and decoded."""
    if not isinstance(model, Model):  # a server's own
        return
    tell_format(model, listen)
    if isinstance(model.decoder, ForeignDecoder):
        listen(Event("note", {"text": model.decoder.remark}))
    if remote(engine):
        text = "tokens are drawn on a server; its log-probabilities are compared with the learner's whenever the weights change"
        listen(Event("note", {"text": text}))
