"""The same checkpoint by us, by lm-evaluation-harness and by Inspect: the same replies, to the character, and the same scores.

Real problems of GSM8K and MATH-500 under the published prompts: GSM8K's as it stands, the eight worked examples of Wei et al. (2022), the four of
Lewkowycz et al. (2022). Prompts, stop strings, filters and metrics are those of the harness's tasks gsm8k, gsm8k_cot and minerva_math500; Inspect
reads the same prompts with its scorers `match` and `math`. The checkpoint is a small decoder that has learnt part of the problems by heart under that
very prompt, so that some replies are right. The exit status is 1 if a reply differs, or if each score of another side is not ours for more than one
problem in forty: what is no sentence is read in more ways than one.

    pip install 'lm-eval[math]' inspect-ai torch transformers    # then, from a clone
    python benchmarks/parity.py --data FOLDER    # with gsm8k/test.jsonl and math/math500.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.core.rng import Stream
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.lab import api
from thinkery.learning.collect import Collector, Unit
from thinkery.models.decoder import DecoderConfig
from thinkery.models.model import load_model, new_model
from thinkery.models.tokenizer import train_tokenizer
from thinkery.solvers import single
from thinkery.tasks.base import Task
from thinkery.tasks.verifiers import verifier

ROWS, LEARNT, STEPS = 40, 24, 400
PIECES = 600  # of the tokenizer
SMALL = DecoderConfig(vocabulary=0, width=128, layers=4, heads=4, kv_heads=2, head_width=32, feed_forward=256, context=4096)
Doc = dict[str, str]


@dataclass(frozen=True)
class Form:
    """One way to ask.

    file        of problems, under the folder given
    config      the harness's task, reading a file
    reply       what is learnt by heart
    gold        the answer
    check       our verifier; `scorer` makes Inspect's
    metrics     of the harness
    """

    name: str
    file: str
    config: Callable[[], dict[str, Any]]
    reply: Callable[[Doc], str]
    gold: Callable[[Doc], str]
    check: str
    scorer: Callable[[], Any]
    metrics: tuple[str, ...] = ("exact_match",)
    max_tokens: int = 160


# ---- the harness's tasks


def published(task: str) -> dict[str, Any]:
    """A task's configuration as the harness ships it, without where its rows come from."""
    import lm_eval
    import yaml

    path = next((Path(lm_eval.__file__).parent / "tasks" / "gsm8k").glob(f"{task}.yaml"))
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return {k: v for k, v in found.items() if k not in ("dataset_name", "dataset_path", "tag", "metadata", "repeats")}


def gsm8k() -> dict[str, Any]:
    """Without worked examples: its own are drawn anew for each problem."""
    return {**published("gsm8k"), "num_fewshot": 0}


def gsm8k_cot() -> dict[str, Any]:
    return published("gsm8k-cot")


def minerva() -> dict[str, Any]:
    from lm_eval.tasks.minerva_math import utils

    return {
        "output_type": "generate_until", "process_docs": utils.process_docs, "doc_to_text": utils.doc_to_text,
        "process_results": utils.process_results, "doc_to_target": "{{answer if few_shot is undefined else solution}}", "num_fewshot": 4,
        "fewshot_config": {"sampler": "first_n", "samples": utils.list_fewshot_samples},
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in ("exact_match", "math_verify")],
        "generation_kwargs": {"until": ["Problem:"], "do_sample": False, "temperature": 0.0},
    }  # fmt: skip


def numeric() -> Any:
    from inspect_ai.scorer import match

    return match(numeric=True)


def symbolic() -> Any:
    from inspect_ai.scorer import math

    return math()


def tail(doc: Doc) -> str:
    """GSM8K's answer."""
    return doc["answer"].split("#### ")[1].replace(",", "")


FORMS = (
    Form("GSM8K", "gsm8k/test.jsonl", gsm8k, lambda d: f" {d['answer']}", tail, "number", numeric),
    Form(
        "GSM8K, eight worked examples", "gsm8k/test.jsonl", gsm8k_cot,
        lambda d: f" {d['answer'].split('#### ')[0].strip()} The answer is {tail(d)}.", tail, "number", numeric,
    ),
    Form(
        "MATH-500, four worked examples", "math/math500.jsonl", minerva,
        lambda d: f" {d['solution']}\nFinal Answer: The final answer is ${d['answer']}$. I hope it is correct.",
        lambda d: d["answer"], "math", symbolic, ("exact_match", "math_verify"),
    ),
)  # fmt: skip


# ---- three sides


class Recited(Task):
    """Prompts as the harness puts them, with their gold answers; worked replies to learn by heart."""

    name, styles = "parity", ("worked",)

    def __init__(self, form: Form, items: Sequence[tuple[str, Doc]], stop: tuple[str, ...] = ()) -> None:
        self.form, self.items, self.stop, self.max_tokens = form, items, stop, form.max_tokens
        self.check = verifier(form.check)

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        prompt, doc = self.items[index % len(self.items)]
        return Problem(str(index), Question(prompt), self.form.gold(doc), family=str(index))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        return self.check(problem.answer, reply)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        return self.form.reply(self.items[int(problem.id) % len(self.items)][1])


def harness(folder: Path | None, form: Form, path: Path) -> list[dict[str, Any]]:
    """The harness's samples; without a model those of a model that says nothing, which have the prompts."""
    import lm_eval
    from lm_eval.models.dummy import DummyLM
    from lm_eval.models.huggingface import HFLM

    config = form.config()
    config |= {"task": "rows", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(path)}}, "test_split": "test"}
    config |= {"training_split": None, "fewshot_split": None}
    config["generation_kwargs"] = {**config["generation_kwargs"], "max_gen_toks": form.max_tokens}
    lm = DummyLM() if folder is None else HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=4)
    found = lm_eval.simple_evaluate(model=lm, tasks=[config], log_samples=True, bootstrap_iters=0)
    samples: list[dict[str, Any]] = found["samples"]["rows"]
    return samples


def inspect(folder: Path, form: Form, items: Sequence[tuple[str, Doc]], stop: Sequence[str], logs: Path) -> dict[str, tuple[str, float]]:
    """By prompt, Inspect's reply and score."""
    import inspect_ai
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import GenerateConfig, get_model
    from inspect_ai.solver import generate

    told = GenerateConfig(max_tokens=form.max_tokens, stop_seqs=list(stop))
    how: dict[str, Any] = {"device": "cpu", "chat_template": "{{ messages[0]['content'] }}", "batch_size": 4, "do_sample": False}
    model = get_model("hf/local", config=told, model_path=str(folder), **how)
    dataset = MemoryDataset([Sample(input=prompt, target=form.gold(doc)) for prompt, doc in items])
    (log,) = inspect_ai.eval(
        inspect_ai.Task(dataset, solver=generate(), scorer=form.scorer()), model=model, log_dir=str(logs), display="none"
    )
    if log.status != "success" or log.samples is None:
        raise SystemExit(f"Inspect: {log.status}: {log.error}")
    return {str(s.input): (s.output.completion, float(*(v.value == "C" for v in (s.scores or {}).values()))) for s in log.samples}


def checkpoint(folder: Path, form: Form, items: Sequence[tuple[str, Doc]]) -> Path:
    """A model that has learnt the items by heart, as a Hugging Face folder."""
    tokenizer = train_tokenizer([f"{prompt}{form.reply(doc)}" for prompt, doc in items], PIECES)
    model = new_model(replace(SMALL, vocabulary=tokenizer.size), tokenizer, "parity")
    model.save(folder / "start")
    task = Recited(form, items)
    config = {"problems": 8, "max_tokens": 400}
    api.train(
        "sft", task=task, model=folder / "start", steps=STEPS, out=folder / "run", evaluate=0, workers=1, config=config, doctor_stops=False
    )
    return folder / "run" / "model"


def ours(folder: Path, task: Recited) -> dict[str, tuple[str, float]]:
    """By prompt, our reply and score, greedy."""
    engine = LocalEngine(load_model(folder))
    sampling = Sampling(task.max_tokens, 0.0, stop=task.stop)
    made = Collector(task, engine, single, sampling, 0, "evaluate", "test").collect(0, [Unit(i, 0) for i in range(len(task.items))])
    if failed := [r.error for r in made if r.error is not None]:
        raise SystemExit(f"{len(failed)} of our replies failed; the first: {failed[0]}")
    return {r.problem.question.prompt: (cut(r.reply, task.stop), r.verdict.score) for r in made if r.reply and r.verdict}


def cut(reply: Reply, stop: Sequence[str]) -> str:
    """The reply up to the stop string, which we keep and the others do not."""
    return min((reply.text.split(s)[0] for s in stop), key=len)


# ---- side by side


def compare(label: str, mine: Mapping[str, tuple[str, float]], other: Mapping[str, str], scores: Mapping[str, Mapping[str, float]]) -> bool:
    """Print how replies and scores agree, each by problem; whether all replies do, and one of the scores all but everywhere."""
    apart = [(mine[p][0], text) for p, text in other.items() if mine[p][0] != text]
    for pair in apart:
        print("  differs: {!r} | {!r}".format(*pair))
    n, agree, told = len(other), list[bool](), list[str]()
    for name, by in scores.items():
        equal = sum(mine[p][1] == score for p, score in by.items())
        told.append(f"{name} {sum(by.values()) / n:.4f} ({equal} of {n} problems scored the same)")
        agree.append(40 * (n - equal) <= n)
        for p, score in by.items():
            if mine[p][1] != score:
                print(f"    {name} {score:g}, ours {mine[p][1]:g}: {mine[p][0]!r}")
    accuracy = sum(mine[p][1] for p in other) / n
    print(
        f"  {label}: {n - len(apart)} of {n} replies the same, {len(set(other.values()))} different ones; {', '.join(told)}; ours {accuracy:.4f}"
    )
    return not apart and any(agree)


def asked(sample: dict[str, Any]) -> str:
    """The prompt of one of the harness's samples."""
    given = sample["arguments"]
    return str(given[0][0] if isinstance(given, list | tuple) else given["gen_args_0"]["arg_0"])


def one(form: Form, data: Path, folder: Path) -> bool:
    """All three sides on the problems of a form."""
    folder.mkdir()
    docs = [json.loads(line) for line in (data / form.file).read_text().splitlines()]
    docs = sorted(docs, key=lambda d: len("".join(str(v) for v in d.values())))[:ROWS]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(d) + "\n" for d in docs))
    items = [(asked(s), docs[s["doc_id"]]) for s in sorted(harness(None, form, path), key=lambda s: s["doc_id"])]
    items = list({prompt: (prompt, doc) for prompt, doc in items}.values())
    model = checkpoint(folder, form, items[:LEARNT])
    stop = tuple(form.config()["generation_kwargs"]["until"])
    mine = ours(model, Recited(form, items, stop))
    print(f"{form.name}: {len(items)} problems, prompts of {max(len(p) for p, _ in items)} characters at most")
    samples = harness(model, form, path)
    scores: dict[str, dict[str, float]] = {}
    for s in samples:
        for metric in form.metrics:
            name = metric if s["filter"] == "none" else s["filter"]
            scores.setdefault(name, {})[asked(s)] = float(s[metric])
    agree = [compare(f"lm-eval {version('lm-eval')}", mine, {asked(s): str(s["resps"][0][0]) for s in samples}, scores)]
    found = inspect(model, form, items, stop, folder / "logs")
    scorer = {"number": "match", "math": "math"}[form.check]
    told = {scorer: {p: score for p, (_, score) in found.items()}}
    agree.append(compare(f"Inspect {version('inspect-ai')}", mine, {p: text for p, (text, _) in found.items()}, told))
    return all(agree)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder with gsm8k/test.jsonl and math/math500.jsonl")
    parser.add_argument("--only", type=int, help="the number of one form, from 0")
    given = parser.parse_args()
    forms = FORMS if given.only is None else FORMS[given.only : given.only + 1]
    with tempfile.TemporaryDirectory() as folder:
        agree = [one(form, given.data, Path(folder) / str(i)) for i, form in enumerate(forms)]
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
