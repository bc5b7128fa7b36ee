"""Word problems and competition mathematics: how their rows are posed."""

from __future__ import annotations

import re
from pathlib import Path

from ..markers import MARKER, tails
from ..verifiers import GOLD_MARKER
from .dataset import Item
from .rows import Row

CALCULATED = re.compile(r"<<[^>]*>>")  # what GSM8K's own calculator would have written
OPERATOR = re.compile(r"(?<=\s)[-+*/](?=\s)")
NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
SIGN = re.compile(r" *([-+=]) *")
UNIT = re.compile(r"\s*\([^()]*\)$")
ASKED = " Let's think step by step and output the final answer within \\boxed{}."


def whole(number: str) -> str:
    """A number that was written as 145.0, as 145."""
    return number.removesuffix(".0")


def gsm8k(row: Row, file: Path) -> Item:
    """Difficulty counts the lines of the solution, without GSM8K's calculator marks."""
    worked = CALCULATED.sub("", row["answer"]).strip()
    return Item(row["question"].strip(), worked.rpartition("####")[2].strip(), difficulty=worked.count("\n"), solution=worked)


def asdiv(row: Row, file: Path) -> Item:
    """The unit in brackets behind an answer is no part of it."""
    return Item(f"{row['body'].strip()} {row['question'].strip()}", UNIT.sub("", row["answer"]).strip())


def svamp(row: Row, file: Path) -> Item:
    """Difficulty counts operations."""
    body = row["Body"].strip()
    prompt = f"{body if body.endswith(('.', '?', '!')) else body + '.'} {row['Question'].strip()}"
    return Item(prompt, whole(row["Answer"]), difficulty=len(OPERATOR.findall(row["Equation"])))


def mawps(row: Row, file: Path) -> Item:
    """As it stands."""
    return Item(row["input"].strip(), whole(row["target"]))


def mathematics(row: Row, file: Path) -> Item | str:
    """MATH in its three published forms; the answer is in the solution's last box. Difficulty is the level, 1 to 5."""
    if "reward_model" in row:
        prompt, solution, answer = row["prompt"][0]["content"].removesuffix(ASKED), None, row["reward_model"]["ground_truth"]
    else:
        prompt, solution = row["problem"], row["solution"].strip()
        answer = row["answer"] if "answer" in row else next(tails(solution, GOLD_MARKER), "")
    level = str(row["level"]).removeprefix("Level ")
    answer = " ".join(answer.split())
    if "\\" not in answer:
        answer = SIGN.sub(r"\1", answer)  # with spaces, 2xy + 10x looks like prose
    if not answer:
        return "no boxed answer"
    if solution is not None and MARKER.search(solution, solution.rfind("\\boxed") + 1):  # its last words could be read as an answer
        solution += f"\nThe answer is \\boxed{{{answer}}}."
    return Item(prompt.strip(), answer, difficulty=float(level) if level.isdigit() else 0.0, solution=solution)


def contest(row: Row, file: Path) -> Item | str:
    """AIME and AMC. Rows of AIME 2024 in a file of several years belong to the test file."""
    if row.get("year") == "2024":
        return "of the test year"
    answer, worked = whole(row["answer"]), row.get("solution")
    if not NUMBER.fullmatch(answer):
        return "its answer is not one number"
    return Item((row.get("problem") or row["question"]).strip(), answer, solution=f"{worked.strip()}\n#### {answer}" if worked else None)
