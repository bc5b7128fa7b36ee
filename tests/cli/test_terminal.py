"""Real commands in a real terminal: what a person sees there, and that Ctrl-C, once or twice, never costs what was done."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import ENV, Command
from tests.support import model_of
from thinkery.cli.screen import STOPPING
from thinkery.lab.runs import listed

SMALL = ("--set", "problems=2", "--set", "samples=2", "--set", "max_tokens=4", "--no-doctor")
SLOW = '''"""Slow: a reward that takes its time.

New      Nothing.
"""
import os
import time

from thinkery.core.records import Card
from thinkery.learning.recipe import default
from thinkery.learning.rewards import weighted

CARD = Card(id="slow", family="objectives", title="Slow", changes=("reward",))
met = []


def slow(rollouts):
    met.append(1)
    if len(met) > 1:
        time.sleep(float(os.environ.get("SLOW", "0")))
    return [float(r.tokens % 2) for r in rollouts]


def recipe(setting):
    return default(setting).rl(reward=weighted(slow=slow))
'''


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny model's folder that no test may change."""
    folder = tmp_path_factory.mktemp("models") / "random"
    model_of().save(folder)
    return folder


def events(*words: object, cwd: Path, until: str = "", **env: str) -> list[dict[str, Any]]:
    """The events of a command that succeeds, or of one that is ended after the first of a kind."""
    command = [sys.executable, "-m", "thinkery", *map(str, words), "--json"]
    told = []
    with subprocess.Popen(command, cwd=cwd, env=ENV | env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(json.loads(line))
            if told[-1]["event"] == until:
                process.kill()
                return told
    assert process.returncode == 0
    return told


def test_training_is_seen_and_ctrl_c_keeps_it(tmp_path: Path, model: Path) -> None:
    words = (
        "train",
        "grpo",
        "--task",
        "addition",
        "--model",
        model,
        "--out",
        "run",
        *SMALL,
        "--evaluate",
        4,
        "--workers",
        2,
        "--steps",
        2000,
    )
    with Command(*words, cwd=tmp_path) as command:
        command.sees(
            "grpo on addition", "step ", " of 2000", " left", "reward", "length ", "signal", "\nreply    ", "\nverdict  ", "Ctrl-C finishes"
        )
        (row,) = listed(tmp_path)
        assert (row["status"], row["now"].split(",")[0].split(" of ")[1]) == ("running", "2000")
        command.press()
        assert command.end() == 130
        shown = command.display.text
    assert command.display.cursor and not command.display.wrapped
    assert "Traceback" not in shown
    assert "is kept, in run" in shown and "go on with: thinkery train grpo" in shown and "--resume" in shown
    assert "Ctrl-C finishes" not in shown, "the live part is gone"
    (kept,) = [int(line.split(" of 2000")[0].split()[-1]) for line in shown.splitlines() if line.startswith("stopped after step")]
    (row,) = listed(tmp_path)
    assert (row["status"], row["now"]) == ("interrupted", None)
    with Command(*words, "--resume", cwd=tmp_path) as command:
        command.until(lambda text: f"resumed from step {kept} of 2000" in text and "step " in text)
        command.press()
        assert command.end() == 130


def test_ctrl_c_twice_stops_at_once_and_the_folder_goes_on(tmp_path: Path, model: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    words = ("train", "./slow.py", "--task", "addition", "--model", model, "--out", "run", *SMALL, "--evaluate", 0, "--steps", 3)
    with Command(*words, cwd=tmp_path, SLOW="60") as command:
        command.until(lambda text: "step 1 of 3" in text)
        time.sleep(0.3)
        command.press()
        command.until(lambda text: STOPPING in text)
        began = time.monotonic()
        command.press()
        assert command.end(30) == 130
        assert time.monotonic() - began < 20
        assert "Traceback" not in command.display.text
        assert command.display.cursor
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    told = events(*words, "--resume", cwd=tmp_path)
    assert [e["total"] for e in told if e["event"] == "step"][-1] == 3
    assert told[-1]["event"] == "done"


def test_an_evaluation_keeps_finished_problems(tmp_path: Path, model: Path) -> None:
    words = ("eval", "--model", model, "--task", "addition", "--n")
    cache = {"THINKERY_CACHE": str(tmp_path / "cache")}
    with Command(*words, 20000, cwd=tmp_path, **cache) as command:
        command.sees("accuracy so far", "random on addition", "of 20000 problems", "tokens/s", "95 % interval", "reply    ")
        command.press()
        assert command.end() == 130
        assert "go on with: thinkery eval" in command.display.text
    (kept,) = (tmp_path / "cache" / "evaluations").iterdir()
    lines = kept.read_text().splitlines()
    assert lines
    kept.write_text("\n".join([*lines[:200], lines[0][:20]]))  # of one that was killed while it wrote
    told = events(*words, 400, cwd=tmp_path, **cache)
    assert not kept.exists()
    assert "were done before" in next(e["text"] for e in told if e["event"] == "note")
    whole = events(*words, 400, cwd=tmp_path, **cache)
    assert not [e for e in whole if e["event"] == "note" and "before" in e["text"]]
    timed = lambda e: {k: v for k, v in e.items() if k != "seconds"}
    assert timed(told[-1]) == timed(whole[-1]), "as if it had never stopped"


def test_a_comparison_fits_a_narrow_terminal_without_colours(tmp_path: Path, model: Path) -> None:
    words = ["compare", "grpo", "reinforce", "--task", "addition", "--model", model, "--seeds", 2, "--steps", 400, "--n", 8, "--out", "c"]
    words += [*SMALL, "--workers", 1]
    with Command(*words, cwd=tmp_path, columns=60, NO_COLOR="1") as command:
        command.sees("1 of 4 runs", "now: reinforce", "grpo", "1/2", "seeds", "accuracy", "Ctrl-C finishes this step")
        command.press()
        assert command.end() == 130
    display = command.display
    assert not display.wrapped
    assert not {s for s in display.styles if (s[:1] in "34" and len(s) > 1) or s.startswith(("38", "48", "9"))}, "no colour"
    assert "Traceback" not in display.text
    assert "1 of 4 runs are done; they are kept" in " ".join(display.text.split())
    told = events(*words, cwd=tmp_path, until="step")
    assert [(e["arm"], e["seed"], e["kept"]) for e in told if e["event"] == "trial"] == [("grpo", 1, True)]
    assert (told[-1]["arm"], told[-1]["seed"]) == ("reinforce", 1)
    assert told[-1]["total"] > 1, "it goes on from its checkpoint"


def test_a_check_shows_its_arms_and_keeps_what_is_done(tmp_path: Path, model: Path) -> None:
    text = (Path(__file__).parents[1] / "lab" / "test_evidence.py").read_text("utf-8").split("METHOD = '''")[1].split("'''")[0]
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "wordy.py").write_text(text.replace("START", repr(str(model))).replace('"steps": 2', '"steps": 60'))
    env = {"THINKERY_METHODS": str(tmp_path / "methods"), "THINKERY_CACHE": str(tmp_path / "cache")}
    words = ("check", "wordy", "--pilot", "--seeds", 1, "--jobs", 1)
    with Command(*words, cwd=tmp_path, **env) as command:
        command.sees(
            "wordy: accuracy: wordy more than plain", "1/1", "without", "shuffled", " of 4 runs", "now: ", "reply    ", "Ctrl-C stops"
        )
        command.press()
        assert command.end() == 130
        assert "Traceback" not in command.display.text
        assert "runs are done; they are kept" in " ".join(command.display.text.split())
    told = events(*words, cwd=tmp_path, until="step", **env)
    assert "plain" in [e["arm"] for e in told if e["event"] == "trial" and e["kept"]]
    assert told[-1]["arm"] in ("wordy", "shuffled"), "of what was not done"
