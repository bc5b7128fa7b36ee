"""A problem's samples as one tree: beginnings that samples share stand once, and each branch says what it is and how many went there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, nan
from statistics import fmean
from typing import NamedTuple

from markupsafe import Markup

from ..text import one_line

WIDTH, ROW, GAP = 720, 20, 2  # of the drawing; a row for each different sample
CHARACTER = 6.7  # width of a letter of a label
NARROW, BROAD, LAST = 4, 24, 40  # tokens that a column is taken to have at least and at most; the last one at most
HEAD, TAIL = 180, 80  # characters of a long branch that are shown


class Element(NamedTuple):
    """A token, or what stood between two turns; elements with one key are one. value: nan where there is none."""

    key: Hashable
    text: str
    value: float = nan


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample's name, what came of it, and what it is made of."""

    k: int
    outcome: str
    elements: Sequence[Element]


@dataclass(frozen=True, slots=True)
class Branch:
    """What some samples share after their ways part from others' (or from the start), up to where they part.

    start, size   in elements from the start; `size` of them are shared
    value         the mean over tokens and samples; nan where no token has one
    """

    start: int
    size: int
    text: str
    value: float
    samples: tuple[Sample, ...]
    children: tuple[Branch, ...]

    @property
    def rows(self) -> int:
        """How many different samples went here: those that end here are equal."""
        return sum(c.rows for c in self.children) + (len(self.samples) > sum(len(c.samples) for c in self.children))

    @property
    def outcomes(self) -> str:
        """What came of the samples that went here, in words."""
        return ", ".join(f"{n} {outcome}" for outcome, n in Counter(s.outcome for s in self.samples).most_common())

    @property
    def label(self) -> str:
        """The text, a long one without its middle."""
        if len(self.text) <= HEAD + TAIL:
            return self.text
        return f"{self.text[:HEAD]} […{len(self.text) - HEAD - TAIL:,} characters…] {self.text[-TAIL:]}"


def grown(samples: Sequence[Sample], start: int = 0) -> Branch:
    """The tree of samples that have the same first `start` elements."""
    end = start
    while all(len(s.elements) > end for s in samples) and len({s.elements[end].key for s in samples}) == 1:
        end += 1
    parts: dict[Hashable, list[Sample]] = {}
    for s in samples:
        if len(s.elements) > end:
            parts.setdefault(s.elements[end].key, []).append(s)
    values = [v for s in samples for e in s.elements[start:end] if isfinite(v := e.value)]
    children = tuple(grown(part, end) for part in sorted(parts.values(), key=len, reverse=True))
    text = "".join(e.text for e in samples[0].elements[start:end])
    return Branch(start, end - start, text, fmean(values) if values else nan, tuple(samples), children)


def listed(tree: Branch, level: int = 0) -> Iterator[tuple[int, Branch]]:
    """Each branch with its level, a branch before its children."""
    yield level, tree
    for child in tree.children:
        yield from listed(child, level + 1)


def drawing(branches: Sequence[tuple[int, Branch]], shades: Sequence[int]) -> Markup:
    """The tree as one <svg>, from left to right: a band for each branch, as thick as different samples went there, linked to its place in the list (#bN)."""
    tree = branches[0][1]
    edges = _columns([b for _, b in branches])
    tops, parts = {id(tree): 0}, list[Markup]()
    for i, ((_, b), shade) in enumerate(zip(branches, shades)):
        top = tops[id(b)]
        for child in b.children:
            tops[id(child)] = top
            top += child.rows
        if b.size:
            right = edges[b.start + b.size] if b.children and b.start + b.size in edges else float(WIDTH)
            parts.append(_band(i, b, shade, edges[b.start], right, tops[id(b)]))
    height = ROW * tree.rows
    said = f"{len(tree.samples)} samples as a tree of {len(branches)} branches; the list below says the same"
    head = Markup('<svg class="tree" viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>')
    return head.format(WIDTH, height, said, Markup("").join(parts))


def _columns(branches: Sequence[Branch]) -> dict[int, float]:
    """Where each branch begins on the drawing, by its first element: distances grow with tokens, within bounds."""
    starts = sorted({b.start for b in branches if b.size})
    longest = max((b.size for b in branches if b.size and b.start == starts[-1]), default=0) if starts else 0
    wide = [float(min(max(right - left, NARROW), BROAD)) for left, right in pairwise(starts)]
    wide.append(float(min(max(longest, NARROW), LAST)))
    places, so_far = dict[int, float](), 0.0
    for start, width in zip(starts, wide):
        places[start] = WIDTH * so_far / sum(wide)
        so_far += width
    return places


def _band(i: int, b: Branch, shade: int, left: float, right: float, row: int) -> Markup:
    """One branch."""
    height, width, n = ROW * b.rows - GAP, max(1.0, right - left - GAP), len(b.samples)
    letters = int((width - 8) / CHARACTER)
    label = one_line(f"{n}× {b.text}" if n > 1 and letters >= 6 else b.text, letters) if letters >= 2 else ""
    text = Markup('<text x="{:.1f}" y="{:.1f}">{}</text>').format(left + 5, ROW * row + height / 2 + 4, label) if label else Markup("")
    box = Markup('<rect class="t{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}" rx="3"/>').format(shade, left, ROW * row, width, height)
    said = f"{n} of the samples ({b.outcomes}): {one_line(b.text, 80)}"
    return Markup('<a href="#b{}" aria-label="{}">{}{}<title>{}</title></a>').format(i, said, box, text, said)
