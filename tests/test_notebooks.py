"""Notebooks must come out as their text says, from a clean kernel, and results must show themselves whatever a model wrote.

They go stale with every change of the library: a cell fails, or what the text claims no longer holds. Replies are hostile, and a notebook
is a page.
"""

from __future__ import annotations

import re
import runpy
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thinkery.lab import notebook
from thinkery.lab.audit import Audit, Rate
from thinkery.lab.comparison import Arm, Comparison, Measured
from thinkery.lab.evaluation import Evaluation
from thinkery.lab.events import Event, begin, silent
from thinkery.lab.evidence import Checked

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
RUN = runpy.run_path(str(FOLDER / "run.py"))
NOTEBOOKS = RUN["NOTEBOOKS"]
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e</td>"


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


# ---- the notebooks


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_from_a_clean_kernel_at_reduced_size_all_claims_hold(path: Path) -> None:
    found = RUN["executed"](RUN["sized"](read(path)))
    assert all(cell.execution_count for cell in found.cells if cell.cell_type == "code")


def test_a_claim_that_does_not_hold_is_noticed() -> None:
    wrong = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 > 2, 'the text says otherwise'")])
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="the text says otherwise"):
        RUN["executed"](wrong)


def test_there_are_three_with_outputs_and_claims_and_nothing_of_a_machine() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["compare", "own_reward", "own_task"]
    for path in NOTEBOOKS:
        text, cells = path.read_text("utf-8"), read(path).cells
        nbformat.validate(read(path))
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run: make notebooks"
        assert sum("claim" in cell.metadata.get("tags", ()) for cell in code) >= 2
        assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
        assert not any("execution" in cell.metadata for cell in cells)
        assert not re.search(r"/(tmp|root|home|Users|work)/|<script", text)
        assert sum(cell.cell_type == "markdown" for cell in cells) > len(code) / 2


# ---- results that show themselves


def evaluation(**changes: Any) -> Evaluation:
    sample = {"prompt": "1+2=", "gold": "3", "reply": HOSTILE, "parsed": None, "score": 0.0, "reason": HOSTILE, "truncated": False}
    levels = [
        {"difficulty": [3, 3], "n": 5, "accuracy": 0.2, "tokens": 4.0},
        {"difficulty": [4, 5], "n": 5, "accuracy": 1.0, "tokens": 4.0},
    ]
    whole = Evaluation(0.5, 0.4, 0.6, 100, 1, 7.5, 0.0, 0.25, 2, 1.0, "addition", "test", "single", 0.0, levels, {}, [sample] * 9)
    return replace(whole, **changes)


def comparison() -> Comparison:
    one = lambda accuracy: Measured(
        accuracy, [accuracy] * 10, 5.0, 0.0, 0.0, 0, 0.9, 0.8, "", 0.1, 0.1, tokens=100, seconds=2.0, parameters=9
    )
    arm = lambda name, *found: Arm(name, dict(enumerate(map(one, found))))
    about = {"task": HOSTILE, "n": 10, "budget": None}
    return Comparison(about, arm("start", 0.0, 0.1), (arm("grpo", 0.5, 0.6), arm(HOSTILE, 0.4, 0.6)), "runs/x")


CHECKED = Checked(
    method="x", verdict="supported", line=HOSTILE, mechanism=[], controls=[{"role": "placebo", "verdict": "holds", "text": HOSTILE}],
    comparisons=[{"role": "primary", "verdict": "supported", "text": "a > b", "a": 0.5, "b": 0.25, "effect": 0.25, "low": 0.1, "high": 0.4}],
)  # fmt: skip
AUDIT = Audit(HOSTILE, "plain", faults=["pays"], false_positives=Rate(1, 4, [HOSTILE]))


@pytest.mark.parametrize("shown", [evaluation(), comparison(), CHECKED, AUDIT], ids=lambda r: type(r).__name__)
def test_what_a_model_wrote_is_text(shown: Any) -> None:
    page = shown._repr_html_()
    assert "&lt;script&gt;" in page
    assert not re.search(r"<script|\x1b|\u202e|https?:", page)
    for tag in ("table", "tr", "td", "th", "p", "div"):
        assert len(re.findall(rf"<{tag}\b", page)) == page.count(f"</{tag}>"), tag


def test_an_evaluation_says_what_counts() -> None:
    assert repr(evaluation()) == (
        "addition: accuracy 50.0 % (95 % interval 40.0 to 60.0, n=100), 7.5 tokens a reply, 2 failed and are not counted"
    )
    page = evaluation()._repr_html_()
    assert page.count("1+2=") == notebook.SHOWN
    assert "<td>4 to 5</td><td>5</td><td>100.0 %</td>" in page
    assert "not counted" in evaluation(samples=[evaluation().samples[0] | {"score": None}])._repr_html_()


def test_a_comparison_and_a_check_show_tables_and_words() -> None:
    text, page = repr(comparison()), comparison()._repr_html_()
    assert "55.0 %" in text and "Not told apart" in text
    assert page.count("<tr>") == 4 and "2.0 s" not in page and "Not told apart" in page
    assert "<td>0.500</td><td>0.250</td><td>0.250</td><td>0.100</td><td>0.400</td>" in CHECKED._repr_html_()


# ---- progress


class Cell(types.ModuleType):
    """IPython.display, as far as it is used: what was displayed, and what took its place."""

    def __init__(self) -> None:
        super().__init__("IPython.display")
        self.drawn: list[str] = []
        self.displays = 0

    def HTML(self, text: str) -> str:
        return text

    def display(self, page: str, display_id: bool) -> Cell:
        self.displays += display_id
        self.drawn.append(page)
        return self

    def update(self, page: str) -> None:
        self.drawn.append(page)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    found = Cell()
    monkeypatch.setitem(sys.modules, "IPython.display", found)
    monkeypatch.setattr(notebook, "EVERY_S", 0.0)
    return found


def test_training_is_drawn_in_one_place_and_leaves_what_was_done(cell: Cell) -> None:
    tell = notebook.Progress()
    tell(begin("train", "grpo on addition"))
    tell(Event("finding", {"check": "signal", "level": "warning", "seen": HOSTILE, "advice": "do"}))
    for step in (1, 2):
        tell(Event("step", {"stage": "rl", "step": step, "steps": 2, "reward": 0.5, "accuracy": 0.25, "length": 7.0, "seconds_left": 3.0}))
    tell(Event("sample", {"prompt": "1+2=", "reply": HOSTILE, "score": 0.0, "reason": ""}))
    assert "rl, step 2 of 2 · reward 0.500 · accuracy 0.250 · tokens a reply 7 · 3.0 s left" in cell.drawn[-1]
    tell(Event("done", {"folder": "x", "steps": 2, "tokens": 1234, "seconds": 9.0}))
    assert cell.displays == 1 and len(cell.drawn) == 6
    assert "done: 2 steps, 1,234 tokens sampled" in cell.drawn[-1] and "doctor: signal" in cell.drawn[-1]
    assert not re.search("step 2 of 2|1\\+2=|9.0 s|left", cell.drawn[-1])
    assert not any(re.search(r"<script|\x1b", page) for page in cell.drawn)


def test_evaluations_comparisons_and_checks_end_too(cell: Cell) -> None:
    interval = {"accuracy": 0.5, "low": 0.4, "high": 0.6}
    tell = notebook.Progress()
    tell(begin("eval", "tiny on addition"))
    tell(Event("progress", {"label": "evaluation", "done": 3, "of": 9, **interval, "tokens_per_s": 1.0, "seconds_left": 1.0}))
    assert "evaluation: 3 of 9 problems" in cell.drawn[-1]
    tell(Event("evaluation", {"label": "evaluation", **interval, "n": 9}))
    assert "done: 9 problems" in cell.drawn[-1]
    for what, last in (("compare", [Event("saved", {"path": "x", "what": "comparison"})]), ("check", [])):
        tell = notebook.Progress()
        tell(begin(what, "two arms"))
        tell(Event("arms", {"arms": ["a", "b"], "seeds": 1, "metrics": ["accuracy"]}))
        tell(Event("warning", {"text": "twice"}))
        tell(Event("warning", {"text": "twice"}))
        tell(Event("trial", {"arm": "a", "seed": 1, "of": 1, "metrics": {}, "means": {"accuracy": [0.5, None, None]}, "kept": False}))
        assert "1 of 2 runs" in cell.drawn[-1] and "<td>a</td><td>1</td><td>0.500</td>" in cell.drawn[-1]
        tell(Event("trial", {"arm": "b", "seed": 1, "of": 1, "metrics": {}, "means": {}, "kept": False}))
        for event in last:
            tell(event)
        assert "done: 2 runs" in cell.drawn[-1] and cell.drawn[-1].count("twice") == 1


def test_outside_a_notebook_nothing_is_drawn() -> None:
    assert notebook.shown(None) is silent
    tell = notebook.Progress()
    assert notebook.shown(tell) is tell
