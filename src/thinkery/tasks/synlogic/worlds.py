"""Small worlds that are followed step by step: who lies, who holds what, what is counted, where one stands."""

from __future__ import annotations

import re

from ...core.rng import Stream
from .brackets import LETTERS
from .family import Made, Only, renamed


class WebOfLies(Only):
    """Prompt `a=1;b>a=0;c>b=1;c,a,b?`, reply `a=1,b=0,c=0#010`: each says of another whether he lies. 3 people, 2 more with each level."""

    name = "synlogic:web_of_lies"
    instruction = (
        "Each person always lies or is always honest. a=1 says that a is honest, a=0 that a lies; b>a=0 that b says that a lies. "
        'Who of those before the ? is honest? End with "#" and a 1 (honest) or 0 (lies) for each of them in turn, as in #101.'
    )
    form = re.compile("[01]{3}")
    what = "row of three digits 0 and 1"

    def room(self, level: int) -> int:
        """See Family."""
        return 4 * (2 * level + 1) + 4

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Each speaks of one whose truth follows from statements before, and statements are told in any order."""
        people = stream.sample(LETTERS, 2 * level + 1)
        honest = {people[0]: stream.below(2)}
        told, work = [f"{people[0]}={honest[people[0]]}"], [f"{people[0]}={honest[people[0]]}"]
        for person in people[1:]:
            other, says = stream.choice(list(honest)), stream.below(2)
            honest[person] = int(honest[other] == says)
            told.append(f"{person}>{other}={says}")
            work.append(f"{person}={honest[person]}")
        asked = stream.sample(people, 3)
        answer = "".join(str(honest[p]) for p in asked)
        prompt = f"{';'.join(stream.sample(told, len(told)))};{','.join(asked)}?"
        return Made(prompt, answer, renamed(";".join([*told, *sorted(asked)]), LETTERS), answer, tuple(work))


class BooleanExpressions(Only):
    """Prompt `a=((1&~0)|0);b=...?`, reply `a=1,...#ac`: the lines that are true. Three operators a line at level 1, two more with each."""

    name = "synlogic:boolean_expressions"
    instruction = (
        "Work out each line: 1 is true, 0 is false, ~ is not, & is and, | is or. "
        'End with "#" and the letters of all lines that are true, as in #ac, or with #none if there are none.'
    )
    form = re.compile("a?b?c?d?|none")
    what = "letters of lines"

    def room(self, level: int) -> int:
        """See Family."""
        return 20

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The work is what each line comes to."""
        lines = [drawn(1 + 2 * level, stream) for _ in range(4)]
        answer = "".join(name for name, (_, true) in zip("abcd", lines) if true) or "none"
        prompt = ";".join(f"{name}={text}" for name, (text, _) in zip("abcd", lines)) + "?"
        same = ";".join(sorted(text for text, _ in lines))
        return Made(prompt, answer, same, answer, tuple(f"{name}={int(true)}" for name, (_, true) in zip("abcd", lines)))

    def others(self, facts: str) -> str:
        """See Family."""
        return "abcd"

    def spoilt(self, facts: str, answer: str, stream: Stream) -> str:
        """See Family: one line more or less."""
        held = set("" if answer == "none" else answer) ^ {stream.choice("abcd")}
        return "".join(sorted(held)) or "none"


def drawn(operators: int, stream: Stream) -> tuple[str, bool]:
    """An expression with so many operators in brackets, and what it comes to."""
    if not operators:
        value = stream.below(2)
        return str(value), bool(value)
    if not stream.below(4):
        text, value = drawn(operators - 1, stream)
        return f"~{text}", not value
    left = stream.below(operators)
    (a, x), (b, y) = drawn(left, stream), drawn(operators - 1 - left, stream)
    return (f"({a}&{b})", x and y) if stream.below(2) else (f"({a}|{b})", x or y)


class ObjectCounting(Only):
    """Prompt `c+3 d+2 c-1:c?`, reply `3,2#2`: how many of a kind there are after things came and went. Level: up to 4 changes more with each."""

    name = "synlogic:object_counting"
    instruction = 'Things come (+) and go (-): c+3 says that three of kind c come. How many of the kind behind the colon are there? End with "#" and the number.'
    form = re.compile("[0-9]{1,3}")
    what = "number"

    def room(self, level: int) -> int:
        """See Family."""
        return 3 * 4 * level + 4

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The work is the number after each change of that kind."""
        kinds = stream.sample(LETTERS, level + 1)
        have = dict.fromkeys(kinds, 0)
        asked, told, work = stream.choice(kinds), [], []
        for _ in range(4 * level):
            kind = stream.choice(kinds)
            change = stream.between(-min(have[kind], 9), 9)
            if change:
                have[kind] += change
                told.append(f"{kind}{change:+d}")
                if kind == asked:
                    work.append(str(have[kind]))
        if not work:
            return None
        prompt = f"{' '.join(told)}:{asked}?"
        return Made(prompt, str(have[asked]), renamed(prompt, LETTERS), str(have[asked]), tuple(work))


class GoodsExchange(Only):
    """Prompt `a=p b=q c=r;a-b;p-r?`, reply `qpr,qrp#qrp`: goods change hands; who holds what in the end? 3 people, one more with each level."""

    name = "synlogic:goods_exchange"
    instruction = (
        "At first each person has the thing that is given with =. a-b says that a and b exchange what they have then; p-q with letters of things "
        'says that those who have p and q then exchange them. Who has what in the end? End with "#" and the thing of each person, in the order '
        "in which they stand at the beginning, as in #rpq."
    )
    form = re.compile("[a-z]{3,7}")
    what = "row of things"

    def room(self, level: int) -> int:
        """See Family."""
        return 2 * (level + 1) * (level + 3) + level + 3

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Two people more than the level, and twice as many exchanges; the work is who has what after each."""
        count = level + 2
        letters = stream.sample(LETTERS, 2 * count)
        people, things = letters[:count], letters[count:]
        have, told, work = list(things), [], []
        for _ in range(2 * level):
            i, j = stream.sample(range(count), 2)
            told.append(f"{people[i]}-{people[j]}" if stream.below(2) else f"{have[i]}-{have[j]}")
            have[i], have[j] = have[j], have[i]
            work.append("".join(have))
        prompt = f"{' '.join(f'{p}={t}' for p, t in zip(people, things))};{';'.join(told)}?"
        return Made(prompt, "".join(have), renamed(prompt, LETTERS), "".join(have), tuple(work))


class SpaceReasoning(Only):
    """Prompt `f2 r f1?`, reply `0 2,1 2#1,2`: where one stands after walking and turning. 4 orders, 3 more with each level."""

    name = "synlogic:space_reasoning"
    instruction = (
        "You stand at 0,0 and look to the north, where the second number grows; to the east the first one grows. f3 is three steps ahead, b3 three "
        'steps back, l and r turn you by a quarter. Where do you stand in the end? End with "#" and the two numbers, as in #2,-1.'
    )
    form = re.compile("-?[0-9]{1,3},-?[0-9]{1,3}")
    what = "pair of numbers"

    def room(self, level: int) -> int:
        """See Family."""
        return 8 * (3 * level + 1) + 8

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Three orders more with each level; the work is where one stands after each walk."""
        (x, y), (dx, dy) = (0, 0), (0, 1)
        told, work = [], []
        for _ in range(3 * level + 1):
            order = stream.choice("fblr")
            if order in "lr":
                dx, dy = (-dy, dx) if order == "l" else (dy, -dx)
                told.append(order)
                continue
            steps = stream.between(1, 9)
            told.append(f"{order}{steps}")
            sign = steps if order == "f" else -steps
            x, y = x + sign * dx, y + sign * dy
            work.append(f"{x} {y}")
        answer = f"{x},{y}"
        return Made(" ".join(told) + "?", answer, " ".join(told), answer, tuple(work))


class Cipher(Only):
    """Prompt `2,1:bad?`, reply `dab,ebc#ebc`: a row of letters through codes one after another, as many as the level says."""

    name = "synlogic:cipher"
    instruction = (
        "Apply the codes before the colon one after another to the letters: 1 puts the next letter of the alphabet for each (a for z), 2 turns the "
        "row round, 3 swaps letters 1 and 2, 3 and 4 and so on. " + 'End with "#" and the letters that come out.'
    )
    form = re.compile("[a-z]{1,12}")
    what = "row of letters"

    def room(self, level: int) -> int:
        """See Family."""
        return (level + 1) * (level + 5)

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The work is the row after each code."""
        row = "".join(stream.choice(LETTERS) for _ in range(level + 3))
        codes, work, now = [stream.choice("123") for _ in range(level)], [], row
        for code in codes:
            now = coded(code, now)
            work.append(now)
        prompt = f"{','.join(codes)}:{row}?"
        return Made(prompt, now, prompt, now, tuple(work))


def coded(code: str, row: str) -> str:
    """A row through one code."""
    if code == "1":
        return "".join(LETTERS[(LETTERS.index(c) + 1) % 26] for c in row)
    return row[::-1] if code == "2" else "".join(row[i : i + 2][::-1] for i in range(0, len(row), 2))


class Operation(Only):
    """Prompt `a%b=2*a+1*b+0;a&b=1*a-1*b+3;(3%1)&2?`, reply `7,8#8`: operations that are new, one use more with each level."""

    name = "synlogic:operation"
    instruction = (
        'The equations before the last ; say what % and & do with two numbers. Work out what follows. End with "#" and the number.'
    )
    form = re.compile("-?[0-9]{1,9}")
    what = "number"

    def room(self, level: int) -> int:
        """See Family."""
        return 10 * (level + 3)

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The work is what each bracket comes to, from within."""
        factors = {sign: (stream.between(1, 3), stream.between(-2, 3) or 1, stream.between(0, 5)) for sign in "%&"}
        text = ";".join(f"a{s}b={p}*a{q:+d}*b+{r}" for s, (p, q, r) in factors.items())
        now = stream.between(1, 9)
        expression, work = str(now), []
        for i in range(level + 1):
            sign, other = stream.choice("%&"), stream.between(1, 9)
            p, q, r = factors[sign]
            left = stream.below(2)
            now = p * now + q * other + r if left else p * other + q * now + r
            inner = f"({expression})" if i else expression
            expression = f"{inner}{sign}{other}" if left else f"{other}{sign}{inner}"
            work.append(str(now))
        return Made(f"{text};{expression}?", str(now), f"{text};{expression}", str(now), tuple(work))
