"""Things told one after another that are kept in mind together: what things are like, who is related to whom, when all are free."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...core.rng import Stream
from .brackets import LETTERS
from .family import Made, Only, renamed

VALUES = 3  # of each property
DAY = 24  # hours
BUSY = 3  # times that a person names
NONE = "."
RELATIONS = {  # by steps to parents (u), to children (d) and to the other children of the same parent (s); the first ones at level 1
    "siblings": "s",
    "grandchildren": "dd",
    "nephews": "sd",
    "uncles": "us",
    "cousins": "usd",
    "granduncles": "uus",
    "second cousins": "uusdd",
}


class ObjectProperties(Only):
    """Prompt `adg beh;+aeg;a>b;-h:b&g?`, reply `adg beh aeg,bdg beh beg,bdg beg#2`: things come, change and go; how many are of a kind?

    3 things and 2 changes at level 1, 1 more of each with each level.
    """

    name = "synlogic:object_properties"
    instruction = (
        "Each thing is a word of three letters, one for each of its properties. +abc brings a thing, -a takes away all things with a, a>b gives b to "
        'all things that have a, in its place. How many things have both a and b (a&b) or at least one of the two (a|b) in the end? End with "#" '
        "and the number."
    )
    form = re.compile("[0-9]{1,2}")
    what = "number"

    def room(self, level: int) -> int:
        """See Family."""
        return (level + 1) * 4 * (2 * level + 3) + 2

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The work is the things after each change; a draw in which all go comes to nothing."""
        letters = "".join(stream.sample(LETTERS, 3 * VALUES))
        kinds = [letters[i : i + VALUES] for i in range(0, len(letters), VALUES)]
        thing = lambda: "".join(stream.choice(kind) for kind in kinds)
        things = [thing() for _ in range(level + 2)]
        told, work = [" ".join(things)], []
        for _ in range(level + 1):
            kind = stream.choice(kinds)
            old = stream.choice([letter for t in things for letter in t if letter in kind])
            new = stream.choice([letter for letter in kind if letter != old])
            order = stream.choice([f"+{thing()}", f"-{old}", f"{old}>{new}", f"{old}>{new}"])
            things = ordered(order, things)
            told.append(order)
            work.append(" ".join(things))
            if not things:
                return None
        one = stream.choice("".join(things))
        other = stream.choice([letter for kind in kinds if one not in kind for letter in kind])
        sign = stream.choice("&|")
        answer = str(sum((one in t) + (other in t) > (sign == "&") for t in things))
        prompt = f"{';'.join(told)}:{one}{sign}{other}?"
        return Made(prompt, answer, renamed(prompt, LETTERS), answer, tuple(work))


def ordered(order: str, things: Sequence[str]) -> list[str]:
    """The things after an order."""
    if order[0] == "+":
        return [*things, order[1:]]
    if order[0] == "-":
        return [t for t in things if order[1] not in t]
    return [t.replace(order[0], order[2]) for t in things]


class SpaceReasoningTree(Only):
    """Prompt `b>de;a>bc;c>fg:cousins of d?`, reply `b,c#fg`: who is related to one in a tree. 7 nodes, 3 more with each level, and more relations."""

    name = "synlogic:space_reasoning_tree"
    instruction = (
        "a>bc says that b and c are the children of a. Siblings have the same parent; uncles are the parent's siblings and cousins their children; "
        "nephews are the siblings' children; granduncles are the grandparent's siblings and second cousins their grandchildren. Who are those asked "
        'for? End with "#" and their letters in the order of the alphabet, as in #bf.'
    )
    form = re.compile("[a-z]{1,26}")
    what = "row of letters"

    def room(self, level: int) -> int:
        """See Family."""
        return 3 * (3 * level + 5)

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The work is where each step towards the relatives leads; one is asked about who has such relatives."""
        names = stream.sample(LETTERS[:20], 3 * level + 4)
        children: dict[str, list[str]] = {names[0]: []}
        for name in names[1:]:
            children[stream.choice([n for n in children if len(children[n]) < 3])].append(name)
            children[name] = []
        relation = stream.choice(list(RELATIONS)[: 2 * level])
        ways = {name: led(RELATIONS[relation], name, children) for name in names}
        having = [name for name in names if ways[name][-1]]
        if not having:
            return None
        asked = stream.choice(having)
        *work, answer = ways[asked]
        families = [f"{n}>{''.join(children[n])}" for n in stream.sample(names, len(names)) if children[n]]
        prompt = f"{';'.join(families)}:{relation} of {asked}?"
        return Made(prompt, answer, f"{relation}{shape(names[0], asked, children)}", answer, tuple(work))

    def others(self, facts: str) -> str:
        """See Family."""
        return LETTERS[:20]


def led(steps: str, name: str, children: Mapping[str, Sequence[str]]) -> list[str]:
    """Where each step towards some relatives leads, in the order of the alphabet."""
    reached, found = [name], []
    for step in steps:
        reached = walked(step, reached, children)
        found.append("".join(reached))
    return found


def walked(step: str, nodes: Sequence[str], children: Mapping[str, Sequence[str]]) -> list[str]:
    """Where a step of RELATIONS leads from any of the nodes."""
    parents = [p for p, below in children.items() if any(n in below for n in nodes)]
    if step == "u":
        return sorted(parents)
    if step == "d":
        return sorted(c for n in nodes for c in children[n])
    return sorted(c for p in parents for c in children[p] if c not in nodes)


def shape(node: str, asked: str, children: Mapping[str, Sequence[str]]) -> str:
    """The tree below a node without names and order, in which the one asked about is marked."""
    return f"({'?' * (node == asked)}{''.join(sorted(shape(c, asked, children) for c in children[node]))})"


class TimeSequence(Only):
    """Prompt `a free 2-9,11-14;b busy 4-6,8-12,20-21?`, reply `2-9 11-14,2-4 6-8 12-14#2,3`: the longest time that all have, and in how many ways.

    2 people at level 1, 1 more with each level.
    """

    name = "synlogic:time_sequence"
    instruction = (
        "The day goes from 0 to 24; 2-5 is the time from 2 to 5. Each person is free at these times only, or is free at all times but the busy ones. "
        'All want to meet for as long as possible at a stretch, and begin at a full hour. End with "#", how many hours the longest meeting lasts and '
        "at how many hours such a meeting can begin, as in #2,3, or #0,0 if they cannot meet."
    )
    form = re.compile("[0-9]{1,2},[0-9]{1,2}")
    what = "pair of numbers"

    def room(self, level: int) -> int:
        """See Family."""
        return 6 * (BUSY + 1) * (level + 1) * (level + 2) // 2 + 5

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The work is when the first is free, the first two, and so on; only every sixth of those who cannot meet is taken."""
        common = set(range(DAY))
        told, work = [], []
        for _ in range(level + 1):
            edges = sorted(stream.sample(range(DAY + 1), 2 * BUSY))
            named = {hour for a, b in zip(edges[::2], edges[1::2]) for hour in range(a, b)}
            free = len(named) > DAY // 2
            common &= named if free else set(range(DAY)) - named
            told.append(f"{'free' if free else 'busy'} {stretches(named).replace(' ', ',')}")
            work.append(stretches(common))
        if not common and stream.below(6):
            return None
        lengths = [end - start for start, end in runs(common)]
        longest = max(lengths, default=0)
        answer = f"{longest},{lengths.count(longest)}"
        prompt = ";".join(f"{name} {text}" for name, text in zip(LETTERS, told)) + "?"
        return Made(prompt, answer, ";".join(sorted(told)), answer, tuple(work))


def runs(hours: set[int]) -> list[tuple[int, int]]:
    """Beginning and end of each time without a break."""
    starts = sorted(h for h in hours if h - 1 not in hours)
    ends = sorted(h + 1 for h in hours if h + 1 not in hours)
    return list(zip(starts, ends))


def stretches(hours: set[int]) -> str:
    """The hours as times from and to."""
    return " ".join(f"{a}-{b}" for a, b in runs(hours)) or NONE
