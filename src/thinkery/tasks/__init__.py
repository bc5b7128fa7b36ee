"""Tasks: supplies of problems with verifiers and worked replies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig, UnknownName
from .addition import Addition
from .base import CORRUPTED, SPLITS, Task, split_of
from .boxes import Boxes
from .brainfuck import Brainfuck
from .calendar import Calendar
from .chain import Chain
from .checkers import CHECKERS
from .circuits import Circuits
from .complexity import NAMES, Beyond
from .connect3 import Connect3
from .countdown import Countdown
from .databases import Databases
from .equations import Equations
from .facts import FactWorld
from .files import FileTask, is_path, load_file
from .formulas import Formulas
from .functions import Functions
from .generated import Generated
from .graphs import GRAPH, load_graph, worked_graphs
from .grid import Grid
from .gym import GYM, gym_listing, load_gym
from .hops import Hops
from .household import Household
from .logic import Logic
from .looked_up import Searched, Walked
from .objectives import Objectives
from .operators import Operators
from .oracle import Oracle
from .ordering import Ordering
from .pipelines import Pipelines
from .puzzle import Puzzle
from .python_fix import PythonFix
from .python_output import PythonOutput
from .python_synth import PythonSynth
from .real import DATASETS, found, from_hub, load_dataset
from .real.hub import PREFIX
from .round_sums import RoundSums
from .sat import Sat
from .schedule import Schedule
from .spurious import Spurious
from .synlogic import load_synlogic, synlogic
from .tables import Tables
from .theories import Theories
from .twenty_questions import TwentyQuestions
from .unseen import composition
from .verifiers import VERIFIERS, verifier
from .web_shop import WebShop
from .yards import Yards

__all__ = [
    "CORRUPTED",
    "DATASETS",
    "SPLITS",
    "TASKS",
    "VERIFIERS",
    "FileTask",
    "Generated",
    "Task",
    "gym_listing",
    "load_file",
    "load_task",
    "split_of",
    "task_names",
    "verifier",
]

TASKS: dict[str, type[Generated[Any]]] = {
    task.name: task
    for task in (
        Addition,
        Boxes,
        Brainfuck,
        Calendar,
        Chain,
        Circuits,
        Connect3,
        Countdown,
        Databases,
        Equations,
        FactWorld,
        Formulas,
        Functions,
        Grid,
        Hops,
        Household,
        Logic,
        Objectives,
        Operators,
        Ordering,
        Pipelines,
        Puzzle,
        PythonFix,
        PythonOutput,
        PythonSynth,
        RoundSums,
        Sat,
        Schedule,
        Searched,
        Spurious,
        Tables,
        Theories,
        TwentyQuestions,
        Walked,
        WebShop,
    )
}

VIEWS: dict[str, Callable[[], Task]] = {  # built-in tasks put together from others
    "composition": composition,
    "graph": worked_graphs,
    "synlogic": synlogic,
    **{f"beyond_{name}": partial(Beyond, name) for name in NAMES},
}

VERIFIERS.update(CHECKERS)


def task_names() -> list[str]:
    """Names of the built-in tasks, sorted; then of the data sets that were found."""
    return [*sorted([*TASKS, *VIEWS]), *found()]


def spec_of(text: str) -> dict[str, Any]:
    """Difficulty keys written as text, `digits=3-5,notation=words`: whole numbers, ranges, true or false, words. Raises BadConfig."""
    found: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not key or not equals or not value or key in found:
            raise BadConfig(f"{part!r} is no difficulty key: write NAME:key=value,key=value, as in addition:digits=3-5, each key once")
        low, dash, high = value.partition("-")
        if low.isdecimal() and (high.isdecimal() or not dash):
            found[key] = (int(low), int(high)) if dash else int(low)
        else:
            found[key] = {"true": True, "false": False}.get(value, value)
    return found


def load_task(name: str | Path, **spec: Any) -> Task:
    """A built-in task by name, alone or with difficulty keys ("addition:digits=3-5"), a data set by name, one of reasoning-gym
    ("gym:sudoku", "gym:sudoku:level=2"), of SynLogic ("synlogic:sudoku:level=2", all: "synlogic"), on graphs ("graph:bfs",
    "graph:bfs:nodes=5-7") or of the hub ("hf:openai/gsm8k"), or a JSONL or CSV file's task by path. Behind "oracle:" any of them, of
    which solvers may ask the verifier; "acted:boxoban" has that data set's levels acted in.

    `spec`: a built-in task's difficulty keys, or what `load_file` takes. Raises UnknownName, BadConfig, BadData, MissingExtra.
    """
    own, colon, keys = str(name).partition(":")
    if own == "oracle" and colon:
        return Oracle(load_task(keys, **spec))
    if own == "acted" and keys.partition(":")[0] == "boxoban" and not spec:
        return Yards(keys.partition(":")[2])
    if own in TASKS:
        return TASKS[own](**(spec_of(keys) if keys else {}), **spec)
    if str(name) in VIEWS and not spec:
        return VIEWS[str(name)]()
    if str(name).startswith(GYM):
        data_set, _, keys = str(name).removeprefix(GYM).partition(":")
        return load_gym(GYM + data_set, **(spec_of(keys) if keys else {}), **spec)
    if str(name).startswith(GRAPH):
        kind, _, keys = str(name).removeprefix(GRAPH).partition(":")
        return load_graph(GRAPH + kind, **(spec_of(keys) if keys else {}), **spec)
    if own == "synlogic":
        family, _, keys = keys.partition(":")
        return load_synlogic(family, **(spec_of(keys) if keys else {}), **spec) if family else synlogic(**spec)
    published = from_hub if str(name).startswith(PREFIX) else load_dataset if str(name).partition(":")[0] in DATASETS else None
    if published is not None:
        if spec:
            raise BadConfig(f"the data set {str(name)!r} has no difficulty keys, so not {next(iter(spec))!r} either")
        return published(str(name))
    if is_path(name):
        try:
            signature(load_file).bind(name, **spec)
        except TypeError as error:
            raise BadConfig(f"task {str(name)!r}: {error}; a file needs question, answer (columns) and verifier") from None
        return load_file(name, **spec)
    raise UnknownName(
        "task", str(name), [*TASKS, *VIEWS, *DATASETS], "A file of problems is named by its path: problems.jsonl or problems.csv."
    )
