"""What a data set is, and the task made of it.

A row falls into the split that its file was published as. Where a set has no validation file, one in seventeen of the training rows
(by content) is validation; where it has no split at all, content decides as everywhere. A file named test is test and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ...core.errors import BadData, InputError, UnknownName
from ...core.records import Problem, Question, Reply, Rollout, Verdict
from ...core.rng import Stream
from ...tools.tool import Toolbox
from .. import verifiers
from ..base import SPLITS, check_style, digest, split_of
from ..finite import Finite
from .rows import Row, read

STYLE = "solution"


@dataclass(frozen=True)
class Item:
    """A row as it is posed.

    same       what tells the problem from others: rows with one `same` stand on one side of the split; the prompt where empty
    solution   a worked reply, which scores 1
    facts      what the verifier needs beside the gold answer
    split      the row's own, where one file holds several
    """

    prompt: str
    answer: str
    same: str = ""
    difficulty: float = 0.0
    solution: str | None = None
    facts: Any = None
    shown: Mapping[str, Any] = field(default_factory=dict)
    split: str = ""


class Kept(NamedTuple):
    """What only the task sees of a problem."""

    solution: str | None
    facts: Any


@dataclass(frozen=True)
class Files:
    """Files of one split: a pattern below the data set's folder, and train, validation, test, content, or row: its rows say it."""

    pattern: str
    split: str


Poser = Callable[[Row, Path], Item | str]  # a row and its file; gives the problem, or the rule by which the row is left out
Check = Callable[[Problem, Reply], Verdict]


@dataclass(frozen=True)
class Dataset:
    """A published data set.

    tests        what it measures
    folder       below the data folder
    files        which files, and which split each is
    verifier     the name of what checks its replies; `check` where that is made for this set alone
    solve        finds the gold answer when a problem is asked for, where none was published
    scorer       whose rules it follows
    max_tokens   of a reply, as the field gives; subword tokens
    lend         the tools of a rollout, over the files of its folder
    hub          where it is on the Hugging Face hub, with columns that `pose` reads, and the hub's splits as ours
    """

    name: str
    title: str
    tests: str
    source: str
    licence: str
    folder: str
    files: tuple[Files, ...]
    pose: Poser
    verifier: str
    scorer: str
    instruction: str = ""
    check: Check | None = None
    solve: Callable[[Problem], str] | None = None
    max_tokens: int = 512
    lend: Callable[[Path], Toolbox] | None = None
    hub: str = ""
    hub_splits: Mapping[str, str] = field(default_factory=dict)

    def paths(self, data: Path) -> list[tuple[Path, str]]:
        """Its files in a data folder, with their splits, sorted by name."""
        return [(path, f.split) for f in self.files for path in sorted((data / self.folder).glob(f.pattern))]

    def parts(self, data: Path) -> list[str]:
        """The stems of its files."""
        return sorted({path.stem for path, _ in self.paths(data)})


class Placed(NamedTuple):
    """A row with the file it stands in, its number from 0, the split that the file says."""

    file: Path
    number: int
    split: str
    row: Row


class Posed(NamedTuple):
    """A row that was posed: the problem's id, the split that its file says, what it asks."""

    id: str
    split: str
    item: Item


class Published(Finite):
    """The task of a data set.

    left_out   rows by the rule that left them out
    """

    kind = "data set"

    def __init__(self, dataset: Dataset, rows: Iterator[Placed], part: str = "") -> None:
        self.dataset, self.name = dataset, f"{dataset.name}:{part}" if part else dataset.name
        self.max_tokens = dataset.max_tokens
        self.instruction = dataset.instruction or verifiers.verifier(dataset.verifier).asks
        self.left_out: dict[str, int] = {}
        self.problems = self._divided(list(self._posed(rows)))
        self.styles = (STYLE,) if dataset.solve or any(p.data.solution for ps in self.problems.values() for p in ps) else ()

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Finite."""
        problem = super().problem(index, split, seed, **spec)
        if self.dataset.solve is None:
            return problem
        answer = self.dataset.solve(problem)
        return replace(problem, answer=answer, data=problem.data._replace(solution=answer))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        if self.dataset.check is None:
            return verifiers.verifier(self.dataset.verifier)(problem.answer, reply)
        if reply.truncated:
            return Verdict(0.0, reason="cut off at the token limit")
        return self.dataset.check(problem, reply)

    def has_demonstration(self, problem: Problem) -> bool:
        """Whether the data set has a solution to it."""
        return problem.data.solution is not None

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task. Raises InputError for a problem that was published without a solution."""
        check_style(self, style)
        if problem.data.solution is None:
            raise InputError(f"{self.name!r}: no solution of {problem.question.prompt[:60]!r} was published; ask has_demonstration first")
        return str(problem.data.solution)

    def emptiness(self, split: str) -> str:
        """See Finite."""
        sizes = ", ".join(f"{len(ps)} {s}" for s, ps in self.problems.items() if ps)
        return f"{self.name!r} has no {split} split where it was read ({sizes or 'no problems at all'}); use another split or task for that"

    def _posed(self, rows: Iterator[Placed]) -> Iterator[Posed]:
        """Each row as a problem; those that cannot be are counted by their rule. Raises BadData for one without its columns."""
        for r in rows:
            try:
                item = self.dataset.pose(r.row, r.file)
            except InputError:
                raise
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                reason = f"row {r.number + 1}: {type(error).__name__} {error}, so these are not the columns of {self.dataset.title}"
                raise BadData(r.file, reason) from None
            if isinstance(item, str):
                self._leave(item)
            else:
                yield Posed(f"{r.file.stem}:{r.number}", item.split or r.split, item)

    def _divided(self, posed: Sequence[Posed]) -> dict[str, list[Problem]]:
        """Problems by split. Test goes first: what else holds one of its problems, or the same one twice, gives it up."""
        validated = any(p.split in ("validation", "content") for p in posed)
        made: dict[str, list[tuple[Problem, Posed]]] = {split: [] for split in SPLITS}
        for p in posed:
            family = digest(" ".join((p.item.same or p.item.prompt).casefold().split())).hex()
            made[self._side(p.split, family, validated)].append((self._problem(p, family), p))
        sides: dict[str, str] = {}
        seen: set[tuple[str, str]] = set()
        for split in reversed(SPLITS):
            kept = []
            for problem, p in made[split]:
                prompt = " ".join(p.item.prompt.split())
                if sides.setdefault(problem.family, split) != split:
                    self._leave(f"also in {sides[problem.family]}")
                elif split != "test" and (split, prompt) in seen:
                    self._leave("twice in the files")
                else:
                    kept.append((problem, p))
                    seen.add((split, prompt))
            made[split] = kept
        return {split: [problem for problem, _ in made[split]] for split in SPLITS}

    def _side(self, split: str, family: str, validated: bool) -> str:
        """The split of a family whose file is published as `split`."""
        if split == "content":
            return split_of(family)
        if split == "train" and not validated:
            return "validation" if split_of(family) == "validation" else "train"
        return split

    def _problem(self, p: Posed, family: str) -> Problem:
        item = p.item
        question = Question(item.prompt, item.shown, self.instruction)
        return Problem(p.id, question, item.answer, family, item.difficulty, Kept(item.solution, item.facts))

    def _leave(self, rule: str) -> None:
        self.left_out[rule] = self.left_out.get(rule, 0) + 1


class Lending(Published):
    """The task of a data set whose solvers are lent tools."""

    def __init__(self, dataset: Dataset, rows: Iterator[Placed], part: str, lend: Callable[[], Toolbox]) -> None:
        super().__init__(dataset, rows, part)
        self._lend = lend

    def tools(self, problem: Problem, rng: Stream) -> Toolbox:
        """See Task. Raises BadData for files that cannot be read."""
        return self._lend()


def from_files(dataset: Dataset, data: Path, part: str = "") -> Published:
    """The task of the files below `data`; `part`: of those alone whose stem it is or begins, up to a "_". Raises UnknownName, BadData."""
    paths = dataset.paths(data)
    if part:
        paths = [(path, split) for path, split in paths if path.stem == part or path.stem.startswith(part + "_")]
        if not paths:
            raise UnknownName(f"part of {dataset.name}", part, dataset.parts(data))
    rows = (Placed(path, n, split, row) for path, split in paths for n, row in enumerate(read(path)))
    if dataset.lend is not None:
        return Lending(dataset, rows, part, partial(dataset.lend, data / dataset.folder))
    return Published(dataset, rows, part)
