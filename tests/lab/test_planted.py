"""Faults as users make them, planted in runs of our own: each is named with its cause before the first step or in the first two, or is refused
by name. What was broken is never more than one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thinkery.core.errors import ThinkeryError
from thinkery.core.records import CALLS, Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import Stream
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Session
from thinkery.lab import doctor
from thinkery.lab.api import load_model
from thinkery.lab.finding import Finding
from thinkery.lab.watch import Watch
from thinkery.learning import advantages, losses, rewards, select
from thinkery.learning.batch import Batch
from thinkery.learning.loop import Learning
from thinkery.learning.losses import Loss
from thinkery.learning.recipe import Recipe, Setting, Stage, imitation
from thinkery.models.model import Model
from thinkery.tasks import load_task
from thinkery.tasks.chain import Chain

STAGE = Stage(steps=30, problems=8, samples=8)
BASE = Chain(steps=(2, 3))
STEPS = 2


class Other(Chain):
    """Chains with faults to plant: what is posed, what is paid, what is shown."""

    def __init__(self, **plant: Any) -> None:
        super().__init__(steps=(2, 3))
        self.plant = plant
        self.stop = plant.get("stop", self.stop)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        where = self.plant.get("where", lambda i, s: (i, s))(index, split)
        found = super().problem(*where, seed, **spec)
        return self.plant.get("posed", lambda p, i: p)(found, index)  # type: ignore[no-any-return]

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        paid = self.plant.get("paid")
        return super().verify(problem, reply, rollout) if paid is None else paid(super().verify, problem, reply, rollout)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        return self.plant.get("worked", lambda text: text)(super().demonstration(problem, style, rng))  # type: ignore[no-any-return]


def asked(prompt: Callable[[Problem], str]) -> Callable[[Problem, int], Problem]:
    return lambda p, i: replace(p, question=replace(p.question, prompt=prompt(p)))


def answers(answer: Callable[[Problem, int], str]) -> Callable[[Problem, int], Problem]:
    return lambda p, i: replace(p, answer=answer(p, i))


def saying(text: Callable[[str, Question], str], **data: Any) -> Any:
    """A solver that hands in something else than what was written."""

    async def solver(model: Session, question: Question, tools: Any = None) -> Reply:
        turn = await model.ask(question)
        return Reply(text(turn.text, question), turn.ended == "length", data)

    return solver


async def deaf(model: Session, question: Question, tools: Any = None) -> Reply:
    """The question never reaches the model, which is asked for the same each time."""
    turn = await model.ask("3+4*2=", temperature=0.0)
    return Reply(turn.text + " and that is the answer, I think")


async def forced(model: Session, question: Question, tools: Any = None) -> Reply:
    """What a tool says is recorded as if the model had written it."""
    turn = await model.ask(question, max_tokens=6)
    model.say(model.context(question) + turn, ";4+4:8", end=False)
    return Reply.of(await model.ask(model.context(question) + turn + ";4+4:8"))


def weighing(weight: Callable[[Batch], Any] | None = None, denominator: Callable[[Batch], float] | None = None) -> tuple[Loss, ...]:
    usual = losses.policy_gradient()
    return (replace(usual, weight=weight or usual.weight, denominator=denominator or usual.denominator),)


def shuffled_groups(batch: Batch) -> Any:
    """The advantage of the group beside."""
    return np.roll(advantages.group_mean(batch), 8)


def divided(batch: Batch) -> Any:
    """Divided by the deviation, which is 0 where all are alike."""
    out = np.zeros(len(batch))
    for g in np.unique(batch.group):
        x = batch.reward[batch.group == g]
        with np.errstate(all="ignore"):
            out[batch.group == g] = (x - x.mean()) / x.std()
    return out


def lost(batch: Batch) -> Any:
    return 0.0 * batch.reward


def stage(**changes: Any) -> Stage:
    return replace(STAGE, **changes)


def rated(**changes: Any) -> Stage:
    return stage(optimizer=replace(STAGE.optimizer, **changes))


def paying(**parts: Callable[[Rollout], float]) -> Any:
    made = lambda pay: lambda rollouts: [float(pay(r)) for r in rollouts]
    return rewards.weighted(correct=0.0, **{name: made(pay) for name, pay in parts.items()})


@dataclass(frozen=True)
class Fault:
    """What is planted, the check that names it and words of the cause. `check` "": the run is refused by an error with these words.

    model   changes the model; engine: changes what the engine samples from
    """

    check: str
    words: str
    task: Any = BASE
    stage: Stage = STAGE
    model: Callable[[Model], Any] = lambda m: None
    engine: Callable[[LocalEngine], Any] | None = None
    seen: Callable[[list[Rollout]], Any] = field(default=lambda rollouts: None)


score = lambda r: r.verdict.score if r.verdict is not None else 0.0
flat = lambda worth: lambda verify, p, reply, rollout: Verdict(worth, "7")


def fails(verify: Any, p: Problem, reply: Reply, rollout: Rollout | None) -> Verdict:
    if rollout is not None and rollout.k % 4 == 1:
        raise TimeoutError("the judge did not answer")
    return verify(p, reply, rollout)  # type: ignore[no-any-return]


def broken(verify: Any, p: Problem, reply: Reply, rollout: Rollout | None) -> Verdict:
    raise ZeroDivisionError("no such table")


def first_number(verify: Any, p: Problem, reply: Reply, rollout: Rollout | None) -> Verdict:
    """Reads the first digit of a reply, not the last."""
    digits = [c for c in reply.text if c.isdigit()]
    return Verdict(
        float((digits[:1] == [p.answer] and len(digits) > 1) or (reply.text == p.answer and rollout is None)), digits[0] if digits else None
    )


def form(verify: Any, p: Problem, reply: Reply, rollout: Rollout | None) -> Verdict:
    """Pays for the mark of an answer."""
    return Verdict(float("#" in reply.text or reply.text == p.answer), "x")


FAILED = {"tool": "search", "arguments": "{}", "text": "", "error": "no such host"}


def always(verify: Any, p: Problem, reply: Reply, rollout: Rollout | None) -> Verdict:
    """Whatever was sampled is right; what is tried by hand is judged."""
    return verify(p, reply, rollout) if rollout is None else Verdict(1.0, "7")


def frozen(model: Model) -> None:
    model.decoder.requires_grad_(False)


def collapsed(model: Model) -> None:
    """It says one thing, whatever is asked."""
    learning = Learning(Recipe((imitation(60, {"direct": 1.0}, problems=8),)), Setting(Other(worked=lambda text: "#4")), model)
    while not learning.done:
        learning.step()
    learning.leave()


def narrow(model: Model) -> None:
    model.decoder.config = replace(model.decoder.config, context=40)


def ends_nowhere(model: Model) -> None:
    model.tokenizer.end = 99


def hotter(engine: LocalEngine) -> None:
    """Samples as if at another temperature than it says."""
    engine.plan.norm = np.array(engine.plan.norm) * 0.6


def noisy(engine: LocalEngine) -> None:
    """Weights that are not the learner's."""
    engine.plan.norm = np.array(engine.plan.norm) * np.linspace(0.8, 1.3, len(engine.plan.norm), dtype=np.float32)


PLANTED: dict[str, Fault] = {
    # ---- data
    "gold answers that fail their verifier": Fault(
        "gold answers", "of 16 do not score 1", Other(posed=answers(lambda p, i: f"x{p.answer}"))
    ),
    "an answer outside of the vocabulary": Fault(
        "gold answers", "lacks the character", Other(posed=answers(lambda p, i: "é" if i == 3 else p.answer))
    ),
    "one question for all": Fault("prompt", "same prompt", Other(posed=asked(lambda p: "2+2="))),
    "problems that come again": Fault("duplicates", "different prompts", Other(where=lambda i, s: (i % 9, s))),
    "training problems in the test": Fault("split", "are training problems too", Other(where=lambda i, s: (i, "train"))),
    "question and answer are one column": Fault("columns", "its own answer", Other(posed=asked(lambda p: p.answer))),
    "the answer stands in the prompt": Fault(
        "leak",
        "end in their own answer",
        Other(posed=lambda p, i: asked(lambda q: f"{q.question.prompt}{q.answer}")(replace(p, answer=f"{p.answer}00"), i)),
    ),
    "worked replies that are wrong": Fault(
        "worked replies", "wrong by the task's own verifier", BASE, replace(imitation(30, {"corrupted": 1.0}), problems=8)
    ),
    # ---- model and prompt
    "nothing learns": Fault("frozen", "no parameter", model=frozen),
    "an end token that cannot be written": Fault("end token", "the model writes 0 to", model=ends_nowhere),
    "no room for prompt and reply": Fault("context", "the model's context holds", model=narrow),
    "a stop string within answers": Fault("stop string", "can never be given", Other(stop=("1",))),
    "too few tokens for the work": Fault("room", "a worked reply takes", stage=stage(max_tokens=6)),
    "replies cut off": Fault("ended replies", "cut off at max_tokens", stage=stage(max_tokens=1)),
    "the question does not reach the model": Fault("same prompts", "the question is not in the prompt", stage=stage(solver=deaf)),
    "one reply for all questions": Fault(
        "blind replies", "the policy has collapsed", stage=stage(solver=saying(lambda text, q: "whatever you ask: it is #7"))
    ),
    "an end token that does not end": Fault(
        "end token", "no stop token of the sampler", stage=stage(solver=saying(lambda text, q: f"{text}<|im_end|>\nand more of it"))
    ),
    "the next question is made up": Fault(
        "template",
        "go on with another turn",
        stage=stage(solver=saying(lambda text, q: f"{text}\nQuestion: 2+2=")),
    ),
    "decoded by another tokenizer": Fault(
        "tokenizer", "another tokenizer", stage=stage(solver=saying(lambda text, q: "\ufffd\ufffd\ufffd" + text))
    ),
    "replies that loop": Fault("repetition", "loop", stage=stage(solver=saying(lambda text, q: text + "wait, again " * 9))),
    "empty replies": Fault("empty replies", "first token is a stop token", stage=stage(solver=saying(lambda text, q: ""))),
    "answers that nobody can read": Fault(
        "readable answers", "finds no answer", stage=stage(solver=saying(lambda text, q: "it is what it is"))
    ),
    # ---- verifiers and rewards
    "a verifier that pays anything": Fault("verifier", "an empty reply scores 1", Other(paid=flat(1.0))),
    "a verifier that pays the form": Fault("verifier", "mark without one", Other(paid=form)),
    "a verifier that never pays": Fault("gold answers", "do not score 1", Other(paid=flat(0.0))),
    "the first number instead of the last": Fault("grader", "end in the gold answer are paid 0", Other(paid=first_number)),
    "a verifier that fails at times": Fault("errors", "the judge did not answer", Other(paid=fails)),
    "a verifier that always fails": Fault("", "no such table", Other(paid=broken)),
    "rewards turned round": Fault("sign", "right replies get", stage=stage(reward=paying(wrong=lambda r: -score(r)))),
    "a reward that is no number": Fault("", "nan|finite", stage=stage(reward=paying(odd=lambda r: float("nan")))),
    "a reward that raises": Fault("", "KeyError", stage=stage(reward=paying(odd=lambda r: {}["x"]))),
    "a judge that always says yes": Fault(
        "reward parts", "judge never varied", stage=stage(reward=paying(judge=lambda r: 1.0, brief=lambda r: -r.tokens))
    ),
    "a judge that likes length": Fault("length bias", "follows the length", stage=stage(reward=paying(judge=lambda r: r.tokens / 10))),
    "the form is all that pays": Fault(
        "format alone", "the look of an answer", stage=stage(reward=paying(accuracy=lambda r: 0.0, format=lambda r: float(r.tokens % 2)))
    ),
    "rewards too small to matter": Fault("scale", "the largest advantage", stage=stage(reward=paying(tiny=lambda r: 1e-9 * score(r)))),
    "rewards of another order": Fault("scale", "the largest advantage", stage=stage(reward=paying(large=lambda r: 1e6 * score(r)))),
    # ---- advantages and losses
    "divided by a deviation of 0": Fault("advantages", "are nan", stage=stage(advantage=divided)),
    "advantages with their sign turned": Fault(
        "sign", "fall where rewards rise", stage=stage(advantage=lambda b: -advantages.group_mean(b))
    ),
    "advantages of the group beside": Fault("advantage groups", "other groups than were sampled", stage=stage(advantage=shuffled_groups)),
    "each compared with itself": Fault("advantages", "the groups were lost", stage=stage(advantage=lost)),
    "one sample a problem": Fault("group size", "compares it with itself", stage=stage(samples=1)),
    "tool text in the loss": Fault(
        "mask", "did not draw", stage=stage(solver=forced, losses=weighing(weight=lambda b: np.ones(b.mask.shape)))
    ),
    "a sum for a mean": Fault("normalisation", "a sum over", stage=stage(losses=weighing(denominator=lambda b: 1.0))),
    "a selection that keeps nothing": Fault("selection", "kept none", stage=stage(select=select.Where((lambda g: False,)))),
    # ---- sampling and updates
    "sampled from other weights": Fault("agreement", "samples from other weights", engine=noisy),
    "sampled at another temperature": Fault("agreement", "another temperature", engine=hotter),
    "samples that are one text": Fault("temperature", "will be one text", stage=stage(temperature=0.01)),
    "a learning rate of 0": Fault("learning rate", "stay as they are", stage=rated(lr=0.0)),
    "a learning rate a thousand times too high": Fault("learning rate", "break in a few steps", stage=rated(lr=0.3)),
    "a warm-up longer than the run": Fault("warm-up", "never comes to what was asked for", stage=rated(warmup=500)),
    "gradients clipped to nothing": Fault("clipping", "no update does anything", stage=rated(clip=0.0)),
    "weights that decay away": Fault("weight decay", "of every weight", stage=rated(weight_decay=1000.0)),
    "nothing right, whatever is sampled": Fault("signal", "all wrong", stage=stage(solver=saying(lambda text, q: "#x"))),
    "nothing wrong, whatever is sampled": Fault(
        "signal",
        "all right",
        Other(paid=always),
    ),
    "a tool that always fails": Fault(
        "tools",
        "no such host",
        stage=stage(
            solver=saying(lambda text, q: text, **{CALLS: [{"tool": "search", "arguments": "{}", "text": "", "error": "no such host"}]})
        ),
    ),
    "entropy gone from the start": Fault("entropy", "nothing is tried", model=collapsed),
}


def findings(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> Iterator[Finding]:
    """What is said of a run of two steps, its error too."""
    if fault.engine is not None:
        refresh, change = LocalEngine.reset, fault.engine

        def reset(self: LocalEngine) -> None:
            refresh(self)
            change(self)

        monkeypatch.setattr(LocalEngine, "reset", reset)
    model, watch = load_model("tiny"), Watch()
    fault.model(model)
    if model.decoder.compiled:
        model.decoder.changed()
    try:
        yield from doctor.before(model, fault.task, fault.stage, 3)
        learning = Learning(Recipe((fault.stage,)), Setting(fault.task, seed=3), model)
        try:
            for step in range(STEPS):
                metrics = learning.step()
                if step == 0:
                    yield from doctor.after(learning.rollouts, metrics, fault.stage, model, learning.learnt)
                yield from watch.look("rl", metrics)
        finally:
            learning.leave()
    except ThinkeryError as error:
        yield Finding("", "fatal", str(error))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named_with_its_cause(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = PLANTED[name]
    said = []
    for finding in findings(fault, monkeypatch):
        if finding.level != "fine":
            said.append(finding)
        words = fault.words.split("|")
        if finding.check == fault.check and finding.level != "fine" and any(w in finding.text for w in words):
            return
    raise AssertionError([f.text for f in said])


def test_forty_at_least() -> None:
    assert len(PLANTED) >= 40
    assert len({(f.check, f.words) for f in PLANTED.values()}) >= 40, "variants of one fault count once"


@pytest.mark.parametrize("task", ["addition", "chain", "countdown", "logic", "sat", "grid", "twenty_questions", "pipelines"])
def test_nothing_is_said_of_what_is_sound(task: str) -> None:
    model, made = load_model("tiny"), load_task(task)
    for s in (STAGE, replace(imitation(30, {made.styles[0]: 1.0}), problems=8)):
        found = doctor.before(model, made, s, 3)
        assert [f.text for f in found if f.level in ("warning", "fatal")] == []


def test_the_page_lists_them() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "doctor.md").read_text("utf-8")
    rows = [f"| {name} | {fault.check or 'refused by name'} |" for name, fault in PLANTED.items()]
    assert [row for row in rows if row not in page] == []
