"""A new method to start from: one file and its test, both working before a line of them is changed."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path

from ..core.errors import BadConfig, StorageError, UnknownName
from . import catalogue

FAMILIES = ("agents", "baselines", "fields", "memory", "objectives", "retrieval", "strategies", "supervision", "tasks", "vision")

METHOD = '''"""{title}: hard problems count more.

Paper    Authors and year, "Title" (arXiv number).
Problem  What goes wrong without it. Here: problems that are mostly solved push as hard as those that are mostly not.
New      `hard_first`; the rest is the default recipe.
Differs  What is not as in the paper, and why.
"""

from __future__ import annotations

from thinkery.core.records import Card
from thinkery.learning.batch import Array, Batch, statistics
from thinkery.learning.recipe import Recipe, Setting, default

CARD = Card(
    id="{name}",
    family="{family}",
    title="{title}",
    changes=("advantage",),
)

STRENGTH = 1.0  # a group that never succeeds weighs 1 + STRENGTH times as much as one that always does


def hard_first(batch: Batch, strength: float = STRENGTH) -> Array:
    """(r - mean) * (1 + strength * (1 - mean)), [B], the mean over the group; rewards in [0, 1]."""
    mean = statistics(batch.reward, batch.group, batch.rollout)[0]
    return (batch.reward - mean) * (1 + strength * (1 - mean))


def recipe(setting: Setting) -> Recipe:
    return default(setting).rl(advantage=hard_first)
'''

TEST = '''"""{title} must weigh hard problems more and change nothing else; a mean over the step instead of the group would show here."""

from __future__ import annotations

import numpy as np
{imports}

BATCH = Batch.scored(np.array([1, 0, 0, 0, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 1, 1, 1, 1]))  # one of four right, then three of four


def test_worked_by_hand() -> None:
    hard, easy = [1.3125, *[-0.4375] * 3], [*[0.3125] * 3, -0.9375]  # deviations times 1.75, and times 1.25
    np.testing.assert_allclose(hard_first(BATCH, strength=1.0), hard + easy)


def test_without_strength_it_is_the_default() -> None:
    np.testing.assert_allclose(hard_first(BATCH, strength=0.0), group_mean(BATCH))


def test_the_recipe_uses_it() -> None:
    (stage,) = recipe(Setting(load_task("addition"))).flat()
    assert stage.advantage is hard_first
'''

LIBRARY = (
    "from thinkery.learning.advantages import group_mean",
    "from thinkery.learning.batch import Batch",
    "from thinkery.learning.recipe import Setting",
    "from thinkery.tasks import load_task",
)


def new_method(family: str, name: str, where: Path | None = None) -> list[Path]:
    """Write a method and its test and return the paths written, the method first.

    In a clone (`where`, by default the current folder, lies in one) they go to its source and tests, elsewhere into `where` itself.
    Raises UnknownName for a family there is not, BadConfig for an id that cannot be used or a file that exists, StorageError.
    """
    if family not in FAMILIES:
        raise UnknownName("family", family, FAMILIES, "It says where the novelty sits.")
    here = (where or Path.cwd()).resolve()
    clone = clone_of(here)
    _check_name(name)
    files = _in_clone(clone, family, name) if clone is not None else _alone(here, family, name)
    for path in files:
        if path.exists():
            raise BadConfig(f"{path} exists; nothing was written. Choose another id, or remove that file")
    if clone is None and importlib.util.find_spec(name) is not None:
        raise BadConfig(f"{name}.py would hide the installed module {name!r} from Python; choose another id")
    _write(files)
    return list(files)


def clone_of(here: Path) -> Path | None:
    """The root of the clone of Thinkery that a folder lies in, or None."""
    for root in (here, *here.parents):
        if (root / "pyproject.toml").is_file() and (root / "src" / "thinkery" / "methods").is_dir():
            return root
    return None


def _check_name(name: str) -> None:
    """Raises BadConfig for an id that cannot be a method's."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or keyword.iskeyword(name):
        raise BadConfig(f"the id {name!r} cannot name a Python file; use up to 40 small letters, digits and _, as in my_idea")
    taken = catalogue.methods().get(name)
    if taken is not None:
        raise BadConfig(f"the id {name!r} is taken by {taken.path}; choose another")


def _in_clone(root: Path, family: str, name: str) -> dict[Path, str]:
    """The files of a method in a clone, with the packages that they lie in."""
    module = f"from thinkery.methods.{family}.{name} import hard_first, recipe"
    imports = "\n".join(["", *sorted([*LIBRARY, module])])
    source, tests = root / "src" / "thinkery" / "methods" / family, root / "tests" / "methods" / family
    files = {source / f"{name}.py": _filled(METHOD, family, name), tests / f"test_{name}.py": _filled(TEST, family, name, imports)}
    packages = (source, tests, tests.parent)
    return files | {p / "__init__.py": "" for p in packages if not (p / "__init__.py").exists()}


def _alone(here: Path, family: str, name: str) -> dict[Path, str]:
    """The files of a method of one's own, outside a clone."""
    imports = "\n".join([f"from {name} import hard_first, recipe", "", *LIBRARY])
    return {here / f"{name}.py": _filled(METHOD, family, name), here / f"test_{name}.py": _filled(TEST, family, name, imports)}


def _filled(template: str, family: str, name: str, imports: str = "") -> str:
    title = name.replace("_", " ").capitalize()
    return template.format(name=name, family=family, title=title, imports=imports)


def _write(files: dict[Path, str]) -> None:
    """Write all files or none."""
    written: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as f:
                written.append(path)
                f.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {error.filename or written[-1]}: {error.strerror}; choose a folder that can be written"
        ) from error
