"""How a model is spoken to: with its chat template or in plain text, thinking or not, with a system message."""

from __future__ import annotations

import copy
from typing import TypeVar

from ..core.errors import BadConfig, InputError
from ..models.model import Model, built_in
from .events import Event, Listener

THINKING = {"auto": None, "on": True, "off": False}

M = TypeVar("M", bound=Model)


def spoken_to(model: M, thinking: str = "auto", system: str = "") -> M:
    """The model with thinking on, off or as its chat template has it (auto), and a system message before every question.

    Raises InputError for what the template cannot do, and for a model without one.
    """
    if thinking not in THINKING:
        raise BadConfig(f"thinking is {thinking!r}; choose {', '.join(THINKING)}")
    if model.chat is None:
        if thinking != "auto" or system:
            raise InputError(f"{model.name} has no chat template, so it takes neither a system message nor thinking; leave them out")
        return model
    other = copy.copy(model)
    other.tokenizer = copy.copy(model.tokenizer)
    other.tokenizer.chat = model.chat.asked(THINKING[thinking], system)
    return other


def tell_format(model: Model, listen: Listener) -> None:
    """Say that a model is given questions as plain text; not of the built-in ones, which are made for it."""
    if model.chat is None and model.name not in built_in():
        listen(Event("note", {"text": f"{model.name} has no chat template: questions are put as plain text, without instructions"}))


def settings_of(thinking: str, system: str) -> dict[str, str]:
    """What of it is not the default, as a run notes it."""
    return ({"thinking": thinking} if thinking != "auto" else {}) | ({"system": system} if system else {})
