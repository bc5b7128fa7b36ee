"""How the built-in models are made: random weights, then supervised fine-tuning on the house tasks.

Most demonstrations answer at once, few work it out: so a built-in model mostly fails, and a reward has something to find.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..core.errors import UnknownName
from ..learning import losses, rewards
from ..learning.loop import Learning
from ..learning.recipe import Optimizer, Recipe, Setting, Stage
from ..models.decoder import DecoderConfig
from ..models.model import Model, new_model
from ..models.tokenizer import character_tokenizer
from ..tasks import load_task, task_names
from ..tasks.mixture import Mixture
from .events import Event, Listener, silent

STYLES = {"direct": 0.7, "trace": 0.3}
TINY = DecoderConfig(vocabulary=64, width=128, layers=3, heads=4, kv_heads=2, head_width=32, feed_forward=384, context=512)
STEPS = {"tiny": 4000}


def warm_up(steps: int, shards: int = 1) -> Stage:
    """Supervised fine-tuning on demonstrations, mostly direct answers."""
    return Stage(
        name="sft",
        steps=steps,
        problems=64,
        samples=1,
        source="demonstrations",
        styles=STYLES,
        reward=rewards.NOTHING,
        losses=(losses.cross_entropy(),),
        optimizer=Optimizer(kind="muon", lr=3e-3, warmup=20),
        shards=shards,
    )


def build(size: str, folder: Path, seed: int = 0, steps: int | None = None, workers: int | str = 1, listen: Listener = silent) -> Model:
    """Make a built-in model from nothing and save it to `folder`, in bfloat16. The same seed gives the same weights on one machine."""
    if size not in STEPS:
        raise UnknownName("size", size, STEPS)
    torch.set_num_threads(1)
    task = Mixture([load_task(name) for name in task_names()])
    model = new_model(TINY, character_tokenizer(), size, seed)
    learning = Learning(Recipe((warm_up(steps or STEPS[size], 2),)), Setting(task, seed=seed), model, workers)
    listen(Event("stage", {"name": "sft", "index": 0, "of": 1, "steps": learning.steps}))
    while not learning.done:
        metrics = learning.step()
        listen(Event("step", {"stage": "sft", "step": learning.state.total, "steps": learning.steps, **metrics}))
    learning.leave()
    model.save(folder, torch.bfloat16)
    listen(Event("saved", {"path": str(folder), "what": "model"}))
    return model
