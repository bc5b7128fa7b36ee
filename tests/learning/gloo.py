"""One of several processes that work out every method's gradient together, by torch's own data parallelism over gloo: `python -m tests.learning.gloo`.

Each process has one shard of a step, as parts of few tokens, and runs them one after another; the last one's backward pass adds up over the
processes. The steps are read from a file; rank 0 of each world writes what came out. The processes end with whoever started them.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from tests.learning.steps import Cut, Step, ready, total
from thinkery.learning.batch import Array, Batch
from thinkery.learning.gradient import Plan, _losses
from thinkery.learning.workers import Inline

KINDS = ("ddp", "fsdp")
WORLDS = (4, 2)
DTYPES = {4: (torch.float64, torch.float32), 2: (torch.float64,)}
CELLS = 64  # tokens of a part
EPOCH = 1  # the second, in which ratios are not 1


class Losses(nn.Module):
    """The decoder, with a pass's losses as its forward pass: whatever wraps it sees every use of its parameters."""

    def __init__(self, inline: Inline, batch: Batch, plan: Plan, old: Tensor | None) -> None:
        super().__init__()
        self.decoder, self.given = inline.learner.decoder, (inline, batch, plan, old)

    def forward(self, rows: Array, which: slice, scale: float) -> Tensor:
        inline, batch, plan, old = self.given
        parts, _ = _losses(inline.learner, inline.stage, batch, plan, rows, old)
        return scale * torch.stack(parts[which]).sum()


def passes(plan: Plan, rank: int, world: int) -> list[tuple[Array, float]]:
    """A rank's parts, each with 1; and as many others with 0 as make all ranks' passes equally many, since each of them is a meeting."""
    most, some = max(map(len, plan.parts.values())), next(parts[0] for parts in plan.parts.values() if parts)
    mine = plan.parts[rank]
    return [(some, 0.0)] * (most - len(mine)) + [(rows, 1.0) for rows in mine]


def replicated(losses: Losses, group: Any) -> DistributedDataParallel:
    """All weights on every process (DDP). Gradients are added, not averaged: denominators are of the whole step already."""
    module = DistributedDataParallel(losses, process_group=group)
    add = lambda bucket: dist.all_reduce(bucket.buffer(), group=group, async_op=True).get_future()
    module.register_comm_hook(None, lambda _, bucket: add(bucket).then(lambda done: done.value()[0]))
    return module


def sharded(losses: Losses, group: Any) -> Losses:
    """A piece of every weight on each process: layers and the rest are gathered as they are needed (FSDP2)."""
    mesh, decoder = DeviceMesh.from_group(group, "cpu"), losses.decoder
    block = decoder.block
    for layer in decoder.blocks:  # it is called like any module, so that the hooks that gather run
        layer.forward = lambda x, layout, layer=layer: block(x, layer, layout)
        fully_shard(layer, mesh=mesh)
    decoder.block = lambda x, layer, layout: layer(x, layout)  # type: ignore[method-assign]
    fully_shard(losses, mesh=mesh)
    for m in losses.modules():
        if isinstance(m, FSDPModule):
            m.set_gradient_divide_factor(1.0)
            m.set_force_sum_reduction_for_comms(True)
    return losses


def gradient(step: Step, kind: str, dtype: torch.dtype, group: Any) -> Tensor:
    """The step's gradient as the world of that group finds it, [parameters]."""
    rank, world = dist.get_rank(group), dist.get_world_size(group)
    cut = Cut(world, CELLS, shard=1, shared=True, plain=kind == "fsdp")  # compiled kernels keep views of weights, which FSDP frees
    inline, batch, plan, old = ready(step, cut, dtype, EPOCH)
    losses = Losses(inline, batch, plan, old)
    module = (replicated if kind == "ddp" else sharded)(losses, group)
    each = [slice(None)] if inline.stage.combine is None else [slice(i, i + 1) for i in range(len(inline.stage.losses))]
    found = []
    for which in each:
        module.zero_grad()
        run = passes(plan, rank, world)
        for n, (rows, scale) in enumerate(run):
            last = n + 1 == len(run)
            if isinstance(module, FSDPModule):
                module.set_requires_gradient_sync(last)
            with nullcontext() if last or kind == "fsdp" else module.no_sync():
                module(rows, which, scale).backward()
        found.append(torch.cat([whole(p) for p in losses.decoder.parameters()]))
    return total(step, inline, torch.stack(found)[None])


def whole(p: nn.Parameter) -> Tensor:
    """A parameter's gradient, gathered."""
    assert p.grad is not None
    g = p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad
    return g.reshape(-1)


def main(folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    where = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=max(WORLDS), timeout=timedelta(seconds=120))
    tried: list[Step] = pickle.loads((folder / "steps").read_bytes())
    groups = {world: dist.new_group(list(range(world))) for world in WORLDS}
    for world, group in groups.items():
        if rank >= world:
            continue
        for kind in KINDS:
            out = {(s.method, s.number, dtype): gradient(s, kind, dtype, group) for s in tried for dtype in DTYPES[world]}
            if rank == 0:
                torch.save(out, folder / f"{kind}-{world}.pt")
    dist.destroy_process_group()


def end_with_parent() -> None:
    """Exit when the pipe from whoever started this process closes."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    main(Path(sys.argv[1]), int(sys.argv[2]))
