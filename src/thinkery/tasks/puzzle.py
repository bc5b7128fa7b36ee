"""Knights and knaves: some are honest and some lie. Who is what follows from what they say, or does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, one_of, posed, span
from .logic import LABEL, LABELS, LETTERS
from .shapes import shape

NOTATIONS = ("words", "symbols", "table")
CLAIMS: dict[str, tuple[int, str, str]] = {  # what can be said of people: how many it speaks of, in words, in symbols
    "liar": (1, "{0} lies", "~{0}"),
    "honest": (1, "{0} is honest", "{0}"),
    "alike": (2, "{0} and {1} are alike", "{0}={1}"),
    "either": (2, "{0} or {1} is honest", "{0}|{1}"),
    "all": (0, "all are honest", "all x"),
    "some": (0, "some lie", "some ~x"),
}

Claim = tuple[str, ...]  # its kind, and whom it speaks of


@dataclass(frozen=True)
class Spec:
    """people     from and to; each says one thing
    notation   words, symbols, table, or any of them
    """

    people: tuple[int, int] = (3, 4)
    notation: str = "any"

    def __post_init__(self) -> None:
        object.__setattr__(self, "people", span("people", self.people, 2, 7))
        one_of("notation", self.notation, ("any", *NOTATIONS))


class Puzzle(Generated[Spec]):
    """Prompt `a:~b;b:a=c;c:all x;c?`, reply `abc:no,ab~c:no,...#false`: each case of who lies, and whether everything said fits it.

    The same in words, `a says b lies. ... is c honest?`, or as a table. Difficulty counts people: the cases are two to that power.
    Family: the claims with the names, the order and the notation taken away.
    """

    name = "puzzle"
    default = Spec()
    instruction = (
        "Everybody either is honest, and all he says is true, or lies, and all he says is false. a:~b is a saying that b lies, a:b that b is "
        "honest, a=b that both are alike, a|b that one at least is honest, all x that all are, some ~x that some lie. Is the one asked about "
        "honest? End with #true or #false if that follows, else with #unknown."
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        most = self.spec.people[1]
        self.max_tokens = 2 * 2**most * (2 * most + 12) + 9  # verbose: twice each case, `if a b c lie:yes`, then "#unknown", end

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated. The label is drawn once, so the rejected do not upset the balance."""
        label, count = stream.choice(LABELS), stream.between(*spec.people)
        notation = stream.choice(NOTATIONS) if spec.notation == "any" else spec.notation
        while True:
            people = sorted(stream.sample(LETTERS, count))
            claims = tuple(claim(people, stream) for _ in people)
            asked = stream.choice(people)
            fitting = {world[people.index(asked)] for world, fits in cases(people, claims) if fits}
            if label != ("unknown" if len(fitting) == 2 else "true" if fitting == {True} else "false" if fitting else ""):
                yield None
                continue
            prompt = posed_in(notation, people, claims, asked)
            yield posed(prompt, label, family(people, claims, asked), count, (notation, tuple(people), claims))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, LABEL, "true, false or unknown")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" misjudges a case and gives a wrong answer."""
        notation, people, claims = problem.data
        rows, answer = list(cases(people, claims)), problem.answer
        if style == CORRUPTED:
            at = stream.below(len(rows))
            rows[at] = (rows[at][0], not rows[at][1])
            answer = stream.choice([label for label in LABELS if label != answer])
        return laid_out([f"{case(notation, people, world)}{'yes' if fits else 'no'}" for world, fits in rows], answer, style)


def claim(people: list[str], stream: Stream) -> Claim:
    """Something that can be said."""
    kind = stream.choice(tuple(CLAIMS))
    return kind, *stream.sample(people, CLAIMS[kind][0])


def cases(people: list[str] | tuple[str, ...], claims: tuple[Claim, ...]) -> Iterator[tuple[tuple[bool, ...], bool]]:
    """Every way in which people can be honest, and whether it fits: the honest say what holds, the others what does not."""
    for world in product((True, False), repeat=len(people)):
        honest = dict(zip(people, world))
        yield world, all(honest[p] == holds(c, honest) for p, c in zip(people, claims))


def holds(claim: Claim, honest: dict[str, bool]) -> bool:
    """Whether a claim holds where these are honest."""
    kind, *whom = claim
    spoken = [honest[x] for x in whom] if whom else list(honest.values())
    if kind == "alike":
        return spoken[0] == spoken[1]
    if kind in ("liar", "some"):
        return not all(spoken)
    return any(spoken) if kind == "either" else all(spoken)


def posed_in(notation: str, people: list[str], claims: tuple[Claim, ...], asked: str) -> str:
    """The prompt."""
    forms = {kind: words if notation == "words" else symbols for kind, (_, words, symbols) in CLAIMS.items()}
    said = [forms[kind].format(*whom) for kind, *whom in claims]
    if notation == "words":
        return "".join(f"{p} says {s}. " for p, s in zip(people, said)) + f"is {asked} honest?"
    if notation == "symbols":
        return "".join(f"{p}:{s};" for p, s in zip(people, said)) + f"{asked}?"
    return f"who,{','.join(people)}\nsays,{','.join(said)}\n{asked}?"


def case(notation: str, people: tuple[str, ...], world: tuple[bool, ...]) -> str:
    """One case as a trace shows it, in its notation: who lies."""
    if notation == "words":
        return f"if {' '.join(p for p, honest in zip(people, world) if not honest) or 'none'} lie:"
    if notation == "symbols":
        return "".join(p if honest else "~" + p for p, honest in zip(people, world)) + ":"
    return "".join("01"[honest] for honest in world) + ":"


def family(people: list[str], claims: tuple[Claim, ...], asked: str) -> str:
    """The puzzle's shape; whether a stands before b makes no difference in a claim on both."""
    said = [(kind, p, *order) for p, (kind, *whom) in zip(people, claims) for order in (whom, whom[::-1])]
    return shape([*dict.fromkeys(said), ("asked", asked)])
