"""A task from one's own file: questions and gold answers in JSONL or CSV, checked row by row when loaded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import BadData, InputError, VerifierError
from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream
from . import inspect_logs, verifiers
from .base import SPLITS, check_style, digest, split_of
from .finite import Finite

SUFFIXES = (".jsonl", ".csv", ".json", ".eval")  # the last two: logs of Inspect
STYLE = "solution"


class Fault(Exception):
    """What is wrong with one row. Never leaves this file."""


class FileTask(Finite):
    """A question is on one side of the split for good, whatever the order of the rows.

    skipped   (line, reason) of the rows left out, in the file's order
    """

    kind = "file task"

    def __init__(self, name: str, problems: Sequence[Problem], verifier: str, max_tokens: int, seed_split: int = 0) -> None:
        self.name, self.verifier, self.max_tokens = name, verifier, max_tokens
        self.styles = (STYLE,) if any(p.data for p in problems) else ()
        self.skipped: list[tuple[int, str]] = []
        self.problems: dict[str, list[Problem]] = {split: [] for split in SPLITS}
        for p in sorted(problems, key=lambda p: p.id):
            self.problems[split_of(p.family, seed_split)].append(p)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return verifiers.verifier(self.verifier)(problem.answer, reply)

    def has_demonstration(self, problem: Problem) -> bool:
        """Whether the problem's row has a solution."""
        return problem.data is not None

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task. Raises InputError for a problem whose row has no solution."""
        check_style(self, style)
        if problem.data is None:
            raise InputError(f"{self.name!r}: no solution in the row of {problem.question.prompt[:60]!r}; ask has_demonstration first")
        return str(problem.data)


def load_file(
    path: str | Path,
    question: str,
    answer: str,
    verifier: str,
    *,
    solution: str | None = None,
    skip_bad: bool = False,
    seed_split: int = 0,
    max_tokens: int = 512,
) -> FileTask:
    """The task of a file's rows. `question`, `answer` and `solution` name columns; a question may join some, as in "body+question".

    A bad row raises BadData with its line and what is wrong, or with `skip_bad` is left out and listed in `skipped`.
    """
    problems, faults = sifted(Path(path), question, answer, solution, verifiers.verifier(verifier))
    if faults and not skip_bad:
        line, reason = faults[0]
        raise BadData(path, f"{reason}; --skip-bad (skip_bad=True) leaves such rows out", line)
    if not problems:
        raise BadData(path, f"no usable row{f' (line {faults[0][0]}: {faults[0][1]})' if faults else ''}")
    task = FileTask(Path(path).stem, problems, verifier, max_tokens, seed_split)
    if solution is not None and not task.styles:
        raise BadData(path, f"no row has a solution in a column {solution!r}")
    task.skipped = faults
    return task


def is_path(name: str | Path) -> bool:
    """Whether a task's name looks like a file rather than like a built-in task."""
    return isinstance(name, Path) or "/" in name or bool(Path(name).suffix)


# ---- rows


Row = dict[str, Any] | Fault  # values by column, or what is wrong with the row


def rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Each row with its line. Raises BadData where the file as a whole cannot be read."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadData(path, f"the name ends in {path.suffix!r}; problems are read from {' or '.join(SUFFIXES)}")
    if path.suffix.lower() in SUFFIXES[2:]:
        yield from enumerate(({k: v for k, v in row.items() if v is not None} for row in inspect_logs.rows(path)), 1)
        return
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadData(path, error.strerror or str(error)) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadData(path, f"byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8", line) from None
    yield from json_rows(text) if path.suffix.lower() == ".jsonl" else csv_rows(text, path)


def json_rows(text: str) -> Iterator[tuple[int, Row]]:
    """Rows of JSON objects, one a line; blank lines are passed over. Numbers stay as they are written."""
    for line, source in enumerate(text.split("\n"), 1):
        if not source.strip():
            continue
        try:
            value = json.loads(source, parse_float=str, parse_int=str, parse_constant=str)
        except json.JSONDecodeError as error:
            yield line, Fault(f"broken JSON at column {error.colno}: {error.msg}")
        except RecursionError:
            yield line, Fault("JSON nested too deeply")
        else:
            if isinstance(value, dict):
                yield line, value
            else:
                yield line, Fault('a row is an object such as {"question": "1+1", "answer": 2}, this is none')


def csv_rows(text: str, path: Path) -> Iterator[tuple[int, Row]]:
    """Rows under the header; blank lines are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            if not header:
                header = [c.strip() for c in cells]
                if len(set(header)) < len(header):
                    raise BadData(path, f"two columns have one name: {', '.join(header)}", line)
            elif cells and len(cells) != len(header):
                yield line, Fault(f"{len(cells)} cells under a header of {len(header)}")
            elif cells:
                yield line, dict(zip(header, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadData(path, f"broken CSV: {error}", line) from None


def column(row: dict[str, Any], name: str) -> str:
    """A column's text, stripped; "" for null. Raises Fault."""
    if name not in row:
        raise Fault(f"no column {name!r}; there are {', '.join(map(repr, row)) or 'none'}")
    value = row[name]
    if isinstance(value, (list, dict)):
        raise Fault(f"column {name!r} holds a {'list' if isinstance(value, list) else 'nested object'}; give text or a number")
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value).strip()
    if not text.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise Fault(f"column {name!r} has half a surrogate pair, which is no character")
    return text


# ---- problems


def sifted(
    path: Path, question: str, answer: str, solution: str | None, check: verifiers.Check
) -> tuple[list[Problem], list[tuple[int, str]]]:
    """The file's problems, each question once, and (line, reason) of all rows that are at fault."""
    found: dict[str, list[tuple[int, Problem]]] = {}
    faults: list[tuple[int, str]] = []
    for line, row in rows(path):
        try:
            p = posed(row, question, answer, solution, check)
        except Fault as fault:
            faults.append((line, str(fault)))
        else:
            found.setdefault(p.question.prompt, []).append((line, p))
    problems = []
    for same in found.values():
        (first, a), *others = same
        clash = next(((line, b) for line, b in others if not check.same(a.answer, b.answer)), None)
        if clash is None:
            problems.append(min((p for _, p in same), key=lambda p: (p.data is None, p.answer, p.data or "")))
        else:  # none of these rows can be trusted, whichever comes first
            reason = f"lines {first} and {clash[0]} give one question the answers {a.answer[:60]!r} and {clash[1].answer[:60]!r}"
            faults += [(line, reason) for line, _ in same]
    return problems, sorted(faults)


def posed(row: Row, question: str, answer: str, solution: str | None, check: verifiers.Check) -> Problem:
    """The row's problem; its data is the worked solution or None. Raises Fault."""
    if isinstance(row, Fault):
        raise row
    names = [question] if question in row else question.split("+")
    prompt = " ".join(filter(None, (column(row, name) for name in names)))
    if not prompt:
        raise Fault("the question is empty")
    raw = column(row, answer)
    gold = check.gold(raw)
    if gold is None or (check.recites and any(check(gold, Reply(form)).score < 1 for form in (raw, gold))):
        raise Fault(f"the answer {raw[:60]!r} cannot be read as a {check.what}")
    worked = column(row, solution) if solution is not None and solution in row else ""
    if worked and (verdict := solved(check, gold, worked)).score < 1:
        if not check.recites:
            raise Fault(f"its solution scores 0: {verdict.reason}")
        worked = f"{worked}\n#### {gold}"  # the work may stop short of saying the answer
    family = digest(" ".join(prompt.casefold().split())).hex()
    return Problem(digest(prompt).hex(), Question(prompt, instruction=check.asks), gold, family, data=worked or None)


def solved(check: verifiers.Check, gold: str, worked: str) -> Verdict:
    """The verdict on a row's solution. Raises Fault where the check fails by itself."""
    try:
        return check(gold, Reply(worked))
    except VerifierError as error:
        raise Fault(f"its solution cannot be checked: {error}") from None
