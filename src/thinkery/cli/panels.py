"""Where an option stands in `--help`: forty in one list are read by nobody."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_type_hints

from cyclopts import Group, Parameter

F = TypeVar("F", bound=Callable[..., Any])
PANELS = {
    "What is trained or measured": ("method", "methods", "model", "served", "seeds", "steps", "budget", "n", "split", "stop", "pairs")
    + ("skip_unfit", "size", "seed", "evaluate", "samples", "temperature", "config", "set"),
    "Problems": ("task", "data", "question", "answer", "verifier", "solution", "skip_bad", "traces"),
    "How the model thinks": ("solver", "tools", "mcp", "thinking", "system"),
    "What comes of it": ("out", "trace", "select", "resume", "report", "track", "plan", "no_doctor", "json", "quiet"),
    "Machine and memory": ("device", "dtype", "engine", "workers", "lora", "lora_alpha", "quantize", "checkpointing", "fit", "memory"),
}
GROUP = {name: Group(title, sort_key=k + 2) for k, (title, names) in enumerate(PANELS.items()) for name in names}


def panelled(function: F) -> F:
    """The command, with its options in the panels."""
    hints = get_type_hints(function, include_extras=True)
    for name in inspect.signature(function).parameters:
        hints[name] = Annotated[hints[name], Parameter(group=GROUP[name])]
    function.__annotations__ = hints
    return function
