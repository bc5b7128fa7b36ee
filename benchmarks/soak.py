"""A long run: whether memory, files, descriptors and processes grow with its steps, and how fast the record does.

Trains the built-in model in a folder of its own for some time, with the record, checkpoints and workers of a usual run, and fits a line through the
resident memory of this process and its workers after a warm-up. Ctrl-C ends it early and reports what there is.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import Report

from thinkery.lab.api import train
from thinkery.lab.events import Event

WARM = 0.2  # share of the time that is not fitted: pools grow to their size
EVERY = 100  # steps between two looks
MEGABYTE_PER_1000 = 1.0  # that memory may grow by


def family() -> list[int]:
    """This process and its descendants."""
    found = [os.getpid()]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(x) for x in task.read_text().split()]
    return found


def resident() -> float:
    """MB of memory that this process and its descendants alone hold, with their share of what is shared."""
    total = 0
    for pid in family():
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n")
            total += sum(int(x.split()[1]) for x in lines if x.startswith("Pss:"))
    return total / 1024


class Soak:
    """Looks at the process every so many steps, and ends the run when its time is over."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.ends, self.began = folder, time.monotonic() + seconds, time.monotonic()
        self.seen: list[tuple[int, float, float, int, int, int]] = []

    def __call__(self, event: Event) -> None:
        if event.kind != "step" or event.data["total"] % EVERY:
            return
        gc.unfreeze()  # what a step leaves is put aside until it is time to pass over it
        gc.collect()
        record = self.folder / "run.sqlite"
        size = sum(p.stat().st_size for p in self.folder.glob("run.sqlite*")) if record.exists() else 0
        share = (time.monotonic() - self.began) / (self.ends - self.began)
        self.seen.append((event.data["total"], share, resident(), len(os.listdir("/proc/self/fd")), len(family()), size))
        if time.monotonic() > self.ends:
            raise KeyboardInterrupt


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) / "run"
    soak, config = Soak(folder, args.minutes * 60), {"problems": 4, "samples": 8, "max_tokens": 48}
    with contextlib.suppress(KeyboardInterrupt):
        train(
            "grpo", task="chain", steps=10**7, evaluate=0, workers=args.workers, config=config, out=folder, listen=soak, doctor_stops=False
        )
    report = Report()
    tell(report, soak.seen, args)
    report.close(args.json)
    shutil.rmtree(folder.parent)


def tell(report: Report, seen: list[tuple[int, float, float, int, int, int]], args: Any) -> None:
    """The slopes."""
    kept = [x for x in seen if x[1] > WARM]
    steps, _, memory, files, processes, size = (np.array(column, float) for column in zip(*kept))
    about = f"{steps[-1]:.0f} steps in {args.minutes:g} minutes, {args.workers} processes"
    slope = float(np.polyfit(steps, memory, 1)[0] * 1000)
    met = slope < MEGABYTE_PER_1000
    report.add(
        "memory by 1,000 steps", slope, "MB", f"{about}; {memory[0]:.0f} MB after warm-up, {memory[-1]:.0f} MB at the end", "under 1", met
    )
    report.add("descriptors at the end, less those after warm-up", files[-1] - files[0], "", about, "0", bool(files[-1] == files[0]))
    report.add(
        "processes at the end, less those after warm-up", processes[-1] - processes[0], "", about, "0", bool(processes[-1] == processes[0])
    )
    report.add("record by rollout", float(np.polyfit(steps, size, 1)[0] / 32), "bytes", about)


if __name__ == "__main__":
    main()
