"""Loading a model for a session, and the task that a call names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from ..core.context import Turn
from ..core.errors import BadConfig, InputError
from ..core.records import Question
from ..core.rng import address
from ..engines.choice import engine_of
from ..engines.session import Sampling, Session
from ..engines.work import run as run_solvers
from ..models import model as models
from ..tasks import Task, load_task
from .memory import Memory

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two pools of threads on few cores fight each other


class Model(models.Model):
    """A loaded model with the conveniences of an interactive session."""

    def ask(self, prompt: str, max_tokens: int = 64, temperature: float = 0.0, seed: int = 0, stop: Sequence[str] = ()) -> Turn:
        """The model's turn after a prompt: `.text`, `.ids`, `.logp` (nats), `.ended`. Greedy unless `temperature` is given."""
        engine = engine_of(self)
        session = Session(engine, address(seed, "ask"), Sampling(max_tokens, temperature, stop=tuple(stop)))

        async def once() -> Turn:
            return await session.ask(Question(prompt))

        (turn,) = run_solvers([once()], [engine])
        if isinstance(turn, BaseException):
            raise turn
        return turn  # type: ignore[no-any-return]


def load_model(path: str | Path, device: str = "auto", dtype: str | None = None, memory: Memory | None = None, seed: int = 0) -> Model:
    """A model from a Hugging Face folder, an adapter's folder or a built-in size; `memory` adapts and quantises it.

    device: cpu, cuda or auto; dtype: float32 or bfloat16 (what it computes in). Raises UnknownName or BadModel.
    """
    kinds = {None: None, "float32": None, "bfloat16": torch.bfloat16}
    if dtype not in kinds:
        raise BadConfig(f"dtype {dtype!r}: choose float32 or bfloat16")
    place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if place == "cpu":
        torch.set_num_threads(1)
    memory = memory or Memory()
    apart = memory.lora is not None or memory.quantize is not None  # made small before it meets the GPU
    loaded = models.load_model(path, "cpu" if apart else place, kinds[dtype])
    memory.apply(loaded.decoder, path, seed, place)
    loaded.decoder.to(place).checkpointing = memory.checkpoints(loaded.decoder.config, place)
    return Model(loaded.decoder, loaded.tokenizer, loaded.name, loaded.origin)


def task_of(task: str | Task | None) -> Task:
    """The task, loaded if it is named. Raises InputError where there is none."""
    if task is None:
        raise InputError("no task: give --task NAME, or --data FILE --question COLUMN --answer COLUMN --verifier NAME")
    return load_task(task) if isinstance(task, str) else task
