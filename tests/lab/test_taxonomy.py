"""Every method and every way of thinking has one place in the grid, each place's first entry runs, and accounts are what the rollouts say."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import Sums, model_of, rollouts_of

from thinkery.core.errors import BadData, UnknownName
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.lab import catalogue, taxonomy
from thinkery.lab.taxonomy import GRID, PLACES, Place, place_of
from thinkery.solvers import SOLVERS, majority
from thinkery.tasks.addition import Addition

HOUSE = [name for name, e in catalogue.methods().items() if e.module.startswith("thinkery.")]


def test_every_method_and_way_of_thinking_has_one_place() -> None:
    entries = [taxonomy.name_of(e) for found in GRID.values() for e in found]
    assert len(set(entries)) == len(entries)
    assert sorted(e for e in entries if "@" not in e) == sorted(HOUSE)
    assert sorted(e[1:] for e in entries if e.startswith("@")) == sorted(set(SOLVERS) - {"single"})
    for both in (e for e in entries if "@" in e[1:]):
        method, _, thinks = both.partition("@")
        assert method in HOUSE and thinks in SOLVERS


def test_no_cell_is_empty_and_enough_papers_are_placed() -> None:
    assert tuple(GRID) == PLACES and len(PLACES) == 12 and all(GRID.values())
    numbered = [name for name in HOUSE if catalogue.methods()[name].card.number is not None]
    assert len(numbered) >= 18 and all(place_of(name).regime == "training" for name in numbered)


def test_places_are_found_whatever_the_settings() -> None:
    assert place_of("@memory") == place_of("@memory:piece=9") == Place("inference", "agent", "input")
    with pytest.raises(UnknownName):
        place_of("@nobody")


def test_traits_are_read_off_the_recipes() -> None:
    by = {t.entry: t for t in taxonomy.traits(Addition())}
    assert by["@majority"].learns == () and not by["@majority"].verifies
    assert by["grpo"].learns == ("policy",) and by["grpo"].verifies
    assert by["sft"].learns == ("policy",) and not by["sft"].verifies


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing, large enough to read itself."""
    folder = tmp_path_factory.mktemp("base") / "m"
    model_of(sharp=1.0).save(folder)
    return folder


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_each_place_runs(place: Place, base: Path) -> None:
    found = taxonomy.account(place, GRID[place][0], Addition(digits=1), str(base), n=2, steps=1)
    assert found.n == 2 and found.asks >= 1 and found.sampled > 0 and found.read > 0
    assert (found.trained > 0) == (place.regime == "training")
    assert found.to_dict()["place"] == str(place) and str(place) in str(found)


def test_an_account_is_what_the_rollouts_say() -> None:
    engine = LocalEngine(model_of(sharp=1.0))
    made = rollouts_of(engine, majority, problems=3, samples=1, sampling=Sampling(max_tokens=6))
    for r in made:
        r.verdict = Sums().verify(r.problem, r.reply)
    found = taxonomy.tally(PLACES[0], "@majority", made, 7, 0.0)
    assert found.asks == 8 and found.trained == 7
    assert found.sampled * found.n == sum(len(t.ids) for r in made for t in r.turns)
    assert found.read * found.n == sum(len(t.context.ids) for r in made for t in r.turns)
    made[1].error = "SolverError: broke"
    with pytest.raises(BadData, match="broke"):
        taxonomy.tally(PLACES[0], "@majority", made, 7, 0.0)
