"""Thinkery: a laboratory for learning to reason.

    import thinkery

    model = thinkery.load_model("tiny")
    result = thinkery.train("grpo", task="addition", model="tiny", steps=100)
    score = thinkery.evaluate(model, "addition", n=500)

The names below are loaded when first used, so importing this package costs nothing and does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinkery.lab.api import Memory, audit, check, compare, demo, evaluate, examine, load_model, load_task, plan, replay, train

__version__ = "0.1.0"
__all__ = [
    "Memory", "__version__", "audit", "check", "compare", "demo", "evaluate", "examine", "load_model", "load_task", "plan", "replay", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module("thinkery.lab.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
