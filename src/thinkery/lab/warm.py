"""Uses every kernel once, in a process of its own (see `engines.precompiled`): sampling in all its ways, scoring, learning from rewards and demonstrations."""

from __future__ import annotations

from dataclasses import replace

from ..engines.local import LocalEngine
from ..engines.session import Sampling, Session
from ..engines.work import run
from ..learning import advantages, losses
from ..learning.loop import Learning
from ..learning.recipe import Recipe, Setting, Stage, imitation
from ..models.model import load_model
from ..tasks import load_task
from ..tasks.addition import Addition


async def _ways(model: Session) -> None:
    """Greedy, cut tails, stop strings, log-probabilities, what is inside."""
    for way in ({"temperature": 0.0}, {"top_p": 0.9}, {"top_k": 5}, {"stop": ("7", ";")}, {"max_tokens": 3}):
        await model.ask("12+34=", **way)
    model.score("12+34=", "#46")
    model.look("12+34=", ("hidden", "logprobs", "attention"))


def main() -> None:
    """Compile; the process then ends."""
    model, task = load_model("tiny"), load_task("addition")
    engine = LocalEngine(model)
    run([_ways(Session(engine, 1, Sampling(16)))], [engine])
    small = Stage(steps=2, problems=2, samples=4, minibatches=1)
    clipped = replace(
        small,
        name="clipped",
        epochs=2,
        minibatches=2,
        advantage=advantages.group_normalised,
        losses=(losses.clipped(), losses.entropy_bonus(0.01)),
    )
    stages = (
        small,
        clipped,
        replace(imitation(2, {"trace": 1.0}), problems=4),
        replace(imitation(1, {"direct": 1.0}), name="few", problems=1),
    )
    learning = Learning(Recipe(stages), Setting(task if isinstance(task, Addition) else Addition()), model)
    while not learning.done:
        learning.step()
    learning.leave()
