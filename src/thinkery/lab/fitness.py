"""Whether a method can run in a setting at all: worked replies, other models, files and chat templates that its recipe asks for."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import InputError
from ..learning.recipe import Recipe, Stage
from ..learning.signals import Asks
from ..models.model import find, tokenizer_of
from ..solvers import thinking
from ..tasks import Task


def check(recipe: Recipe, task: Task, model: str | Path) -> None:
    """Raises InputError that says what the recipe needs, the setting lacks, and what to do."""
    stages = recipe.flat()
    for stage in stages:
        if stage.source == "demonstrations":
            _worked(stage, task)
        if isinstance(stage.source, tuple) and stage.source[0] == "file" and not Path(stage.source[1]).is_file():
            raise InputError(f"it needs the file of rollouts {stage.source[1]}, which is not there; write it first")
        _models(stage, model)
        if getattr(stage.solver, "func", stage.solver) is thinking and not _thinks(model):
            raise InputError(f"it needs a chat template that knows thoughts, which {model} lacks; take another model or --solver single")


def _worked(stage: Stage, task: Task) -> None:
    if not task.styles:
        raise InputError(f"it needs worked replies, which the task {task.name!r} lacks; name their column with --solution")
    unknown = sorted(set(stage.styles) - set(task.styles))
    if unknown:
        raise InputError(f"it needs worked replies in the style {unknown[0]!r}; the task {task.name!r} has {', '.join(task.styles)}")


def _models(stage: Stage, model: str | Path) -> None:
    """The frozen models of a stage: they must be there, and those that give log-probabilities must share the policy's tokenizer."""
    for role, path in stage.cast.items():
        try:
            find(path)
        except InputError as error:
            raise InputError(f"it needs a model for the role {role!r}; give a folder with --set cast.{role}=FOLDER ({error})") from error
    asked = {s.model for s in (*stage.signals.values(), *stage.estimates.values()) if isinstance(s, Asks)} - {None, "reference"}
    for role in sorted(map(str, asked)):
        if role not in stage.cast:
            raise InputError(f"it needs a model for the role {role!r}, which its stage does not cast")
        if not tokenizer_of(stage.cast[role]).same(tokenizer_of(model)):
            raise InputError(
                f"its {role} {stage.cast[role]} has another tokenizer than {model}; give one that shares it with --set cast.{role}=FOLDER"
            )


def _thinks(model: str | Path) -> bool:
    chat = tokenizer_of(model).chat
    return chat is not None and chat.thinks is not None
