"""Every method that is found learns in two tiny steps, the same way each time, resumed or not, and each slot its card names matters; a
method that changes nothing, or whose change another one swallows, would pass for the default without a sign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.support import Sums, rollouts_of, start_of, texts, weights_of
from thinkery.core.errors import BadConfig, InputError
from thinkery.engines.local import LocalEngine
from thinkery.lab import catalogue
from thinkery.learning import checkpoint, select
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Repeat, Setting, Stage, combine, default, same
from thinkery.models.model import Model

SETTING = Setting(Sums())
ALL = sorted(name for name, entry in catalogue.methods().items() if entry.module.startswith("thinkery."))
CHANGES = {name: catalogue.methods()[name].card.changes for name in ALL}


@cache
def recipe_of(name: str) -> Recipe:
    return catalogue.load(name).recipe(SETTING)  # type: ignore[no-any-return]


def fits(name: str) -> bool:
    """Whether a method has a recipe for any task, not only for one of a kind."""
    try:
        return hasattr(catalogue.load(name), "recipe") and bool(recipe_of(name))
    except BadConfig:
        return False


TRAINED = [name for name in ALL if fits(name)]
PARTICULAR = [name for name in ALL if hasattr(catalogue.load(name), "recipe") and name not in TRAINED]


@pytest.mark.parametrize("name", PARTICULAR)
def test_a_method_for_one_kind_of_task_says_so_and_runs_on_it(name: str, warm: Model) -> None:
    module = catalogue.load(name)
    with pytest.raises(BadConfig, match=f"{name} .*'sums'"):
        module.recipe(SETTING)
    setting = replace(module.CLAIM.setting, start="tiny")
    learning = Learning(each(module.recipe(setting), small), setting, start_of(warm))
    metrics = [learning.step() for _ in range(2)]
    learning.leave()
    assert all(m["errors"] == 0 and m["rollouts"] > 0 for m in metrics)


def each(recipe: Recipe, change: Callable[[Stage], Stage]) -> Recipe:
    """The recipe with every stage changed."""
    part = lambda s: replace(s, stages=tuple(map(change, s.stages)), rounds=1) if isinstance(s, Repeat) else change(s)
    return Recipe(tuple(map(part, recipe.stages)))


def small(stage: Stage) -> Stage:
    """A stage of two steps, quick enough for a test, that moves far enough for clipping to show."""
    samples = min(4, stage.samples)
    return replace(
        stage, steps=2, problems=4, samples=samples, shards=2, epochs=max(2, stage.epochs), optimizer=Optimizer(lr=0.01, warmup=1)
    )


def learning_of(recipe: Recipe, model: Model) -> Learning:
    return Learning(recipe, SETTING, start_of(model))


def outcome(learning: Learning) -> tuple[list[dict[str, float]], bytes]:
    metrics = []
    try:
        while not learning.done:
            metrics.append(learning.step())
    finally:
        learning.leave()
    return metrics, weights_of(learning.model)


@pytest.mark.parametrize("name", TRAINED)
def test_two_steps_are_the_same_twice_and_resumed(name: str, warm: Model, tmp_path: Path) -> None:
    recipe = each(recipe_of(name), small)
    metrics, weights = outcome(learning_of(recipe, warm))
    assert weights != weights_of(warm), "it learns"
    assert all(m["errors"] == 0 for m in metrics)
    assert outcome(learning_of(recipe, warm)) == (metrics, weights)
    first = learning_of(recipe, warm)
    first.step()
    folder = checkpoint.save(first, tmp_path)
    first.leave()
    again = learning_of(recipe, warm)
    checkpoint.load(again, folder)
    assert outcome(again) == (metrics[1:], weights)


@pytest.mark.parametrize("name", TRAINED)
def test_the_first_gradient_is_blind_to_the_cut(name: str, warm: Model) -> None:
    def first(cells: int) -> dict[str, float]:
        learning = learning_of(each(recipe_of(name), lambda s: replace(small(s), epochs=1, minibatches=1, cells=cells)), warm)
        metrics = learning.step()
        learning.leave()
        return {k: v for k, v in metrics.items() if k.startswith("loss/") or k == "gradient_norm"}

    assert first(9) == pytest.approx(first(10**6), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in ALL if hasattr(catalogue.load(name), "solver")])
def test_a_solver_says_the_same_twice(name: str, warm: Model) -> None:
    engine, solver = LocalEngine(start_of(warm)), catalogue.load(name).solver
    one, two = (rollouts_of(engine, solver, problems=3, samples=2) for _ in range(2))
    assert all(r.error is None and r.reply is not None for r in one)
    assert texts(one) == texts(two)
    assert [r.reply for r in one] == [r.reply for r in two]


SLOTS = [(name, slot) for name in TRAINED for slot in CHANGES[name] if slot != "probes"]  # due later than in two steps


@pytest.mark.parametrize(("name", "slot"), SLOTS, ids=["-".join(x) for x in SLOTS])
def test_a_slot_put_back_changes_what_is_learnt(name: str, slot: str, warm: Model) -> None:
    """Or the method cannot do without it. (A reward that only spares the verifying is no change.)"""
    (stage,) = default(SETTING).flat()

    def matters(steps: int) -> bool:
        on = each(recipe_of(name), lambda s: replace(small(s), steps=steps))
        try:
            without = outcome(learning_of(each(on, lambda s: replace(s, **{slot: getattr(stage, slot)})), warm))
        except Exception:
            return True
        return without[1] != outcome(learning_of(on, warm))[1]

    assert matters(2) or matters(10), "what hangs on a coin may need some throws"


def changed(recipe: Recipe) -> set[str]:
    """The slots that a change of the stage "rl" changes."""
    (base,), (stage,) = default(SETTING).flat(), recipe.flat()
    return {f.name for f in fields(Stage) if not same(getattr(stage, f.name), getattr(base, f.name))}


def pieces(slot: str, stage: Stage) -> list[Any]:
    """What a slot holds, to look for it in another stage's."""
    value = getattr(stage, slot)
    if slot == "reward":
        return list(value.parts)
    if slot == "select" and isinstance(value, select.Where):
        return list(value.tests)
    if slot in ("losses", "heads"):
        return list(value)
    return list(value.items()) if isinstance(value, dict) else [value]


def holds(slot: str, whole: Stage, part: Stage) -> bool:
    """Whether all that `part` adds to a slot is in `whole`, and nothing that it takes out."""
    (base,) = default(SETTING).flat()
    inside = lambda piece, stage: any(same(piece, p) for p in pieces(slot, stage))
    added = [p for p in pieces(slot, part) if not inside(p, base)]
    taken = [p for p in pieces(slot, base) if not inside(p, part)]
    return all(inside(p, whole) for p in added) and not any(inside(p, whole) for p in taken)


def joins(name: str) -> bool:
    """Whether a method is a change of the stage "rl"."""
    return [s.name for s in recipe_of(name).flat()] == ["rl"]


@pytest.mark.parametrize("name", TRAINED)
def test_the_card_names_what_changes(name: str) -> None:
    assert set(CHANGES[name]) <= {f.name for f in fields(Stage)}
    if joins(name):
        assert changed(recipe_of(name)) == set(CHANGES[name])


def together(a: str, b: str) -> tuple[Stage | None, str]:
    """The stage of two methods combined, or the message that says why not."""
    try:
        return combine(SETTING, {a: recipe_of(a), b: recipe_of(b)}).flat()[0], ""
    except InputError as error:
        return None, str(error)


@pytest.mark.parametrize("name", TRAINED)
def test_with_any_other_it_combines_or_clashes_aloud(name: str) -> None:
    """Where two combine, every change of both is there."""
    for other in TRAINED[TRAINED.index(name) + 1 :]:
        both, clash = together(name, other)
        if both is None:
            assert "cannot be combined" in clash
            assert "stages of its own" in clash if not (joins(name) and joins(other)) else name in clash and other in clash
            continue
        for part in (name, other):
            for slot in CHANGES[part]:
                assert holds(slot, both, recipe_of(part).flat()[0]), f"{name}+{other} lost {slot} of {part}"


def test_some_of_all_pairs_combine_and_some_clash() -> None:
    met = [together(a, b)[0] is None for a, b in combinations(filter(joins, TRAINED), 2)]
    assert 3 < sum(met) < len(met) - 3
