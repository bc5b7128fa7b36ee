"""Decoding and training as a share of what this machine can do, and what a step costs as sizes change. One thread, fp32.

The limits are measured: the fastest matrix product of our own, torch's and numpy's, and a copy in memory. Floating-point operations
are those of the matrix products and of attention, 2 for each multiply-add; training counts three times the forward pass.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import mean, median
from typing import Any

import common
import numpy as np
import torch
from common import CAP, SMALL, WIDE, Report

from thinkery.engines.plan_cpu import CpuPlan
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting, Stage
from thinkery.models.decoder import Decoder, DecoderConfig
from thinkery.models.layout import rectangle
from thinkery.models.model import Model, load_model, new_model
from thinkery.models.ops_cpu import linear
from thinkery.models.tokenizer import character_tokenizer

LENGTH = 48  # tokens on the path of a node that is decoded, and of a sequence that is trained
ROWS = (1, 4, 10, 40, 128)


# ---- limits


def products(report: Report, rows: int, inner: int, columns: int, times: int) -> dict[str, float]:
    """Floating-point operations a second of three matrix products of one shape, in turn."""
    a, b = (np.random.default_rng(i).standard_normal(s, np.float32) for i, s in enumerate(((rows, inner), (inner, columns))))
    out, ta, tb = np.empty((rows, columns), np.float32), torch.from_numpy(a), torch.from_numpy(b)
    weight = tb.T.contiguous()
    took = report.interleaved([lambda: linear(ta, weight), lambda: torch.mm(ta, tb), lambda: np.matmul(a, b, out=out)], times)
    return {name: 2 * rows * inner * columns / median(t) for name, t in zip(("ours", "torch", "numpy"), took)}


def limits(report: Report, times: int) -> tuple[float, float]:
    """Peak of matrix products (operations a second) and of a copy (bytes a second, read and written)."""
    best: dict[str, float] = {}
    for shape in ((480, 512, 512), (960, 1024, 1024), (1920, 512, 2048)):
        for name, rate in products(report, *shape, times).items():
            best[name] = max(best.get(name, 0.0), rate)
    for name, rate in best.items():
        report.add(f"matrix product, {name}", rate / 1e9, "GFLOP/s", "fp32, 1 thread, the best of three shapes")
    source = np.ones(1 << 25, np.float64)
    target = np.zeros_like(source)
    bandwidth = 2 * source.nbytes / report.median(lambda: np.copyto(target, source), times)
    report.add("copy in memory", bandwidth / 1e9, "GB/s", "256 MB, read and written, 1 thread")
    return max(best.values()), bandwidth


def operations(c: DecoderConfig, path: float) -> float:
    """Operations of one token's forward pass that attends to `path` tokens; without the output matrix."""
    weights = sum(c.qkv_rows) * c.width + c.heads * c.head_width * c.width + 3 * c.feed_forward * c.width
    return c.layers * (2 * weights + 4 * path * c.heads * c.head_width)


# ---- decoding and training


def decoding(report: Report, config: DecoderConfig, peak: float, bandwidth: float, times: int) -> None:
    """One token more for some rows, each after LENGTH - 1 tokens of its own."""
    decoder = Decoder(config).initialise(torch.Generator().manual_seed(0))
    plan = CpuPlan(decoder, max(ROWS) * LENGTH)
    index = np.arange(max(ROWS) * LENGTH, dtype=np.int32).reshape(-1, LENGTH)
    tokens, positions = np.full(index.size, 5, np.int32), np.tile(np.arange(LENGTH, dtype=np.int32), max(ROWS))
    starts, counts = np.repeat(np.arange(max(ROWS)) * LENGTH, LENGTH), positions.astype(np.int64) + 1
    plan.extend(tokens, positions, index.reshape(-1), index, starts, counts)
    last = np.arange(max(ROWS)) * LENGTH + LENGTH - 1

    def step(rows: int) -> Any:
        s = last[:rows]
        return lambda: plan.extend(tokens[s], positions[s], index.reshape(-1)[s], index, starts[s], counts[s])

    took = [median(t) for t in report.interleaved([step(r) for r in ROWS], 20 * times, 10)]
    for rows, seconds in zip(ROWS, took):
        about = f"{rows} rows after {LENGTH} tokens, fp32, 1 thread, {common.size(decoder)}"
        report.add("decoding", rows / seconds / 1e3, "thousand tokens/s", about)
        report.add("decoding, share of peak", 100 * rows * operations(config, LENGTH) / seconds / peak, "%", about)
        if rows == 1:
            weights = 4 * sum(p.numel() for p in decoder.layers.parameters())
            report.add("decoding, weights read, share of copy", 100 * weights / seconds / bandwidth, "%", about + "; they fit a cache")


def training(report: Report, config: DecoderConfig, peak: float, times: int) -> None:
    """Forward and backward pass over sequences that share nothing."""
    decoder = Decoder(config).initialise(torch.Generator().manual_seed(0))
    parameters = list(decoder.parameters())
    for rows in (4, 16, 64):
        ids = np.random.default_rng(0).integers(4, 60, (rows, LENGTH))
        layout, targets = rectangle(ids.tolist()), torch.from_numpy(np.roll(ids, -1, 1).reshape(-1))
        ones = torch.ones(len(layout))

        def step() -> None:
            logp, _ = decoder.token_logprobs(decoder(layout), targets, ones)  # noqa: B023
            torch.autograd.grad(logp.sum(), parameters)

        seconds = report.median(step, times)
        head = 2 * config.width * config.vocabulary
        rate = 3 * len(layout) * (operations(config, (LENGTH + 1) / 2) + head) / seconds
        about = f"{rows} sequences of {LENGTH}, fp32, 1 thread, {common.size(decoder)}"
        report.add("training", len(layout) / seconds / 1e3, "thousand tokens/s", about)
        report.add("training, share of peak", 100 * rate / peak, "%", about)


# ---- what a step costs


def cost(report: Report, what: str, model: Model, stage: Stage, times: int) -> None:
    """Steps of a stage: wall time by rollout and by sampled token, and how much was shared."""
    learning = Learning(Recipe((stage,)), Setting(common.addition()), model)

    def step() -> tuple[float, float, int]:
        metrics: dict[str, float] = {}
        seconds = common.clock(lambda: metrics.update(learning.step()))
        return seconds, metrics["tokens"], common.output_nodes(learning)

    took, tokens, nodes = map(mean, zip(*report.rounds(step, times)))
    rollouts = stage.problems * stage.samples
    about = f"{stage.problems} problems x {stage.samples}, {tokens / rollouts:.0f} tokens a reply, "
    about += f"sharing factor {tokens / nodes:.1f}, fp32, 1 process, {common.size(model)}"
    report.add("step, by sampled token", took / tokens * 1e6, "us", f"{what}, {took / rollouts * 1e6:.0f} us a rollout, {about}")


def costs(report: Report, times: int) -> None:
    """Against group size, reply length, width and sharing, one at a time."""
    warm, late = common.checkpoint("warm"), common.checkpoint("late")
    stage = replace(common.grpo(10_000, 8), reward=common.BY_TURNS)
    for samples in (4, 16, 64):
        cost(report, f"warm, group size {samples}", load_model(warm), replace(stage, problems=128 // samples, samples=samples), times)
    for cap in (8, 24, CAP):
        cost(report, f"late, at most {cap} tokens", load_model(late), replace(stage, max_tokens=cap), times)
    for width in (64, 128, 256, 512):
        config = replace(SMALL, width=width, head_width=width // 4, feed_forward=3 * width)
        model = new_model(config, character_tokenizer(), "random")
        cost(report, f"random weights, width {width}", model, replace(stage, max_tokens=32), times)
    for temperature in (0.5, 1.0, 1.5, 2.0):
        cost(report, f"warm, temperature {temperature}", load_model(warm), replace(stage, temperature=temperature), times)


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--times", type=int, default=9)
    args = parser.parse_args()
    torch.set_num_threads(1)
    report = Report()
    peak, bandwidth = limits(report, args.times)
    for config in (SMALL, WIDE):
        decoding(report, config, peak, bandwidth, args.times)
        training(report, config, peak, args.times)
    costs(report, args.times)
    report.close(args.json)


if __name__ == "__main__":
    main()
