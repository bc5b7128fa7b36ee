"""What the benchmarks share: the task, three model states made once and cached, figures, and how to time fairly.

Import this before numpy and torch: it sets one thread for each process.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from thinkery.core.records import Rollout
from thinkery.learning import advantages, losses, rewards
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.models.decoder import Decoder, DecoderConfig
from thinkery.models.model import Model, load_model, new_model
from thinkery.models.tokenizer import character_tokenizer
from thinkery.tasks import Task, load_task

T = TypeVar("T")

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
CAP = 72  # tokens of a reply at most
DIGITS = (3, 4)
GROUP = 16  # samples of a problem
RATE = 1e-6  # learning rate while timing: the policy stays where it is
SMALL = DecoderConfig(vocabulary=64, width=128, layers=3, heads=4, kv_heads=2, head_width=32, feed_forward=384)
WIDE = DecoderConfig(vocabulary=64, width=256, layers=4, heads=4, kv_heads=2, head_width=64, feed_forward=768)
QUIET = 0.25  # cores that others may use in a round that counts
SHORT = 0.1  # seconds; the system's clock is too coarse to say who worked in a round shorter than that
STATES = ("warm", "late", "high entropy")


def addition(stop: tuple[str, ...] = ()) -> Task:
    """Sums of numbers of 3 or 4 digits; a reply may work column by column before "#" and the answer."""
    task = load_task("addition", digits=DIGITS)
    task.max_tokens, task.stop = CAP, stop
    return task


# ---- the states that are measured


def supervised(steps: int) -> Stage:
    """Supervised fine-tuning on 30 % worked replies and 70 % bare answers."""
    return Stage(
        name="sft",
        steps=steps,
        problems=64,
        samples=1,
        source="demonstrations",
        styles={"direct": 0.7, "trace": 0.3},
        reward=rewards.NOTHING,
        losses=(losses.cross_entropy(),),
        shards=1,
        optimizer=Optimizer(kind="muon", lr=3e-3, warmup=20, decay="linear"),
    )


def grpo(steps: int, problems: int, lr: float = RATE, samples: int = GROUP, decay: str = "none") -> Stage:
    """What is compared: group-normalised advantages, the clipped loss, AdamW, no KL term."""
    return Stage(
        steps=steps,
        problems=problems,
        samples=samples,
        max_tokens=CAP,
        advantage=advantages.group_normalised,
        losses=(losses.clipped(0.2),),
        optimizer=Optimizer(lr=lr, warmup=1, decay=decay),
    )


def by_turns(rollouts: Sequence[Rollout]) -> list[float]:
    """A reward for every other sample: every group has a gradient, whatever the model, so nothing is skipped."""
    return [float(r.k % 2) for r in rollouts]


BY_TURNS = rewards.weighted(correct=0, by_turns=by_turns)


def learnt(model: Model, stage: Stage) -> Model:
    """The model after a stage."""
    learning = Learning(Recipe((stage,)), Setting(addition(), seed=1), model)
    while not learning.done:
        learning.step()
    return model


def checkpoint(state: str) -> Path:
    """The folder of a state's model, made when it is missing (about a minute for all three)."""
    folder = CACHE / state.replace(" ", "-")
    if not folder.is_dir():
        torch.set_num_threads(1)
        if state == "high entropy":
            model = learnt(new_model(WIDE, character_tokenizer(), "start"), supervised(40))
        elif state == "warm":
            model = learnt(new_model(SMALL, character_tokenizer(), "start"), supervised(300))
        else:
            model = learnt(load_model(checkpoint("warm")), grpo(100, 8, lr=3e-4, decay="linear"))
        model.save(folder)
    return folder


def output_nodes(learning: Learning) -> int:
    """Distinct nodes of the token tree that the last step's replies stand on."""
    assert learning.engine is not None
    tree = learning.engine.tree
    nodes = np.unique(tree.nodes([t for r in learning.rollouts for t in r.turns], CAP))
    return int((nodes >= 0).sum())


def size(model: Model | Decoder) -> str:
    """How small the model is; it stands beside every figure."""
    decoder = model if isinstance(model, Decoder) else model.decoder
    return f"{sum(p.numel() for p in decoder.parameters()) / 1e6:.2f} M parameters"


# ---- figures


@dataclass(frozen=True)
class Figure:
    """One measured number. `bound` says in words what it should be, `met` whether it is (None: no bound)."""

    name: str
    value: float
    unit: str
    about: str
    bound: str = ""
    met: bool | None = None

    @property
    def text(self) -> str:
        """`name: value unit (about)`, and its bound."""
        against = "" if self.met is None else f" [{self.bound}: {'met' if self.met else 'MISSED'}]"
        return f"{self.name}: {number(self.value)}{' ' + self.unit if self.unit else ''} ({self.about}){against}"


def number(x: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}" if abs(x) >= 1 else f"{x:.3f}"


class Report:
    """Figures, printed as they come and kept for `--json`; and rounds of measuring in which others leave the machine alone.

    others   cores that other processes used, in each round that counts
    """

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.others: list[float] = []
        self.load = os.getloadavg()[0]

    def add(self, name: str, value: float, unit: str, about: str, bound: str = "", met: bool | None = None) -> None:
        """Print a figure and keep it."""
        self.figures.append(Figure(name, value, unit, about, bound, met))
        print(self.figures[-1].text, flush=True)

    def rounds(self, body: Callable[[], T], times: int, warm: int = 2, pids: Sequence[int] = ()) -> list[T]:
        """What `body` gave in the `times` quietest of up to three times as many rounds, after `warm` that do not count.

        Quiet by the processor time that was neither this process's nor that of `pids`, never by what was measured.
        """
        found: list[tuple[float, int, T]] = []
        for n in range(warm + 3 * times):
            before = time.perf_counter(), busy() - own(pids)
            value = body()
            wall, other = (b - a for a, b in zip(before, (time.perf_counter(), busy() - own(pids))))
            if n >= warm:
                found.append((max(0.0, other / wall) if wall > SHORT else 0.0, n, value))
            if sum(share < QUIET for share, _, _ in found) >= times:
                break
        kept = sorted(sorted(found, key=lambda f: f[:2])[:times], key=lambda f: f[1])
        self.others += [share for share, _, _ in kept]
        return [value for _, _, value in kept]

    def interleaved(self, works: Sequence[Callable[[], Any]], times: int, warm: int = 2) -> list[list[float]]:
        """Wall times of several things in turn (A B A B), so that noise of the machine meets all alike: [works][times], seconds."""
        return [list(took) for took in zip(*self.rounds(lambda: [clock(work) for work in works], times, warm))]

    def median(self, work: Callable[[], Any], times: int, warm: int = 2) -> float:
        """The median wall time of `work`, in seconds."""
        return statistics.median(self.interleaved([work], times, warm)[0])

    def close(self, path: Path | None) -> None:
        """Say how much others used the machine; write all figures to `path`."""
        others = {"mean": statistics.mean(self.others or [0.0]), "most": max(self.others, default=0.0), "load": self.load}
        print(
            f"other processes used {others['mean']:.2f} cores on average, {others['most']:.2f} at most; load average {self.load:.2f} before"
        )
        if path is not None:
            path.write_text(json.dumps({"others": others, "figures": [asdict(f) for f in self.figures]}))


def options(description: str) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


# ---- timing


def clock(work: Callable[[], Any]) -> float:
    """Wall time of one call, in seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def busy() -> float:
    """Seconds that all cores together have worked so far; 0 where the system does not tell."""
    path = Path("/proc/stat")
    if not path.is_file():
        return 0.0
    user, nice, system, _, _, interrupts, soft, stolen = map(int, path.read_text().split()[1:9])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def own(pids: Sequence[int] = ()) -> float:
    """Seconds that this process and `pids`, and what children of theirs have ended, have worked so far."""
    total = 0.0
    for pid in (os.getpid(), *pids):
        path = Path(f"/proc/{pid}/stat")
        if path.is_file():
            fields = path.read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total
