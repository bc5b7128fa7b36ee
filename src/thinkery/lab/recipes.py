"""The recipe of a method, or of several, with settings changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig, BadData, InputError
from ..learning.collect import load_records
from ..learning.recipe import Optimizer, Recipe, Setting, Stage, combine
from ..solvers import solver as solver_named
from . import catalogue

SCALARS = {
    f.name: f.type
    for f in fields(Stage)
    if f.name in ("steps", "problems", "samples", "temperature", "max_tokens", "epochs", "minibatches", "shards", "cells")
}
OPTIMIZER = {f.name for f in fields(Optimizer)} - {"betas"}


def recipe_for(
    method: str,
    setting: Setting,
    config: Mapping[str, Any],
    steps: int | None = None,
    solver: str | None = None,
    traces: str | Path | None = None,
) -> Recipe:
    """The recipe that a command asks for: `recipe_of`, a number of steps and a solver for the last stage, and traces that it imitates."""
    recipe = recipe_of(method, setting, dict(config) | ({"steps": steps} if steps is not None else {}))
    recipe = recipe if traces is None else imitating(method, recipe, Path(traces))
    return recipe if solver is None else recipe.stage(recipe.flat()[-1].name, solver=solver_named(solver))


def imitating(method: str, recipe: Recipe, traces: Path) -> Recipe:
    """The recipe, whose last stage imitates saved rollouts instead of demonstrations. Raises BadData, InputError."""
    last = recipe.flat()[-1]
    if last.source != "demonstrations":
        raise InputError(f"{method} samples replies of its own; traces are for methods that imitate, as sft does")
    rows = load_records(traces)
    if not any(row["turns"] for row in rows):
        raise BadData(traces, "no rollout has any turn to imitate")
    if any(row.get("split") == "test" for row in rows):
        raise BadData(traces, "rollouts of test problems: who imitates them cannot be measured there; collect with --split train")
    return recipe.stage(last.name, source=("file", str(traces)), styles={}, samples=1)


def recipe_of(method: str, setting: Setting, config: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a method, or of several joined by "+", with settings changed. Raises UnknownName, BadConfig, InputError."""
    config = config or {}
    if "max_tokens" in config:  # before the recipes are made: some go by it
        setting = replace(setting, max_tokens=_number("max_tokens", config["max_tokens"], int))
    names = method.split("+")
    recipes: dict[str, Recipe] = {}
    for name in names:
        module = catalogue.load(name)
        if not hasattr(module, "recipe"):
            raise InputError(f"{name} is not trained: its file has no recipe(setting)")
        recipes[name] = module.recipe(setting)
    recipe = recipes[method] if len(names) == 1 else combine(setting, recipes)
    return configured(recipe, config)


def configured(recipe: Recipe, config: Mapping[str, Any]) -> Recipe:
    """The recipe with scalar settings changed in its last stage: steps, problems, samples, temperature, lr, …, and cast.ROLE, a
    model folder for one of its roles. Unknown keys fail.
    """
    last = recipe.flat()[-1]
    stage: dict[str, Any] = {}
    for key, value in config.items():
        role = key.removeprefix("cast.")
        if role in last.cast and role != key:
            stage["cast"] = {**stage.get("cast", last.cast), role: str(value)}
            continue
        if key not in SCALARS and key not in OPTIMIZER:
            known = sorted([*SCALARS, *OPTIMIZER, *(f"cast.{r}" for r in last.cast)])
            raise BadConfig(f"unknown setting {key!r}; known: {', '.join(known)}")
        have = getattr(last, key) if key in SCALARS else getattr(last.optimizer, key)
        kind = int if key == "max_tokens" else type(have)
        new = _number(key, value, kind) if kind in (int, float) else str(value)
        if key in SCALARS:
            stage[key] = new
        else:
            stage["optimizer"] = replace(stage.get("optimizer", last.optimizer), **{key: new})
    return recipe.stage(last.name, **stage) if stage else recipe


def _number(key: str, value: Any, kind: type) -> Any:
    """A setting's value as that kind of number. Raises BadConfig."""
    try:
        if kind is int and float(value) != int(float(value)):
            raise ValueError
        return kind(float(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise BadConfig(f"setting {key!r} is {value!r}; it must be of type {kind.__name__}") from error
