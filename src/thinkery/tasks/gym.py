"""The data sets of reasoning-gym (Stojanovski et al. 2025, arXiv:2505.24760) as tasks: gym:chain_sum, gym:sudoku, …

The library runs in a process of its own. Items are drawn by address and split by the content of their question; a verdict is 1 or 0,
and what the library's scorer pays for a half-right answer is the part "partial".
"""

from __future__ import annotations

import json
import re
import warnings
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..core.errors import BadConfig, InputError, MissingExtra, UnknownName
from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream
from ..tools.workers import call
from .base import Task, check_split, check_style, digest
from .gym_table import AUDITED, LEVELS, REFUSED, REPLACED, WITHOUT_GOLD
from .markers import MARKER, NAMED, tails

GYM = "gym:"
STYLE = "direct"
ROOM = 1024  # tokens of a reply
LONGEST = 20_000  # characters of an answer
SHOWN = 200  # characters of it in a verdict
MAKING_S, SCORING_S = 120.0, 10.0  # how long one request may take; making draws until a question belongs to the split
NAMED_MARKER = re.compile(NAMED, re.IGNORECASE)  # for golds in which "#" is a letter
TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL)


class Gym(Task):
    """A data set of reasoning-gym. Its difficulty keys are `level` (0 is the easiest) and those of the data set's configuration.

    has_gold   whether its items have a gold text; the others have only a scorer, so nothing can be recited
    """

    styles: tuple[str, ...] = (STYLE,)
    instruction = 'Work it out, then end with "Answer:" and the answer alone, in the form that the question asks for.'

    def __init__(self, dataset: str, **spec: Any) -> None:
        self.name, self.dataset, self.spec = GYM + dataset, dataset, spec
        self.max_tokens, self.has_gold = ROOM, dataset not in WITHOUT_GOLD
        self.styles = (STYLE,) if self.has_gold else ()
        self.findings = findings(installed())
        for finding in self.findings:
            warnings.warn(finding, stacklevel=2)
        ask("check", dataset, self._key({}))

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task. `difficulty` is the level, 0 where none was asked for."""
        check_split(split)
        if index < 0:
            raise InputError(f"problem index {index}: indices start at 0")
        key = self._key(spec)
        made = item(self.dataset, key, split, seed, index)
        name = digest(made["question"]).hex()
        level = float(json.loads(key).get("level") or 0)
        data = (key, made["draw"])
        return Problem(name, Question(made["question"], {}, self.instruction), made["answer"] or "", name, level, data)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. Raises VerifierError where the scorer does not come back."""
        if reply.truncated:
            return Verdict(0.0, reason="cut off at the token limit")
        answer = reading(reply.text, problem.answer)
        if not answer or len(answer) > LONGEST:
            return Verdict(0.0, reason="no answer to be read" if not answer else f"an answer longer than {LONGEST} characters")
        key, draw = problem.data
        found = ask("score", self.dataset, key, draw, answer.encode("utf-8", "replace").decode(), seconds=SCORING_S)
        if found["reason"]:
            return Verdict(0.0, reason=found["reason"])
        shown, parts = answer[:SHOWN], {} if found["partial"] is None else {"partial": found["partial"]}
        return Verdict(float(found["right"]), shown, parts, "right" if found["right"] else f"{shown} is not right")

    def has_demonstration(self, problem: Problem) -> bool:
        """Whether the gold text is there, and short enough."""
        return 0 < len(problem.answer) < ROOM

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        """See Task: the gold answer at once. Raises InputError for a problem without one."""
        check_style(self, style)
        if not self.has_demonstration(problem):
            raise InputError(f"{self.name}: no gold text of at most {ROOM} characters; ask has_demonstration first")
        return problem.answer

    def _key(self, spec: dict[str, Any]) -> str:
        """The settings as text, the same for the same settings. Raises BadConfig for a level there is not."""
        wanted, levels = {**self.spec, **spec}, LEVELS[self.dataset]
        level = wanted.get("level")
        if level is not None and not (type(level) is int and 0 <= level < levels):
            raise BadConfig(f"level is {level!r}; {self.name} has " + (f"levels 0..{levels - 1}" if levels else "no levels"))
        if reserved := {"seed", "size"} & set(wanted):
            raise BadConfig(f"{self.name}: {min(reserved)} is not a difficulty key; problems are drawn by --seed, as many as are asked for")
        try:
            return json.dumps(wanted, sort_keys=True)
        except TypeError as error:
            raise BadConfig(f"{self.name}: settings are plain values; {error}") from None


def load_gym(name: str, **spec: Any) -> Gym:
    """The task "gym:NAME". Raises UnknownName naming those there are, MissingExtra without the package, BadConfig for a wrong setting."""
    dataset = name.removeprefix(GYM)
    if dataset in REFUSED:
        raise BadConfig(f"{name} is refused: {REFUSED[dataset]}")
    if dataset not in LEVELS:
        raise UnknownName("data set of reasoning-gym", dataset, LEVELS, "All of them: thinkery list tasks --gym")
    return Gym(dataset, **spec)


def gym_listing() -> list[dict[str, Any]]:
    """Every data set: its task's name, how many levels it has, whose scorer judges it, and what to know of it."""
    return [
        {
            "task": GYM + name,
            "levels": LEVELS.get(name, 0),
            "scorer": "refused" if name in REFUSED else "ours" if name in REPLACED else "reasoning-gym",
            "note": REFUSED.get(name) or REPLACED.get(name) or ("no gold text, so no demonstrations" if name in WITHOUT_GOLD else ""),
        }
        for name in sorted({*LEVELS, *REFUSED})
    ]


def installed() -> str:
    """The version of reasoning-gym. Raises MissingExtra."""
    try:
        return version("reasoning-gym")
    except PackageNotFoundError:
        raise MissingExtra("reasoning-gym", "tasks", "a task named gym:…") from None


def findings(found: str) -> tuple[str, ...]:
    """What to know of that version of the library."""
    if found == AUDITED:
        return ()
    return (
        f"reasoning-gym {found} is installed, but its scorers were audited in {AUDITED}: others may pay for a constant or run the answer "
        f"as code; install that version with: pip install reasoning-gym=={AUDITED}",
    )


def reading(text: str, gold: str) -> str:
    """The answer in a reply: what stands in the last <answer> tag or behind the last marker, or all of it; one line where gold has one."""
    if text.strip() == gold.strip():
        return text.strip()
    text = text[-LONGEST:]
    tagged = TAGGED.findall(text)
    if tagged:
        return str(tagged[-1]).strip()
    tail = next(tails(text, NAMED_MARKER if "#" in gold else MARKER), None)
    if tail is None:
        return text.strip()
    tail = tail.strip()
    return tail.partition("\n")[0].strip() if gold and "\n" not in gold.strip() else tail


def ask(what: str, *arguments: Any, seconds: float = MAKING_S) -> Any:
    """What a function of `gym_items` gives, called in another process. Raises BadConfig where it refuses, VerifierError where it fails."""
    answer = call(f"{__package__}.gym_items:{what}", *arguments, seconds=seconds)
    if "refused" in answer:
        raise BadConfig(answer["refused"])
    return answer


@lru_cache(maxsize=4096)
def item(dataset: str, key: str, split: str, seed: int, index: int) -> dict[str, Any]:
    """An item's question, answer and draw."""
    made: dict[str, Any] = ask("item", dataset, key, split, seed, index)
    return made
