"""Brackets and words: what is to be closed, where a row of brackets goes wrong, and sorting by an alphabet of one's own."""

from __future__ import annotations

import re

from ...core.rng import Stream
from .family import Made, Only, renamed

CLOSING = {"(": ")", "[": "]", "<": ">"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def opened(row: str) -> tuple[str, int]:
    """Brackets still open after a row, and the place of the first that does not fit (from 1), or 0."""
    stack = ""
    for at, bracket in enumerate(row, 1):
        if bracket in CLOSING:
            stack += bracket
        elif stack and CLOSING[stack[-1]] == bracket:
            stack = stack[:-1]
        else:
            return stack, at
    return stack, 0


def balanced(pairs: int, stream: Stream) -> str:
    """So many pairs of brackets, each closed."""
    row, stack, left = "", "", pairs
    while left or stack:
        if left and (not stack or stream.below(2)):
            stack, left = stack + stream.choice("([<"), left - 1
            row += stack[-1]
        else:
            row, stack = row + CLOSING[stack[-1]], stack[:-1]
    return row


class DyckLanguage(Only):
    """Prompt `([<>?`, reply `(,([,([<,([#])`: the brackets that close what is open. 2 pairs more with each level, from 4."""

    name = "synlogic:dyck_language"
    instruction = 'Close all brackets that are still open, the last one first. End with "#" and the closing brackets, as in #>)].'
    form = re.compile(r"[)\]>]{1,40}")
    what = "closing brackets"

    def room(self, level: int) -> int:
        """See Family."""
        pairs = 2 + 2 * level
        return 2 * pairs * (pairs + 1) + pairs

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The work is the stack after each bracket."""
        whole = balanced(2 + 2 * level, stream)
        row = whole[: stream.between(len(whole) // 2, len(whole) - 1)]
        answer = "".join(CLOSING[b] for b in reversed(opened(row)[0]))
        work = tuple(opened(row[: i + 1])[0] for i in range(len(row)))
        return Made(row + "?", answer, bare(row), answer, work) if answer else None

    def others(self, facts: str) -> str:
        """See Family."""
        return ")]>"


class DyckErrors(Only):
    """Prompt `(<])>?`, reply `(,(<#3`: the place of the first bracket that closes what is not open, 0 where all fit."""

    name = "synlogic:dyck_language_errors"
    instruction = (
        'Find the first bracket that closes what is not open. End with "#" and its place, counted from 1, or #0 if all brackets fit.'
    )
    form = re.compile("[0-9]{1,3}")
    what = "place"

    def room(self, level: int) -> int:
        """See Family."""
        pairs = 2 + 2 * level
        return 2 * pairs * (pairs + 1) + 3

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family: in five of six rows one bracket is another one."""
        row = balanced(2 + 2 * level, stream)
        if stream.below(6):
            at = stream.below(len(row))
            row = row[:at] + stream.choice([b for b in "([<)]>" if b != row[at]]) + row[at + 1 :]
        stack, place = opened(row)
        if stack and not place:
            return None
        work = tuple(opened(row[: i + 1])[0] for i in range(place - 1 if place else len(row)))
        return Made(row + "?", str(place), bare(row), str(place), work)


class DyckReasoning(Only):
    """Prompt `([]):( ([ [ .?`, reply `(,([,(#3`: a row and the stack after each bracket; which stack is wrong, or 0. 3 pairs, one more with each level."""

    name = "synlogic:dyck_language_reasoning_errors"
    instruction = (
        "After the colon stands, for each bracket of the row in turn, what is still open then (. for nothing). Each should follow from the row. "
        'End with "#" and the number of the first one that is wrong, counted from 1, or #0 if none is.'
    )
    form = re.compile("[0-9]{1,3}")
    what = "number of a step"

    def room(self, level: int) -> int:
        """See Family."""
        pairs = 2 + level
        return 2 * pairs * (pairs + 1) + 3

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family: in five of six one step is wrong; the work is the stacks as they should be, as far as the wrong one."""
        row = balanced(2 + level, stream)
        right = [opened(row[: i + 1])[0] or "." for i in range(len(row))]
        shown, wrong = list(right), 0
        if stream.below(6):
            wrong = stream.between(1, len(row))
            old = right[wrong - 1].strip(".")
            shown[wrong - 1] = stream.choice([s for s in (old[:-1] or ".", old + "(", old + "[", old[:-1] + "<") if s != right[wrong - 1]])
        prompt = f"{row}:{' '.join(shown)}?"
        return Made(prompt, str(wrong), bare(prompt), str(wrong), tuple(right[: wrong or len(right)]))


def bare(row: str) -> str:
    """A row with the kinds of brackets numbered in the order in which they come."""
    same = row.translate(str.maketrans(")]>", "([<"))
    return renamed(same, "([<") + "".join("()"[b in ")]>"] for b in row if b in "()[]<>")


class WordSorting(Only):
    """Prompt `bdca:cab,bad?`, reply `230,031#bad,cab`: words by a new order of letters. One word and one letter of the alphabet more with each level."""

    name = "synlogic:word_sorting"
    instruction = (
        'Sort the words by the alphabet that stands before the colon. End with "#" and the words with commas between them, as in #cab,bad.'
    )
    form = re.compile("[a-z]{1,9}(?:,[a-z]{1,9}){0,19}")
    what = "list of words"

    def room(self, level: int) -> int:
        """See Family."""
        return 2 * 5 * (level + 3)

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The work gives the places of each word's letters in the alphabet."""
        alphabet = "".join(stream.sample(LETTERS, level + 3))
        words = sorted({"".join(stream.choice(alphabet) for _ in range(4)) for _ in range(level + 2)})
        words = stream.sample(words, len(words))
        places = {w: "".join(str(alphabet.index(c)) for c in w) for w in words}
        ordered = sorted(words, key=places.__getitem__)
        prompt = f"{alphabet}:{','.join(words)}?"
        if len(words) < level + 2 or words == ordered:
            return None
        answer = ",".join(ordered)
        return Made(prompt, answer, " ".join(places[w] for w in ordered), answer, tuple(places[w] for w in words))


class WordSortingMistake(Only):
    """Prompt `bdca:cab,bad>cab;cab,bad?`, reply `cab,bad,cab#2`: insertion step by step; which step is wrong, or 0. 3 words, one more with each level."""

    name = "synlogic:word_sorting_mistake"
    instruction = (
        "The words before > are sorted by the alphabet before the colon; after > each step puts the next word in its place among those before. "
        'End with "#" and the number of the first step that is wrong, counted from 1, or #0 if none is.'
    )
    form = re.compile("[0-9]{1,2}")
    what = "number of a step"

    def room(self, level: int) -> int:
        """See Family."""
        return 4 * (level + 2) * (level + 3) + 2

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family: in five of six, two neighbours of one step stand the wrong way round; later steps go on from there rightly sorted."""
        alphabet = "".join(stream.sample(LETTERS, level + 3))
        words = ["".join(stream.choice(alphabet) for _ in range(3)) for _ in range(level + 2)]
        places = {w: "".join(str(alphabet.index(c)) for c in w) for w in words}
        if len(places) < len(words):
            return None
        right = [sorted(words[: i + 1], key=places.__getitem__) for i in range(len(words))]
        shown, wrong = [list(step) for step in right], 0
        if stream.below(6):
            wrong = stream.between(2, len(words))
            at = stream.below(wrong - 1)
            step = shown[wrong - 1]
            step[at], step[at + 1] = step[at + 1], step[at]
        prompt = f"{alphabet}:{','.join(words)}>{';'.join(map(','.join, shown))}?"
        same = ";".join(" ".join(places[w] for w in step) for step in [words, *shown])
        work = tuple(",".join(step) for step in right[: wrong or len(right)])
        return Made(prompt, str(wrong), same, str(wrong), work)
