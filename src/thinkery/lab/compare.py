"""Comparing methods: the same start, problems, seeds and budget for each; what is done already is not done again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..core.errors import ThinkeryError
from ..core.reading import loads
from ..engines.choice import engine_of
from ..learning.checkpoint import storage, write_json
from .again import same
from .comparison import SAMPLES, SCHEMA, START, Arm, Comparison, Measured, dropped, measured
from .comparison_page import write_page
from .design import Design, Prepared, label, prepare, read
from .evaluation import Evaluation, evaluate_model
from .events import Event, Listener, begin, of_arm, running
from .loading import Model, load_model
from .manner import spoken_to
from .notebook import shown
from .training import train

TOLD = ("stage", "step", "sample", "progress", "evaluation", "warning", "finding", "stopping")  # what one run of many tells
METRICS = ("accuracy", "tokens_per_reply", "pass_at_8", "majority_at_8", "truncated", "ece", "brier")  # told of each run


def compare(methods: Sequence[str], *, listen: Listener | None = None, **settings: Any) -> Comparison:
    """Train with each method under equal conditions and say which differences are real; `settings` are those of `Design`.

    Leaves compare.json, compare.html and every run in a folder; called again it does what is missing. Raises InputError.
    """
    return carry_out(prepare(Design(methods=tuple(methods), **settings)), shown(listen))


def carry_out(p: Prepared, listen: Listener) -> Comparison:
    """All runs that are missing, a seed of every arm before the next seed, so that it is fair wherever it stops."""
    names = [label(a) for a in p.arms]
    listen(begin("compare", f"{', '.join(names)} on {p.task.name}"))
    listen(Event("arms", {"arms": names, "seeds": p.design.seeds, "metrics": list(METRICS)}))
    try:
        return _carried_out(p, listen)
    except KeyboardInterrupt:
        done = sum(_measured(p, a, s) is not None for a in p.arms for s in range(p.design.seeds))
        text = f"{done} of {len(p.arms) * p.design.seeds} runs are done; they are kept, and what the one at work had reached, in {p.folder}"
        listen(Event("interrupted", {"text": text, "again": same()}))
        raise


def _carried_out(p: Prepared, listen: Listener) -> Comparison:
    for line in p.plan().lines():
        listen(Event("note", {"text": line}))
    with storage(p.folder):
        p.folder.mkdir(parents=True, exist_ok=True)
    write_json(p.folder / "setting.json", {"schema": SCHEMA, **p.about})
    out = dict[str, str]()
    rounds, start, found = list[dict[str, float]](), dict[int, Measured](), None
    for seed in range(p.design.seeds):
        live = [a for a in p.arms if a not in out]
        if len(live) < 2:
            break
        start[seed], before = _start(p, seed, listen)
        for arm in live:
            kept = _measured(p, arm, seed) is not None
            try:
                if not kept:
                    _run(p, arm, seed, before, start[seed].parameters, listen)
            except ThinkeryError as error:
                error.args = (f"{label(arm)}, seed {seed}: {error}",)
                raise
            listen(Event("trial", _trial(p, arm, seed) | {"kept": kept}))
        rounds.append({a: _done(p, a, seed).accuracy for a in live})
        if p.design.stop == "early":
            out = {a: f"dropped after {k} seeds: worse than {label(b)}, wealth {w:.3g}" for a, (k, b, w) in dropped(rounds, p.arms).items()}
        found = _assembled(p, start, out, seed + 1)
        write_json(p.folder / "compare.json", found.to_dict())
        write_page(found)
        listen(Event("standings", {"seed": seed + 1, "of": p.design.seeds, "rows": found.standings()}))
    assert found is not None
    for name in ("compare.json", "compare.html"):
        listen(Event("saved", {"path": str(p.folder / name), "what": "comparison"}))
    return found


def _start(p: Prepared, seed: int, listen: Listener) -> tuple[Measured, Evaluation]:
    """The model before training, measured once for all arms of a seed."""
    path = p.folder / START / f"seed-{seed}" / "measured.json"
    found, kept = read(path), path.with_name("evaluation.json")
    if found is not None and kept.is_file():
        return found, Evaluation(**loads(kept.read_text(encoding="utf-8")))
    d = p.design
    model = spoken_to(load_model(d.model, d.device, d.dtype, d.memory, seed), d.thinking, d.system)
    ask = lambda **how: evaluate_model(engine_of(model, d.engine), p.task, seed=seed, solver=d.solver or "single", listen=listen, **how)
    greedy = ask(n=p.n, label="before")
    found = measured(greedy, ask(n=p.sampled, samples=SAMPLES, temperature=1.0, label="before, sampled"), parameters=_parameters(model))
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, greedy.to_dict(samples=True))
    write_json(path, asdict(found))
    return found, greedy


def _parameters(model: Model) -> int:
    return sum(p.numel() for p in model.decoder.parameters())


def _run(p: Prepared, arm: str, seed: int, before: Evaluation, parameters: int, listen: Listener) -> None:
    """One run; an interrupted one goes on. It leaves the model; its checkpoints go when it has been measured."""
    folder, d = p.place(arm, seed), p.design
    listen(Event("note", {"text": f"{label(arm)}, seed {seed}"}))
    listen = of_arm(listen, label(arm), seed + 1)
    result = train(
        arm, task=p.task, model=d.model, steps=d.steps, seed=seed, out=folder, resume=True, size=d.size, workers=d.workers,
        solver=d.solver, evaluate=p.n, config=d.config, budget=d.budget, before=before, device=d.device, dtype=d.dtype, memory=d.memory,
        thinking=d.thinking, system=d.system, engine=d.engine, doctor_stops=d.doctor_stops,
        listen=lambda event: _tell(p, event, listen),
    )  # fmt: skip
    assert result.after is not None
    sampled = evaluate_model(
        engine_of(result.model, d.engine), p.task, n=p.sampled, samples=SAMPLES, temperature=1.0, seed=seed, solver=d.solver or "single",
        label="after, sampled", listen=listen,
    )  # fmt: skip
    found = measured(result.after, sampled, steps=result.steps, tokens=result.tokens, seconds=result.seconds, parameters=parameters)
    write_json(folder / "measured.json", asdict(found))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # of many runs the optimizers' moments would fill a disk


def _tell(p: Prepared, event: Event, listen: Listener) -> None:
    """What a run tells that belongs here, and how far it has come."""
    if event.kind in TOLD:
        listen(event)
    if event.kind == "step":
        listen(Event("arm", {"of": p.design.seeds, "share": event.data["total"] / max(1, event.data["total_steps"])}))


def _trial(p: Prepared, arm: str, seed: int) -> dict[str, Any]:
    """What was measured with a seed, and of the arm so far."""
    so_far = Arm(label(arm), {s: _done(p, arm, s) for s in range(seed + 1)})
    met = [{k: float(v) for k in METRICS if (v := getattr(m, k)) is not None} for m in so_far.seeds.values()]
    means = running(met) | {"accuracy": [so_far.accuracy, *(so_far.interval() or (None, None))]}
    return {"arm": label(arm), "seed": seed + 1, "of": p.design.seeds, "metrics": met[-1], "means": means}


def _measured(p: Prepared, arm: str, seed: int) -> Measured | None:
    return read(p.place(arm, seed) / "measured.json")


def _done(p: Prepared, arm: str, seed: int) -> Measured:
    found = _measured(p, arm, seed)
    assert found is not None
    return found


def _assembled(p: Prepared, start: Mapping[int, Measured], out: Mapping[str, str], seeds: int) -> Comparison:
    """What is known after so many seeds; a further seed that only some arms have is not counted."""
    within = lambda arm: Arm(arm.method, {s: m for s, m in arm.seeds.items() if s < seeds}, arm.curves, arm.dropped)
    about = p.about | {"seeds": seeds, "of_seeds": p.design.seeds, "stop": p.design.stop, "skipped": dict(p.skipped)}
    return Comparison(about, Arm(START, start), tuple(within(p.arm(a, out.get(a, ""))) for a in p.arms), str(p.folder))


__all__ = ["Comparison", "Design", "carry_out", "compare", "prepare"]
