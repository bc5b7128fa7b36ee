"""Items and scores of reasoning-gym. Imported in the worker processes alone: the library's scorers hang and die on hostile answers, some of
its items change with the hash seed, and it takes seconds to import.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import random
from functools import lru_cache
from typing import Any

import numpy as np
from reasoning_gym.factory import CURRICULA, DATASETS

from ..core.rng import address
from .base import digest, split_of
from .gym_scorers import OURS, plain

PATIENCE = 400  # draws before a split is called empty; the smallest split takes one in twenty
RESEEDED = {"arc_agi", "codeio", "figlet_font", "group_anagrams", "spell_backward", "word_ladder"}  # slow to set up, whatever the seed
OWN = ("seed", "size")  # configuration that belongs to the adapter


def item(name: str, spec: str, split: str, seed: int, index: int) -> dict[str, Any]:
    """The first draw of that address whose question belongs to the split: question, gold answer or None, draw; or how it is "refused"."""
    try:
        for k in range(PATIENCE):
            draw = address(seed, "gym", name, split, index, k) >> 33  # reasoning-gym adds indices to its seeds; an address does not
            made = entry(name, spec, draw)
            if split_of(digest(made["question"]).hex()) == split and sound(name, made):
                return {"question": made["question"], "answer": made["answer"], "draw": draw}
    except Refused as refused:
        return {"refused": str(refused)}
    return {"refused": f"gym:{name} with {spec} has no problem for the {split} split in {PATIENCE} draws; choose a wider setting"}


def sound(name: str, made: dict[str, Any]) -> bool:
    """Whether our scorer, where there is one, takes the gold answer (an integral left standing is none)."""
    return name not in OURS or OURS[name](made["answer"], made)


def score(name: str, spec: str, draw: int, reading: str) -> dict[str, Any]:
    """right, what the library's own scorer pays ("partial", None where it is not asked), and why not where it is wrong."""
    made = entry(name, spec, draw)
    if name in OURS:
        return {"right": OURS[name](reading, made), "partial": None, "reason": ""}
    if made["answer"] is not None and plain(reading) == plain(made["answer"]):
        return {"right": True, "partial": 1.0, "reason": ""}
    try:
        paid = float(data(name, spec).score_answer(reading, copy.deepcopy(made)))
    except Exception as error:  # the gold answer went through, so the reply is at fault
        return {"right": False, "partial": None, "reason": f"not readable as an answer ({type(error).__name__})"}
    if not (math.isfinite(paid) and 0 <= paid <= 1):
        return {"right": False, "partial": None, "reason": f"the library's score {paid} is no share"}
    return {"right": paid == 1, "partial": paid, "reason": ""}


def check(name: str, spec: str) -> dict[str, Any]:
    """Nothing, or how the settings are "refused"."""
    try:
        data(name, spec)
    except Refused as refused:
        return {"refused": str(refused)}
    return {}


class Refused(Exception):
    """Settings that a data set does not take. Never leaves this file."""


# ---- data sets


@lru_cache(maxsize=4096)
def entry(name: str, spec: str, draw: int) -> dict[str, Any]:
    """Item 0 of the data set of that seed."""
    random.seed(draw)
    np.random.seed(draw)
    if name in RESEEDED:
        made = data(name, spec)
        made.seed = made.config.seed = draw
    else:
        made = dataset(name, spec, draw)
    found: dict[str, Any] = made[0]
    return found


@lru_cache(maxsize=64)
def data(name: str, spec: str) -> Any:
    """A data set whose settings count and whose seed does not."""
    return dataset(name, spec, 0)


def dataset(name: str, spec: str, draw: int) -> Any:
    """A data set of one item. Raises Refused for settings that it does not take."""
    make, config = DATASETS[name]
    wanted = {**json.loads(spec), "seed": draw, "size": 1}
    level = wanted.pop("level", None)
    if unknown := sorted(set(wanted) - {*keys(name), *OWN}):
        raise Refused(f"task 'gym:{name}' has no difficulty key {unknown[0]!r}; it has level, {', '.join(keys(name))}")
    if level is not None:
        curriculum = CURRICULA[name]()
        curriculum.set_global_level(level)
        wanted = {**shallow(curriculum.generate_configuration({"seed": draw, "size": 1})), **wanted}
    try:
        return make(config(**wanted))
    except (AssertionError, TypeError, ValueError) as error:
        raise Refused(f"gym:{name} with {spec}: {error or type(error).__name__}; choose another setting") from None


def keys(name: str) -> list[str]:
    """The configuration keys of a data set, but seed and size."""
    return [field.name for field in dataclasses.fields(DATASETS[name][1]) if field.name not in OWN]


def shallow(config: Any) -> dict[str, Any]:
    """A configuration's values by name."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.init}
