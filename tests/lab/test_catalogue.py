"""Methods must be found by their cards alone, and a broken card be named by file and line; code that runs while listing, or an id that
shadows another, would stay hidden until someone trains with the wrong method."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from thinkery.core.errors import BadConfig, BadData, UnknownName
from thinkery.lab import catalogue
from thinkery.learning.recipe import Recipe, Setting
from thinkery.tasks import load_task

SOURCE = str(Path(__file__).resolve().parents[2] / "src")
CARD = 'CARD = Card(id="{id}", family="objectives", title="{title}", changes=("reward",), number={number}, paper="{paper}")\n'


def write(path: Path, id: str, title: str = "A title", number: int | None = None, paper: str = "", rest: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('"""First line.\n\nMore."""\n' + CARD.format(id=id, title=title, number=number, paper=paper) + rest, encoding="utf-8")
    return path


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of methods of one's own."""
    monkeypatch.setenv(catalogue.VARIABLE, str(tmp_path))
    return tmp_path


def test_listing_runs_no_method_and_imports_no_torch(mine: Path) -> None:
    write(mine / "loud.py", "loud", rest="raise SystemExit('was run')\n")
    code = "import sys; from thinkery.lab.catalogue import methods; print(*methods()); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": SOURCE}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"grpo", "loud", "reinforce", "rloo", "sft"} <= set(done.stdout.split())


def test_every_method_of_the_package_loads_and_gives_a_recipe() -> None:
    setting = Setting(load_task("addition"))
    own = {name: e for name, e in catalogue.methods().items() if e.module.startswith("thinkery.")}
    assert len(own) >= 4
    for name, entry in own.items():
        assert (entry.path.parent.name, entry.path.stem) == (entry.card.family, name)
        assert entry.doc.split("\n")[0].endswith(".")
        module = catalogue.load(name)
        assert entry.card == module.CARD
        try:
            made = module.recipe(setting)
        except BadConfig:  # a method for one kind of task; its claim has one of them
            made = module.recipe(module.CLAIM.setting)
        assert isinstance(made, Recipe)


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("CARD = Card(\n    id='x',\n    family='f',\n    title='t',\n    changes=(),\n    colour='red',\n)\n", 6, "no field 'colour'"),
        ("CARD = Card(\n    id='x',\n    family='f',\n    title=str(1),\n    changes=(),\n)\n", 4, "title must be a literal"),
        ("\n\nCARD = Card(id='x')\n", 3, "missing required field"),
        ("CARD = Card(id=3, family='f', title='t', changes=())\n", 1, "does not hold"),
        ("\nCARD = {'id': 'x'}\n", 2, "must be written as Card"),
        ("CARD = Card('x')\n", 1, "must be written as Card"),
        ("CARD = Card(id='x'\n\n", 1, "not valid Python"),
        ("CARD = Card(**{'id': 'x'})\n", 1, "no field"),
    ],
)
def test_a_broken_card_names_file_and_line(mine: Path, source: str, line: int, reason: str) -> None:
    path = mine / "broken.py"
    path.write_text(source)
    with pytest.raises(BadData, match=reason) as caught:
        catalogue.methods()
    assert caught.value.path == str(path)
    assert caught.value.line == line


def test_a_method_under_methods_must_agree_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "PACKAGE", tmp_path)
    write(tmp_path / "objectives" / "right.py", "right")
    write(tmp_path / "objectives" / "_helper.py", "hidden")
    assert list(catalogue.methods()) == ["right"]
    write(tmp_path / "objectives" / "wrong.py", "other")
    with pytest.raises(BadData, match="the card says objectives/other, the file objectives/wrong"):
        catalogue.methods()
    (tmp_path / "objectives" / "wrong.py").write_text("x = 1\n")
    with pytest.raises(BadData, match="no CARD"):
        catalogue.methods()


def test_an_id_used_twice_is_refused(mine: Path) -> None:
    write(mine / "a.py", "grpo")
    with pytest.raises(BadData, match=r"'grpo' is taken by .*baselines/grpo\.py"):
        catalogue.methods()


def test_a_folder_that_is_not_there_is_named(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(catalogue.VARIABLE, str(mine / "nowhere"))
    with pytest.raises(BadConfig, match="nowhere"):
        catalogue.methods()


def test_find_by_id_number_arxiv_and_title(mine: Path) -> None:
    write(mine / "a.py", "calibrated", "Reward calibrated confidence", 926, "arXiv:2507.96806")
    write(mine / "b.py", "confident", "Confidence as reward", 927, "arXiv:2507.00001")
    found = lambda query: [e.card.id for e in catalogue.find(query)]
    assert found("calibrated") == ["calibrated"]
    assert found(" Calibrated ") == ["calibrated"]
    assert found("926") == ["calibrated"]
    assert found("2507.96806") == found("arXiv:2507.96806v2") == found("https://arxiv.org/abs/2507.96806") == ["calibrated"]
    assert found("confidence reward") == ["calibrated", "confident"]
    assert found("group-relative") == ["grpo"]
    for nothing in ("", "928", "2507.99999", "no such words"):
        assert found(nothing) == []


def test_unknown_names_suggest_known_ones() -> None:
    with pytest.raises(UnknownName, match="Did you mean grpo"):
        catalogue.entry("grop")
    with pytest.raises(BadData, match="no such file"):
        catalogue.entry("./grop.py")


def test_a_path_names_a_file_and_two_files_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for folder, value in (("one", 1), ("two", 2)):
        path = tmp_path / folder / "same.py"
        path.parent.mkdir()
        path.write_text(
            f"from thinkery.core.records import Card\n{CARD.format(id='same', title='t', number=None, paper='')}VALUE = {value}\n"
        )
        assert value == catalogue.load(str(path)).VALUE
    (tmp_path / "bare.py").write_text("x = 1\n")
    with pytest.raises(BadData, match="no CARD"):
        catalogue.load(str(tmp_path / "bare.py"))


def test_a_method_that_raises_on_import_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text('from thinkery.core.records import Card\nCARD = Card(id="bad", family="f", title="t", changes=())\n1 / 0\n')
    for _ in range(2):  # nothing half-imported stays behind
        with pytest.raises(BadData, match="ZeroDivisionError") as caught:
            catalogue.load(str(path))
        assert caught.value.line == 3


def test_entry_points_of_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catalogue_test_package").mkdir()
    (tmp_path / "catalogue_test_package" / "__init__.py").write_text("raise RuntimeError('was imported')\n")
    write(tmp_path / "catalogue_test_package" / "theirs.py", "theirs")
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [EntryPoint("any", "catalogue_test_package", catalogue.GROUP)]
    monkeypatch.setattr(catalogue, "entry_points", lambda group: points)
    found = catalogue.methods()["theirs"]
    assert found.module == "catalogue_test_package.theirs"
    assert found.summary == "First line."
    points[:] = [EntryPoint("any", "catalogue_test_missing", catalogue.GROUP)]
    with pytest.raises(BadConfig, match="catalogue_test_missing"):
        catalogue.methods()
