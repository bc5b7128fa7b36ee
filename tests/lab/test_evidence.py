"""Nothing confirmatory runs before its claim is frozen as it stands, what was run is not run again, and evidence that was edited, judged
otherwise or made by other code is found out; a loophole in any of it would let a threshold move after the fact."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkery.cli.main import main
from thinkery.core.errors import BadConfig, BadData
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import rng
from thinkery.lab import evidence, parts, trial, verdicts
from thinkery.learning import rewards
from thinkery.learning.recipe import WarmStart
from thinkery.models.model import Model

METHOD = '''"""Wordy: a toy.

New      Nothing.
"""
from tests.support import Sums
from thinkery.core.records import Card
from thinkery.lab.claims import Claim, Gates, difference, more
from thinkery.learning import rewards
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(id="wordy", family="objectives", title="A toy", changes=("reward",))


def short(rollouts):
    return [-0.1 * r.tokens for r in rollouts]  # a remark


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(reward=rewards.weighted(short=short))


CLAIM = Claim(
    primary=more("accuracy", "wordy", "plain", by=difference(0.05), why="said so"),
    arms={"plain": "reinforce", "wordy": recipe, "without": "reinforce"},
    baseline="plain", method="wordy", must_move="without", placebo="shuffled",
    setting=Setting(Sums(), START), config={"steps": 2, "problems": 4, "samples": 4}, problems=20, seeds=3, most=6,
    gates=Gates(greedy=(0.0, 1.0), lift=0.0, mixed=0.0),
)
'''


@pytest.fixture
def method(warm: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A method of one's own with a claim, in a folder that is looked in; a cache of one's own."""
    warm.save(tmp_path / "start")
    path = tmp_path / "methods" / "wordy.py"
    path.parent.mkdir()
    path.write_text(METHOD.replace("START", repr(str(tmp_path / "start"))))
    monkeypatch.setenv("THINKERY_METHODS", str(path.parent))
    monkeypatch.setenv(trial.VARIABLE, str(tmp_path / "cache"))
    return path


def edit(path: Path, old: str, new: str) -> None:
    """Change the method's file, as another session would find it."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    sys.modules.pop(next((n for n in sys.modules if n.startswith("thinkery_method_wordy")), ""), None)


def test_a_claim_is_run_only_as_it_was_frozen(method: Path, tmp_path: Path) -> None:
    run = lambda **k: evidence.check("wordy", folder=tmp_path / "e", **k)
    with pytest.raises(BadConfig, match="not frozen"):
        run()
    assert run(pilot=True)["scale"] == "pilot"
    assert not (tmp_path / "e").exists(), "pilot seeds leave nothing"
    assert evidence.freeze("wordy", tmp_path / "e")["revision"] == 1
    found = run()
    assert (found["seeds"], found["scale"], found["revisions"], found["looks"]) == (3, "miniature", 1, [3])
    assert found["verdict"] in {"supported", "smaller", "contradicted", "inconclusive"}
    assert set(found["arms"]) == {"plain", "wordy", "without", "shuffled"}
    assert evidence.verify(tmp_path / "e") == []
    edit(method, "difference(0.05)", "difference(0.01)")
    with pytest.raises(BadConfig, match="changed since revision 1 was frozen"):
        run()
    assert evidence.verify(tmp_path / "e"), "and what is there no longer holds"
    again = evidence.freeze("wordy", tmp_path / "e")
    assert (again["revision"], len(again["history"])) == (2, 1)
    second = run(seeds=1)
    assert second["arms"]["plain"]["metrics"][0] not in found["arms"]["plain"]["metrics"] or second["revisions"] == 2
    assert (second["revisions"], second["looks"], second["scale"]) == (2, [1], "reduced")


def test_seeds_of_kinds_and_revisions_never_meet() -> None:
    every = [s for kind in ("pilot", "confirmatory") for revision in (1, 2, 3) for s in evidence.seeds_of(20, kind, revision)]
    assert len(set(every)) == len(every)


def test_what_was_run_is_not_run_again_and_an_interrupted_check_goes_on(
    method: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence.freeze("wordy", tmp_path / "e")
    ran: list[str] = []
    real = trial._trial

    def counted(*args: Any) -> trial.Trial:
        if len(ran) == 5:
            ran.append("stopped")
            raise KeyboardInterrupt
        ran.append("ran")
        return real(*args)

    monkeypatch.setattr(trial, "_trial", counted)
    with pytest.raises(KeyboardInterrupt):
        evidence.check("wordy", jobs=1, folder=tmp_path / "e")
    first = evidence.check("wordy", jobs=1, folder=tmp_path / "e")
    # 3 seeds of 4 arms, of which one is measured before and two are the same recipe; the interrupted one twice
    assert ran.count("ran") == 12 and ran.count("stopped") == 1
    assert evidence.check("wordy", jobs=1, folder=tmp_path / "e") == first
    assert len(ran) == 13


def test_arms_at_once_are_arms_one_by_one(method: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence.freeze("wordy", tmp_path / "e")
    found = []
    for jobs in (1, 3):
        monkeypatch.setenv(trial.VARIABLE, str(tmp_path / f"cache{jobs}"))
        heard: list[str] = []
        made = evidence.check("wordy", seeds=3, jobs=jobs, folder=tmp_path / "e", listen=lambda e, heard=heard: heard.append(e.kind))
        assert heard.count("trial") == 12 and "arm" in heard
        found.append({arm: made["arms"][arm]["metrics"] for arm in made["arms"]})
    assert found[0] == found[1]


def test_another_look_is_another_level(method: Path, tmp_path: Path) -> None:
    evidence.freeze("wordy", tmp_path / "e")
    one = evidence.check("wordy", folder=tmp_path / "e")
    two = evidence.check("wordy", seeds=4, folder=tmp_path / "e")
    assert two["looks"] == [3, 4]
    assert two["comparisons"][0]["level"] > one["comparisons"][0]["level"]
    assert two["arms"]["plain"]["metrics"][:3] == one["arms"]["plain"]["metrics"]


def test_a_number_or_verdict_edited_by_hand_is_caught(method: Path, tmp_path: Path) -> None:
    folder = tmp_path / "e"
    evidence.freeze("wordy", folder)
    found = evidence.check("wordy", folder=folder)
    path = folder / "wordy.json"
    better = found | {"verdict": "supported" if found["verdict"] != "supported" else "contradicted"}
    path.write_text(json.dumps(better))
    assert "edited by hand" in evidence.verify(folder)[0]
    with pytest.raises(BadData, match="edited by hand"):
        verdicts.verdict_of("wordy", folder)
    evidence._write(path, {k: v for k, v in better.items() if k != "content"})
    assert "its numbers give" in evidence.verify(folder)[0], "a fitting hash does not help"
    path.write_text("{")
    assert "not evidence" in evidence.verify(folder)[0]


def test_code_makes_evidence_stale_and_remarks_do_not(method: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "e"
    evidence.freeze("wordy", folder)
    said = evidence.check("wordy", folder=folder)["verdict"]
    edit(method, "# a remark", "# another remark")
    edit(method, "New      Nothing.", "New      Nothing at all.")
    assert verdicts.verdict_of("wordy", folder) == said
    assert evidence.verify(folder) == []
    edit(method, "-0.1 * r.tokens", "-0.2 * r.tokens")
    assert verdicts.verdict_of("wordy", folder) == "stale"
    assert "stale" in evidence.verify(folder)[0]
    edit(method, "-0.2 * r.tokens", "-0.1 * r.tokens")
    assert verdicts.verdict_of("wordy", folder) == said
    monkeypatch.setattr(verdicts, "NUMERICS", parts.NUMERICS + 1)
    assert verdicts.verdict_of("wordy", folder) == "stale"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of parts: rewards, of which one is named by the method."""
    for name, text in {
        "methods/m.py": "from thinkery.learning import rewards\n\ndef recipe(s):\n    return rewards.used\n",
        "learning/__init__.py": "",
        "learning/rewards.py": "from .batch import helper\n\ndef used(r):\n    return helper(r)\n\ndef other(r):\n    return 1\n",
        "learning/batch.py": "SCALE = 2\n\ndef helper(r):\n    return SCALE * r\n\ndef idle():\n    return 0\n",
        "core/x.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(parts, "SOURCE", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "old", "new", "matters"),
    [
        ("learning/rewards.py", "return helper(r)", "return helper(r) + 1", True),
        ("learning/batch.py", "SCALE = 2", "SCALE = 3", True),
        ("learning/batch.py", "SCALE * r", "SCALE * r  # why", False),
        ("learning/batch.py", "def helper(r):\n", 'def helper(r):\n    """Says more."""\n', False),
        ("learning/rewards.py", "return 1", "return 2", False),
        ("learning/batch.py", "return 0", "return 1", False),
        ("methods/m.py", "rewards.used", "rewards.other", True),
    ],
)
def test_only_what_is_named_matters(package: Path, file: str, old: str, new: str, matters: bool) -> None:
    before = parts.code(package / "methods/m.py")
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new) + "\n")
    parts._module.cache_clear()
    assert (parts.code(package / "methods/m.py") != before) is matters


def rollout(i: int, k: int = 0, step: int = 0) -> Rollout:
    return Rollout(step, i, k, Problem(f"p{i}", Question("q"), "1"), reply=Reply("1"), verdict=Verdict(float(i % 3 == 0), "1"))


def test_a_shuffled_reward_is_the_same_numbers_elsewhere_by_address() -> None:
    found = [rollout(i, k) for i in range(12) for k in range(4)]
    parted = rewards.shuffled(rewards.weighted(again=rewards.correct))
    one, two = (values for _, values in parted.score(found))
    assert one == two != rewards.correct(found)
    assert sorted(one) == sorted(rewards.correct(found))
    assert rewards.shuffled(rewards.CORRECT).score(found)[0][1] == one
    assert rewards.shuffled(rewards.CORRECT).score([rollout(i, k, 1) for i in range(12) for k in range(4)])[0][1] != one


def test_a_warm_start_is_made_once_and_its_content_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: Model) -> None:
    from tests.support import Sums

    monkeypatch.setenv(trial.VARIABLE, str(tmp_path / "cache"))
    warm.save(tmp_path / "base")
    start = WarmStart(Sums(), {"direct": 1.0}, steps=2, base=str(tmp_path / "base"))
    folder = trial.warm_start(start)
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert trial.warm_start(start) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    assert trial.warm_start(WarmStart(Sums(), {"spoken": 1.0}, steps=2, base=start.base)) != folder


def test_a_metric_that_one_arm_lacks_is_still_compared_between_others() -> None:
    trials = {"a": [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}], "b": [{"x": 5.0, "y": 6.0}, {"x": 7.0}], "c": []}
    assert evidence.outcomes_of(trials) == {"a": {"x": [1.0, 3.0], "y": [2.0, 4.0]}, "b": {"x": [5.0, 7.0]}}


def test_measures_are_those_of_the_replies() -> None:
    found = [rollout(i) for i in range(6)]
    for r, q in zip(found, (1.0, 0.0, 0.0, 1.0, 0.0, None)):
        r.reply = Reply("1", data={"confidence": q})
    got = trial.measured(found)
    assert got["accuracy"] == pytest.approx(2 / 6)
    assert (got["stated"], got["ece"], got["brier"], got["auroc"]) == (5 / 6, 0.0, 0.0, 1.0)
    assert "auroc" not in trial.measured([found[0], found[3]]), "undefined is left out, not made a number"
    passed = trial.passes([rollout(i, k) for i in range(3) for k in range(8)])
    assert passed == {**dict.fromkeys(("pass@1", "pass@2", "pass@3", "pass@4", "pass@8"), pytest.approx(1 / 3)), "mixed": 0.0}
    assert set(trial.passes([rollout(0, k) for k in range(3)])) == {"pass@1", "pass@2", "pass@3", "mixed"}


def test_the_table_lists_claims_and_the_readme_shows_it_as_it_is() -> None:
    rows = verdicts.table()
    assert {"rlcr"} <= {r["method"] for r in rows}
    root = Path(__file__).resolve().parents[2]
    text = (root / "README.md").read_text(encoding="utf-8")
    assert verdicts.placed(text, rows, root / "README.md") == text, "write it anew: thinkery evidence table --readme README.md"
    with pytest.raises(BadData, match="no place for the verdicts"):
        verdicts.placed("# A file\n", rows, root / "README.md")


def test_the_commands(method: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for module in (evidence, verdicts):
        monkeypatch.setattr(module, "evidence_folder", lambda: tmp_path / "e")
    assert main(["check", "grpo"]) == 2, "it makes no claim"
    assert main(["check", "wordy"]) == 2, "not frozen"
    assert main(["evidence", "freeze", "wordy"]) == 0
    assert main(["check", "wordy", "--seeds", "99"]) == 2
    capsys.readouterr()
    assert main(["check", "wordy"]) == 0
    said = capsys.readouterr().out
    assert "seed 3 of 3" in said and "revision 1" in said and "must move" in said
    assert main(["evidence", "verify"]) == 0
    capsys.readouterr()
    assert main(["evidence", "table", "--json"]) == 0
    (row,) = [r for r in json.loads(capsys.readouterr().out) if r["method"] == "wordy"]
    assert row["seeds"] == 3 and row["verdict"] in said
    (tmp_path / "e" / "wordy.json").write_text("[]")
    assert main(["evidence", "verify"]) == 1


def test_listing_verdicts_loads_no_torch() -> None:
    code = "import sys; from thinkery.lab import verdicts; verdicts.table(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_evidence_of_this_repository_holds() -> None:
    assert evidence.verify() == []


def test_draws_of_the_placebo_do_not_touch_those_of_others() -> None:
    assert rng("shuffled", 0).random() != rng("another", 0).random()
