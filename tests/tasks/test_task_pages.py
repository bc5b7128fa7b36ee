"""docs/tasks.md says what the tasks are now: every key, difficulty, family, and examples whose replies are right."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from thinkery.cli.main import main
from thinkery.core.errors import StorageError
from thinkery.core.records import Reply
from thinkery.lab import task_pages
from thinkery.tasks import TASKS, load_task

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tasks.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text("utf-8") == task_pages.page(), "run: thinkery list tasks --page docs/tasks.md"


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_says_what_its_keys_difficulty_and_family_are(name):
    task = load_task(name)
    said = task_pages.keys(task.spec)
    assert list(said) == list(vars(task.spec))
    assert all(said.values()), said
    section = "\n".join(task_pages.section(task))
    assert "**Difficulty** counts nothing" not in section
    assert "**Family**" in section
    for key in said:
        assert f"| `{key}` | `{getattr(task.spec, key)!r}` | " in section.replace("\\|", "|")


@pytest.mark.parametrize("name", sorted(TASKS))
def test_its_examples_are_problems_with_right_replies(name):
    task = load_task(name)
    blocks = re.findall(r"```text\n(.*?)```", "\n".join(task_pages.section(task)), re.DOTALL)
    assert len(blocks) == task_pages.EXAMPLES
    for i, block in enumerate(blocks):
        width = len(re.match("prompt +", block)[0])
        told = {}
        for line in block.splitlines():
            if line[:1].strip():
                name = line.split()[0]
                told[name] = line[width:]
            else:
                told[name] += "\n" + line[width:]
        p = task.problem(i)
        assert told.pop("prompt") == p.question.prompt
        assert set(told) == {"gold", *task_pages.shown(task)} != {"gold"}
        assert all(task.verify(p, Reply(text)).score == 1 for text in told.values())


def test_the_verifier_named_is_the_one_there_is():
    says = {
        name: "gold answer alone" in "\n".join(task_pages.section(load_task(name)))
        for name in ("addition", "logic", "sat", "grid", "countdown")
    }
    assert says == {"addition": True, "logic": True, "sat": False, "grid": False, "countdown": False}


def test_keys_may_run_over_several_lines():
    @dataclass(frozen=True)
    class Spec:
        """depth   of the thing,
                from and to
        colour   of it
        """

        depth: int = 1
        colour: str = "red"
        size: int = 3

    assert task_pages.keys(Spec()) == {"depth": "of the thing, from and to", "colour": "of it", "size": ""}


def test_marks_of_markdown_are_escaped_outside_of_code():
    assert task_pages._prose("a<b and ~c, `x*y|<z>`, 2*3") == "a\\<b and \\~c, `x*y|<z>`, 2\\*3"


def test_the_command_writes_it(tmp_path, capsys):
    assert main(["list", "tasks", "--page", str(tmp_path / "docs" / "tasks.md")]) == 0
    assert (tmp_path / "docs" / "tasks.md").read_text("utf-8") == task_pages.page()
    assert f"{len(TASKS)} tasks" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        task_pages.write_page(tmp_path / "file" / "tasks.md")
