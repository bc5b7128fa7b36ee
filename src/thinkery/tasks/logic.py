"""Rule logic in an open world: what follows is true or false, anything else is unknown.

Two chains of rules lead to the atom in question, one to it and one to its negation. At most one of them holds; the others break
at one fact that is missing or negated. So a problem with any answer shows the same kinds of rules, and only following them tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import BadConfig
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, posed, span

LABELS = ("true", "false", "unknown")
LABEL = re.compile("true|false|unknown")
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Rule = tuple[tuple[str, ...], str]  # literals that must all hold, and the one that follows


@dataclass(frozen=True)
class Spec:
    """depth   rules of each chain, from and to
    extra      most facts that no rule asks for
    """

    depth: tuple[int, int] = (1, 3)
    extra: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", span("depth", self.depth, 1, 5))
        if type(self.extra) is not int or not 0 <= self.extra <= 3:
            raise BadConfig(f"extra is {self.extra!r}; give a whole number within 0..3")


class Logic(Generated[Spec]):
    """Prompt `a&~b>c;d>~c;a;~b;c?`, reply `a&~b>c:c#true`: each rule that fires, with what follows from it.

    "verbose" adds the rules that stay silent, `d>~c:?`. Difficulty counts the rules of a chain: the depth of a derivation.
    Family: the problem with its letters and its order taken away.
    """

    name = "logic"
    default = Spec()
    instruction = (
        "Given are rules (a&~b>c: if a is true and b is false, c is true; ~c behind > says that c is false), facts (a, or ~a for its "
        "negation) and a question (c?). Nothing else is known. End with #true or #false if that follows for the question, else with #unknown."
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 2 * self.spec.depth[1] * 12 + 9  # `~a&~b>~c:~c,` for each rule, then "#unknown", end

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated. The label is drawn once, so the rejected do not upset the balance."""
        label = stream.choice(LABELS)
        depth = stream.between(*spec.depth)
        while True:
            letters = iter(stream.sample(LETTERS, len(LETTERS)))
            goal = next(letters)
            pro, contra = (chain(depth, sign + goal, label == holds, letters, stream) for sign, holds in (("", "true"), ("~", "false")))
            extra = stream.below(spec.extra + 1)
            facts = pro.facts + contra.facts + [stream.choice(("", "~")) + next(letters) for _ in range(extra)]
            rules = pro.rules + contra.rules
            stream.shuffle(facts)
            stream.shuffle(rules)
            prompt = ";".join([*map(text, rules), *facts, goal]) + "?"
            yield posed(prompt, label, f"{pro.shape}/{contra.shape}/{extra}", depth, (tuple(rules), tuple(facts)))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, LABEL, "true, false or unknown")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" turns the last thing derived round and gives a wrong answer."""
        rules, facts = problem.data
        fired, silent = forward(rules, facts)
        lines, answer = [f"{text(r)}:{r[1]}" for r in fired], problem.answer
        if style == "verbose":
            return laid_out(lines + [f"{text(r)}:?" for r in silent], answer, "trace")
        if style == CORRUPTED:
            answer = stream.choice([label for label in LABELS if label != answer])
            lines[-1:] = [f"{text(r)}:{opposite(r[1])}" for r in fired[-1:]]
        return laid_out(lines, answer, style)


@dataclass(frozen=True)
class Side:
    """What speaks for one answer: a chain of rules, the facts given for it, and its shape without letters."""

    rules: list[Rule]
    facts: list[str]
    shape: str


def chain(depth: int, head: str, holds: bool, letters: Iterator[str], stream: Stream) -> Side:
    """Rules that lead from facts to the head, and the facts: all it needs, or all but one that is missing or negated."""
    rules: list[Rule] = []
    asked: list[str] = []
    for i in range(depth):
        wants = [] if i else [literal(letters, stream)]
        if stream.below(2):
            wants.append(literal(letters, stream))
        asked += wants
        body = stream.shuffle([*wants, *(rule[1] for rule in rules[-1:])])
        rules.append((tuple(body), head if i == depth - 1 else literal(letters, stream)))
    facts = list(asked)
    if not holds:
        broken = stream.below(len(asked))
        facts[broken : broken + 1] = [opposite(asked[broken])] if stream.below(2) else []
    state = {a: "+" if a in facts else "-" if opposite(a) in facts else "0" for a in asked}
    shape = ";".join("&".join(sorted(x[:-1] + state.get(x, "=") for x in body)) for body, _ in rules)
    return Side(rules, facts, shape)


def literal(letters: Iterator[str], stream: Stream) -> str:
    """The next letter, or its negation."""
    return stream.choice(("", "~")) + next(letters)


def opposite(literal: str) -> str:
    """The literal's negation."""
    return literal[1:] if literal[0] == "~" else "~" + literal


def text(rule: Rule) -> str:
    """A rule as a prompt shows it: a&~b>c."""
    return f"{'&'.join(rule[0])}>{rule[1]}"


def forward(rules: Sequence[Rule], facts: Sequence[str]) -> tuple[list[Rule], list[Rule]]:
    """The rules that fire, in the order in which forward chaining meets them, and those that stay silent."""
    known, fired, silent = set(facts), [], list(rules)
    while ready := next((r for r in silent if known.issuperset(r[0])), None):
        known.add(ready[1])
        fired.append(ready)
        silent.remove(ready)
    return fired, silent
