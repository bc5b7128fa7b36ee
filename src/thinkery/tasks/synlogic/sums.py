"""Sums with something missing: digits behind letters or dots, an expression for 24."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ...core.errors import InputError
from ...core.rng import Stream
from ...tools.calculator import calculate
from .brackets import LETTERS
from .family import Family, Made, renamed

DIGITS = "0123456789"
TARGET = 24


def value(expression: str) -> str:
    """What an expression comes to, or what is wrong with it."""
    try:
        return calculate(expression)
    except InputError as error:
        return str(error)


class Cryptarithm(Family):
    """Prompt `99+a=nc3?`, reply `#99+4=103`: each letter stands for a digit of its own that is not shown, and no number begins with 0.

    Two digits and one at level 1, then two and two, three and two, three and three; at most 3 letters, later 4, and at level 4 5.
    """

    name = "synlogic:cryptarithm"
    instruction = (
        "Each letter stands for a digit, different letters for different ones, none for a digit that is shown, and no number begins with 0. Find the "
        'digits for which the sum holds. End with "#" and the sum in digits, as in #83+4=87.'
    )
    form = re.compile(r"[0-9]{1,3}\+[0-9]{1,3}=[0-9]{1,4}")
    what = "sum of two numbers"
    sizes = ((2, 1), (2, 2), (3, 2), (3, 3))

    def room(self, level: int) -> int:
        """See Family."""
        return sum(self.sizes[level - 1]) + 6

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Digits are shown until one solution is left, which needs at least two letters."""
        first, second = (stream.between(10 ** (n - 1), 10**n - 1) for n in self.sizes[level - 1])
        answer = f"{first}+{second}={first + second}"
        digits = sorted(set(answer) & set(DIGITS))
        letters = dict(zip(stream.sample(digits, min(len(digits), level // 2 + 3)), stream.sample(LETTERS, len(digits))))
        while len(letters) > 1:
            hidden = "".join(letters.get(c, c) for c in answer)
            if len(list(islice(decoded(hidden), 2))) == 1:
                left, right, total = split(hidden)
                same = min(renamed(f"{a}+{b}={total}", LETTERS) for a, b in ((left, right), (right, left)))
                return Made(hidden + "?", answer, same, hidden)
            letters.pop(stream.choice(sorted(letters)))
        return None

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        first, second, total = numbers = split(answer)
        if [len(n) for n in numbers] != [len(n) for n in split(facts)]:
            return f"{answer} has not as many digits as {facts}"
        pairs = set(zip(facts, answer))
        if any(a in DIGITS and a != b for a, b in pairs):
            return "a digit that is shown is another"
        if len({a for a, _ in pairs}) < len(pairs) or len({b for _, b in pairs}) < len(pairs):
            return "a letter has two digits or a digit two letters"
        if any(len(n) > 1 and n[0] == "0" for n in numbers):
            return "a number begins with 0"
        return "" if int(first) + int(second) == int(total) else f"{answer} does not hold"


def split(equation: str) -> list[str]:
    """The two numbers of a sum and what they come to."""
    return re.split(r"\+|=", equation)


def decoded(hidden: str) -> Iterator[dict[str, str]]:
    """All digits for the letters with which the sum holds, found column by column from the right."""
    numbers = split(hidden)
    first = {n[0] for n in numbers if len(n) > 1}
    columns = [[n[-i] if i <= len(n) else "" for n in numbers] for i in range(1, len(numbers[2]) + 1)]

    def further(at: int, carry: int, known: dict[str, str]) -> Iterator[dict[str, str]]:
        if at == len(columns):
            if not carry:
                yield known
            return
        missing = next((c for c in columns[at][:2] if c and c not in known), "")
        if missing:
            for digit in DIGITS[missing in first :]:
                if digit not in known.values():
                    yield from further(at, carry, {**known, missing: digit})
            return
        above, letter = sum(int(known[c]) for c in columns[at][:2] if c) + carry, columns[at][2]
        digit = str(above % 10)
        if known.get(letter) == digit:
            yield from further(at + 1, above // 10, known)
        elif letter not in known and digit not in known.values() and not (digit == "0" and letter in first):
            yield from further(at + 1, above // 10, {**known, letter: digit})

    return further(0, 0, {c: c for c in hidden if c in DIGITS})


class GameOf24(Family):
    """Prompt `8,1,4?`, reply `4-1=3,8*3=24#8*(4-1)`: an expression of all the numbers that comes to 24, whichever it is.

    3 numbers up to 9 at level 1, then 4 up to 9, 4 up to 13 and 5 up to 13.
    """

    name = "synlogic:game_of_24"
    instruction = (
        "Make 24 of the numbers, each used once, with + - * / and brackets. "
        'End with "#" and the expression, as in #8*(4-1); steps towards it may come before.'
    )
    form = re.compile(r"[0-9+*/()-]{5,60}")
    what = "expression"
    sizes = ((3, 9), (4, 9), (4, 13), (5, 13))  # how many numbers, and the largest

    def room(self, level: int) -> int:
        """See Family: per step up to 11 characters, per number of the expression 5 with its sign and brackets."""
        return 17 * self.sizes[level - 1][0]

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. 24 is taken apart until there are as many numbers; no change of one sign may come to 24, too."""
        count, largest = self.sizes[level - 1]
        text, numbers, work = str(TARGET), [TARGET], list[str]()
        while len(numbers) < count:
            whole = max(numbers) if stream.below(2) else stream.choice(numbers)
            a, sign, b = apart(whole, largest, stream)
            numbers.remove(whole)
            numbers += [a, b]
            work.insert(0, f"{a}{sign}{b}={whole}")
            text = re.sub(rf"\b{whole}\b", f"({a}{sign}{b})", text, count=1)
        answer = text[1:-1]
        facts = tuple(sorted(numbers))
        signs = [i for i, c in enumerate(answer) if c in "+-*/"]
        others = {answer[:i] + c + answer[i + 1 :] for i in signs for c in "+-*/"} - {answer}
        if max(numbers) > largest or any(value(other) == str(TARGET) for other in others):
            return None
        return Made(",".join(map(str, stream.sample(numbers, count))) + "?", answer, ",".join(map(str, facts)), facts, tuple(work))

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        if sorted(re.findall("[0-9]+", answer)) != sorted(map(str, facts)):
            return f"{answer} has not the numbers {','.join(map(str, facts))}"
        if re.search(r"(?:^|[-+*/(])[-+]|//|\*\*", answer):
            return f"two signs in a row or a sign before a number in {answer}"
        reached = value(answer)
        return "" if reached == str(TARGET) else f"{answer} is {reached}, not {TARGET}"


def apart(whole: int, largest: int, stream: Stream) -> tuple[int, str, int]:
    """Two positive numbers and the sign between them that come to a whole."""
    b = stream.between(1, largest)
    ways = [(whole + b, "-", b)]
    if whole > b:
        ways.append((whole - b, "+", b))
    divisors = [d for d in range(2, largest + 1) if whole % d == 0 and d < whole]
    if divisors:
        d = stream.choice(divisors)
        ways += [(whole // d, "*", d)] * 2
    if b > 1 and whole * b <= largest * largest:
        ways.append((whole * b, "/", b))
    return stream.choice(ways)


class MathPath(Family):
    """Prompt `3*(.+.)-2=13?`, reply `#3*(4+1)-2=13`: digits for the dots with which the equation holds, whichever they are.

    3 numbers at level 1, 1 more with each level; two of the digits are missing, three from level 3.
    """

    name = "synlogic:math_path"
    instruction = (
        "Put a digit for each dot, so that the equation holds; * comes before + and -, and brackets first of all. "
        'End with "#" and the equation, as in #3*(4+1)-2=13.'
    )
    form = re.compile(r"[0-9+*()-]{5,60}=-?[0-9]{1,9}")
    what = "equation"

    def room(self, level: int) -> int:
        """See Family."""
        return 4 * level + 20

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. Each missing digit is one that no other can stand for, the others being what they are."""
        parts = [str(stream.between(1, 9))]
        for _ in range(level + 1):
            parts += [stream.choice("+-*"), str(stream.between(0, 9))]
        at = stream.between(0, level) * 2
        parts[at], parts[at + 2] = f"({parts[at]}", f"{parts[at + 2]})"
        left = "".join(parts)
        answer = f"{left}={value(left)}"
        dots = stream.sample([i for i, c in enumerate(left) if c.isdigit()], 2 + level // 3)
        prompt = "".join("." if i in dots else c for i, c in enumerate(answer))
        others = {answer[:i] + c + answer[i + 1 :] for i in dots for c in DIGITS} - {answer}
        return None if any(not self.fault(prompt, other) for other in others) else Made(prompt + "?", answer, prompt, prompt)

    def fault(self, facts: Any, answer: str) -> str:
        """See Family."""
        if len(answer) != len(facts) or any(c not in (asked, *DIGITS * (asked == ".")) for c, asked in zip(answer, facts)):
            return f"{answer} is not {facts} with digits for the dots"
        left, right = answer.split("=")
        return "" if value(left) == right else f"{left} is {value(left)}, not {right}"
