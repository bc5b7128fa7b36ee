"""The map says of every two methods whether they add up or where they clash; a number in the wrong cell or with the wrong sign misleads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thinkery.cli.main import main
from thinkery.core.errors import BadData
from thinkery.lab.interaction_map import page


def made(folder: Path, **changes: Any) -> Path:
    """A comparison of a baseline, three methods and the one combination of them that can be."""
    arm = lambda name, mean: {"method": name, "means": {"accuracy": {"mean": mean}}}
    pair = lambda b, mean, real: {"a": "base", "b": b, "mean": mean, "low": mean - 0.02, "high": mean + 0.03, "real": real}
    beyond = {"a": "x", "b": "y", "kind": "less than their sum", "beyond": {"mean": -0.07, "low": -0.1, "high": -0.04}}
    found = {
        "task": "chain", "model": "tiny", "steps": 50, "seeds": 6, "n": 300, "detectable": 0.147, "start": arm("start", 0.25),
        "arms": [arm("base", 0.5), arm("x", 0.6), arm("y", 0.45), arm("z", 0.5), arm("x+y", 0.4)],
        "pairs": [pair("x", -0.1, True), pair("y", 0.05, False), pair("z", 0.0, False), pair("x+y", 0.1, True)],
        "interactions": [beyond],
        "skipped": {
            "x+z": "x and z both change 'losses' (policy); they cannot be combined",
            "y+z": "y changes 'advantage', which only the loss 'policy' reads, and z takes that out; they cannot be combined",
        },
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "compare.json").write_text(json.dumps(found | changes))
    return folder


def test_every_cell_says_what_was_measured(tmp_path: Path) -> None:
    text = page([made(tmp_path / "a")])
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.split("\n") if line.startswith("| `")]
    assert rows == [
        ["`x`", "**+10.0 (+7.0 to +12.0)**", "**-7.0 (-10.0 to -4.0)**", "clash: losses (policy)"],
        ["`y`", "**-7.0 (-10.0 to -4.0)**", "-5.0 (-8.0 to -3.0)", "clash: advantage"],
        ["`z`", "clash: losses (policy)", "clash: advantage", "+0.0 (-3.0 to +2.0)"],
    ]
    assert "Start 25.0 %, `base` 50.0 %" in text and "6 seeds" in text and "14.7 points" in text


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="--pairs"):
        page([made(tmp_path / "a", interactions=[])])
    with pytest.raises(BadData, match="no comparison"):
        page([tmp_path])
    assert main(["evidence", "map", str(tmp_path), "--out", str(tmp_path / "page.md")]) == 2
    assert main(["evidence", "map", str(made(tmp_path / "b")), "--out", str(tmp_path / "page.md")]) == 0
    assert "## chain" in (tmp_path / "page.md").read_text()
