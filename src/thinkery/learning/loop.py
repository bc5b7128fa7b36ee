"""The one loop: collect, reward, select, differentiate, update. SFT, preferences, RL and distillation are stages of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.errors import BadConfig, InputError, SolverError
from ..core.records import Rollout
from ..core.rng import rng
from ..engines.base import Engine
from ..engines.choice import check_kind, engine_of, remote
from ..engines.local import KV_BYTES
from ..engines.precompiled import ready
from ..engines.session import Sampling
from ..engines.work import run
from ..models.decoder import Decoder
from ..models.model import Model, load_model
from ..models.tokenizer import Tokenizer
from . import optimizer
from .batch import Batch, build
from .collect import Collector, Unit, load_records, record
from .curriculum import Pick
from .gradient import Learner, Plan, own, plan, snapshot, total_gradient, trained
from .importance import check_known
from .memory import Seen
from .recipe import Combine, Probe, Recipe, Repeat, Setting, Stage
from .select import Asking, Groups, Selecting, by_index, everything
from .signals import wants_reference
from .workers import Executor, Inline, Processes, count

LEAVINGS = 256 << 20  # bytes that may wait for the collector
A_ROLLOUT, A_TOKEN = 4096, 64  # bytes of what a step leaves in rings, about: solver, answers, contexts; tokens, log-probabilities, nodes
FAILED = 0.5  # a step in which more rollouts than this share fail is an error


@dataclass
class State:
    """Where a run stands: everything that decides what comes next is here or in the weights.

    position, round, step   which entry of the recipe, which round of a Repeat, which step of the stage
    total                   steps done altogether
    memory                  what the stages' parts remember, by stage: curriculum, reward, combine
    """

    position: int = 0
    round: int = 0
    inner: int = 0
    step: int = 0
    total: int = 0
    tokens: int = 0
    memory: dict[str, dict[str, Any]] = field(default_factory=dict)


class Learning:
    """A recipe at work on a model: `step()` until `done`. Everything between two steps can be saved (`checkpoint`)."""

    def __init__(
        self, recipe: Recipe, setting: Setting, model: Model, workers: int | str = 1, kv_bytes: int = KV_BYTES, engine: str = "auto"
    ) -> None:
        check_kind(engine)
        self.recipe, self.setting, self.model, self.workers = recipe, setting, model, workers
        self.kind, self.kv_bytes = engine, kv_bytes
        self.state = State()
        self.frozen: dict[str, Decoder] = {}
        self.tokenizers: dict[str, Tokenizer] = {}
        self.optimizers: list[torch.optim.Optimizer] = []
        self.engine: Engine | None = None
        self.executor: Executor | None = None
        self.rollouts: list[Rollout] = []  # of the last step
        self.learnt: tuple[list[Rollout], Batch] | None = None  # those of them that it learns from
        self.outputs: dict[str, list[dict[str, Any]]] = {}  # records that stages replay, by stage or file
        self.tidy_at = 0.0  # when garbage may be collected again
        self.leavings = 0.0  # bytes that wait for it
        self.kept = {s.source[1] for s in recipe.flat() if isinstance(s.source, tuple) and s.source[0] == "stage"}

    # ---- where we are

    @property
    def stage(self) -> Stage:
        """The stage at work."""
        entry = self.recipe.stages[self.state.position]
        return entry.stages[self.state.inner] if isinstance(entry, Repeat) else entry

    @property
    def done(self) -> bool:
        """Whether the recipe is through, or the setting's budget of sampled tokens used up."""
        budget = self.setting.budget
        return self.state.position >= len(self.recipe.stages) or (budget is not None and self.state.tokens >= budget)

    @property
    def steps(self) -> int:
        """Steps of the whole recipe, if no Repeat ends early."""
        return sum(s.rounds * sum(t.steps for t in s.stages) if isinstance(s, Repeat) else s.steps for s in self.recipe.stages)

    def _advance(self, metrics: Mapping[str, float]) -> None:
        """On to the next step, stage or round."""
        s = self.state
        s.step, s.total = s.step + 1, s.total + 1
        if s.step < self.stage.steps:
            return
        self.leave()
        entry = self.recipe.stages[s.position]
        s.step = 0
        if isinstance(entry, Repeat):
            s.inner += 1
            if s.inner < len(entry.stages):
                return
            s.inner, s.round = 0, s.round + 1
            if s.round < entry.rounds and not (entry.until is not None and entry.until(metrics)):
                return
            s.round = 0
        s.position += 1

    # ---- stages

    def enter(self) -> None:
        """Make ready for the stage at work: optimizer, references, engine, workers. After a resume, state is filled in by then."""
        stage = self.stage
        if self.model.decoder.compiled:
            ready()
        if wants_reference(stage) and "reference" not in self.frozen:
            self.frozen["reference"] = snapshot(self.model.decoder)
        for role, path in stage.cast.items():
            other = load_model(path, str(self.model.decoder.device))
            self.tokenizers[role], self.frozen[role] = other.tokenizer, other.decoder.requires_grad_(False)
        if not self.optimizers:
            self.model.decoder.equip(stage.heads)
            self.optimizers = optimizer.build(stage.optimizer, self.model.decoder)
        if self.state.step == 0:
            self.outputs.pop(stage.name, None)  # a new round keeps its own
        if self._key() not in self.state.memory:
            combine = stage.combine.init() if isinstance(stage.combine, Combine) else {}
            self.state.memory[self._key()] = {"curriculum": stage.curriculum.init(), "reward": stage.reward.init(), "combine": combine}
        same = {k: d for k, d in self.frozen.items() if k not in stage.cast or self.tokenizers[k].same(self.model.tokenizer)}
        inline = Inline(stage, Learner(self.model.decoder, same), self.collector(stage))
        processes = count(self.workers, stage.shards)
        if processes > 1 and self.model.decoder.device.type == "cpu" and not remote(self.kind):
            self.executor = Processes(inline, processes)
        else:
            self.executor = inline

    def leave(self) -> None:
        """Drop what belongs to the stage at work."""
        if self.executor is not None:
            self.executor.close()
        self.executor, self.optimizers = None, []
        self.model.decoder.equip(())
        self.frozen.clear()
        gc.unfreeze()

    def _key(self) -> str:
        s = self.state
        return f"{s.position}.{s.inner}"

    @property
    def memory(self) -> dict[str, Any]:
        """What the parts of the stage at work remember."""
        return self.state.memory[self._key()]

    def collector(self, stage: Stage) -> Collector:
        """How the stage's rollouts are made."""
        task, engine = self.setting.task, self.sampler()
        cast = {role: engine_of(Model(self.frozen[role], self.tokenizers[role], role)) for role in stage.cast}
        sampling = Sampling(stage.max_tokens or task.max_tokens, stage.temperature, stop=tuple(task.stop))
        verifies = stage.reward.verifies and stage.source == "task"
        return Collector(task, engine, stage.solver, sampling, self.setting.seed, verifies=verifies, cast=cast or None)

    def sampler(self) -> Engine:
        """The engine that decodes for the policy."""
        if self.engine is None:
            self.engine = engine_of(self.model, self.kind, self.kv_bytes)
        return self.engine

    def _waves(self, stage: Stage) -> list[list[list[Unit]]]:
        """The step's work: the collection, and the further ones that `refill` allows; each by shard."""
        picks = stage.curriculum.pick(self.memory["curriculum"], self.state.total, stage.problems * (1 + stage.refill))
        if len({index for index, _ in picks}) < len(picks):
            raise BadConfig(f"stage {stage.name!r}: the curriculum picked a problem twice in one step; its samples would be the same ones")
        size = -(-len(picks) // (1 + stage.refill))
        return [self._units(stage, picks[at : at + size]) for at in range(0, len(picks), max(1, size))]

    def _units(self, stage: Stage, picks: Sequence[Pick]) -> list[list[Unit]]:
        """The work of one collection, by shard: a problem's samples stay together."""
        shards: list[list[Unit]] = [[] for _ in range(stage.shards)]
        for n, (index, spec) in enumerate(picks):
            into = shards[n * stage.shards // len(picks)]
            if stage.source == "demonstrations":
                into += [Unit(index, k, spec, self._style(stage, index, k)) for k in range(stage.samples)]
            elif stage.source == "task":
                into += [Unit(index, k, spec) for k in range(stage.samples)]
            else:
                saved = self._saved(stage)
                into.append(Unit(saved[index % len(saved)]["index"], 0, spec, replay=saved[index % len(saved)]))
        return shards

    def _saved(self, stage: Stage) -> list[dict[str, Any]]:
        """The records that a stage replays."""
        kind, name = stage.source if isinstance(stage.source, tuple) else (stage.source, "")
        if kind not in ("file", "stage"):
            raise BadConfig(
                f"stage {stage.name!r}: unknown source {stage.source!r}; choose task, demonstrations, (file, path) or (stage, name)"
            )
        if kind == "file" and name not in self.outputs:
            self.outputs[name] = load_records(name)
        if not self.outputs.get(name):
            raise BadConfig(f"stage {stage.name!r} replays {name!r}, which holds no rollouts")
        return self.outputs[name]

    def _style(self, stage: Stage, index: int, k: int) -> str:
        if not self.setting.task.styles:
            raise InputError(f"the task {self.setting.task.name!r} has no worked replies to learn from: name their column with --solution")
        styles = stage.styles or {self.setting.task.styles[0]: 1.0}
        unknown = set(styles) - set(self.setting.task.styles)
        if unknown:
            raise BadConfig(
                f"the task {self.setting.task.name!r} has no style {sorted(unknown)[0]!r}; it has {', '.join(self.setting.task.styles)}"
            )
        return list(styles)[rng(self.setting.seed, "style", stage.name, index, k).weighted(list(styles.values()))]

    # ---- a step

    def step(self) -> dict[str, float]:
        """One step; returns its metrics, all determined by seed and recipe."""
        collecting = gc.isenabled()
        gc.disable()  # a step makes thousands of short-lived records and few cycles
        try:
            return self._step()
        finally:
            if collecting:
                self._tidy()
                gc.enable()

    def _tidy(self) -> None:
        """Have the collector pass over what the step left, which it would walk through next; a full collection at most 1 % of the time, but
        for memory. To free a step's rings at once costs more: solvers, their driver, contexts and tree all know each other.
        """
        began = time.monotonic()
        self.leavings += sum(A_ROLLOUT + A_TOKEN * r.tokens for r in self.rollouts)
        if began > self.tidy_at or self.leavings > LEAVINGS:
            gc.unfreeze()
            gc.collect()
            self.leavings = 0.0
            now = time.monotonic()
            self.tidy_at = now + 100 * (now - began)
        gc.freeze()

    def _step(self) -> dict[str, float]:
        if self.executor is None:
            self.enter()
        stage, s = self.stage, self.state
        assert self.executor is not None and self.engine is not None
        self.rollouts, self.learnt = [], None  # the new ones take their memory, which is at hand
        selecting = Selecting(self.executor.collector, s.total)
        rollouts, valid, kept, where = self._collect(stage, selecting)
        scores = stage.reward.score(kept, self.memory["reward"])
        if stage.name in self.kept:
            self.outputs.setdefault(stage.name, []).extend(map(record, kept))
        batch = build(kept, self.engine.tree, stage.trains)
        check_known(batch, kept)
        batch.shard = np.array([where[kept[i].index] for i in batch.rollout.tolist()], np.int64)
        batch.reward = stage.reward.rows(scores, batch.rollout, batch.turn)
        if len(scores) > 1:  # a method may keep its objectives apart
            for (name, _, _), (_, values) in zip(stage.reward.parts, scores):
                batch.extra[f"reward/{name}"] = stage.reward.rows([(1.0, values)], batch.rollout, batch.turn)
        batch.group = np.asarray(stage.group(batch, kept))
        batch.pair = np.asarray(stage.pair(batch, kept))
        for name, signal in stage.estimates.items():
            batch.extra[name] = self.executor.estimate(signal, batch, batch.mask.sum(1), self._wide).numpy()
        batch.advantage = stage.advantage(batch)
        self.rollouts, self.learnt = rollouts, (kept, batch)
        metrics = describe(rollouts, valid, batch, stage) | selecting.told()
        metrics |= self._update(stage, batch) if len(batch) else {"idle": 1.0}
        probes = {p.name: self._probe(p) for p in stage.probes if (s.step + 1) % p.every == 0}
        metrics |= probed(probes)
        s.tokens += int(metrics["tokens"] + metrics.get("select/tokens", 0))
        self.memory["curriculum"] = stage.curriculum.update(self.memory["curriculum"], s.total, rollouts)
        self.memory["reward"] = stage.reward.update(self.memory["reward"], Seen(s.total, rollouts, probes, metrics))
        self._advance(metrics)
        return metrics

    def _collect(self, stage: Stage, selecting: Selecting) -> tuple[list[Rollout], list[Rollout], list[Rollout], dict[int, int]]:
        """All rollouts of the step, the valid ones, those to learn from, and the shard of each problem.

        Under `refill` further problems are met until `problems` groups are kept, and no more groups are.
        """
        assert self.executor is not None
        rollouts, valid, kept, where = list[Rollout](), list[Rollout](), list[Rollout](), dict[int, int]()
        for wave in self._waves(stage):
            rollouts += self.executor.collect(self.state.total, wave)
            where |= {u.index: n for n, shard in enumerate(wave) for u in shard}
            failed = [r for r in rollouts if r.error is not None]
            if len(failed) > FAILED * len(rollouts):
                raise SolverError(
                    f"{len(failed)} of {len(rollouts)} rollouts of step {self.state.total} failed; the first: {failed[0].error}"
                )
            valid = [r for r in rollouts if r.error is None]
            kept = valid
            if stage.select is not everything:
                stage.reward.score(valid, self.memory["reward"])
                kept = selected(stage, by_index(valid), selecting)
            if stage.refill:
                full = list(dict.fromkeys(r.index for r in kept))[: stage.problems]
                kept = [r for r in kept if r.index in full]
                if len(full) == stage.problems:
                    break
        return rollouts, valid, kept, where

    @property
    def _wide(self) -> torch.dtype:
        """What the parameters that learn are kept in."""
        return next(iter(trained(self.model.decoder).values())).dtype

    def _probe(self, probe: Probe) -> list[Rollout]:
        """A measurement's rollouts."""
        base = self.collector(self.stage)
        sampling = replace(base.sampling, temperature=probe.temperature)
        at = replace(base, purpose=f"probe {probe.name}", split=probe.split, solver=probe.solver, sampling=sampling, verifies=True)
        problems = min(probe.problems, base.task.size(probe.split) or probe.problems)
        return at.collect(self.state.total, [Unit(i, k) for i in range(problems) for k in range(probe.samples)])

    def _update(self, stage: Stage, batch: Batch) -> dict[str, float]:
        """All updates from one collection."""
        assert self.executor is not None
        updates = stage.epochs * stage.minibatches
        whole = plan(batch, stage)
        old = self.executor.estimate(own, batch, whole.upto, self._wide) if updates > 1 else None
        share = optimizer.rate(stage.optimizer, self.state.step, stage.steps)
        out: dict[str, float] = {}
        for update in range(updates):
            part, before = batch, old
            if stage.minibatches > 1:
                rows = np.flatnonzero(batch.group % stage.minibatches == update % stage.minibatches)
                part, before = batch.take(rows), None if old is None else old[torch.as_tensor(rows)]
            out = self._one_update(stage, part, whole if part is batch else plan(part, stage), before, share)
        return out

    def _one_update(self, stage: Stage, batch: Batch, p: Plan, old: Tensor | None, share: float) -> dict[str, float]:
        assert self.executor is not None
        if not (p.upto > 0).any():
            return {"idle": 1.0}
        gradients, sums = self.executor.gradients(batch, p, old)
        gradient = total_gradient(stage, gradients, stage.losses, self.memory)
        applied = optimizer.apply(stage.optimizer, self.optimizers, self.model.decoder, gradient, share)
        trained = max(1.0, sums.get("trained_tokens", 0.0))
        out = {k: v for k, v in sums.items() if k.startswith("loss/")}
        out |= {"entropy": sums["entropy_sum"] / trained, "drift": sums["drift_sum"] / trained}
        return out | {"cells": sums["cells"], "trained_tokens": sums["trained_tokens"]} | applied


def selected(stage: Stage, groups: Groups, selecting: Selecting) -> list[Rollout]:
    """What the stage selects; a selection that asks is told by what."""
    choose = replace(stage.select, ctx=selecting) if isinstance(stage.select, Asking) else stage.select
    (found,) = run([choose(groups)], selecting.engines)
    if isinstance(found, BaseException):
        raise found
    kept: list[Rollout] = found
    return kept


def probed(probes: Mapping[str, Sequence[Rollout]]) -> dict[str, float]:
    """Mean scores of the probes that were due, of their rollouts that could be verified, and the tokens of all."""
    scores = {name: [r.verdict.score for r in found if r.verdict is not None] for name, found in probes.items()}
    out = {f"probe/{name}": sum(found) / len(found) for name, found in scores.items() if found}
    return out | ({"probe_tokens": float(sum(r.tokens for found in probes.values() for r in found))} if probes else {})


def describe(rollouts: Sequence[Rollout], valid: Sequence[Rollout], batch: Batch, stage: Stage) -> dict[str, float]:
    """What a step saw: rewards by part, accuracy, lengths, truncation, groups with signal, errors."""
    n = max(1, len(valid))
    lengths = [r.tokens for r in rollouts]
    out = {"tokens": float(sum(lengths)), "rollouts": float(len(rollouts)), "errors": float(len(rollouts) - len(valid))}
    out["length"] = (sum(lengths) if len(valid) == len(rollouts) else sum(r.tokens for r in valid)) / n
    for name in {k for r in valid for k in r.rewards}:
        out[f"reward/{name}"] = sum([r.rewards.get(name, 0.0) for r in valid]) / n
    verdicts = [r.verdict for r in valid if r.verdict is not None]
    if verdicts:
        out["accuracy"] = sum(v.score for v in verdicts) / len(verdicts)
        out["truncated"] = sum(r.reply is not None and r.reply.truncated for r in valid) / n
        out["unparsed"] = sum(v.parsed is None for v in verdicts) / len(verdicts)
    if stage.reward.parts and len(batch):
        turns = np.bincount(batch.rollout)
        out["reward"] = float((np.bincount(batch.rollout, batch.reward)[turns > 0] / turns[turns > 0]).mean())
        size = np.abs(batch.advantage).reshape(len(batch), -1).max(1)
        _, key = np.unique(batch.group, return_inverse=True)
        out["mixed"] = float((np.bincount(key, size > 0) > 0).mean())
    return dict(sorted(out.items()))
