"""The processes that vs_trl sets against each other: each takes one training step for every line it reads, and answers in JSON.

python sides.py ours|trl '{"state": …, "problems": …, …}'
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import common
import torch

from thinkery.core.context import Context
from thinkery.core.records import Reply
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting
from thinkery.models.model import load_model

Words = dict[str, Any]
MANY = 10_000  # steps nobody will take


def family() -> list[int]:
    """This process and its children."""
    me = os.getpid()
    return [me, *(int(p) for p in Path(f"/proc/{me}/task/{me}/children").read_text().split())]


def peak_memory() -> float:
    """The largest resident memory of this process and its children so far, added, in MB; shared pages count for each."""
    status = [Path(f"/proc/{p}/status").read_text() for p in family()]
    return sum(int(s.split("VmHWM:")[1].split()[0]) for s in status) / 1024


def ours(words: Words, out: TextIO) -> None:
    """Our loop. sharing off: the learner computes every row by itself."""
    torch.set_num_threads(1)
    dtype = {"fp32": None, "bf16": torch.bfloat16}[words["dtype"]]
    model = load_model(common.checkpoint(words["state"]), dtype=dtype)
    model.decoder.shareable = words["sharing"]
    stage = common.grpo(MANY, words["problems"])
    if words["by_turns"]:
        stage = replace(stage, reward=common.BY_TURNS)
    learning = Learning(Recipe((stage,)), Setting(common.addition()), model, workers=words["workers"])
    for _ in sys.stdin:
        begin = time.perf_counter()
        metrics = learning.step()
        took = time.perf_counter() - begin
        nodes = common.output_nodes(learning)
        say(out, seconds=took, tokens=metrics["tokens"], nodes=nodes, mixed=metrics["mixed"], memory=peak_memory(), family=family())
    learning.leave()


def trl(words: Words, out: TextIO) -> None:
    """TRL's GRPOTrainer with the same checkpoint, problems in the same order, counts, cap, clipping and learning rate."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(words["threads"])
    folder, task, problems = str(common.checkpoint(words["state"])), common.addition(), words["problems"]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    posed = [task.problem(i) for i in range(problems * 64)]
    prompts = [tokenizer.bos_token + p.question.prompt for p in posed]
    codec = load_model(folder).tokenizer
    assert tuple(tokenizer(prompts[0]).input_ids) == Context.of(posed[0].question.prompt, codec).ids, (
        "the two sides must read the same tokens"
    )
    seen: Words = {}

    def reward(completions: list[str], completion_ids: list[list[int]], place: list[int], **_: Any) -> list[float]:
        seen["tokens"] = sum(map(len, completion_ids))
        scores = [task.verify(posed[i], Reply(text)).score for i, text in zip(place, completions)]
        return [float(k % 2) for k in range(len(scores))] if words["by_turns"] else scores

    class Turns(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            if not sys.stdin.readline():
                os._exit(0)  # the trainer knows no way to stop before a step
            seen["begin"] = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            say(out, seconds=time.perf_counter() - seen["begin"], tokens=seen["tokens"], memory=peak_memory(), family=family())

    config = GRPOConfig(
        output_dir=str(common.CACHE / "trl"), per_device_train_batch_size=problems * common.GROUP, gradient_accumulation_steps=1,
        num_generations=common.GROUP, max_completion_length=common.CAP, beta=0.0, temperature=1.0, epsilon=0.2, loss_type="dapo",
        learning_rate=common.RATE, lr_scheduler_type="constant", max_grad_norm=1.0, max_steps=MANY, shuffle_dataset=False,
        use_cpu=True, bf16=False, gradient_checkpointing=False, dataloader_pin_memory=False,
        report_to=[], save_strategy="no", logging_steps=MANY, disable_tqdm=True,
    )  # fmt: skip
    data = Dataset.from_dict({"prompt": prompts, "place": list(range(len(prompts)))})
    GRPOTrainer(model=model, reward_funcs=reward, args=config, train_dataset=data, processing_class=tokenizer, callbacks=[Turns()]).train()


def say(out: TextIO, **values: Any) -> None:
    """One answer."""
    out.write(json.dumps(values) + "\n")
    out.flush()


def own_output() -> TextIO:
    """Standard output for the answers alone; what libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


def main() -> None:
    {"ours": ours, "trl": trl}[sys.argv[1]](json.loads(sys.argv[2]), own_output())


if __name__ == "__main__":
    main()
