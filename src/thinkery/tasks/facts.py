"""Worlds of facts drawn anew for every problem, the documents that state them, and questions that take several facts to answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, laid_out, one_of, posed, span, whole
from .shapes import shape

RELATIONS = {  # what kind of thing has one, and of what kind it is
    "boss": ("person", "person"),
    "friend": ("person", "person"),
    "doctor": ("person", "person"),
    "home": ("person", "town"),
    "birthplace": ("person", "town"),
    "mayor": ("town", "person"),
    "rival": ("town", "town"),
}
FORMS = {"person": "cvc", "town": "cvcv"}  # of names, in consonants and vowels
SOUNDS = {"c": "bdfgklmnprstvz", "v": "aeiou"}
NAME = re.compile("[a-z]{3,4}")

Facts = dict[tuple[str, str], str]  # of a relation and who has it: with whom


@dataclass(frozen=True)
class Spec:
    """hops    facts on the way to the answer, from and to
    extra       facts beside them
    open_book   show the documents in the prompt; if not, only Question.shown has them, for solvers that search
    """

    hops: tuple[int, int] = (1, 3)
    extra: int = 4
    open_book: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "hops", span("hops", self.hops, 1, 9))
        whole("extra", self.extra, 0, 99)
        one_of("open_book", self.open_book, (True, False))


class FactWorld(Generated[Spec]):
    """Prompt `the home of zor is lemu. the boss of zor is kas.\\nthe home of kas is tobi.\\nthe home of the boss of zor?`, reply
    `boss of zor:kas,home of kas:tobi#tobi`: each fact on the way.

    `Question.shown["documents"]`: a text for everybody and every place that something is said of. Difficulty counts hops. Family: the
    question and what the documents of those on the way say, with the names taken away, and how many facts there are besides.
    """

    name = "facts"
    default = Spec()
    instruction = 'Answer the question from what the documents say. End with "#" and the name asked for, as in #tobi.'

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        self.max_tokens = 2 * self.spec.hops[1] * len("birthplace of zor:lemu,") + 6

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        count = stream.between(*spec.hops)
        while True:
            kinds: dict[str, str] = {}
            facts: Facts = {}
            way = [new(stream.choice(tuple(FORMS)), kinds, stream)]
            for _ in range(count):
                relation = stream.choice([r for r, (of, _) in RELATIONS.items() if of == kinds[way[-1]]])
                facts[relation, way[-1]] = new(RELATIONS[relation][1], kinds, stream)
                way.append(facts[relation, way[-1]])
            path = [relation for relation, _ in facts]
            add(facts, kinds, spec.extra, stream)
            documents = written_down(facts, stream)
            question = "".join(f"the {relation} of " for relation in reversed(path)) + way[0] + "?"
            made = posed(
                "\n".join([*documents, question]), way[-1], family(facts, way, path), count, (tuple(path), tuple(way), tuple(kinds))
            )
            yield replace(made, question=Question(made.question.prompt if spec.open_book else question, {"documents": documents}))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        return judged(reply, problem.answer, NAME, "name")

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" ends at somebody else, or somewhere else."""
        path, (*way, answer), names = problem.data
        if style == CORRUPTED:
            others = [name for name in names if name != answer]
            answer = stream.choice([name for name in others if len(name) == len(answer)] or others)
        return laid_out([f"{relation} of {of}:{to}" for relation, of, to in zip(path, way, [*way[1:], answer])], answer, style)


def new(kind: str, kinds: dict[str, str], stream: Stream) -> str:
    """A name that nobody has yet, entered among the kinds."""
    while (name := "".join(stream.choice(SOUNDS[sound]) for sound in FORMS[kind])) in kinds:
        pass
    kinds[name] = kind
    return name


def add(facts: Facts, kinds: dict[str, str], count: int, stream: Stream) -> None:
    """So many more facts, on things old and new; nothing stands in one relation to two."""
    for _ in range(count):
        free = [(r, of) for of, kind in kinds.items() for r, (kind_of, _) in RELATIONS.items() if kind_of == kind and (r, of) not in facts]
        relation, of = stream.choice(free)
        kind = RELATIONS[relation][1]
        there = [name for name in kinds if kinds[name] == kind and name != of]
        facts[relation, of] = stream.choice(there) if there and stream.below(2) else new(kind, kinds, stream)


def written_down(facts: Facts, stream: Stream) -> tuple[str, ...]:
    """A document for each thing that facts are about, in random order."""
    documents: dict[str, list[str]] = {}
    for relation, of in stream.shuffle(list(facts)):
        documents.setdefault(of, []).append(f"the {relation} of {of} is {facts[relation, of]}.")
    return tuple(map(" ".join, documents.values()))


def family(facts: Facts, way: list[str], path: list[str]) -> str:
    """The name-free name of a question and of what is said of those on the way to its answer."""
    said = [(relation, of, to) for (relation, of), to in facts.items() if of in way[:-1]]
    asked = "asked " + " ".join(path)
    return f"{shape([*said, (asked, way[0])])} {len(facts)}"
