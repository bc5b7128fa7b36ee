"""The doctor: what silently keeps a model from learning, found before or in the first step, each with what to do about it.

A finding is fine, a note, a warning or fatal. Fatal means that nothing can be learnt, or that the wrong thing would be; it stops a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ..core.context import Context
from ..core.errors import Diagnosis, InputError
from ..core.records import Reply, Rollout
from ..core.rng import rng
from ..learning.recipe import Stage
from ..learning.select import everything
from ..models.model import Model
from ..tasks import Task
from . import beforehand, first_step
from .finding import ENOUGH, Finding
from .text import one_line

GOLD = 16  # problems whose gold answer is checked
AGREE = {"float64": 1e-6, "float32": 1e-3, "bfloat16": 0.1, "float16": 0.05}  # nats a token, sampler against learner, on average


def before(model: Model, task: Task, stage: Stage, seed: int = 0) -> list[Finding]:
    """What can be seen without sampling: gold answers through tokenizer and verifier, room for worked replies, begin and end tokens, and
    what the chat template does.
    """
    known = [Finding("task", "warning", found) for found in task.findings]
    known += beforehand.look(model, task, stage, seed)
    return [*known, *_gold(model, task, seed), *_room(model, task, stage, seed), *_prompt(model, task, seed), _template(model)]


def after(
    rollouts: Sequence[Rollout], metrics: Mapping[str, float], stage: Stage, model: Model, learnt: first_step.Learnt | None = None
) -> list[Finding]:
    """What the first step shows: verifier errors, cut-off and unreadable replies, groups without signal, constant rewards, whether
    the learner finds the sampler's log-probabilities, and, with what was learnt from it, all that `first_step` looks at.
    """
    found = [*_errors(rollouts), *_agreement(metrics, stage, model)]
    valid = [r for r in rollouts if r.error is None and r.reply is not None]
    if stage.source == "task" and len(valid) >= ENOUGH:
        found += [*_endings(valid, stage), *_signal(stage, metrics), *_parts(valid)]
    return found + first_step.look(rollouts, learnt, stage)


def stop(found: Sequence[Finding]) -> None:
    """Raises Diagnosis if a finding is fatal."""
    fatal = [f.text for f in found if f.level == "fatal"]
    if fatal:
        raise Diagnosis("nothing good can come of this run. " + " ".join(fatal) + " (--no-doctor runs it all the same)")


# ---- before


def _gold(model: Model, task: Task, seed: int) -> list[Finding]:
    """Gold answers, encoded and decoded again, must score 1."""
    problems = [problem for i in range(_few(task)) if (problem := task.problem(i, "train", seed)).answer]
    n, wrong = len(problems), []
    if not problems:
        return [Finding("gold answers", "note", "the task has no gold text, so only its verifier says what is right")]
    for problem in problems:
        try:
            text = model.tokenizer.decode(model.tokenizer.encode(problem.answer))
            verdict = task.verify(problem, Reply(text))
        except InputError as error:  # a character that the vocabulary lacks
            wrong.append(f"{problem.answer!r}: {error}")
        except Exception as error:
            wrong.append(f"{problem.answer!r}: the verifier raised {type(error).__name__}: {error}")
        else:
            if verdict.score < 1:
                came = "" if text == problem.answer else f" (it comes back from the tokenizer as {one_line(text, 40)!r})"
                wrong.append(f"{one_line(problem.answer, 40)!r}{came}: {verdict.score:g}, {one_line(verdict.reason, 80)}")
    if not wrong:
        return [Finding("gold answers", "fine", f"{n} of {n} score 1 through tokenizer and verifier")]
    advice = "mend the answers, choose another verifier, or use a model whose tokenizer covers the text"
    return [
        Finding("gold answers", "fatal" if len(wrong) == n else "warning", f"{len(wrong)} of {n} do not score 1, as {wrong[0]}", advice)
    ]


def _room(model: Model, task: Task, stage: Stage, seed: int) -> list[Finding]:
    """Whether worked replies fit into max_tokens."""
    if not task.styles or stage.source != "task":
        return []
    most, longest = stage.max_tokens or task.max_tokens, 0
    for i in range(_few(task)):
        problem = task.problem(i, "train", seed)
        if task.has_demonstration(problem):
            text = task.demonstration(problem, task.styles[0], rng(seed, "doctor", i))
            longest = max(longest, len(model.tokenizer.encode(text)) + 1)
    if longest > most:
        seen = f"a worked reply takes up to {longest} tokens, max_tokens is {most}"
        return [Finding("room", "warning", seen, f"--set max_tokens={longest} or more")]
    return [Finding("room", "fine", f"worked replies take up to {longest} tokens of {most}")] if longest else []


def _few(task: Task) -> int:
    """How many training problems are looked at."""
    size = task.size("train")
    return GOLD if size is None else min(GOLD, size)


def _prompt(model: Model, task: Task, seed: int) -> list[Finding]:
    """Begin tokens once, an end token inside the vocabulary, prompts that differ."""
    problems = [task.problem(i, "train", seed) for i in range(min(2, _few(task)))]
    t, found = model.tokenizer, []
    if problems:
        ids = model.context(Context.root(t), problems[0].question).ids
        begins = sum(i == t.begin for i in ids[:3]) if t.begin is not None else 0
        if begins > 1:
            seen = f"the prompt begins with {begins} begin tokens"
            found.append(Finding("prompt", "warning", seen, "the template and the tokenizer both add one: set add_bos_token to false"))
    if len(problems) == 2 and problems[0].question.prompt == problems[1].question.prompt:
        found.append(Finding("prompt", "warning", "the first two problems have the same prompt", "check --question"))
    if not 0 <= t.end < model.decoder.config.vocabulary:
        seen = f"the end token is {t.end}, the model writes 0 to {model.decoder.config.vocabulary - 1}"
        found.append(Finding("end token", "fatal", seen, "mend eos_token in tokenizer_config.json"))
    return found or [Finding("prompt", "fine", "one begin token at most, an end token that the model can write")]


def _template(model: Model) -> Finding:
    """Whether a chat template is applied, and what it does to what was written."""
    chat = model.chat
    if chat is None:
        return Finding("template", "fine", "the model has no chat template: questions are put as plain text, without instructions")
    asked = [{"role": "user", "content": "1+1?"}]
    answer = "2"
    if chat.thinks is not None:
        opener, closer = chat.thinks.tags
        answer = f"{'' if chat.thought_open(chat.start(asked)) else opener}\nso\n{closer}\n\n2"
    said = {"role": "assistant", "content": answer}
    past = chat.rewrites([*asked, said, *asked, said, *asked])
    if not any(past):
        return Finding("template", "fine", "questions are put by the model's chat template, which leaves the past as it was written")
    seen = f"the chat template rewrites the past: {sum(past)} of {len(past)} turns would start a new tree root"
    return Finding("template", "note", seen, "here what was written stays verbatim; servers that render the history anew see other tokens")


# ---- after the first step


def _errors(rollouts: Sequence[Rollout]) -> list[Finding]:
    failed = [r.error for r in rollouts if r.error is not None]
    if not failed:
        return [Finding("errors", "fine", f"none in {len(rollouts)} rollouts")]
    ((error, _),) = Counter(failed).most_common(1)
    return [
        Finding(
            "errors",
            "warning",
            f"{len(failed)} of {len(rollouts)} rollouts, mostly {one_line(error, 120)}",
            "they are left out, not scored 0",
        )
    ]


def _agreement(metrics: Mapping[str, float], stage: Stage, model: Model) -> list[Finding]:
    """Sampler and learner must find the same log-probabilities before an update."""
    drift = metrics.get("drift")
    if drift is None or stage.source != "task" or stage.epochs * stage.minibatches > 1:
        return []
    kind = str(model.decoder.dtype).removeprefix("torch.")
    bound = AGREE[kind]
    seen = f"sampler and learner differ by {drift:.1e} nats a token ({kind}, bound {bound:g})"
    if drift <= bound:
        return [Finding("agreement", "fine", seen)]
    advice = (
        "the engine samples from other weights, another temperature or a truncated distribution: check its flags, or use --engine local"
    )
    return [Finding("agreement", "fatal", seen, advice)]


def _endings(valid: Sequence[Rollout], stage: Stage) -> list[Finding]:
    """Replies cut off at the limit, and replies in which no answer is found."""
    n = len(valid)
    cut = sum(r.reply is not None and r.reply.truncated for r in valid)
    read = [r for r in valid if r.verdict is not None]
    unread = sum(r.verdict is not None and r.verdict.parsed is None for r in read)
    right = any(r.verdict is not None and r.verdict.score > 0 for r in read)
    found = []
    if cut > n / 2:
        seen = f"{cut} of {n} replies were cut off at max_tokens"
        advice = "raise --set max_tokens=N, or let the model first learn to end its replies (thinkery train sft …)"
        found.append(Finding("ended replies", "fatal" if cut == n and read and not right else "warning", seen, advice))
    else:
        found.append(Finding("ended replies", "fine", f"{n - cut} of {n} replies ended by themselves"))
    whole = unread - sum(r.reply is not None and r.reply.truncated and r.verdict is not None and r.verdict.parsed is None for r in read)
    if read and whole > 0.9 * (n - cut) and n - cut >= ENOUGH and not right:
        example = next(
            r for r in read if r.verdict is not None and r.verdict.parsed is None and r.reply is not None and not r.reply.truncated
        )
        assert example.reply is not None and example.verdict is not None
        seen = f"the verifier finds no answer in {whole} of {n - cut} replies, as in {one_line(example.reply.text, 80)!r} ({example.verdict.reason})"
        advice = "say in the prompt how to answer, teach the format first (thinkery train sft …), or choose another verifier"
        found.append(Finding("readable answers", "warning", seen, advice))
    return found


def _signal(stage: Stage, metrics: Mapping[str, float]) -> list[Finding]:
    """Groups whose samples differ in reward are all that a group baseline learns from; who imitates what was selected needs none."""
    mixed = metrics.get("mixed")
    if mixed is None:
        return []
    if mixed > 0:
        return [Finding("signal", "fine", f"{mixed:.0%} of the groups have samples that differ in reward")]
    accuracy = metrics.get("accuracy")
    if stage.select is not everything and metrics.get("trained_tokens"):
        return [Finding("signal", "fine", "what was selected is learnt from, though its samples do not differ in reward")]
    where = "" if accuracy is None else ", all wrong" if accuracy == 0 else ", all right" if accuracy == 1 else ""
    advice = "harder problems" if accuracy == 1 else "easier problems, more samples a problem, or a warm start (thinkery train sft …)"
    return [Finding("signal", "warning", f"in the first step no group has samples that differ in reward{where}", advice)]


def _parts(valid: Sequence[Rollout]) -> list[Finding]:
    """Parts of the reward that never vary push nothing. One that is 0 may be a punishment that nobody has earned."""
    found: dict[str, set[float | None]] = {}
    for r in valid:
        for name, value in r.rewards.items():
            found.setdefault(name, set()).add(value)
    still = {name: values for name, values in sorted(found.items()) if name != "correct" and len(values) == 1}
    paid, idle = [n for n, v in still.items() if v != {0.0}], [n for n, v in still.items() if v == {0.0}]
    out = []
    if paid:
        seen = f"{', '.join(paid)} never varied in the first step"
        out.append(Finding("reward parts", "warning", seen, "a part that is constant teaches nothing"))
    if idle:
        out.append(Finding("reward parts", "note", f"{', '.join(idle)} paid and cost nothing in the first step"))
    return out
