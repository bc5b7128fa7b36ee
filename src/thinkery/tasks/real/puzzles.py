"""Puzzles that are checked by their own rules: knights and knaves, satisfiability."""

from __future__ import annotations

import re
from pathlib import Path

from ...core.records import Problem, Reply, Verdict
from ..markers import NAMED, tails
from ..verifiers import LONGEST, SHOWN
from .dataset import Item
from .rows import Row

# ---- knights and knaves (Xie et al. 2024, "On Memorization of Large Language Models in Logical Reasoning", arXiv:2410.23123)


MARKER = re.compile(rf"#++|\bconclusion\s{{0,3}}:|{NAMED}", re.IGNORECASE)
ROLE = r"\b{}\b[\s*:]{{1,4}}(?:is\s{{1,3}}|=\s{{0,3}})?(?:an?\s{{1,3}})?[\s*]{{0,3}}(knight|knave)\b"


def roles(row: Row, file: Path) -> Item:
    """Difficulty counts people. The same statements under other names are one problem."""
    solution = "\n".join([row["cot_head"], *row["cot_repeat_steps"], row["cot_foot"], "Answer:", row["solution_text_format"]])
    return Item(
        row["quiz"].strip(),
        row["solution_text_format"],
        same=row["statements"],
        difficulty=len(row["names"]),
        solution=solution,
        facts=row["names"],
    )


def cast(text: str, names: list[str]) -> dict[str, str] | None:
    """Each one's role, or None where one is missing or called both."""
    found = {name: {m.lower() for m in re.findall(ROLE.format(re.escape(name)), text, re.IGNORECASE)} for name in names}
    return {name: min(kinds) for name, kinds in found.items()} if all(len(kinds) == 1 for kinds in found.values()) else None


def all_roles(problem: Problem, reply: Reply) -> Verdict:
    """1 if everybody's role is right. Read is what stands behind the last marker ("Conclusion:" is one too), or all of it."""
    text = reply.text[-LONGEST:]
    names = problem.data.facts
    got = cast(next(tails(text, MARKER), text), names)
    if got is None:
        return Verdict(0.0, reason="not one role for everybody")
    gold = cast(problem.answer, names)
    shown = ", ".join(f"{name} is a {role}" for name, role in got.items())[:SHOWN]
    return Verdict(float(got == gold), shown, reason="right" if got == gold else f"{shown} is wrong")


# ---- satisfiability (Liu et al. 2025, "SATURN", arXiv:2505.16368)


BITS = re.compile(r"[01](?:[\s,]{0,3}[01])*")


def satisfiable(row: Row, file: Path) -> Item:
    """Difficulty counts clauses. Clauses in another order are the same problem."""
    clauses = row["clause"].split(" & ")
    prompt = (
        f"A formula over the {row['k']} variables {', '.join(alphabet(int(row['k'])))} is given as clauses that must all hold, joined by "
        f'"&". A clause holds if one of its literals does; "!" before a variable negates it.\n{row["clause"]}'
    )
    return Item(prompt, row["solution"], same=" & ".join(sorted(clauses)), difficulty=len(clauses), facts=tuple(clauses))


def alphabet(k: int) -> str:
    """The names of k variables."""
    return "".join(chr(ord("A") + i) for i in range(k))


def assignment(problem: Problem, reply: Reply) -> Verdict:
    """1 if every clause holds under the reply's zeros and ones, whichever assignment that is."""
    text = reply.text[-LONGEST:]
    k = len(problem.answer)
    tail = next(tails(text), text).strip().strip("*`$. \n")
    if not BITS.fullmatch(tail) or len(bits := re.sub(r"[\s,]", "", tail)) != k:
        return Verdict(0.0, reason=f"no {k} zeros and ones after the last marker")
    true = {name if bit == "1" else "!" + name for name, bit in zip(alphabet(k), bits)}
    broken = [c for c in problem.data.facts if true.isdisjoint(re.findall("!?[A-Z]", c))]
    return Verdict(float(not broken), bits, reason=f"{broken[0]} does not hold" if broken else "right")
