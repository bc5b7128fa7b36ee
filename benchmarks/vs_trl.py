"""A GRPO step of ours against one of TRL's GRPOTrainer: same weights, problems, group size, token cap and optimizer, on this CPU.

Each side is a process of its own; all take one step in turn (A B C A B C), the first few not counted. TRL computes in fp32, its
faster setting on a CPU, with one and with two threads; the ratio is to the better. "sharing off" lets our learner compute every row
by itself; sampling still merges equal prefixes, as the engine knows no other way. Groups without a gradient (all samples right, or all
wrong) are skipped by us and computed by TRL; where a line says so, and in the high-entropy state, whose answers are all wrong, both
are rewarded by turns instead, so that no group is skipped.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from statistics import mean, median
from typing import Any

import common
from common import Report

from thinkery.models.model import load_model

Words = dict[str, Any]
CASES = {  # label: state, rewarded by turns
    "warm": ("warm", False),
    "late": ("late", False),
    "late, no group skipped": ("late", True),
    "high entropy": ("high entropy", True),
}


class Side:
    """A process that steps when told."""

    def __init__(self, kind: str, label: str, words: Words) -> None:
        self.kind, self.label, self.words = kind, label, words
        threads = str(words.get("threads", 1))
        env = os.environ | {f"{k}_NUM_THREADS": threads for k in ("OMP", "MKL", "OPENBLAS")} | {"HF_HUB_OFFLINE": "1"}
        self.log = (common.CACHE / f"{label}.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, str(common.HERE / "sides.py"), kind, json.dumps(words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=env,
        )  # fmt: skip
        self.family = [self.process.pid]

    def step(self) -> Words:
        """Take one step; what the process says of it. Raises RuntimeError when it has died."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            said: Words = json.loads(self.process.stdout.readline())
        except (BrokenPipeError, ValueError) as error:
            raise RuntimeError(f"the process {self.label!r} died; see {self.log.name}") from error
        self.family = said["family"]
        return said

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def sides(case: str, problems: int, variants: list[tuple[str, bool, int]]) -> list[Side]:
    """TRL with two threads and with one, and our variants (dtype, sharing, workers)."""
    state, by_turns = CASES[case]
    base = {"state": state, "by_turns": by_turns, "problems": problems}
    name = lambda dtype, sharing, workers: f"{dtype}, sharing {'on' if sharing else 'off'}, workers {workers}"
    own = [Side("ours", name(*v), base | dict(zip(("dtype", "sharing", "workers"), v))) for v in variants]
    return [Side("trl", f"TRL, threads {n}", base | {"threads": n}) for n in (2, 1)] + own


def measure(report: Report, case: str, problems: int, variants: list[tuple[str, bool, int]], times: int, warm: int) -> None:
    """One case: all sides in turn."""
    running = sides(case, problems, variants)
    try:
        for side in running:
            side.step()  # so that all have their children
        pids = [pid for side in running for pid in side.family]
        steps = report.rounds(lambda: [side.step() for side in running], times, warm, pids)
    finally:
        for side in running:
            side.close()
    tell(report, case, dict(zip(running, zip(*steps))))


def tell(report: Report, case: str, found: dict[Side, tuple[Words, ...]]) -> None:
    """Step times, memory, and the ratios to TRL's better setting."""
    size = common.size(load_model(common.checkpoint(CASES[case][0])))
    middle = lambda side, name: median(s[name] for s in found[side])
    best = min(middle(side, "seconds") for side in found if side.kind == "trl")
    ratios = []
    for side, steps in found.items():
        ours = side.kind == "ours"
        about = f"{case}, {side.label}, {side.words['problems']} problems x {common.GROUP}, {middle(side, 'tokens'):.0f} tokens"
        if ours:
            factor = f"sharing factor {sum(s['tokens'] for s in steps) / sum(s['nodes'] for s in steps):.1f}"
            about += f", {100 * mean(s['mixed'] for s in steps):.0f} % of groups have a gradient"
            words = ", ".join(side.label.split(", ")[:2])
            about_ratio = f"{case}, {words}, {factor}, workers {side.words['workers']}, {size}"
            ratios.append((best / middle(side, "seconds"), about_ratio))
        report.add("step" if ours else "step, TRL", middle(side, "seconds") * 1e3, "ms", f"{about}, {size}")
        report.add("peak memory" if ours else "peak memory, TRL", steps[-1]["memory"], "MB", f"{about}, {size}")
    for ratio, about in ratios:
        report.add("ratio", ratio, "", about)


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--warm", type=int, default=3)
    parser.add_argument("--bf16", action="store_true", help="also ours in bfloat16")
    args = parser.parse_args()
    if importlib.util.find_spec("trl") is None:
        sys.exit("TRL is not installed: pip install trl datasets")
    variants = [("fp32", True, 2), ("fp32", True, 1), ("fp32", False, 2), ("fp32", False, 1)]
    if args.bf16:
        variants.append(("bf16", True, 1))
    report = Report()
    for case in args.cases:
        measure(report, case, args.problems, variants, args.times, args.warm)
    report.close(args.json)


if __name__ == "__main__":
    main()
