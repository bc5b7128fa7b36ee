"""What a run will need: memory part by part, tokens and hours, from config.json alone; and the sizes that fit.

Bytes are worst cases: every reply as long as it may be, nothing shared below the prompt. The parts follow the usual accounting of
LoRA training with flash attention and chunked logits, and add what this trainer holds besides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..core.errors import InputError
from ..learning.recipe import Stage
from ..models import ops_cpu, ops_torch, quantize
from ..models.adapters import Lora, joined
from ..models.decoder import Decoder, DecoderConfig
from ..models.layout import rectangle

GIB = 1 << 30
RUNTIME = {"cuda": 1.5 * GIB, "cpu": 0.6 * GIB}  # context, library workspaces, slack; the interpreter and compiled kernels
USABLE = 0.95  # of the memory that is free
LARGE = 1 << 29  # parameters above which layers are checkpointed on a GPU
EFFICIENCY = 0.3  # of the rate of one large matrix product that a whole step reaches
KERNELS = 3.5  # times that rate in each process with the compiled kernels: products twice as fast as torch's, and no padding
ASSUMED = (1e14, 1e12)  # operations and bytes a second of a GPU that is not here
LAUNCH = 2e-4  # seconds to start the kernels of one layer on a GPU
STEP = 256  # cells are fitted in steps of this many


@dataclass(frozen=True)
class Job:
    """What decides a run's needs.

    prompt, reply   most tokens of a prompt and of all that is written after it
    width           bytes of a value that is computed with: 2 (bfloat16) or 4
    memory          bytes that are free on the device
    workers         processes of a CPU: weights and gradients are shared, the rest is each one's own
    """

    config: DecoderConfig
    stages: tuple[Stage, ...]
    prompt: int
    reply: int
    device: str = "cuda"
    width: int = 2
    lora: Lora | None = None
    nf4: bool = False
    checkpointing: bool = True
    kv_bytes: int = GIB
    memory: int = 24 * GIB
    workers: int = 1
    tokens_per_s: float | None = None

    @property
    def compiled(self) -> bool:
        """Whether the compiled kernels for CPUs will serve."""
        return self.device == "cpu" and self.width == 4

    @property
    def last(self) -> Stage:
        """The stage whose settings the user may change."""
        return self.stages[-1]


# ---- the parts, in bytes


def parameters(c: DecoderConfig) -> int:
    """How many values a decoder has."""
    heads = 2 * c.head_width if c.qk_norm else 0
    return c.matrices + c.embeddings + c.layers * (2 * c.width + heads) + c.width


def weight_bytes(c: DecoderConfig, width: float = 2, nf4: bool = False) -> float:
    """The weights: all in the given width, or the layers' matrices in four bits."""
    return quantize.BYTES * c.matrices + width * (parameters(c) - c.matrices) if nf4 else width * parameters(c)


def adapter_values(c: DecoderConfig, spec: Lora) -> int:
    """How many values an adapter has: rank x (in + out) for each projection."""
    inner = {"qkv": c.width, "out": c.heads * c.head_width, "gate_up": c.width, "down": c.feed_forward}
    sizes = [inner[name] + n for name, rows in joined(c).items() for p, n in rows.items() if p in spec.targets]
    return c.layers * spec.rank * sum(sizes)


def state_bytes(values: int, kind: str = "adamw", shards: int = 1) -> float:
    """What learning keeps of every value that learns: itself, gradients by shard, moments; all float32 but 8-bit moments."""
    return values * (4 + 4 * shards + (2 if kind == "adamw8bit" else 8))


def kv_bytes(c: DecoderConfig, width: int = 2) -> int:
    """Keys and values of one token."""
    return 2 * width * c.layers * c.kv_heads * c.head_width


def layer_values(c: DecoderConfig) -> int:
    """Values that the backward pass of one layer needs of every token."""
    return 4 * (c.width + c.heads * c.head_width + c.kv_heads * c.head_width + c.feed_forward)


def activation_bytes(c: DecoderConfig, cells: int, width: int = 2, checkpointing: bool = True) -> float:
    """Inputs of all layers and one layer with its gradients; without checkpointing all layers and one's gradients."""
    layer = layer_values(c)
    if checkpointing:
        return float(width * cells * (c.layers * c.width + 2 * layer))
    return float(width * cells * (c.layers + 1) * (layer + 2 * c.heads * c.head_width))  # keys and values repeated for all heads


def logit_bytes(c: DecoderConfig, rows: int) -> float:
    """A chunk of logits in 16 bits, widened, with its gradient."""
    return 10.0 * c.vocabulary * rows


# ---- a plan


@dataclass(frozen=True)
class Plan:
    """What a run needs.

    parts       bytes by name, in order; `total` is their sum
    tokens      sampled at most; `hours` at `tokens_per_s`, which is measured or assumed (`rate_from`)
    cells       tokens of one forward and backward pass; kv_tokens: tokens whose keys and values are held
    advice      what would fit, if this does not
    """

    parts: dict[str, float]
    memory: int
    cells: int
    kv_tokens: int
    tokens: int
    steps: int
    hours: float
    tokens_per_s: float
    rate_from: str
    advice: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.total <= USABLE * self.memory

    def to_dict(self) -> dict[str, Any]:
        """For machines: bytes, tokens, hours."""
        return asdict(self) | {"total": self.total, "fits": self.fits}

    def lines(self) -> list[str]:
        """For people."""
        rows = [f"{name:<34}{size / GIB:>9.2f} GiB" for name, size in self.parts.items() if size > 0.005 * GIB]
        rows.append(f"{'in all':<34}{self.total / GIB:>9.2f} GiB of {self.memory / GIB:.2f} GiB free")
        rows.append(f"{self.steps} steps, at most {self.tokens:,} tokens sampled, about {_span(self.hours)}")
        rows.append(f"at {self.tokens_per_s:,.0f} tokens a second ({self.rate_from}); a pass holds {self.cells:,} tokens")
        return rows

    def check(self) -> None:
        """Raises InputError if it does not fit, with what would."""
        if not self.fits:
            would = "; or ".join(self.advice) or "no setting of this model does: take a smaller model"
            raise InputError(
                f"this run needs about {self.total / GIB:.1f} GiB and {self.memory / GIB:.1f} GiB are free; what would fit: {would}"
            )


def plan(job: Job) -> Plan:
    """What the job needs, and what would fit instead if it does not."""
    found = _plan(job)
    return found if found.fits else replace(found, advice=tuple(_advice(job)))


def _plan(job: Job) -> Plan:
    stages = job.stages
    heaviest = [_parts(job, s) for s in stages]
    parts, cells, kv_tokens = max(heaviest, key=lambda h: sum(h[0].values()))
    tokens = sum(s.steps * s.problems * (1 + s.refill) * s.samples * job.reply for s in stages if s.source == "task")
    rate, source = (job.tokens_per_s, "given") if job.tokens_per_s else _rate(job)
    work = tokens + sum(s.steps * s.problems * s.samples * job.reply for s in stages if s.source != "task")
    return Plan(parts, job.memory, cells, kv_tokens, tokens, sum(s.steps for s in stages), work / rate / 3600, rate, source)


def _parts(job: Job, stage: Stage) -> tuple[dict[str, float], int, int]:
    """The parts of one stage, the tokens of its largest pass, the tokens whose keys and values are held."""
    c, lora = job.config, job.lora
    learnt = adapter_values(c, lora) if lora is not None else parameters(c)
    buffers = stage.shards * (1 if stage.combine is None else len(stage.losses))
    tree = job.prompt + stage.samples * job.reply
    cells = min(max(stage.cells, job.prompt + job.reply), tree * -(-stage.problems // stage.shards))
    kv_tokens = min(stage.problems * tree, job.kv_bytes // _slot_bytes(job)) if stage.source == "task" else 0
    frozen = job.width if lora is not None else 4
    reference = bool(stage.signals or stage.estimates)
    each = job.workers
    values = {
        "weights": weight_bytes(c, frozen, job.nf4) if lora is not None else 0.0,
        "what learns, gradients, moments": state_bytes(learnt, stage.optimizer.kind, buffers) + 4.0 * learnt,
        "reference": 0.0 if not reference else 4.0 * learnt,
        "frozen roles": float(len(stage.cast) * frozen * parameters(c)),
        "weights laid out for the kernels": each * _packed_bytes(job, reference),
        "weights cast for computing": 2.0 * parameters(c) if lora is None and job.width == 2 else 0.0,
        "a matrix written out of four bits": float(job.width * 2 * c.feed_forward * c.width) if job.nf4 else 0.0,
        "keys and values": float(kv_tokens * _slot_bytes(job)),
        "activations": each * activation_bytes(c, cells, job.width, job.checkpointing),
        "masks of trees": 0.0 if job.compiled else 3.0 * cells * min(cells, tree),
        "logits": each * logit_bytes(c, min(cells, _logit_rows(job))),
        "runtime": each * RUNTIME[job.device],
    }
    return {k: v for k, v in values.items() if v}, cells, kv_tokens


def _slot_bytes(job: Job) -> int:
    """What an engine keeps of one token: keys, values, the final hidden state."""
    return kv_bytes(job.config, job.width) + job.width * job.config.width


def _logit_rows(job: Job) -> int:
    chunk = ops_cpu.KEEP if job.compiled else ops_torch.CHUNK_GPU if job.device == "cuda" else ops_torch.CHUNK
    return max(1, chunk // job.config.vocabulary)


def _packed_bytes(job: Job, reference: bool) -> float:
    """Compiled kernels read matrices packed: twice for the learner, once more for the engine, again for another model's."""
    if not job.compiled:
        return 0.0
    c = job.config
    whole = c.matrices * ((job.lora is not None) + job.nf4)  # written out, the update added
    again = c.matrices + c.embeddings if reference else 0
    return 4.0 * (3 * c.matrices + 2 * c.embeddings + whole + again)


def _advice(job: Job) -> list[str]:
    """What would fit, the mildest change first; each alone or with those before it."""
    shorter = lambda j: replace(j, stages=tuple(replace(s, cells=min(s.cells, j.prompt + j.reply)) for s in j.stages))
    fewer = lambda j: replace(j, kv_bytes=max(_slot_bytes(j) * (j.prompt + j.reply), j.kv_bytes // 8))
    changes: list[tuple[str, Callable[[Job], Job]]] = [("a smaller pass (--fit)", lambda j: fewer(shorter(j)))]
    if not job.checkpointing:
        changes.append(("--checkpointing", lambda j: replace(j, checkpointing=True)))
    if job.width == 4 and job.device == "cuda":
        changes.append(("--dtype bfloat16", lambda j: replace(j, width=2)))
    if job.lora is None:
        changes.append(("--lora 32", lambda j: replace(j, lora=Lora(32))))
    if not job.nf4:
        changes.append(("--quantize nf4", lambda j: replace(j, nf4=True)))
    if any(s.optimizer.kind == "adamw" for s in job.stages):
        small = lambda s: replace(s, optimizer=replace(s.optimizer, kind="adamw8bit"))
        changes.append(("--set kind=adamw8bit", lambda j: replace(j, stages=tuple(map(small, j.stages)))))
    out, names = [], list[str]()
    for name, change in changes:
        job, names = change(job), [*names, name]
        found = _plan(job)
        if found.fits:
            out.append(f"{' with '.join(names)} ({found.total / GIB:.1f} GiB)")
            break
    return out


def _rate(job: Job) -> tuple[float, str]:
    """Sampled tokens a second, learning from them included, and where the number comes from."""
    here = job.device == "cpu" or torch.cuda.is_available()
    operations, bandwidth = measured(job.device, job.width) if here else ASSUMED
    if job.compiled:
        operations *= KERNELS * job.workers
    s, c = job.last, job.config
    passes = (4 if job.lora is not None else 6) + (2 if job.checkpointing else 0)
    once = 2.0 + (passes * s.epochs if s.losses else 0)  # operations for each value and token
    learning = once * (c.matrices + c.vocabulary * c.width) / (EFFICIENCY * operations)
    weights = weight_bytes(c, job.width, job.nf4)
    step = weights / bandwidth + (LAUNCH * c.layers if job.device == "cuda" else 0.0)  # each decode step reads all weights, for all replies
    decoding = step / (s.problems * s.samples)
    how = "from the speed of a matrix product here" if here else "assumed: 100 TFLOP/s and 1 TB/s, no GPU is here to measure"
    return 1 / (learning + decoding), how


def measured(device: str, width: int) -> tuple[float, float]:
    """Operations and bytes a second of one large product and one large copy."""
    dtype = torch.bfloat16 if width == 2 else torch.float32
    n = 4096 if device == "cuda" else 512
    x = torch.ones(n, n, dtype=dtype, device=device)

    def seconds(work: Callable[[], Any]) -> float:
        wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        found = []
        for _ in range(6):  # the first warms up, and others may be at work on the machine
            wait()
            began = time.perf_counter()
            work()
            wait()
            found.append(time.perf_counter() - began)
        return max(1e-9, min(found))

    return 2.0 * n**3 / seconds(lambda: x @ x), 2.0 * x.numel() * width / seconds(x.clone)


def _span(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes" if hours >= 1 / 60 else f"{3600 * hours:.0f} seconds"


# ---- fitting


def free_memory(device: str) -> int:
    """Bytes free on the device; of a CPU what the machine and the control group leave."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        found = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
        found = min(found, int(limit.read_text()) - int(used.read_text()))
    return found


def fit(job: Job, fits: Callable[[int], bool] | None = None) -> tuple[int, int]:
    """The most cells of a pass and bytes of keys and values, neither above what the job can use. Raises InputError if nothing fits.

    By the formula, or by `fits(cells)`, which tries. Keys and values get what they need, at most half of what the smallest pass leaves.
    """
    longest = job.prompt + job.reply
    sized = lambda cells, kv: replace(job, stages=tuple(replace(s, cells=cells) for s in job.stages), kv_bytes=kv)
    slot = _slot_bytes(job)
    least = sized(longest, longest * slot)
    plan(least).check()
    spare = USABLE * job.memory - _plan(least).total
    want = max(s.problems * (s.samples * longest) for s in job.stages) * slot
    kv = int(min(want, longest * slot + spare / 2))
    fits = fits or (lambda cells: _plan(sized(cells, kv)).fits)
    useful = max(s.problems * (job.prompt + s.samples * job.reply) for s in job.stages)
    low, high = 0, max(0, -(-(useful - longest) // STEP))  # cells are longest + STEP times these
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(longest + STEP * middle) else (low, middle - 1)
    return longest + STEP * low, kv


def probe(decoder: Decoder, job: Job, kv: int) -> Callable[[int], bool]:
    """Tries a pass of so many cells on the GPU, beside keys, values, gradients and moments as large as they will be."""
    learnt = [p for p in decoder.parameters() if p.requires_grad]
    ballast = int(state_bytes(sum(p.numel() for p in learnt), job.last.optimizer.kind, job.last.shards)) + kv

    def fits(cells: int) -> bool:
        try:
            held = torch.empty(ballast, dtype=torch.uint8, device=decoder.device)
            length = min(cells, job.prompt + job.reply)
            layout = rectangle([[i % 7 for i in range(length)]] * (cells // length))
            hidden = decoder(layout)
            targets = torch.zeros(len(hidden), dtype=torch.long)
            logp, entropy = decoder.token_logprobs(hidden, targets, torch.ones(len(hidden)))
            torch.autograd.grad((logp + entropy).sum(), learnt)
            del held
        except torch.OutOfMemoryError:
            return False
        finally:
            if decoder.device.type == "cuda":
                torch.cuda.empty_cache()
        return True

    return fits
