"""The pages of the methods say what the files and the evidence say today; a page written by hand, or left behind, would drift from both."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from thinkery.cli.main import main
from thinkery.core.errors import BadData
from thinkery.core.records import Card
from thinkery.lab import catalogue, pages, verdicts

PLACE = Path(__file__).resolve().parents[2] / "docs" / "methods"
DOC = """Toy: a toy.

Paper    Somebody.
Problem  Two
         lines.
Formula  R = c - (q - c)^2
         A = R - mean(R)
Setup    group size = 32 (repository); learning rate = 1e-6 (paper).
"""


def entry(tmp_path: Path, doc: str = DOC, code: str = "") -> catalogue.Entry:
    path = tmp_path / "toy.py"
    path.write_text(code)
    return catalogue.Entry(Card(id="toy", family="objectives", title="A toy", changes=("reward",)), path, "", doc)


def test_the_pages_at_hand_are_of_today() -> None:
    assert pages.outdated(PLACE, pages.pages()) == [], "write them anew: thinkery evidence pages"


def test_a_page_says_what_the_docstring_says(tmp_path: Path) -> None:
    text = pages.page(entry(tmp_path), tmp_path)
    assert "**Problem.** Two lines." in text
    assert "```\nR = c - (q - c)^2\nA = R - mean(R)\n```" in text
    assert "| group size | 32 | repository |" in text
    assert "| learning rate | 1e-6 | paper |" in text
    assert "not run" in text
    assert "thinkery check" not in text, "nothing is claimed"
    assert "thinkery check toy" in pages.page(entry(tmp_path, code="CLAIM = 1\n"), tmp_path)


def test_a_setup_without_a_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"'group size = 32'.*where it was read"):
        pages.page(entry(tmp_path, DOC.replace("32 (repository)", "32")), tmp_path)


def test_a_page_shows_the_verdict_the_interval_and_the_curves() -> None:
    found = json.loads((verdicts.evidence_folder() / "rlcr.json").read_text())
    text, first = pages.page(catalogue.entry("rlcr"), verdicts.evidence_folder()), found["comparisons"][0]
    assert f"{first['low']:.3f} to {first['high']:.3f}" in text
    assert "(rlcr.svg)" in text
    drawn = ElementTree.fromstring(pages.drawing(found))
    words = {t.text for t in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert set(found["arms"]) <= words


def test_what_was_changed_or_left_behind_is_found_and_put_right(tmp_path: Path) -> None:
    assert main(["evidence", "pages", "--out", str(tmp_path)]) == 0
    assert {"grpo.md", pages.INDEX} <= {p.name for p in tmp_path.iterdir()}
    (tmp_path / "grpo.md").write_text("by hand")
    (tmp_path / "gone.md").write_text("of no method")
    assert pages.write_pages(tmp_path) == ["gone.md", "grpo.md"]
    assert pages.write_pages(tmp_path) == []
    assert not (tmp_path / "gone.md").exists()
