"""A new method must train and pass its own test before a line of it is changed; a template goes stale with every name it imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkery.core.errors import BadConfig, StorageError, UnknownName
from thinkery.lab import api, catalogue
from thinkery.lab.scaffold import new_method
from thinkery.models.model import Model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a clone as the scaffold looks at, and the modules that ruff wants to see to tell ours from others."""
    (tmp_path / "src" / "thinkery" / "methods").mkdir(parents=True)
    for name in (
        "__init__.py",
        "learning/advantages.py",
        "learning/batch.py",
        "learning/recipe.py",
        "core/records.py",
        "tasks/__init__.py",
    ):
        path = tmp_path / "src" / "thinkery" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    return tmp_path


def test_outside_a_clone_it_trains_as_written(tmp_path: Path, tiny: Model) -> None:
    method, test = new_method("objectives", "my_idea", tmp_path)
    assert (method, test) == (tmp_path / "my_idea.py", tmp_path / "test_my_idea.py")
    tiny.save(tmp_path / "model")
    config = {"steps": 2, "problems": 2, "samples": 2, "max_tokens": 4}
    result = api.train(
        str(method), task="addition", model=tmp_path / "model", out=tmp_path / "run", workers=1, evaluate=0, config=config
    )  # fmt: skip
    assert result.steps == 2
    assert (result.folder / "model" / "model.safetensors").is_file()


def test_its_own_test_passes_and_fails_when_the_method_is_broken(tmp_path: Path) -> None:
    _, test = new_method("objectives", "my_idea", tmp_path)
    names: dict[str, Any] = {"__name__": "test_my_idea"}
    sys.path.insert(0, str(tmp_path))
    try:
        exec(compile(test.read_text(), test, "exec"), names)
        checks = [f for name, f in names.items() if name.startswith("test_")]
        assert len(checks) == 3
        for check in checks:
            check()
        names["hard_first"] = lambda batch, strength=1.0: batch.reward - batch.reward.mean()  # the step's mean, not the group's
        with pytest.raises(AssertionError):
            names["test_worked_by_hand"]()
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("my_idea", None)


def test_in_a_clone_it_lies_where_the_catalogue_looks(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = new_method("objectives", "my_idea", clone / "src" / "thinkery")
    assert paths[:2] == [clone / "src/thinkery/methods/objectives/my_idea.py", clone / "tests/methods/objectives/test_my_idea.py"]
    assert {p.name for p in paths[2:]} == {"__init__.py"}
    second = new_method("objectives", "my_other_idea", clone)
    assert len(second) == 2
    monkeypatch.setattr(catalogue, "PACKAGE", clone / "src" / "thinkery" / "methods")
    found = catalogue.methods()
    assert found["my_idea"].module == "thinkery.methods.objectives.my_idea"
    assert found["my_idea"].card.title == "My idea"
    with pytest.raises(BadConfig, match="taken by"):
        new_method("agents", "my_idea", clone)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, "src", "tests"], cwd=clone, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["", "My_idea", "1st", "my-idea", "class", "../up", "a b", "x" * 41, "é"])
def test_an_id_that_names_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfig, match="small letters"):
        new_method("objectives", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_exists_is_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="objectives"):
        new_method("objective", "my_idea", tmp_path)
    with pytest.raises(BadConfig, match="taken by"):
        new_method("objectives", "grpo", tmp_path)
    with pytest.raises(BadConfig, match="hide the installed module 'json'"):
        new_method("objectives", "json", tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "test_my_idea.py").write_text("mine")
    with pytest.raises(BadConfig, match="exists"):
        new_method("objectives", "my_idea", tmp_path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_written_is_named_and_left_as_it_was(clone: Path) -> None:
    (clone / "tests").write_text("a file where a folder must stand")
    with pytest.raises(StorageError, match="tests"):
        new_method("objectives", "my_idea", clone)
    assert not list(clone.rglob("my_idea.py"))
