"""The demo: a race of three methods from one start, on the tiny model and additions; what it shows is a comparison like any other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .compare import carry_out
from .comparison import Arm, Comparison
from .comparison_page import replies
from .design import Design, prepare
from .events import Listener
from .notebook import shown
from .text import one_line, percent

METHODS = ("sft", "reinforce", "grpo")  # worked replies to imitate; rewards; rewards against those of the same problem's other replies
SETTINGS: dict[str, Any] = {"task": "addition", "steps": 100, "config": {"problems": 8, "samples": 16}}
GAIN = 0.05  # of accuracy; with less nothing was learnt that a remark could explain
REMARK = (
    "What was seen: the model learnt when to think, not a new skill. Its warm start already held worked replies that mostly "
    "come out right, and short guesses that mostly do not; the reward made it choose the former."
)
UNSEEN = "What was seen: {} took accuracy from {} to {}; so little, or so short, shows nothing of what rewards do."


@dataclass(frozen=True)
class DemoResult:
    """Greedy accuracy before training and after it with the best method, means over seeds of n problems each.

    report   the comparison's page
    story    lines for people: three problems before and after, what was found, what was seen
    """

    before: float
    after: float
    n: int
    report: Path
    story: tuple[str, ...]


def demo(out: str | Path | None = None, listen: Listener | None = None, n: int = 500, seeds: int = 5, **settings: Any) -> DemoResult:
    """The main job on the embedded default: the tiny model learns to add, once by imitation and twice by verifiable rewards.

    `settings` are those of `Design`, in place of the demo's own. Called again with the same folder it does what is missing.
    """
    folder = Path(out) if out is not None else Path("runs") / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    found = carry_out(prepare(Design(methods=METHODS, out=folder, n=n, seeds=seeds, **SETTINGS | settings)), shown(listen))
    best = max(found.arms, key=lambda arm: arm.accuracy)
    return DemoResult(found.start.accuracy, best.accuracy, found.about["n"], folder / "compare.html", _story(found, best))


def _story(found: Comparison, best: Arm) -> tuple[str, ...]:
    """Three problems that changed from wrong to right, before and after, and the findings."""
    before, after = replies(found, found.start), replies(found, best)
    changed = [(b, a) for b, a in zip(before, after) if not b["score"] and a["score"]]
    lines = [f"three problems, before and after {best.method}:"] if changed else ["no problem was solved that was not solved before"]
    for b, a in changed[:3]:
        lines += [f"  {one_line(b['prompt'])}   (answer {one_line(b['gold'])})"]
        lines += [f"    before: {one_line(b['reply'])}   wrong", f"    after:  {one_line(a['reply'])}   right"]
    start, end = found.start.accuracy, best.accuracy
    rewarded = best.method != "sft" and end - start > GAIN
    return (*lines, *found.finding(), REMARK if rewarded else UNSEEN.format(best.method, percent(start), percent(end)))
