"""Several questions asked at once, over facts that are looked up one at a time, the one looked for standing among others.

Zhou et al. 2025, "MEM1" (arXiv:2506.15841), put several questions into one to make tasks of any length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import InputError
from ..core.records import Problem, Question, Reply, Rollout, Verdict
from ..core.rng import Stream, rng
from .base import CORRUPTED
from .generated import Generated, checked, posed, span, whole
from .logic import LETTERS

ASK, END = "?", ":"  # around a query
BETWEEN = ";"  # of questions and of their answers
MEMORY, QUERIES = "memory", "queries"  # styles: with the answers so far in every turn; queries alone
TURNS = 3  # for each question: a look-up for each hop and one to spare, the answer's included
MOST_HOPS = 2
ANSWERS = re.compile("[a-z]{2,}(?:;[a-z]{2,})*")

World = Mapping[str, str]  # a thing and the type of an edge, `k2`: what it leads to


@dataclass(frozen=True)
class Spec:
    """questions   asked at once, from and to
    hops        of a question, from and to
    types       of edges
    beside      facts found with the one that was looked up
    """

    questions: tuple[int, int] = (2, 4)
    hops: tuple[int, int] = (1, MOST_HOPS)
    types: int = 4
    beside: int = 6

    def __post_init__(self) -> None:
        object.__setattr__(self, "questions", span("questions", self.questions, 1, 16))
        object.__setattr__(self, "hops", span("hops", self.hops, 1, MOST_HOPS))
        whole("types", self.types, 2, 9)
        whole("beside", self.beside, 0, 20)


class Facts:
    """The facts of a problem: each of LETTERS leads to one of them over an edge of each type."""

    def __init__(self, world: World, beside: int, name: str) -> None:
        self.world, self.beside, self.name = world, beside, name

    def find(self, query: str) -> str:
        """`qb,fk,am` for `k2`: f is reached from k over an edge of type 2; among other letters, in random order, always the same. Raises
        InputError where there is no such edge.
        """
        if query not in self.world:
            raise InputError(f"there is nothing about {query!r}; ask for a letter and a type, as in k2")
        stream, thing, t = rng("find", self.name, query), query[0], query[1]
        others = stream.shuffle(list(LETTERS.replace(thing, "")))[: self.beside]
        return ",".join(self.world[of + t] + of for of in stream.shuffle([thing, *others]))


class Objectives(Generated[Spec]):
    """Prompt `k2;b31`, reply `kf;bqh`: where each question leads, k over an edge of type 2, b over one of type 3 and then one of type 1.

    Tools: `find`, which tells one fact among others: a solver looks things up a turn at a time (`erasing`). `Question.shown["turns"]` is how
    many turns there are. Right is a reply with the right end of every question; parts: `rightN`, the share of them, and `peakN`, the most tokens
    that stood before and in a turn, for N questions. Difficulty counts questions. Family: the questions in any order.

    Demonstrations are turns in a row: "memory" has in each how far it is, as in `?k2:kf?b3:kf;bq?q1:kf;bqh`; "queries" has nothing else,
    `?k2:?b3:?q1:kf;bqh`.
    """

    name = "objectives"
    default = Spec()
    styles: tuple[str, ...] = (MEMORY, QUERIES, CORRUPTED)  # type: ignore[assignment]  # those of Generated are five
    instruction = (
        "Each question asks where a letter leads: k21 over an edge of type 2 and from there over one of type 1. Look facts up one at a time: "
        "end a turn with a query between ? and :, as in ?k2:, and fk among the facts found says that it leads to f. What you do not write "
        "again is forgotten. End with the way of each question, as in kf;bqh."
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        n = self.spec.questions[1]
        self.max_tokens = (n * self.spec.hops[1] + 1) * (n * (2 * self.spec.hops[1] + 2) + len("?k2:"))

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        n = stream.between(*spec.questions)
        while True:
            asked = [
                thing + "".join(str(stream.between(1, spec.types)) for _ in range(stream.between(*spec.hops)))
                for thing in stream.shuffle(list(LETTERS))[:n]
            ]
            prompt = BETWEEN.join(asked)
            world = drawn(prompt, spec.types)
            answer = BETWEEN.join(way(world, question) for question in asked)
            made = posed(prompt, answer, BETWEEN.join(sorted(asked)), n, (world, spec.beside))
            yield replace(made, question=Question(prompt, {"turns": TURNS * n}))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. A reply that answers for a letter twice cannot be read."""
        gold, n = ends(problem.answer), int(problem.difficulty)
        found = checked(Reply(reply.text.rpartition(END)[2], reply.truncated), ANSWERS, "answers", unlike)
        said = ends(found.parsed) if found.parsed is not None and found.score else {}
        right = len(said.items() & gold.items()) / n if said.keys() <= gold.keys() else 0.0
        parts = {f"right{n}": right} | ({f"peak{n}": float(peak(rollout))} if rollout is not None and rollout.turns else {})
        return Verdict(float(right == 1), found.parsed, parts, f"{right * n:g} of {n} are right" if said else found.reason)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" answers every question with another letter."""
        if style == CORRUPTED:
            ways = problem.answer.split(BETWEEN)
            return BETWEEN.join(f"{way[:-1]}{stream.choice(LETTERS.replace(way[-1], ''))}" for way in ways)
        return "".join(turns(problem, style))

    def tools(self, problem: Problem, rng: Stream) -> Facts:
        """See Task."""
        world, beside = problem.data
        return Facts(world, beside, problem.id)


def drawn(prompt: str, types: int) -> World:
    """The facts behind a prompt, always the same: equal prompts are the same problem."""
    stream = rng("objectives", prompt, types)
    return {f"{thing}{t}": stream.choice(LETTERS) for thing in LETTERS for t in range(1, types + 1)}


def way(world: World, question: str) -> str:
    """`bqh` for `b31`: the letters on the way."""
    found = question[0]
    for t in question[1:]:
        found += world[found[-1] + t]
    return found


def ends(answers: str) -> dict[str, str]:
    """Where each way leads, by where it begins."""
    return {way[0]: way[-1] for way in answers.split(BETWEEN)}


def unlike(answers: str) -> str:
    """What is wrong with answers whose ways do not begin at different letters."""
    return "" if len(ends(answers)) == len(answers.split(BETWEEN)) else "a letter is answered for twice"


def turns(problem: Problem, style: str) -> list[str]:
    """The turns of a demonstration, the last being the answer."""
    out, done = list[str](), list[str]()
    for question, letters in zip(problem.question.prompt.split(BETWEEN), problem.answer.split(BETWEEN)):
        for at, t in enumerate(question[1:]):
            memory = BETWEEN.join([*done, *([letters[: at + 1]] if at else [])])
            out.append(f"{memory if style == MEMORY else ''}{ASK}{letters[at]}{t}{END}")
        done.append(letters)
    return [*out, problem.answer]


def before(left: int, so_far: str) -> str:
    """What stands behind the question when a turn is written: what is kept, and how many turns are left."""
    return f"\n{so_far}{left}{ASK}"


def peak(rollout: Rollout) -> int:
    """The most tokens that a turn needed, what stood before it included."""
    return max(t.context.n + len(t.ids) for t in rollout.turns)


def follows(so_far: str, left: int, said: str, found: str, forgets: bool) -> str:
    """What is kept after a turn: it and what was found, or these behind all that was kept before."""
    return f"{'' if forgets else f'{so_far}{left}{ASK}'}{said}{found}\n"


class Farther(Objectives):
    """Objectives whose test problems have other numbers of questions, the `tested` in turn: does a way of thinking reach beyond what it learnt?"""

    name = "objectives farther"

    def __init__(self, tested: tuple[int, ...], **spec: Any) -> None:
        super().__init__(**spec)
        self.tested = tested
        self.max_tokens = max(self.max_tokens, *(Objectives(**{**spec, "questions": n}).max_tokens for n in tested))

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        if split == "test":
            spec = {"questions": self.tested[index % len(self.tested)], **spec}
        return super().problem(index, split, seed, **spec)
