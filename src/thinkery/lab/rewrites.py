"""Right answers in other forms, and wrong ones that look right: what an audit holds a verifier against."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..core.records import Problem
from ..core.rng import Stream
from ..tasks import FileTask, Generated, Task
from ..tasks.base import CORRUPTED
from ..tasks.checkers.judge import fenced
from ..tasks.real.dataset import Published

COMMON = ("{}", " {} \n", "Answer: {}", "Let me work it out.\n\nAnswer: {}")
FORMS: dict[str, tuple[str, ...]] = {
    "house": ("#{}", "# {} ", "#{}\n", "\n#{}", "{}"),
    "plain": COMMON,
    "number": (
        *COMMON, "{}.", "answer: {}", "The answer is {}.", "**Answer: {}**", "#### {}", "First 2 + 2 = 4, then 3 more.\n#### {}", "\\boxed{{{}}}",
        "So it is $\\boxed{{{}}}$.", "Answer:\n{}", "Answer: {} apples", "Therefore the final answer is: {}", "Answer: ${}$",
    ),
    "exact": (
        *COMMON, "{}.", "The answer is {}.", "**Answer: {}**", "#### {}", "\\boxed{{{}}}", "Answer: \"{}\"", "Answer:\n{}", "answer:   {}",
        "Reasons first.\nAnswer: *{}*.",
    ),
    "choice": (
        *COMMON, "({})", "{}.", "{})", "**{}**", "The answer is ({}).", "Answer: ({})", "#### {}", "\\boxed{{{}}}", "$\\boxed{{\\text{{{}}}}}$",
        "Answer: {} because the others do not fit.", "Answer: **{}**", "The correct answer is {}.",
    ),
    "set": (*COMMON, "{{{}}}", "Answer: {{{}}}", "The answer is {}.", "\\boxed{{{}}}", "#### {}", "Answer: [{}]"),
    "math": (
        *COMMON[:2], "${}$", "\\boxed{{{}}}", "\\boxed{{ {} }}", "So it is $\\boxed{{{}}}$.", "The answer is ${}$.", "Answer: ${}$", "\\[ {} \\]",
        "Hence \\( {} \\).", "First $x = 2$, then\n\\[\\boxed{{{}}}\\]", "#### {}", "**Answer:** ${}$", "Final answer: $\\boxed{{{}}}$",
    ),
    "units": (*COMMON, "{}.", "The answer is {}.", "#### {}", "\\boxed{{{}}}", "So it is $\\boxed{{{}}}$.", "**Answer: {}**"),
    "program": ("{}", "```python\n{}\n```", "```\n{}\n```", "Here it is:\n\n```python\n{}\n```\nIt does what was asked.", "# a remark\n{}\n\n"),
    "sql": ("{}", "{};", "```sql\n{}\n```", "```\n{};\n```", "This counts them:\n```sql\n{}\n```", "```sqlite\n{}\n```", "  {}  "),
}  # fmt: skip
DIGIT = re.compile(r"(?<!\A\()(?<!\n\()[0-9]")  # but not those that count the lines
DECIMAL = re.compile(r"-?[0-9]*\.[0-9]+")
LABELS = {"knight": "knave", "knave": "knight", "True": "False", "False": "True", "yes": "no", "no": "yes"}
LABEL = re.compile(rf"\b(?:{'|'.join(LABELS)})\b")
OPEN = frozenset({"python_fix", "python_synth", "saturn_sat"})  # tasks in which many answers are right, so one that is near may be


def kind_of(task: Task) -> str:
    """How a task reads replies: a verifier's name, "house" for the built-in tasks, else "plain"."""
    if isinstance(task, Generated):
        return "house"
    name = task.verifier if isinstance(task, FileTask) else task.dataset.verifier if isinstance(task, Published) else "plain"
    return name if name in FORMS else "plain"


def guessed(golds: Sequence[str]) -> str:
    """How gold texts of unknown kind are most likely read."""
    if all(re.fullmatch(r"[-+]?[\d,]*\.?\d+", g) for g in golds):
        return "number"
    return "choice" if all(re.fullmatch("[A-E]", g) for g in golds) else "exact"


def rewrites(kind: str, gold: str) -> list[str]:
    """Replies that all say the gold answer."""
    forms = ("{}", " {} \n", "{}\n") if kind == "house" and "#" in gold else FORMS[kind]  # it has its marker already
    found = [form.format(gold) for form in forms]
    if kind == "number" and re.fullmatch(r"-?\d+", gold):
        grouped = f"{int(gold):,}"
        found += [f"{gold}.0", f"Answer: {gold}.00", grouped, f"The answer is {grouped}.", f"\\boxed{{{grouped.replace(',', '{,}')}}}"]
    elif kind == "exact":
        found += [gold.upper(), f"Answer: {gold.lower()}", f"Answer: {gold.replace(' ', '  ')}"]
    elif kind == "choice":
        found += [gold.lower(), f"Answer: {gold.lower()}"]
    elif kind == "set" and "," in gold:
        turned = [part.strip() for part in gold.split(",")][::-1]
        found += [", ".join(turned), "Answer: " + "; ".join(turned), "Answer: " + "\n".join(turned)]
    elif kind == "math":
        found += [f"\\boxed{{{gold.replace('frac', 'dfrac')}}}", f"$\\displaystyle {gold}$"]
    return list(dict.fromkeys(found))


def demonstrations(task: Task, problem: Problem, draws: Stream) -> Iterator[tuple[str, bool]]:
    """The task's worked replies with whether each is right; a program's and a query's in other wrappings too."""
    if not task.has_demonstration(problem):
        return
    for style in task.styles:
        worked = task.demonstration(problem, style, draws)
        yield worked, style != CORRUPTED
        if kind_of(task) == "program":
            code = fenced(worked, ("python", "py"))
            yield from ((form.replace("{}", code), True) for form in FORMS["program"])


def near_misses(gold: str, others: Sequence[str], draws: Stream) -> list[str]:
    """Answers close to the gold one that say something else: a digit changed, added or lost, the sign, a label, other problems' answers."""
    found = [f"{gold[: m.start()]}{LABELS[m[0]]}{gold[m.end() :]}" for m in LABEL.finditer(gold)]
    for m in DIGIT.finditer(gold[:60]):
        digit, before, after = int(m[0]), gold[: m.start()], gold[m.end() :]
        found += [f"{before}{(digit + d) % 10}{after}" for d in (1, 9)]
        if m.start() and before[-1].isdigit() and before[-1] != m[0]:
            found.append(f"{before[:-1]}{m[0]}{before[-1]}{after}")
    if re.fullmatch(r"-?\d*[1-9]\d*", gold):
        found += [gold.removeprefix("-") if gold.startswith("-") else f"-{gold}", f"{gold}0", f"{gold}1", f"{gold}.5", str(int(gold) + 1)]
        found += [str(int(gold) - 1), str(int(gold) * 2), f"{gold}e1"]
    words = gold.split()
    if len(words) > 1:
        found += [" ".join(words[:-1]), *([" ".join(words[1:])] if words[0] != "(1)" else [])]
    if re.fullmatch(r"[A-Za-z][A-Za-z ]{2,}", gold):
        found += [f"not {gold}", gold[:-1], gold + "x"]
    found += [others[draws.below(len(others))] for _ in range(12) if others]
    return [f for f in dict.fromkeys(found) if f.strip() and same_text(f) != same_text(gold) and not nearly(gold, f)]


def nearly(gold: str, other: str) -> bool:
    """Whether both are fractions in decimals that a verifier may round to one: less than a thousandth apart."""
    if not (DECIMAL.fullmatch(gold) and DECIMAL.fullmatch(other)):
        return False
    return abs(float(gold) - float(other)) <= abs(float(gold)) / 1000


def same_text(text: str) -> str:
    """A text's letters and digits, as which two answers are compared where it must be sure that they differ."""
    plain = re.sub(r"\b(?:the|final|correct|answer|is|boxed|text)\b", "", text.casefold())
    number = re.fullmatch(r"\s*[+]?(-?)0*(\d+?)(?:\.0+)?\s*", plain)
    return number[1] + number[2] if number else "".join(sorted(re.findall(r"\w|-", plain)) if "," in plain else re.findall(r"[\w-]", plain))
