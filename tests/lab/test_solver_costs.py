"""What `thinkery list solvers` says of costs is what they are now."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from thinkery.cli.main import main
from thinkery.core.errors import StorageError
from thinkery.lab import solver_costs
from thinkery.lab.solver_costs import NEEDS, Cost, costs, measure
from thinkery.solvers import SOLVERS

AGAIN = "run: thinkery list solvers --measure src/thinkery/lab/solver_costs.json"


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_the_costs_are_up_to_date(name: str) -> None:
    """To 5 %: another machine's last digit may turn a draw."""
    found, kept = measure(name), costs().get(name)
    assert (found is None) == (kept is None) == (name in NEEDS), AGAIN
    if found is not None and kept is not None:
        now, then = asdict(found), asdict(kept)
        assert (now.pop("solver"), now.pop("task")) == (then.pop("solver"), then.pop("task")), AGAIN
        assert now == pytest.approx(then, rel=0.05), AGAIN


def test_nothing_is_kept_that_is_no_more() -> None:
    assert set(costs()) | set(NEEDS) == set(SOLVERS), AGAIN


def test_costs_by_what_is_known() -> None:
    """One ask is one ask; eight samples of one question read it eight times and compute it once; a scorer's reading counts as computed."""
    single, eight, scored = (measure(name) for name in ("single", "best_of_n", "scored"))
    assert isinstance(single, Cost) and isinstance(eight, Cost) and isinstance(scored, Cost)
    assert (single.asks, eight.asks, scored.asks) == (1, 8, 8)
    assert eight.read == pytest.approx(8 * single.read, abs=0.5) and scored.read == eight.read
    assert eight.computed < eight.read / 8 + eight.sampled < scored.computed + eight.read / 8
    assert scored.computed > eight.computed


def test_the_listing_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "solvers", "--json"]) == 0
    rows = {row["solver"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(SOLVERS)
    for name, row in rows.items():
        assert row["what"].strip()
        assert (row["asks"] is None) == (name in NEEDS)
    assert rows["best_of_n"]["sampled"] == costs()["best_of_n"].sampled
    assert main(["list", "solvers"]) == 0
    shown = capsys.readouterr().out
    assert "computed" in shown and solver_costs.about() in shown.replace("\n", " ")


def test_the_command_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_costs, "SOLVERS", {"single": SOLVERS["single"]})
    assert main(["list", "solvers", "--measure", str(tmp_path / "new" / "costs.json")]) == 0
    assert set(json.loads((tmp_path / "new" / "costs.json").read_text("utf-8"))) == {"single"}
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        solver_costs.write_costs(tmp_path / "file" / "costs.json")
