"""Problems a second, many at once and one by one, on one core: the two sides in turn within one run, as a table.

Many at once gives prompts, answers, families and difficulties as columns; "Problems made" also turns each row into a Problem.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import common
from common import Report

from thinkery.tasks import SPLITS, TASKS, Task, load_task
from thinkery.tasks.bulk import COLUMNS, bulk

LEAST = 100_000  # problems a second that columns should reach in the train split
SIMPLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("addition", {}),
    ("addition", {"digits": 2}),
    ("chain", {}),
    ("chain", {"steps": 3}),
    ("functions", {}),
    ("functions", {"depth": 1}),
)


def one_by_one(task: Task, split: str, n: int) -> Callable[[], Any]:
    """Draws the first n problems."""
    return lambda: [task.problem(i, split) for i in range(n)]


def compared(report: Report, name: str, keys: dict[str, Any], split: str, n: int, times: int) -> str:
    """A line of the table: problems a second by columns, with Problems made, and one by one; and the ratio of the outer two."""
    task = load_task(name, **keys)
    singles = n // 8
    works = (lambda: bulk(task, n, 0, split), lambda: list(bulk(task, n, 0, split)), one_by_one(task, split, singles))
    rates = [count / median(took) for count, took in zip((n, n, singles), report.interleaved(works, times, 1))]
    about = f"{name} {' '.join(f'{k}={v}' for k, v in keys.items())}".strip() + f", {split}, 1 core"
    bound = (f"at least {LEAST}", rates[0] >= LEAST) if split == "train" else ("", None)
    report.add("problems a second, by columns", rates[0], "", about, *bound)
    report.add("problems a second, one by one", rates[2], "", about)
    return f"| {about} | {rates[0]:.0f} | {rates[1]:.0f} | {rates[2]:.0f} | {rates[0] / rates[2]:.1f} |"


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("-n", type=int, default=10_000, help="problems of a round")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="also every other task, one by one")
    args = parser.parse_args()
    report = Report()
    lines = ["| task | by columns | Problems made | one by one | ratio |", "|---|---|---|---|---|"]
    for name, keys in SIMPLE:
        lines += [compared(report, name, keys, split, args.n, args.times) for split in SPLITS]
    for name in sorted(TASKS) if args.all else ():
        if TASKS[name] not in COLUMNS:
            rate = 200 / report.median(one_by_one(load_task(name), "train", 200), args.times, 1)
            report.add("problems a second, one by one", rate, "", f"{name}, train, 1 core")
            lines.append(f"| {name}, train, 1 core | | | {rate:.0f} | |")
    print("\n" + "\n".join(lines))
    report.close(args.json)


if __name__ == "__main__":
    main()
