"""How a model is kept while it learns: whole or frozen with an adapter, in four bits, with checkpointed layers; and what a run then needs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from ..core.errors import BadConfig, InputError
from ..core.reading import loads
from ..core.rng import address
from ..engines.local import KV_BYTES
from ..learning.recipe import Recipe
from ..learning.workers import count
from ..models import model as models
from ..models.adapters import Lora, attach, quantize
from ..models.decoder import Decoder, DecoderConfig
from ..tasks import Task
from .plan import GIB, LARGE, Job, fit, free_memory, parameters, probe

PEEK = 32  # problems whose prompts are looked at


@dataclass(frozen=True)
class Memory:
    """Settings that change what a model costs, not what is learnt.

    lora, alpha     rank of a new adapter (None: all weights learn), and what its update is scaled by, over the rank
    quantize        "nf4": the frozen matrices in four bits
    checkpointing   layers keep their inputs alone; None: for large models on a GPU
    fit             choose the cells of a pass and the memory of keys and values so that the run fits
    """

    lora: int | None = None
    alpha: float = 32.0
    quantize: str | None = None
    checkpointing: bool | None = None
    fit: bool = False

    def __post_init__(self) -> None:
        if self.quantize not in (None, "nf4"):
            raise BadConfig(f"quantize {self.quantize!r}: choose nf4, or leave it out")

    def settings(self) -> dict[str, Any]:
        """What differs from the default, for a run's record."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def adapter(self, path: str | Path) -> Lora | None:
        """The adapter to attach to the model that was loaded from `path`."""
        if self.lora is None:
            return None
        return Lora(self.lora, self.alpha, base=str(path) if str(path) in models.built_in() else str(Path(path).resolve()))

    def apply(self, decoder: Any, path: str | Path, seed: int, device: str) -> None:
        """Quantise and adapt a decoder that was just loaded from `path`, on its way to the device."""
        spec = self.adapter(path)
        if not isinstance(decoder, Decoder):
            if spec is not None or self.quantize is not None or self.checkpointing:
                raise BadConfig(f"{path} runs through transformers; --lora, --quantize and --checkpointing are for models decoded here")
            return
        if self.quantize is not None:
            quantize(decoder, device)
        if spec is not None:
            attach(decoder, spec, address(seed, "adapter"))

    def checkpoints(self, config: DecoderConfig, device: str) -> bool:
        """Whether layers are checkpointed."""
        return (device == "cuda" and parameters(config) >= LARGE) if self.checkpointing is None else self.checkpointing


def job_of(
    path: str | Path,
    recipe: Recipe,
    task: Task,
    memory: Memory,
    device: str = "auto",
    dtype: str | None = None,
    workers: int | str = 1,
    gib: float | None = None,
) -> Job:
    """What a run needs, from the model's config.json, the recipe and the task's first prompts; `gib`: memory of a device that is not here."""
    config, adapter = models.config_of(path)
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if gib is None and place == "cuda" and not torch.cuda.is_available():
        raise InputError("no GPU is here: say how much memory yours has, as in --memory 24")
    spec = memory.adapter(path) or adapter
    if memory.quantize is not None and spec is None:
        raise BadConfig("a model in four bits is frozen and cannot learn: add an adapter, as in --lora 32")
    prompts = [task.problem(i).question.prompt for i in range(min(PEEK, task.size("train") or PEEK))]
    letters = 1 if config.vocabulary < 1000 else 3  # of one token, at least
    stages = tuple(recipe.flat())
    return Job(
        config=config,
        stages=stages,
        prompt=min(config.context - 1, -(-max(map(len, prompts)) // letters) + 8),
        reply=min(config.context, max(s.max_tokens or task.max_tokens for s in stages)),
        device=place,
        width=2 if dtype == "bfloat16" else 4,
        lora=spec,
        nf4=memory.quantize is not None,
        checkpointing=memory.checkpoints(config, place),
        kv_bytes=KV_BYTES,
        memory=int(gib * GIB) if gib is not None else free_memory(place),
        workers=count(workers, max(s.shards for s in stages)) if place == "cpu" else 1,
    )


def with_cells(recipe: Recipe, cells: int) -> Recipe:
    """The recipe with all its stages cut so."""
    for name in dict.fromkeys(s.name for s in recipe.flat()):
        recipe = recipe.stage(name, cells=cells)
    return recipe


def fitted(job: Job, decoder: Decoder, run: Path | None) -> dict[str, int]:
    """The cells of a pass and the bytes of keys and values that fit beside the loaded model: tried on a GPU, else by the formula.

    A run that is resumed keeps its own: the cut decides how sums are rounded.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # what is wrong with the folder `Run` will say
        if run is not None:
            return dict(loads((run / "run.json").read_text(encoding="utf-8"))["fitted"])
    cells, kv = fit(job, probe(decoder, job, fit(job)[1]) if job.device == "cuda" else None)
    return {"cells": cells, "kv_bytes": kv}
