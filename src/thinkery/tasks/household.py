"""A household: bring things where they belong. Any actions that do are right.

It is a world for agents, too, that act turn by turn and see a room at a time: `House.observed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream
from .base import CORRUPTED
from .boards import planned, spoilt, traced
from .environments import EPISODE
from .generated import Generated, laid_out, posed, span, whole
from .played import MOST, Acting, came_to
from .shapes import shape

ROOMS = ("hall", "kitchen", "bath", "study", "attic", "cellar", "garage", "porch")
PLACES = ("table", "shelf", "box", "chest", "sink", "desk", "fridge", "basket", "drawer", "bin")
THINGS = ("apple", "book", "cup", "key", "lamp", "mug", "pen", "plate", "sock", "towel")
CLOSED = "!"
ACTION = "[a-z]{2,8}(?: [a-z]{2,8}){1,2}"
PLAN = re.compile(f"{ACTION}(?:, ?{ACTION}){{0,199}}")


@dataclass(frozen=True)
class Spec:
    """goals   things to bring to their places, from and to
    rooms    of the house; it has one place more than rooms
    """

    goals: tuple[int, int] = (1, 2)
    rooms: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "goals", span("goals", self.goals, 1, 8))
        whole("rooms", self.rooms, 2, len(ROOMS))


@dataclass(frozen=True)
class State:
    """Where one is, what one holds ("" for nothing), which places are open, and where each thing is that is not held."""

    room: str
    held: str
    opened: frozenset[str]
    inside: Mapping[str, str]


@dataclass(frozen=True)
class House:
    """The world of a problem: doors from room to room, the room of each place, and where things belong."""

    doors: frozenset[tuple[str, str]]
    places: Mapping[str, str]
    goals: Mapping[str, str]

    def legal(self, state: State, action: str) -> State | None:
        """See World: `go ROOM` through a door, `open PLACE`, `take THING` with empty hands, `put THING PLACE`, open ones."""
        match action.split(" "):
            case ["go", room] if (state.room, room) in self.doors:
                return replace(state, room=room)
            case ["open", place] if self.places.get(place) == state.room and place not in state.opened:
                return replace(state, opened=state.opened | {place})
            case ["take", thing] if not state.held and self.at_hand(state, state.inside.get(thing, "")):
                return replace(state, held=thing, inside={t: place for t, place in state.inside.items() if t != thing})
            case ["put", thing, place] if thing and thing == state.held and self.at_hand(state, place):
                return replace(state, held="", inside={**state.inside, thing: place})
        return None

    def goal(self, state: State) -> bool:
        """See World."""
        return all(state.inside.get(thing) == place for thing, place in self.goals.items())

    def at_hand(self, state: State, place: str) -> bool:
        """Whether a place is open and in the room."""
        return self.places.get(place) == state.room and place in state.opened

    def observed(self, state: State) -> str:
        """What one sees: the room with its places and what lies in the open ones, its doors, and what one holds."""
        seen = replace(state, inside={thing: place for thing, place in state.inside.items() if place in state.opened})
        here = [shown(place, seen) for place, room in self.places.items() if room == state.room]
        doors = sorted(b for a, b in self.doors if a == state.room)
        return f"{state.room}:{','.join(here)}\ndoors:{','.join(doors)}\nheld:{state.held}"


class Household(Generated[Spec]):
    """Prompt `hall-bath\\nhall:box!(cup)\\nbath:sink()\\nyou:hall\\ncup>sink\\n?`, reply `#open box,take cup,go bath,put cup sink`.

    Doors, the places of each room with what is in them (! is closed), where you are, and what is to be brought where. A trace notes
    the room after each action and what is held. Difficulty counts things to bring. Family: the house with its names taken away.
    """

    name = "household"
    default = Spec()
    instruction = (
        "hall-bath is a door between rooms; hall:box!(cup),sink() says that the hall has a closed box with a cup in it and an open, "
        "empty sink. Bring everything where it belongs (cup>sink) by the actions go ROOM, open PLACE, take THING, put THING PLACE. You can "
        "hold one thing, and must be in the room of a place and have it open to use it. "
        'End with "#" and the actions, as in #open box,take cup,put cup sink.'
    )

    def __init__(self, **spec: Any) -> None:
        super().__init__(**spec)
        goals, rooms = self.spec.goals[1], self.spec.rooms
        walk, rest = len("go kitchen"), len("open basket,take plate,open drawer,put plate drawer,")
        actions = goals * (2 * (rooms - 1) * (walk + 1) + rest)
        self.max_tokens = 3 * actions + 2 * goals * (2 * rooms + 2) * len(":kitchen plate") + 2

    def candidates(self, spec: Spec, stream: Stream) -> Iterator[Problem]:
        """See Generated."""
        count = stream.between(*spec.goals)
        while True:
            house, start = furnished(count, spec.rooms, stream)
            yield posed(prompted(house, start), ",".join(solved(house, start)), likeness(house, start), count, (house, start))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        """See Task. Parts: see `simulated`, and `came_to` where it was acted in."""
        if EPISODE in reply.data:
            return came_to(reply)
        house, start = problem.data
        return planned(reply, PLAN, "actions", house, start, lambda tail: tail.replace(", ", ",").split(","))

    def tools(self, problem: Problem, rng: Stream) -> Acting[State]:
        """See Task: an episode in the house."""
        house, start = problem.data
        return Acting(house, start, house.observed, MOST)

    def written(self, problem: Problem, style: str, stream: Stream) -> str:
        """See Generated. "corrupted" does something else once."""
        house, start = problem.data
        plan = problem.answer.split(",")
        if style == CORRUPTED:
            plan = spoilt(house, start, plan, sorted(set(plan)), stream)
        lines = traced(house, start, plan, lambda state: f"{state.room} {state.held}".strip())
        return laid_out(lines, ",".join(plan), style)


def furnished(count: int, rooms: int, stream: Stream) -> tuple[House, State]:
    """A house with things that many to bring and one more, and its first state."""
    names = stream.sample(ROOMS, rooms)
    doors = {(a, stream.choice(names[:i])) for i, a in enumerate(names) if i}
    places = {place: stream.choice(names) for place in sorted(stream.sample(PLACES, rooms + 1))}
    inside = {thing: stream.choice([*places]) for thing in stream.sample(THINGS, count + 1)}
    goals = {thing: stream.choice([p for p in places if p != inside[thing]]) for thing in [*inside][:count]}
    opened = frozenset(place for place in places if stream.below(2))
    inside = {thing: inside[thing] for thing in sorted(inside)}
    return House(frozenset(doors | {(b, a) for a, b in doors}), places, goals), State(stream.choice(names), "", opened, inside)


def shown(place: str, state: State) -> str:
    """A place with what is in it."""
    return f"{place}{CLOSED * (place not in state.opened)}({' '.join(t for t, p in state.inside.items() if p == place)})"


def prompted(house: House, start: State) -> str:
    """The prompt: here, what is in closed places is told, too."""
    doors = [f"{a}-{b}" for a, b in sorted(house.doors) if a < b]
    furniture = [
        f"{room}:{','.join(shown(place, start) for place in house.places if house.places[place] == room)}"
        for room in sorted(set(house.places.values()))
    ]
    return "\n".join([*doors, *furniture, f"you:{start.room}", *map(">".join, house.goals.items()), "?"])


def solved(house: House, start: State) -> list[str]:
    """Actions that bring one thing after the other, by the shortest ways."""
    plan: list[str] = []
    room, opened = start.room, set(start.opened)
    for thing, place in house.goals.items():
        for target, act in ((start.inside[thing], f"take {thing}"), (place, f"put {thing} {place}")):
            plan += [f"go {step}" for step in way(house, room, house.places[target])]
            plan += [f"open {target}"] * (target not in opened)
            plan.append(act)
            opened.add(target)
            room = house.places[target]
    return plan


def way(house: House, start: str, end: str) -> list[str]:
    """The rooms to go through."""
    ways: dict[str, list[str]] = {start: []}
    fresh = [start]
    for room in fresh:
        for a, b in sorted(house.doors):
            if a == room and b not in ways:
                ways[b] = [*ways[a], b]
                fresh.append(b)
    return ways[end]


def likeness(house: House, start: State) -> str:
    """The house's shape."""
    relations: list[tuple[str, ...]] = [("door", a, b) for a, b in house.doors]
    relations += [("open" if place in start.opened else "closed", place, room) for place, room in house.places.items()]
    relations += [("in", thing, place) for thing, place in start.inside.items()]
    return shape([*relations, *(("goal", thing, place) for thing, place in house.goals.items()), ("you", start.room)])
