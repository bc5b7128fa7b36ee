"""Rechecked work that may be wrong from the first time on, so that whether an answer is right does not hang on how often the work is gone through."""

from __future__ import annotations

from typing import Any

from .base import CORRUPTED
from .generated import Generated
from .rechecked import Rechecked


class Slipping(Rechecked):
    """Rechecked, also in the style "corrupted", whose slip stands in every copy of the work."""

    def __init__(self, task: Generated[Any]) -> None:
        super().__init__(task)
        self.name, self.styles = f"{task.name} slipping", (*self.styles, CORRUPTED)
