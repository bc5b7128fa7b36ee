"""What can be seen before anything is sampled: settings that cannot learn, problems that tell their answers, verifiers that anybody pleases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..core.context import Context
from ..core.errors import InputError
from ..core.records import Problem, Reply
from ..core.rng import rng
from ..learning.gradient import trained
from ..learning.recipe import Stage
from ..models.model import Model
from ..tasks import Task
from .finding import Finding, fatal, warning
from .text import one_line

LOOKED = 64  # problems
COLD = 0.05  # temperature at and below which samples are nearly one text
HIGH = 0.1  # a learning rate of AdamW at and above which models break
DECAYED = 0.1  # of the weights that decay may take in a step
SHORT = 2  # characters of an answer that may well stand in a prompt by chance


def settings(stage: Stage, model: Model) -> Iterator[Finding]:
    """Numbers by which nothing can be learnt, or which break a model at once."""
    o = stage.optimizer
    rates = {"lr": o.lr} | ({"muon_lr": o.muon_lr} if o.kind == "muon" else {})
    if not trained(model.decoder):
        yield fatal("frozen", "no parameter of the model learns", "leave requires_grad on, or give --lora RANK")
    if all(rate <= 0 for rate in rates.values()):
        told = ", ".join(f"{name} is {rate:g}" for name, rate in rates.items())
        yield fatal("learning rate", f"{told}: the weights stay as they are", "--set lr=3e-4 is a beginning")
    elif o.kind != "muon" and o.lr >= HIGH:
        yield warning("learning rate", f"lr is {o.lr:g}: at {HIGH:g} and more models break in a few steps", "--set lr=3e-4 is a beginning")
    if stage.steps > 1 and o.warmup >= stage.steps:
        seen = f"the warm-up has {o.warmup} steps, the stage {stage.steps}: the rate never comes to what was asked for"
        yield Finding(
            "warm-up",
            "warning" if o.warmup > 2 * stage.steps and stage.steps >= 20 else "note",
            seen,
            "fewer steps of warm-up, or more of all",
        )
    if o.clip <= 0:
        yield fatal("clipping", f"gradients are clipped to a norm of {o.clip:g}: no update does anything", "--set clip=1")
    if (share := o.weight_decay * max(rates.values())) > DECAYED:
        yield warning(
            "weight decay",
            f"each step takes {share:.0%} of every weight (decay times learning rate)",
            "a weight_decay of 0 to 0.1 is usual",
        )
    if stage.source == "task":
        yield from _sampling(stage)


def _sampling(stage: Stage) -> Iterator[Finding]:
    if stage.temperature <= COLD and stage.samples > 1:
        seen = f"samples are drawn at temperature {stage.temperature:g}: those of a problem will be one text"
        yield warning("temperature", seen, "1 is usual; much less leaves nothing to compare")
    compares = getattr(stage.advantage, "__name__", "").startswith("group")
    if compares and stage.samples == 1:
        seen = f"each problem is answered once, and {stage.advantage.__name__} compares it with itself: every advantage is 0"
        yield fatal("group size", seen, "--set samples=8 or more, or a method without groups, such as reinforce")


def problems(task: Task, stage: Stage, model: Model, seed: int = 0) -> Iterator[Finding]:
    """Problems that come twice, that stand on both sides of a split, that hold their answers, or do not fit."""
    train = _some(task, "train", seed)
    prompts = [p.question.prompt for p in train]
    if len(set(prompts)) < 0.7 * len(prompts) and len(prompts) >= 8 and len(set(prompts)) > 1:
        seen = f"{len(prompts)} training problems have {len(set(prompts))} different prompts, as {one_line(max(prompts, key=prompts.count), 60)!r}"
        yield warning("duplicates", seen, "leave out rows that come again: they are learnt by heart")
    unlike = [p for p in train if p.question.prompt.strip() != p.answer.strip()]
    if train and not unlike:
        yield fatal("columns", "every prompt is its own answer", "check --question and --answer: they name one column")
    yield from _split(task, set(prompts), seed)
    told = [p for p in train if _tells(p)]
    if unlike and len(told) > 0.8 * len(train) >= 4:
        seen = f"{len(told)} of {len(train)} prompts end in their own answer, as {one_line(told[0].question.prompt[-60:], 60)!r}"
        yield warning("leak", seen, "leave the answer's column out of --question")
    stops = [(s, p) for s in task.stop for p in train if s and s in p.answer]
    if stops:
        s, p = stops[0]
        yield fatal(
            "stop string",
            f"the stop string {s!r} stands in the answer {one_line(p.answer, 40)!r}: it can never be given",
            "another stop string",
        )
    yield from _fit(task, stage, model, train)


def _tells(p: Problem) -> bool:
    """Whether a prompt ends in its answer, which is not there by chance."""
    answer = p.answer.strip()
    return len(answer) > SHORT and p.question.prompt.rstrip(" .\n").endswith(answer) and p.question.prompt.strip() != answer


def _split(task: Task, prompts: set[str], seed: int) -> Iterator[Finding]:
    """Test problems among those that are learnt from."""
    test = {p.question.prompt for p in _some(task, "test", seed)}
    both = prompts & test
    if len(both) > max(1, 0.05 * len(test)):
        seen = f"{len(both)} of {len(test)} test problems are training problems too, as {one_line(min(both), 60)!r}"
        yield warning("split", seen, "split by what problems have in common (their family), not by row; accuracy on these is memory")


def _fit(task: Task, stage: Stage, model: Model, train: Sequence[Problem]) -> Iterator[Finding]:
    """Prompts beside which a reply has no room in the model's context."""
    holds, reply = model.decoder.config.context, stage.max_tokens or task.max_tokens
    root = Context.root(model.tokenizer)
    try:
        longest = max((model.context(root, p.question).n for p in train[:16]), default=0)
    except InputError:  # a character that the vocabulary lacks: said where answers are looked at, and when it is asked
        return
    if longest + reply > holds:
        seen = f"prompts have up to {longest} tokens, replies up to {reply}, and the model's context holds {holds}"
        yield warning("context", seen, f"--set max_tokens={max(1, holds - longest)}, shorter prompts, or a model with a longer context")


def verifier(task: Task, seed: int = 0) -> Iterator[Finding]:
    """Whether the verifier pays for nothing, for any answer, or for the look of one."""
    train = [p for p in _some(task, "train", seed)[:16] if p.answer]
    others = [(p, q) for p, q in zip(train, [*train[1:], *train[:1]]) if p.answer.strip() != q.answer.strip()]
    tries: dict[str, Callable[[], list[float]]] = {
        "an empty reply": lambda: [task.verify(p, Reply("")).score for p in train],
        "'#', an answer's mark without one,": lambda: [task.verify(p, Reply("#")).score for p in train],
        "a reply that says nothing but 'yes'": lambda: [
            task.verify(p, Reply("yes")).score for p in train if p.answer.strip().lower() != "yes"
        ],
        "the answer to another problem": lambda: [task.verify(p, Reply(q.answer)).score for p, q in others],
    }
    for what, scores in tries.items():
        found = _paid(scores)
        if len(found) >= 4 and sum(s >= 1 for s in found) > 0.9 * len(found):
            seen = f"{what} scores 1 on {sum(s >= 1 for s in found)} of {len(found)} problems"
            yield fatal("verifier", seen, "it pays for something else than the answer: mend it, and try it by hand (thinkery task audit)")
            return


def _paid(scores: Callable[[], list[float]]) -> list[float]:
    """The scores, none where the verifier raises: that is no pay, and is looked for with the gold answers."""
    try:
        return scores()
    except Exception:
        return []


def _some(task: Task, split: str, seed: int) -> list[Problem]:
    """The first problems of a split."""
    size = task.size(split)
    return [task.problem(i, split, seed) for i in range(LOOKED if size is None else min(LOOKED, size))]


def look(model: Model, task: Task, stage: Stage, seed: int = 0) -> list[Finding]:
    """All of it. A worked reply that a stop string would cut is looked for, too."""
    return [*settings(stage, model), *problems(task, stage, model, seed), *verifier(task, seed), *_worked(task, stage, seed)]


def _worked(task: Task, stage: Stage, seed: int) -> Iterator[Finding]:
    """Demonstrations that are learnt from and are wrong."""
    if stage.source != "demonstrations" or not task.styles:
        return
    style = next(iter(stage.styles or task.styles))
    worked = [p for p in _some(task, "train", seed)[:16] if task.has_demonstration(p)]
    try:
        scores = [task.verify(p, Reply(task.demonstration(p, style, rng(seed, "doctor", i)))).score for i, p in enumerate(worked)]
    except Exception:  # tools, episodes: not every worked reply can be checked by itself
        return
    if len(scores) >= 4 and sum(s < 1 for s in scores) > 0.5 * len(scores):
        seen = f"{sum(s < 1 for s in scores)} of {len(scores)} worked replies in the style {style!r} are wrong by the task's own verifier"
        yield warning("worked replies", seen, "check --solution and --verifier: this is what the model will learn to write")
