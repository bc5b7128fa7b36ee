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
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from thinkery.core.records import Rollout
from thinkery.learning import advantages, losses, rewards
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Recipe, Setting, Stage
from thinkery.models.decoder import Decoder, DecoderConfig
from thinkery.models.model import Model, load_model, new_model
from thinkery.models.tokenizer import character_tokenizer
from thinkery.tasks import Task, load_task

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
CAP = 72  # tokens of a reply at most
GROUP = 16  # samples of a problem
RATE = 1e-6  # learning rate while timing: the policy stays where it is
SMALL = DecoderConfig(vocabulary=64, width=128, layers=3, heads=4, kv_heads=2, head_width=32, feed_forward=384)
WIDE = DecoderConfig(vocabulary=64, width=256, layers=4, heads=4, kv_heads=2, head_width=64, feed_forward=768)
STATES = ("warm", "late", "high entropy")


def addition(stop: tuple[str, ...] = ()) -> Task:
    """Sums of numbers of 3 or 4 digits; a reply may work column by column before "#" and the answer."""
    task = load_task("addition", digits=(3, 4))
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
    """Figures, printed as they come and kept for `--json`."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []

    def add(self, name: str, value: float, unit: str, about: str, bound: str = "", met: bool | None = None) -> None:
        """Print a figure and keep it."""
        self.figures.append(Figure(name, value, unit, about, bound, met))
        print(self.figures[-1].text, flush=True)

    def close(self, path: Path | None, begun: float) -> None:
        """Say how busy the machine was from `begun` (its load then) to now; write all figures to `path`."""
        load = {"before": round(begun, 2), "after": round(load_average(), 2)}
        print(f"load average: {load['before']} before, {load['after']} after")
        if path is not None:
            path.write_text(json.dumps({"load": load, "figures": [asdict(f) for f in self.figures]}))


def options(description: str) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser


# ---- timing


def load_average() -> float:
    """How many processes wanted to run in the last minute; above 1.2 the figures say little."""
    return os.getloadavg()[0]


def clock(work: Callable[[], Any]) -> float:
    """Wall time of one call, in seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def median(work: Callable[[], Any], times: int, warm: int = 2) -> float:
    """The median wall time of `work` over `times` calls after `warm` that do not count, in seconds."""
    return statistics.median(interleaved([work], times, warm)[0])


def interleaved(works: Sequence[Callable[[], Any]], times: int, warm: int = 2) -> list[list[float]]:
    """Wall times of several things in turn (A B A B), so that noise of the machine meets all alike: [works][times], seconds."""
    out: list[list[float]] = [[] for _ in works]
    for n in range(warm + times):
        for i, work in enumerate(works):
            took = clock(work)
            if n >= warm:
                out[i].append(took)
    return out


def warn_if_busy(most: float = 1.2) -> None:
    """A line on stderr when the machine is busy."""
    if load_average() > most:
        print(f"the load average is {load_average():.2f}: figures taken now are not worth quoting", file=sys.stderr)
