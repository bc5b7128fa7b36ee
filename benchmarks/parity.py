"""The same checkpoint by us and by lm-evaluation-harness: the same replies, to the character, and the same scores, on GSM8K's prompts.

The checkpoint is made here: a small decoder that has learnt part of the rows by heart, so that some replies are right. The problems are
made here, too, in the data set's form; prompts, stop strings, filters and metric are those of the harness's task gsm8k. Its five worked
examples are more than this decoder was taught to read: that round compares replies, its scores are all 0. The exit status is 1 if a reply
differs, or if each of the harness's filters scores some problem in another way than we do.

    pip install lm-eval torch transformers    # then, from a clone
    python benchmarks/parity.py
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from dataclasses import replace
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
from thinkery.tasks.verifiers import Check, verifier

ROWS, LEARNT, STEPS = 60, 36, 300
SMALL = DecoderConfig(vocabulary=0, width=128, layers=4, heads=4, kv_heads=2, head_width=32, feed_forward=256, context=2048)
UNTIL, TOKENS = ("Question:", "</s>", "<|im_end|>"), 64


def rows(n: int) -> list[dict[str, str]]:
    """Word problems in GSM8K's form, with a worked answer."""
    dice, out = random.Random(0), []
    names, things = ("Ann", "Ben", "Cleo", "Dan", "Eve", "Finn"), ("apples", "books", "coins", "eggs", "pens")
    for _ in range(n):
        name, thing, a, b = dice.choice(names), dice.choice(things), dice.randint(12, 99), dice.randint(3, 60)
        question = f"{name} has {a} {thing} and buys {b} more. How many {thing} does {name} have now?"
        out.append({"question": question, "answer": f"{name} has {a} + {b} = <<{a}+{b}={a + b}>>{a + b} {thing}.\n#### {a + b}"})
    return out


class Recited(Task):
    """Prompts as the harness puts them, with their gold answers; worked replies to learn by heart."""

    name, styles, max_tokens = "parity", ("worked",), 64

    def __init__(self, items: list[tuple[str, str, str]], check: Check, stop: tuple[str, ...] = (), max_tokens: int = 64) -> None:
        self.items, self.check, self.stop, self.max_tokens = items, check, stop, max_tokens

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        prompt, gold, _ = self.items[index % len(self.items)]
        return Problem(str(index), Question(prompt), gold, family=str(index))

    def verify(self, problem: Problem, reply: Reply, rollout: Rollout | None = None) -> Verdict:
        return self.check(problem.answer, reply)

    def demonstration(self, problem: Problem, style: str, rng: Stream) -> str:
        return self.items[int(problem.id) % len(self.items)][2]


def checkpoint(folder: Path, items: list[tuple[str, str, str]]) -> Path:
    """A model that has learnt the items by heart, as a Hugging Face folder."""
    tokenizer = train_tokenizer([f"{prompt}{worked}" for prompt, _, worked in items], 400)
    model = new_model(replace(SMALL, vocabulary=tokenizer.size), tokenizer, "parity")
    model.save(folder / "start")
    task = Recited(items, verifier("number"), max_tokens=128)
    config = {"problems": 8}
    api.train(
        "sft", task=task, model=folder / "start", steps=STEPS, out=folder / "run", evaluate=0, workers=1, config=config, doctor_stops=False
    )
    return folder / "run" / "model"


def ours(folder: Path, task: Recited) -> list[Rollout]:
    """Greedy replies of our engine."""
    engine = LocalEngine(load_model(folder))
    sampling = Sampling(task.max_tokens, 0.0, stop=task.stop)
    units = [Unit(i, 0) for i in range(len(task.items))]
    made = Collector(task, engine, single, sampling, 0, "evaluate", "test").collect(0, units)
    if failed := [r.error for r in made if r.error is not None]:
        raise SystemExit(f"{len(failed)} of our replies failed; the first: {failed[0]}")
    return made


def theirs(folder: Path, config: dict[str, Any], batch: int) -> dict[str, Any]:
    """What the harness finds with a task of its own configuration on our rows."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    lm = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=batch)
    found: dict[str, Any] = lm_eval.simple_evaluate(model=lm, tasks=[config], log_samples=True, bootstrap_iters=0)
    return found


def gsm8k(path: Path, shots: int) -> dict[str, Any]:
    """The harness's configuration of gsm8k, version 3, reading a file, with so many worked examples in the prompt."""
    return {
        "task": "gsm8k_rows", "dataset_path": "json", "dataset_kwargs": {"data_files": {"train": str(path), "test": str(path)}},
        "output_type": "generate_until", "training_split": "train", "fewshot_split": "train", "test_split": "test", "num_fewshot": shots,
        "doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_target": "{{answer}}",
        "metric_list": [{
            "metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True, "ignore_punctuation": False,
            "regexes_to_ignore": [",", "\\$", "(?s).*#### ", "\\.$"],
        }],
        "generation_kwargs": {"until": list(UNTIL), "do_sample": False, "temperature": 0.0, "max_gen_toks": TOKENS},
        "filter_list": [
            {"name": "strict-match", "filter": [{"function": "regex", "regex_pattern": "#### (\\-?[0-9\\.\\,]+)"}, {"function": "take_first"}]},
            {"name": "flexible-extract", "filter": [
                {"function": "regex", "group_select": -1, "regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)"}, {"function": "take_first"}]},
        ],
    }  # fmt: skip


def compare(label: str, mine: list[Rollout], samples: list[dict[str, Any]]) -> bool:
    """Print how replies and scores agree, each by problem; whether all replies do, and all scores under one of the harness's filters."""
    found = {r.problem.question.prompt: (cut(r), r.verdict.score) for r in mine}
    texts = {asked(s): str(s["resps"][0][0]) for s in samples}
    other = [(found[prompt][0], text) for prompt, text in texts.items() if found[prompt][0] != text]
    for ours_, theirs_ in other:
        print(f"  differs: {ours_!r} | {theirs_!r}")
    n, told, agree = len(texts), list[str](), list[bool]()
    for name in dict.fromkeys(s["filter"] for s in samples):
        scored = [(found[asked(s)][1], s["exact_match"]) for s in samples if s["filter"] == name]
        equal = sum(a == b for a, b in scored)
        told.append(f"{name} {sum(b for _, b in scored) / n:.4f} ({equal} of {n} problems scored the same)")
        agree.append(equal == n)
    accuracy = sum(score for _, score in found.values()) / n
    print(
        f"{label}: {n - len(other)} of {n} replies the same, {len(set(texts.values()))} different ones, {sum(not t for t in texts.values())} empty"
    )
    print(f"  scores: ours {accuracy:.4f}; the harness's {', '.join(told)}")
    return not other and any(agree)


def cut(rollout: Rollout) -> str:
    """The reply up to the stop string, which we keep and the harness does not."""
    text = rollout.reply.text if rollout.reply is not None else ""
    return min((text.split(stop)[0] for stop in UNTIL), key=len)


def main() -> int:
    import lm_eval
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        print(f"lm-eval {lm_eval.__version__}, transformers {transformers.__version__}; {SMALL.layers} layers, width {SMALL.width}")
        return rounds(Path(folder))


def rounds(folder: Path) -> int:
    """All comparisons; the exit status."""
    made = rows(ROWS)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in made))
    items = [(f"Question: {r['question']}\nAnswer:", r["answer"].split("#### ")[1], f" {r['answer']}") for r in made]
    model = checkpoint(folder, items[:LEARNT])
    agree = [one(model, path, shots) for shots in (0, 5)]
    return 0 if all(agree) else 1


def one(model: Path, path: Path, shots: int) -> bool:
    """Both sides on the rows, with so many worked examples."""
    samples = theirs(model, gsm8k(path, shots), 4)["samples"]["gsm8k_rows"]
    prompts = {asked(s): s["doc"]["answer"].split("#### ")[1] for s in samples}
    items = [(prompt, gold, "") for prompt, gold in prompts.items()]
    mine = ours(model, Recited(items, verifier("number"), UNTIL, TOKENS))
    return compare(f"GSM8K, {shots} examples", mine, samples)


def asked(sample: dict[str, Any]) -> str:
    """The prompt of one of the harness's samples."""
    given = sample["arguments"]
    return str(given[0][0] if isinstance(given, list | tuple) else given["gen_args_0"]["arg_0"])


if __name__ == "__main__":
    sys.exit(main())
