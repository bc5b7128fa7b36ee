"""How often a verifier errs, measured: what it refuses of right answers, what it pays for wrong ones, and what breaks it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.records import Problem, Reply
from ..core.rng import Stream, rng
from ..tasks import Task
from ..tasks.base import SPLITS
from ..tools.python import encodable
from ..tools.workers import CheckFailed, call
from .evaluation import wilson
from .hostile import HOSTILE, SEVERAL
from .notebook import grid, sheet
from .rewrites import OPEN, demonstrations, guessed, kind_of, near_misses, rewrites, same_text
from .text import one_line

Scorer = Callable[[Problem, str], float]

PROBLEMS = 40
MISSES = 1_000  # wrong answers that are tried, at least, where there are so many
PAID = 0.9  # a score that counts as right
TOLERATED = 0.01  # of wrong answers taken for right: a changed digit may be right by chance
CONSTANT = 0.05  # of problems on which one hostile string may score by chance
SLOWEST = 5.0  # calls a second
LIMIT = 5.0  # seconds for one call of a foreign verifier
PATIENCE = 5  # calls that may hang or bring their process down; after that no more are made
SHOWN = 3  # examples kept of each kind


@dataclass
class Rate:
    """Errors among n trials, with the 95 % interval (Wilson) and some examples."""

    errors: int = 0
    n: int = 0
    examples: list[str] = field(default_factory=list)

    def count(self, wrong: bool, example: str) -> None:
        """One more trial."""
        self.n += 1
        self.errors += wrong
        if wrong and len(self.examples) < SHOWN:
            self.examples.append(example)

    @property
    def share(self) -> float:
        """Errors by trials; 0 without any."""
        return self.errors / self.n if self.n else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        low, high = wilson(self.errors, self.n)
        return {**asdict(self), "share": self.share, "low": low, "high": high}


@dataclass
class Audit:
    """What was found.

    gold              gold answers that do not score 1
    hostile           (string, problem) that score though the string is not the answer; `payers` has the gold answers of those it scores on, by string
    false_negatives   right answers in another form, and worked replies, that do not score 1
    false_positives   wrong answers that score 1
    broken            calls by how they broke: raised, hung, outside [0, 1], another score the second time
    faults            what is wrong, in words; empty for a verifier that passes
    """

    task: str
    verifier: str
    problems: int = 0
    gold: Rate = field(default_factory=Rate)
    hostile: Rate = field(default_factory=Rate)
    false_negatives: Rate = field(default_factory=Rate)
    false_positives: Rate = field(default_factory=Rate)
    payers: dict[str, list[str]] = field(default_factory=dict)
    broken: Counter[str] = field(default_factory=Counter)
    breaking: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no fault was found."""
        return not self.faults

    @property
    def calls_per_second(self) -> float:
        """Calls by the time they took."""
        return self.calls / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        rates = {k: getattr(self, k).to_dict() for k in ("gold", "hostile", "false_negatives", "false_positives")}
        rest = {k: getattr(self, k) for k in ("task", "verifier", "problems", "calls", "calls_per_second", "passed", "faults")}
        return {**rest, **rates, "broken": dict(self.broken)}

    def __repr__(self) -> str:
        return f"{self.task}: " + ("no fault was found" if self.passed else "; ".join(f"the verifier {fault}" for fault in self.faults))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rates = {
            "gold answers refused": self.gold,
            "other right answers refused": self.false_negatives,
            "wrong answers paid": self.false_positives,
            "hostile replies paid": self.hostile,
        }
        rows = [[name, str(r.errors), str(r.n), "; ".join(r.examples)] for name, r in rates.items()]
        return sheet(repr(self), grid([["tried", "errors", "of", "such as"], *rows]))


def audit(
    task: Task, scorer: Scorer | None = None, kind: str | None = None, *, n: int = PROBLEMS, seed: int = 0, verifier: str = ""
) -> Audit:
    """Try a task's verifier, or another in its place, on n of the task's problems. `kind` says how replies are read (see rewrites.FORMS)."""
    problems = drawn(task, n, seed)
    kind = kind or (kind_of(task) if scorer is None else guessed([p.answer for p in problems]))
    run = Trials(Audit(task.name, verifier or kind, len(problems)), scorer or own(task))
    for p in problems:
        try_right(run, task, p, kind, seed)
    for p in problems[: max(10, n // 2)]:
        try_hostile(run, p)
    try_wrong(run, task, problems, kind, seed)
    run.found.faults = verdicts(run.found)
    return run.found


def own(task: Task) -> Scorer:
    """The task's own verifier."""
    return lambda problem, text: task.verify(problem, Reply(text)).score


def foreign(target: str) -> Scorer:
    """A verifier, reward function or rubric at "file.py:name", called in a worker, which may have been started in another folder."""
    path, _, name = target.rpartition(":")
    target = f"{Path(path).resolve()}:{name}"
    return lambda problem, text: float(
        call("thinkery.lab.scorers:score", target, problem.question.prompt, problem.answer, encodable(text), seconds=LIMIT)
    )


def drawn(task: Task, n: int, seed: int) -> list[Problem]:
    """n problems, or all there are, of the first split that has any."""
    for split in SPLITS:
        size = task.size(split)
        if size != 0:
            return [task.problem(i, split, seed) for i in range(n if size is None or (split != "test" and size >= n) else min(n, size))]
    raise InputError(f"{task.name!r} has no problems")


class Trials:
    """Calls of the scorer, with what they break and how long they take."""

    def __init__(self, found: Audit, scorer: Scorer) -> None:
        self.found, self.scorer = found, scorer

    def score(self, problem: Problem, text: str, twice: bool = False) -> float | None:
        """The score; None where the call broke, or is not made as too many have hung."""
        if self.found.broken["hung"] + self.found.broken["died"] >= PATIENCE:
            return None
        score = self._once(problem, text)
        if twice and score is not None and self._once(problem, text) != score:
            self._break("another score the second time", text, "")
        return score

    def _once(self, problem: Problem, text: str) -> float | None:
        began = time.perf_counter()
        try:
            score = self.scorer(problem, text)
        except CheckFailed as failure:
            self._break({"time": "hung", "died": "died", "raised": "raised"}[failure.how], text, str(failure))
            return None
        except Exception as error:
            self._break("raised", text, f"{type(error).__name__}: {error}")
            return None
        finally:
            self.found.calls += 1
            self.found.seconds += time.perf_counter() - began
        if not 0 <= score <= 1:
            self._break("outside [0, 1]", text, f"gave {score}")
        return score

    def _break(self, how: str, text: str, said: str) -> None:
        self.found.broken[how] += 1
        self.found.breaking.setdefault(how, f"on {one_line(text, 60)!r}{': ' + one_line(said, 160) if said else ''}")


def try_right(run: Trials, task: Task, problem: Problem, kind: str, seed: int) -> None:
    """The gold answer, its other forms, and the worked replies."""
    texts: Iterable[tuple[str, bool]] = demonstrations(task, problem, rng(seed, "audit", problem.id))
    if problem.answer and recited(kind):
        gold, *others = rewrites(kind, problem.answer)
        score = run.score(problem, gold, twice=True)
        run.found.gold.count(score is not None and score < 1, f"{one_line(gold, 60)!r}")
        texts = [*((form, True) for form in others), *texts]
    for text, right in texts:
        score = run.score(problem, text)
        if score is None:
            continue
        if right:
            run.found.false_negatives.count(score < 1, f"{one_line(text, 60)!r} for {one_line(problem.answer, 40)!r}")
        else:
            run.found.false_positives.count(
                score >= PAID, f"{one_line(text, 60)!r}, a corrupted reply, for {one_line(problem.answer, 40)!r}"
            )


def recited(kind: str) -> bool:
    """Whether a gold text is itself an answer."""
    return kind != "program"


def try_hostile(run: Trials, problem: Problem) -> None:
    """Every hostile string, and the prompt as an echo; one that happens to say the answer, and no other, is passed over."""
    prompt = problem.question.prompt
    said = re.compile(rf"(?<!\w){re.escape(problem.answer[:99])}(?!\w)")
    for text in (*HOSTILE, prompt, f"Answer: {prompt}", f"{prompt}\n{problem.question.instruction}"):
        by_chance = text in HOSTILE and text not in SEVERAL and said.search(text)
        if by_chance or same_text(text.replace("\ud800", "")) == same_text(problem.answer):
            continue
        score = run.score(problem, text, twice=False)
        if score is not None:
            run.found.hostile.count(score > 0, f"{one_line(text, 60)!r} for {one_line(problem.answer, 40)!r}")
            if score > 0:
                run.found.payers.setdefault(text if text in HOSTILE else "the prompt", []).append(problem.answer)


def try_wrong(run: Trials, task: Task, problems: Sequence[Problem], kind: str, seed: int) -> None:
    """Answers that look right and are not; for programs, those that solve other problems. None where many are right."""
    if task.name in OPEN:
        return
    golds = sorted({p.answer for p in problems if p.answer})
    forms = ("{}",) * 8 if kind != "house" or any("#" in g for g in golds) else ("#{}",) * 8
    for round_, form in enumerate(forms):
        for p in problems:
            draws = rng(seed, "audit", "wrong", p.id, round_)
            texts = near_misses(p.answer, golds, draws) if recited(kind) else strangers(task, p, problems, draws)
            for text in texts:
                if run.found.false_positives.n >= MISSES:
                    return
                score = run.score(p, form.replace("{}", text))
                if score is not None:
                    run.found.false_positives.count(score >= PAID, f"{one_line(text, 60)!r} for {one_line(p.answer, 40)!r}")


def strangers(task: Task, problem: Problem, problems: Sequence[Problem], draws: Stream) -> list[str]:
    """Worked replies to other problems."""
    others = [p for p in problems if p.answer != problem.answer and task.has_demonstration(p)]
    return [task.demonstration(p, task.styles[0], draws) for p in draws.sample(others, min(4, len(others)))]


def verdicts(found: Audit) -> list[str]:
    """What is wrong with a verifier, in words."""
    faults = [f"{how}: {n} of {found.calls} calls, {found.breaking[how]}" for how, n in found.broken.most_common()]
    tried = max(1, round(found.hostile.n / max(1, len(HOSTILE))))
    paid = sorted(found.payers.items(), key=lambda item: -len(item[1]))
    for text, golds in paid[:3]:
        if len(golds) / tried > CONSTANT and len(set(golds)) > 1:  # on one answer alone it may be a way to say it
            faults.append(f"pays for a constant: {one_line(text, 60)!r} scores on {len(golds)} of {tried} problems")
    for rate, said, most in (
        (found.gold, "refuses the gold answer", 0.0),
        (found.false_negatives, "refuses right answers in another form", 0.02),
        (found.false_positives, "takes wrong answers for right", TOLERATED),
    ):
        if rate.share > most:
            faults.append(f"{said}: {rate.errors} of {rate.n}, such as {'; '.join(rate.examples)}")
    if found.calls_per_second < SLOWEST:
        faults.append(f"is slow: {found.calls_per_second:.1f} calls a second")
    return faults
