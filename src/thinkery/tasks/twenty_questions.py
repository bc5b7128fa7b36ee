"""Twenty questions: find out by yes and no which of several things is meant. One guess ends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..core.errors import InputError
from ..core.records import Problem
from ..core.rng import Stream
from .base import CORRUPTED, digest
from .entities import LISTS, entities
from .environments import LONGEST, Episode
from .generated import one_of, posed, span, whole
from .played import Played

RANDOM = "random"  # the style of the baseline that asks whatever comes


@dataclass(frozen=True)
class Spec:
    """things      to choose from, from and to
    questions   attributes that may be asked about
    turns       questions and guess together
    kind        of things: house, or those published of entity_deduction: things, celebs, whose attributes are the letters of the name
    """

    things: tuple[int, int] = (4, 8)
    questions: int = 6
    turns: int = 20
    kind: str = "house"

    def __post_init__(self) -> None:
        object.__setattr__(self, "things", span("things", self.things, 2, 12))
        whole("questions", self.questions, 5, 12)
        whole("turns", self.turns, self.questions + 1, 100)
        one_of("kind", self.kind, ("house", *LISTS))


class Hidden(NamedTuple):
    """What a problem holds: each thing with what is true of it, the attributes, which thing is meant, the turns there are."""

    table: Mapping[str, frozenset[str]]
    attributes: tuple[str, ...]
    meant: str
    turns: int


class Asking(Episode):
    """`ask ATTRIBUTE` is answered by yes or no, `guess THING` ends it, and pays 1 if that is the one."""

    def __init__(self, hidden: Hidden) -> None:
        super().__init__(hidden.turns)
        self.hidden = hidden

    def begin(self) -> str:
        """See Episode."""
        return prompted(self.hidden)

    def step(self, action: str) -> tuple[str, float, bool]:
        """See Episode. The answers depend on the problem alone, so there is no state to keep."""
        table, attributes, meant, _ = self.hidden
        match action.split(" "):
            case ["ask", attribute] if attribute in attributes:
                return ("yes" if attribute in table[meant] else "no"), 0.0, False
            case ["guess", thing] if thing in table:
                return ("right" if thing == meant else "wrong"), float(thing == meant), True
            case ["ask", other]:
                raise InputError(f"no attribute {other[:LONGEST]}; ask {', '.join(attributes)}")
            case ["guess", other]:
                raise InputError(f"no thing {other[:LONGEST]} is listed")
        raise InputError("say ask and an attribute, or guess and a thing")


class TwentyQuestions(Played[Spec]):
    """Prompt `ant:small alive\\noak:alive\\nkey:small metal\\n?`, reply `ask alive`, `no`, `guess key`: turns of `ask` until one thing is left.

    Each thing is listed with what is true of it; any attribute that is listed may be asked about, and the answers are exact. A trace asks what
    tells most about the things left (Lindley 1956), "random" whatever comes. Difficulty counts the things to choose from.
    Family: the set of things.
    """

    name = "twenty_questions"
    default = Spec()
    styles = ("trace", "direct", RANDOM, CORRUPTED)
    action = "(?:ask|guess) [a-z-]{1,60}"
    instruction = (
        "One of the things is meant; each is listed with what is true of it. A turn is one action: ask ATTRIBUTE, which is answered by yes or "
        'no, or guess THING, which ends the game. If you get no answers, end with "#" and your actions, as in #guess owl.'
    )

    def __init__(self, **spec: object) -> None:
        super().__init__(**spec)
        longest = max(map(len, entities(self.spec.kind)))
        self.max_tokens = self.spec.questions * len("ask furniture\n") + len("guess \n") + longest + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem | None]:
        """See Generated."""
        known = entities(spec.kind)
        usual = sorted(frozenset().union(*known.values()))
        count = stream.between(*spec.things)
        while True:
            attributes = frozenset(stream.sample(usual, spec.questions))
            alike: dict[frozenset[str], list[str]] = {}
            for name, true in known.items():
                alike.setdefault(true & attributes, []).append(name)
            if len(alike) < count:
                yield None
                continue
            names = sorted(stream.choice(alike[true]) for true in stream.sample([*alike], count))
            table = {name: known[name] & attributes for name in names}
            hidden = Hidden(table, tuple(sorted(attributes)), stream.choice(names), spec.turns)
            found = posed(prompted(hidden), f"guess {hidden.meant}", " ".join(names), count, hidden)
            yield replace(found, id=digest(f"{found.question.prompt}{hidden.meant}").hex())

    def tools(self, problem: Problem, rng: Stream | None = None) -> Asking:
        """See Played."""
        return Asking(problem.data)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" asks well and guesses another thing."""
        hidden: Hidden = problem.data
        if style == "direct":
            return f"#{problem.answer}"
        asked = questions(hidden, stream if style == RANDOM else None)
        wrong = [name for name in hidden.table if name != hidden.meant]
        guess = stream.choice(wrong) if style == CORRUPTED else hidden.meant
        return "\n".join([*(f"ask {a}" for a in asked), f"guess {guess}"])


def prompted(hidden: Hidden) -> str:
    """The things, a line each."""
    listed = [f"{name}:{' '.join(a for a in hidden.attributes if a in true)}" for name, true in hidden.table.items()]
    return "\n".join([*listed, "?"])


def questions(hidden: Hidden, stream: Stream | None = None) -> list[str]:
    """What is asked until one thing is left: what splits those left most evenly, the first of several; by a stream, whatever comes."""
    left, asked = [*hidden.table], list[str]()
    order = [*hidden.attributes] if stream is None else stream.sample(hidden.attributes, len(hidden.attributes))
    while len(left) > 1:
        chosen = order[len(asked)] if stream is not None else min(order, key=lambda a: unevenness(hidden, left, a))
        asked.append(chosen)
        answer = chosen in hidden.table[hidden.meant]
        left = [name for name in left if (chosen in hidden.table[name]) == answer]
    return asked


def unevenness(hidden: Hidden, left: Sequence[str], attribute: str) -> int:
    """How far an attribute is from splitting the things in halves; the nearer, the more its answer tells."""
    return abs(2 * sum(attribute in hidden.table[name] for name in left) - len(left))
