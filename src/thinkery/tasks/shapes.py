"""Names of structures, equal for those that differ in names and order only: a puzzle in other letters is the same puzzle."""

from __future__ import annotations

from collections.abc import Iterable

from .base import digest

ROUNDS = 3  # of refinement: what is farther apart does not enter


def shape(relations: Iterable[tuple[str, ...]]) -> str:
    """A name for relations, each of a kind and the things that stand in it, in order; kinds matter, the things' own names do not.

    Colour refinement (Weisfeiler & Leman 1968): isomorphic structures get the same name, and a few others may share it.
    """
    known = sorted(relations)
    colours = {thing: "" for _, *things in known for thing in things}
    for _ in range(ROUNDS):
        seen: dict[str, list[str]] = {thing: [] for thing in colours}
        for kind, *things in known:
            around = " ".join(colours[t] for t in things)
            for place, thing in enumerate(things):
                seen[thing].append(f"{kind} {place} {around}")
        colours = {thing: digest(";".join(sorted(lines))).hex() for thing, lines in seen.items()}
    return digest(";".join(sorted(" ".join([kind, *(colours[t] for t in things)]) for kind, *things in known))).hex()
