"""Small theories in an open world, worked out as a proof, as a program, or as the rows of a truth table.

A statement follows (1), its negation does (-1), or neither (0). All three notations come to what holds in classical logic: a theory is only
posed if chaining its rules forward finds the same. So a model can be asked in any of them, and they fail in different ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, NamedTuple

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .generated import Generated, judged, posed, span
from .logic import Rule, forward, opposite, text

NL, CODE, TABLE = "nl", "code", "tt"
NOTATIONS = (NL, CODE, TABLE)
LABELS = ("1", "-1", "0")
LABEL = re.compile("-?1|0")
VOTES = "votes"  # where a reply keeps what it was voted by: pairs of a notation and its answer
ROWS = 6  # most rows that a table has
DEEP = 3  # rules on the way to what is asked, from which on a problem is deep
NAMES = "abcdeghj"  # of atoms, the first so many; the programs use f and i themselves


@dataclass(frozen=True)
class Spec:
    """depth   rules on the way from the facts to what is asked, from and to
    rules      all rules, from and to; one more than the way has there are at least
    """

    depth: tuple[int, int] = (1, 3)
    rules: tuple[int, int] = (3, 6)

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", span("depth", self.depth, 1, 5))
        object.__setattr__(self, "rules", span("rules", self.rules, 2, 8))


class Theory(NamedTuple):
    """Rules, facts, and the atom that is asked for; `atoms` are all, the one asked for last."""

    rules: tuple[Rule, ...]
    facts: tuple[str, ...]
    atoms: tuple[str, ...]


class Theories(Generated[Spec]):
    """Prompt `a;~d;a>b;b&~d>c;d>~c;c?` over four atoms, more if they are deep. Difficulty counts the rules on the way to what is asked.

    Demonstrations, the tag included: `<nl>a>b. b&~d>c. </nl>#1`, the rules that fire; `<tt>a1d0b1c1</tt>#1`, the rows that violate nothing; `<code>`
    with a program that prints the answer. Verdicts have the part "deep" from DEEP rules on; of a reply that was voted by several notations also "ties",
    all having said something else, and how each did. Family: the theory with its letters and its order taken away.
    """

    name = "theories"
    default = Spec()
    styles = (*NOTATIONS, "direct", CORRUPTED)
    instruction = (
        "Given are rules (a&~b>c: if a is true and b is false, c is true; ~c behind > says that c is false), facts (a, or ~a for its "
        "negation) and a question (c?). Nothing else is known. End with #1 if it is true, #-1 if it is false, #0 if neither follows."
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        depth, rules = self.spec.depth[1], self.spec.rules[1]
        self.max_tokens = 74 + 6 * max(4, depth + 1) + 18 * max(rules, depth + 1)  # a program's

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated. The label is drawn once, so the rejected do not upset the balance."""
        label, depth = stream.choice(LABELS), stream.between(*spec.depth)
        while True:
            theory = drawn(label, depth, stream.between(*spec.rules), stream)
            if not fits(theory, label, depth):
                yield None
                continue
            prompt = ";".join([*theory.facts, *map(text, theory.rules), theory.atoms[-1]]) + "?"
            yield posed(prompt, label, family(theory), depth, theory)

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task."""
        found = judged(reply, problem.answer, LABEL, "1, -1 or 0")
        parts = noted_votes(reply.data.get(VOTES, ()), problem.answer)
        if problem.difficulty >= DEEP:
            parts["deep"] = found.score
        return Verdict(found.score, found.parsed, parts, found.reason)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" turns the last thing derived round and gives a wrong answer."""
        theory, answer = problem.data, problem.answer
        if style == "direct":
            return f"#{answer}"
        if style == CORRUPTED:
            wrong = stream.choice([label for label in LABELS if label != answer])
            return f"<{NL}>{proof(theory, slip=True)}</{NL}>#{wrong}"
        return f"<{style}>{WRITERS[style](theory)}</{style}>#{answer}"


def noted_votes(votes: Sequence[tuple[str, str | None]], answer: str) -> dict[str, float]:
    """Parts of a verdict on a reply that was voted: how each notation's first vote did, and whether all votes said something else ("ties")."""
    parts = {notation: float(said == answer) for notation, said in reversed(votes)}
    return parts | {"ties": float(len({said for _, said in votes if said is not None}) == len(votes) > 1)} if votes else {}


# ---- drawing


def drawn(label: str, depth: int, count: int, stream: Stream) -> Theory:
    """A chain of rules to what is asked, broken at one literal where nothing is to follow, a rule for the opposite, and others beside them."""
    sign = lambda atom: stream.choice(("", "~")) + atom
    pairs = lambda: not stream.below(3)
    goal, *others = stream.shuffle(list(NAMES[: max(4, depth + 1)]))
    head = {"1": goal, "-1": "~" + goal, "0": sign(goal)}[label]
    way, beside = [sign(atom) for atom in others[:depth]] + [head], others[depth:]
    facts = [way[0], *(sign(atom) for atom in beside if stream.below(2))]
    bodies = [[x, *([sign(stream.choice(beside))] if beside and pairs() else [])] for x in way[:-1]]
    if label == "0":
        broken = stream.choice(bodies)
        at = stream.below(len(broken))
        broken[at] = opposite(broken[at])
    rules = [(tuple(stream.shuffle(body)), to) for body, to in zip(bodies, way[1:])]
    heads = [opposite(head), *(sign(stream.choice(others)) for _ in range(count - depth - 1))]
    for to in heads:
        atoms = [x for x in (goal, *others) if x != to[-1]]
        rules.append((tuple(sign(x) for x in stream.sample(atoms, 1 + pairs())), to))
    return Theory(tuple(stream.shuffle(rules)), tuple(stream.shuffle(facts)), (*sorted(others), goal))


def fits(theory: Theory, label: str, depth: int) -> bool:
    """Whether no rule stands there twice, nothing contradicts, and both ways of finding out come to the label, in so many rounds."""
    if len({(frozenset(body), head) for body, head in theory.rules}) < len(theory.rules):
        return False
    rounds, goal = chained(theory), theory.atoms[-1]
    if any(opposite(x) in rounds for x in rounds):
        return False
    if (rounds.get(goal), rounds.get("~" + goal)) != {"1": (depth, None), "-1": (None, depth), "0": (None, None)}[label]:
        return False
    rows = surviving(theory)
    return 0 < len(rows) <= ROWS and says(rows) == label


def chained(theory: Theory) -> dict[str, int]:
    """The literals that chaining forward finds, with the round in which it does: facts 0."""
    rounds = dict.fromkeys(theory.facts, 0)
    while new := [head for body, head in theory.rules if head not in rounds and all(x in rounds for x in body)]:
        rounds |= dict.fromkeys(new, max(rounds.values()) + 1)
    return rounds


def surviving(theory: Theory) -> list[str]:
    """The rows of the truth table that violate neither a rule nor a fact: a digit for each atom."""
    rows = []
    for bits in product("01", repeat=len(theory.atoms)):
        true = {atom if bit == "1" else "~" + atom for atom, bit in zip(theory.atoms, bits)}
        if true.issuperset(theory.facts) and all(head in true or not true.issuperset(body) for body, head in theory.rules):
            rows.append("".join(bits))
    return rows


def says(rows: Sequence[str]) -> str:
    """The label that rows come to: what is asked for, the last digit, holds in all of them, in none, or in some."""
    last = {row[-1] for row in rows}
    return "0" if len(last) > 1 else "1" if last == {"1"} else "-1"


def family(theory: Theory) -> str:
    """The theory with its letters and its order taken away: of all namings the one that sorts first."""
    *others, goal = theory.atoms
    found = []
    for order in permutations(others):
        name = {goal: "z"} | dict(zip(order, NAMES))
        named = lambda x, name=name: x[:-1] + name[x[-1]]
        rules = sorted("&".join(sorted(map(named, body))) + ">" + named(head) for body, head in theory.rules)
        found.append(";".join([*rules, *sorted(map(named, theory.facts))]))
    return min(found)


# ---- notations


def proof(theory: Theory, slip: bool = False) -> str:
    """Each rule that fires, as a sentence; `slip`: what follows from the last one turned round."""
    fired, _ = forward(theory.rules, theory.facts)
    if slip:
        fired[-1:] = [(body, opposite(head)) for body, head in fired[-1:]]
    return "".join(f"{text(rule)}. " for rule in fired)


def program(theory: Theory) -> str:
    """A program that knows each atom as 1, -1 or 0, goes through the rules often enough, and prints what is asked for."""
    *others, goal = theory.atoms
    known = {x[-1]: "-1" if x[0] == "~" else "1" for x in theory.facts}
    values = [f" {atom}={known.get(atom, '0')}" for atom in others]
    rules = [f"  if {condition(body)}:{head[-1]}={'-1' if head[0] == '~' else '1'}" for body, head in theory.rules]
    loop = f" for i in range({len(others)}):"
    return "\n".join([f"def f({goal}):", *values, loop, *rules, f" return {goal}", "print(f(0))"])


def condition(body: Sequence[str]) -> str:
    """Whether the literals of a rule hold: `a>0`, `b-d>1`."""
    signs = ["-" if x[0] == "~" else "+" for x in body]
    if signs == ["-", "-"]:
        return f"{body[0][-1]}+{body[1][-1]}<-1"
    if len(body) == 1:
        return f"{body[0][-1]}{'<' if signs[0] == '-' else '>'}0"
    plus, minus = sorted(body, key=lambda x: x[0] == "~") if "-" in signs else body
    return f"{plus[-1]}{'-' if '-' in signs else '+'}{minus[-1]}>1"


def table(theory: Theory) -> str:
    """The rows that violate nothing, each atom with its value: facts first, then what follows from them in its order, what is asked last."""
    *others, goal = theory.atoms
    rounds = chained(theory)
    order = sorted(others, key=lambda atom: rounds.get(atom, rounds.get("~" + atom, len(theory.rules))))
    rows = [dict(zip(theory.atoms, row)) for row in surviving(theory)]
    return ",".join(sorted("".join(atom + row[atom] for atom in [*order, goal]) for row in rows))


WRITERS = {NL: proof, CODE: program, TABLE: table}
