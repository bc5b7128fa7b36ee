"""The gate: a step of the full product path against the same step done bare, and that against an earlier prototype.

Product: Learning.step with solver, sessions, asyncio, stop strings, records, verifier, rewards, batches, metrics; and the same with
the run's record (run.sqlite: every reply, token by token), which a thread writes on another core while the next step is sampled.
Bare: the same calls of the decode plan, the same gradient and optimizer, on arrays, with the same draws, so both do the same work
and must end in the same weights, which is checked. Prototype: a file with `Lean`, `rollout` and `train_trie`, draws of its own.
The problems are made before the clock starts, for all sides.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from itertools import count
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import common
import numpy as np
import torch
from common import CAP, GROUP, RATE, Report
from numpy.typing import NDArray
from safetensors.torch import load_file

from thinkery.core.context import Context
from thinkery.core.records import Problem
from thinkery.core.rng import address, name_hash
from thinkery.engines.lanes import Lanes, place, rows_for, step_on
from thinkery.engines.plan_cpu import CpuPlan
from thinkery.engines.tree import Tree, climb_all
from thinkery.lab.store import Store
from thinkery.learning import optimizer
from thinkery.learning.advantages import group_normalised
from thinkery.learning.batch import Batch
from thinkery.learning.gradient import Learner, plan, shard_gradient, total_gradient
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Recipe, Setting
from thinkery.models.model import load_model
from thinkery.tasks.addition import Addition

STOP = ("\n\n",)  # never written, so the bare path, which looks for no stop strings, draws the same
SEED = 0
SIDES = ("product", "product with its record", "bare", "prototype")


class Work:
    """One step's input, made before the clock starts: prompts and answers as token ids, and where each sample draws."""

    def __init__(self, model: Any, task: Any, step: int, problems: int) -> None:
        self.indices = range(step * problems, (step + 1) * problems)
        self.problems: list[Problem] = [task.problem(i, "train", SEED) for i in self.indices]
        contexts = [Context.of(p.question.prompt, model.tokenizer) for p in self.problems]
        self.prompts = [np.array(c.ids, np.int32) for c in contexts]
        self.answers = [bytes(model.tokenizer.encode(p.answer)) for p in self.problems]
        self.addresses = np.array(
            [
                address(address(SEED, "sample", step, i, k), c.hash, name_hash("policy"), 0)
                for i, c in zip(self.indices, contexts)
                for k in range(GROUP)
            ],
            np.uint64,
        )


class Posed(Addition):
    """The task with problems that are made before the clock starts, as the other sides have them: to draw them is no part of a step."""

    known: dict[int, Problem]

    def __init__(self) -> None:
        super().__init__(digits=common.DIGITS)
        self.max_tokens, self.stop = CAP, STOP

    def problem(self, index: int, split: str = "train", seed: int = 0, **spec: Any) -> Problem:
        """See Task."""
        assert split == "train" and seed == SEED and not spec
        return self.known[index]


class Bare:
    """Sampling and learning on arrays alone."""

    def __init__(self, folder: Path, problems: int) -> None:
        self.model = load_model(folder)
        self.decoder = self.model.decoder
        self.stage = common.grpo(10_000, problems)
        self.plan = CpuPlan(self.decoder, 1 << 15)
        self.learner = Learner(self.decoder, {})
        self.optimizers = optimizer.build(self.stage.optimizer, self.decoder)
        self.buffer = torch.empty(self.stage.shards, 1, sum(p.numel() for p in self.decoder.parameters()))
        self.mark = self.model.tokenizer.encode("#")[0]
        self.special = bytes(set(range(self.decoder.config.vocabulary)) - set(self.model.tokenizer.letters.values()))
        self.settings = (np.ones(1), np.ones(1), np.zeros(1, np.int64))

    def step(self, work: Work) -> None:
        """One update."""
        tree, lanes = self.sample(work)
        batch = self.batch(work, tree, lanes)
        p = plan(batch, self.stage)
        for s in range(self.stage.shards):
            shard_gradient(self.learner, self.stage, batch, p, s, None, self.buffer[s])
        gradient = total_gradient(self.stage, self.buffer, self.stage.losses)
        optimizer.apply(self.stage.optimizer, self.optimizers, self.decoder, gradient, 1.0)

    def sample(self, work: Work) -> tuple[Tree, Lanes]:
        """The replies, in lanes 0..P*G-1."""
        self.plan.refresh()
        tree, n = Tree(), len(work.addresses)
        lanes = Lanes(n, CAP, max(map(len, work.prompts)) + CAP)
        lanes.at[:] = np.repeat([tree.insert(0, ids)[-1] for ids in work.prompts], GROUP)
        lanes.length[:] = np.repeat([len(ids) for ids in work.prompts], GROUP)
        lanes.address[:], lanes.limit[:] = work.addresses, CAP
        slots = self.plan.slots
        slot_of, node_of = np.full(len(tree.parent), -1, np.int32), np.full(slots, -1, np.int32)
        free, unused = np.arange(slots - 1, -1, -1, dtype=np.int32), np.array([slots])
        live, ends = np.arange(n, dtype=np.int32), np.arange(self.decoder.config.vocabulary) == self.model.tokenizer.end
        rows = rows_for(sum(map(len, work.prompts)))
        new = place(live, lanes.at, tree.parent, tree.token, tree.depth, slot_of, node_of, free, unused, lanes.index, *rows)
        while len(live):
            token, position, slot, start, count = (r[:new] for r in rows)
            self.plan.extend(token, position, slot, lanes.index, start, count)
            live = live[~self.plan.sample(live, lanes, slot_of, self.settings, ends, tree)]
            slot_of = np.concatenate([slot_of, np.full(len(tree.parent) - len(slot_of), -1, np.int32)])
            rows = rows_for(len(live))
            new = step_on(live, lanes.at, lanes.length, tree.token, slot_of, node_of, free, unused, lanes.index, *rows)
        return tree, lanes

    def batch(self, work: Work, tree: Tree, lanes: Lanes) -> Batch:
        """Rows, rewards and advantages straight from the lanes."""
        n, width = len(work.addresses), int(lanes.pos.max())
        mask = np.arange(width) < lanes.pos[:, None]
        group, rollout = np.repeat(np.arange(len(work.prompts)), GROUP), np.arange(n)
        reward = np.array([self.score(lanes.token[i, : lanes.pos[i]], work.answers[i // GROUP]) for i in range(n)])
        tip = np.repeat([tree.insert(0, ids)[-1] for ids in work.prompts], GROUP)
        nodes, zeros, node = len(tree), np.zeros(n, np.int64), np.full(mask.shape, -1, np.int32)
        climb_all(tree.parent, lanes.at, lanes.pos, node)
        batch = Batch(
            rollout, zeros, zeros, group, rollout, mask, mask, mask.astype(np.float32), np.where(mask, lanes.logp[:, :width], 0),
            node, tip, np.ones(n, np.float32),
            tree.parent[:nodes], tree.token[:nodes], tree.depth[:nodes], ("policy",),
            reward, reward, group * self.stage.shards // len(work.prompts),
        )  # fmt: skip
        batch.advantage = group_normalised(batch)
        return batch

    def score(self, ids: NDArray[np.int32], answer: bytes) -> float:
        """1 if the reply ended and what follows its last "#" is the answer."""
        text = ids.astype(np.uint8).tobytes().translate(None, self.special)  # a special token in a reply leaves no text
        return float(ids[-1] == self.model.tokenizer.end and text[text.rfind(self.mark) + 1 :] == answer)


class Prototype:
    """The earlier prototype's step: numpy decode, one process, fp32."""

    def __init__(self, module: ModuleType, folder: Path) -> None:
        c = load_model(folder).decoder.config
        self.lean, self.end = module, load_model(folder).tokenizer.end
        shape = module.Cfg(c.vocabulary, c.width, c.layers, c.heads, c.kv_heads, c.feed_forward)
        self.model = module.from_hf(load_file(str(folder / "model.safetensors")), shape)
        self.model.use_np = True
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE, fused=True)
        self.mark = load_model(folder).tokenizer.encode("#")[0]

    def step(self, work: Work) -> int:
        """One update; returns the tokens sampled."""
        stats: dict[str, int] = {}
        draws, prompts = np.random.default_rng(work.indices[0]), [p.astype(np.int64) for p in work.prompts]
        tokens, _, nodes = self.lean.rollout(self.model, prompts, GROUP, CAP, self.end, 1.0, "trie", draws, stats=stats)
        replies = [row[row >= 0].astype(np.uint8).tobytes() for row in tokens]
        right = [t[-1] == self.end and t[t.rfind(self.mark) + 1 : -1] == work.answers[i // GROUP] for i, t in enumerate(replies)]
        reward = np.array(right, np.float32).reshape(-1, GROUP)
        advantage = (reward - reward.mean(1, keepdims=True)) / (reward.std(1, keepdims=True) + 1e-4)
        self.lean.train_trie(self.model, prompts, GROUP, tokens, nodes, advantage.reshape(-1))
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return stats["samples_tokens"]


def compare(report: Report, state: str, problems: int, times: int, module: ModuleType | None) -> None:
    """Product, bare and prototype in turn on the same problems, each first, second and last equally often: who ran before decides what is cached."""
    folder = common.checkpoint(state)
    posed = Posed()
    learning, recorded = (
        Learning(Recipe((common.grpo(10_000, problems),)), Setting(posed, seed=SEED), load_model(folder)) for _ in range(2)
    )
    store = Store(Path(tempfile.mkdtemp()))
    bare = Bare(folder, problems)
    prototype = Prototype(module, folder) if module is not None else None
    task, numbers = common.addition(), count()

    def record() -> None:
        metrics = recorded.step()
        store.write(recorded.state.total, "rl", metrics, 0.0, recorded.rollouts, recorded.learnt)

    def step() -> dict[str, float]:
        n = next(numbers)
        work, out = Work(bare.model, task, n, problems), dict[str, float]()
        posed.known = dict(zip(work.indices, work.problems))
        sides = [
            ("product", lambda: out.update({"our tokens": learning.step()["tokens"]})),
            ("product with its record", record),
            ("bare", lambda: bare.step(work)),
            ("prototype", lambda: out.update({"its tokens": prototype.step(work)} if prototype is not None else {})),
        ][: 3 + (prototype is not None)]
        for i in range(len(sides)):
            name, side = sides[(n + i) % len(sides)]
            out[name] = common.clock(side)
        return out

    found = report.rounds(step, times, 3)
    store.close()
    shutil.rmtree(store.path.parent)
    took: dict[str, float] = {name: median(f[name] for f in found) for name in SIDES if name in found[0]}
    tokens = {name: sum(f[name] for f in found) for name in found[0] if name.endswith("tokens")}
    ends = [list(side.decoder.parameters()) for side in (learning.model, recorded.model, bare)]
    same = all(torch.equal(a, b) and torch.equal(b, c) for a, b, c in zip(*ends))
    about = f"{state}, fp32, {problems} problems x {GROUP}, 1 process, {common.size(bare.decoder)}"
    tell(report, took, tokens, about, same)


def tell(report: Report, took: dict[str, float], tokens: dict[str, float], about: str, same: bool) -> None:
    """The figures of one comparison; `took` are median seconds of a step."""
    for name, s in took.items():
        report.add(f"step, {name}", s * 1e3, "ms", about)
    report.add("equal weights, product and bare", float(same), "", about, "1", same)
    for name in ("product", "product with its record"):
        share = took["bare"] / took[name]
        report.add(f"speed, {name} / bare", share, "", about, "at least 0.9", share >= 0.9)
    if "prototype" in took:
        report.add("speed, bare / prototype", took["prototype"] / took["bare"], "", about)
        share = took["prototype"] / tokens["its tokens"] / (took["bare"] / tokens["our tokens"])
        report.add("speed, bare / prototype, by sampled token", share, "", about)


def main() -> None:
    parser = common.options(__doc__ or "")
    parser.add_argument("--states", nargs="+", default=["warm", "late"])
    parser.add_argument("--problems", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--times", type=int, default=25)
    parser.add_argument("--prototype", type=Path, help="the prototype's file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    module = None
    if args.prototype is not None and args.prototype.is_file():
        sys.path.insert(0, str(args.prototype.parent))
        module = __import__(args.prototype.stem)
    else:
        print("prototype: skipped, there is no file given by --prototype")
    report = Report()
    for state in args.states:
        for problems in args.problems:
            compare(report, state, problems, args.times, module)
    report.close(args.json)


if __name__ == "__main__":
    main()
