"""Real word problems as data files: part with their equations, the rest with answers alone.

    python examples/word_problems/prepare.py FOLDER OUT

FOLDER holds asdiv_test.jsonl, svamp_test.jsonl and mawps_test.jsonl (as in the math-evaluation-harness repository). OUT gets

    equations.jsonl   question, answer, solution: for the warm start (half of the ASDiv and SVAMP rows whose equation gives the answer;
                      of those in the training split, further copies with other numbers)
    answers.jsonl     question, answer: for learning from rewards (the other half, all of MAWPS)
    all.jsonl         question, answer: for the test split

A file's rows fall into train, validation and test by the question's text, so a question of the test split of all.jsonl is in
no training split of the others. SVAMP was made by varying ASDiv, so near relatives do stand on both sides.
"""

from __future__ import annotations

import json
import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

from thinkery.core.errors import InputError
from thinkery.core.rng import Stream, rng
from thinkery.tasks import load_file
from thinkery.tools.calculator import calculate, number_text

SHARE = 0.5  # of the rows with a checked equation that the warm start sees
COPIES = 30  # of each such row with other numbers
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def rows(folder: Path) -> list[dict[str, str]]:
    """All problems, once each: question, answer and, where it was checked, solution."""
    out: dict[str, dict[str, str]] = {}
    for name, read in (("asdiv", asdiv), ("svamp", svamp), ("mawps", mawps)):
        for line in (folder / f"{name}_test.jsonl").read_text(encoding="utf-8").splitlines():
            question, answer, equation = read(json.loads(line))
            question = " ".join(question.split())
            number = re.match(r"-?\d+(?:\.\d+)?", answer.replace(",", ""))
            if number is None or question in out:
                continue
            gold = number_text(Fraction(number[0]))
            out[question] = {"question": question, "answer": gold} | solution(equation, gold)
    return list(out.values())


def asdiv(row: dict[str, Any]) -> tuple[str, str, str]:
    """Question, answer with unit, equation."""
    return f"{row['body']} {row['question']}", row["answer"], row["formula"].split("=")[0]


def svamp(row: dict[str, Any]) -> tuple[str, str, str]:
    """Question, answer, equation."""
    return f"{row['Body']} {row['Question']}", str(row["Answer"]), row["Equation"]


def mawps(row: dict[str, Any]) -> tuple[str, str, str]:
    """Question and answer; no equations are given."""
    return row["input"], str(row["target"]), ""


def solution(equation: str, gold: str) -> dict[str, str]:
    """What a model is to write, if the equation gives the answer: the expression, "=" (which calls the calculator) and the answer."""
    text = re.sub(r"\.0\b", "", equation.replace(" ", ""))
    if text.startswith("(") and text.endswith(")") and "(" not in text[1:]:
        text = text[1:-1]
    try:
        return {"solution": f"{text}=#{gold}"} if text and calculate(text) == gold else {}
    except InputError:
        return {}


def varied(row: dict[str, str], stream: Stream) -> dict[str, str] | None:
    """The problem with other numbers of the same length, where the equation's numbers stand in the text once each; else None."""
    expression = row["solution"].partition("=")[0]
    numbers = NUMBER.findall(expression)
    if len(set(numbers)) < len(numbers) or any("." in n or NUMBER.findall(row["question"]).count(n) != 1 for n in numbers):
        return None
    for _ in range(20):
        new = {n: str(stream.between(max(2, 10 ** (len(n) - 1)), 10 ** len(n) - 1)) for n in numbers}
        other = swapped(expression, new)
        value = calculate(other)
        if value.isdigit() and value != "0":
            return {"question": swapped(row["question"], new), "answer": value, "solution": f"{other}=#{value}"}
    return None


def swapped(text: str, new: dict[str, str]) -> str:
    """The text with its numbers replaced."""
    return NUMBER.sub(lambda m: new.get(m[0], m[0]), text)


def main(folder: Path, out: Path) -> None:
    """Write the three files and say what they hold."""
    everything = rows(folder)
    warm = [r for r in everything if "solution" in r and rng("word problems", r["question"]).random() < SHARE]
    seen = {r["question"] for r in warm}
    plain = lambda r: {"question": r["question"], "answer": r["answer"]}
    out.mkdir(parents=True, exist_ok=True)
    files = {
        "equations": warm,
        "answers": [plain(r) for r in everything if r["question"] not in seen],
        "all": [plain(r) for r in everything],
    }
    training = {p.question.prompt for p in load_file(write(out, "equations", warm), "question", "answer", "number").problems["train"]}
    for row in [r for r in warm if r["question"] in training]:
        copies = (varied(row, rng("word problems", "copy", row["question"], i)) for i in range(COPIES))
        files["equations"] += {c["question"]: c for c in copies if c is not None and c["question"] not in seen}.values()
    for name, found in files.items():
        print(f"{write(out, name, found)}: {len(found)} problems")


def write(out: Path, name: str, found: list[dict[str, str]]) -> Path:
    """A JSONL file of the rows."""
    path = out / f"{name}.jsonl"
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in found), encoding="utf-8")
    return path


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
