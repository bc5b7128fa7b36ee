"""Evidence: a claim fixed before its seeds are run, the seeds, and the file that says what came of them.

`freeze` writes evidence/ID.freeze.json: hashes of the claim with its setting and arms, and of the method's file. `check` runs pilot
seeds freely, confirmatory seeds only of a claim as it was frozen, and writes evidence/ID.json. A claim frozen anew is another
revision, whose seeds are others. Nobody writes these files by hand: `verify` finds it out.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import BadConfig, BadData, InputError
from ..core.rng import address
from ..learning.checkpoint import storage, write_json
from ..learning.recipe import Recipe, Setting
from ..learning.rewards import shuffled
from . import catalogue
from .again import same
from .beside import beside
from .claims import Claim, Judgement, judge
from .events import Event, Listener, begin, of_arm, running
from .notebook import grid, paragraphs, sheet, shown
from .parts import NUMERICS, described, digest, own
from .recipes import configured, recipe_of
from .run import versions
from .trial import Sizes, Trial, place, started, trial
from .verdicts import content, evidence_folder, parts, placed, read, stale

SCHEMA = 1
REDUCED = 0.5  # of the problems that a claim asks for


class Checked(dict[str, Any]):
    """What evidence/ID.json holds, as a notebook shows it."""

    def _repr_html_(self) -> str:
        kinds = [row for kind in ("comparisons", "mechanism", "controls") for row in self[kind]]
        number = lambda row, key: f"{row[key]:.3f}" if key in row else ""
        rows = [[row["role"], row["verdict"], row["text"], *(number(row, k) for k in ("a", "b", "effect", "low", "high"))] for row in kinds]
        heads = ["role", "verdict", "comparison", "a", "b", "effect", "from", "to"]
        return sheet(f"{self['method']}: {self['verdict']}", paragraphs([self["line"]]), grid([heads, *rows]))


@dataclass(frozen=True)
class Subject:
    """A method with its claim, and the files that say what is known."""

    id: str
    name: str
    title: str
    claim: Claim
    folder: Path

    @property
    def evidence(self) -> Path:
        """What came of the confirmatory seeds."""
        return self.folder / f"{self.id}.json"

    @property
    def frozen(self) -> Path:
        """What was fixed before them."""
        return self.folder / f"{self.id}.freeze.json"

    def recipe(self, arm: str, setting: Setting) -> Recipe:
        """An arm's recipe. The placebo's is the method's with its rewards permuted within each step."""
        claim = self.claim
        if arm == claim.placebo and arm not in claim.arms:
            method = self.recipe(claim.method, setting)
            last = method.flat()[-1]
            return method.stage(last.name, reward=shuffled(last.reward))
        what = claim.arms[arm]
        return recipe_of(what, setting, claim.config) if isinstance(what, str) else configured(what(setting), claim.config)

    @property
    def arms(self) -> list[str]:
        """All arms, the placebo last."""
        extra = [self.claim.placebo] if self.claim.placebo and self.claim.placebo not in self.claim.arms else []
        return [*self.claim.arms, *extra]

    @property
    def others(self) -> list[str]:
        """The methods among the arms."""
        return sorted({a for a in self.claim.arms.values() if isinstance(a, str)})

    def hashes(self) -> dict[str, str]:
        """Of the claim with every arm's recipe, and of the method's file."""
        recipes = {arm: described(self.recipe(arm, self.claim.setting), spare=True) for arm in self.arms}
        return {"claim": digest([described(self.claim, spare=True), recipes]), "file": own(catalogue.entry(self.name).path)}


def subject(name: str, folder: Path | None = None) -> Subject:
    """A method that makes a claim. Raises UnknownName, InputError where it makes none."""
    entry, module = catalogue.entry(name), catalogue.load(name)
    claim = getattr(module, "CLAIM", None)
    if not isinstance(claim, Claim):
        raise InputError(f"{entry.card.id} makes no claim that could be checked: its file has no CLAIM = Claim(...)")
    return Subject(entry.card.id, name, entry.card.title, claim, folder or evidence_folder())


# ---- freezing


def freeze(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Fix a method's claim, setting and file. Frozen as it is already, nothing changes; otherwise it is the next revision."""
    it = subject(name, folder)
    now, before = it.hashes(), read(it.frozen) if it.frozen.is_file() else None
    if before is not None and all(before[k] == v for k, v in now.items()):
        return before
    history = [] if before is None else [*before["history"], {k: before[k] for k in ("revision", *now)}]
    found = {"schema": SCHEMA, "method": it.id, "revision": len(history) + 1, **now, "history": history}
    with storage(it.folder):
        it.folder.mkdir(parents=True, exist_ok=True)
    return _write(it.frozen, found)


def held(it: Subject) -> dict[str, Any]:
    """The freeze that holds. Raises BadConfig where the claim is not frozen, or is another one by now."""
    if not it.frozen.is_file():
        raise BadConfig(
            f"{it.id} is not frozen: set it up with 'thinkery check {it.id} --pilot', then fix it with 'thinkery evidence freeze {it.id}'"
        )
    fixed, now = read(it.frozen), it.hashes()
    for key, what in (("claim", "its claim, setting or arms"), ("file", "its file")):
        if fixed[key] != now[key]:
            raise BadConfig(
                f"{it.id}: {what} changed since revision {fixed['revision']} was frozen ({fixed[key]}, now {now[key]}); take the change back, "
                f"or freeze it as a new revision, with new seeds: thinkery evidence freeze {it.id}"
            )
    return fixed


# ---- files


def _write(path: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    """Write it with the hash of its content."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    found = plain | {"content": content(plain)}
    write_json(path, found)
    return found


# ---- checking


def seeds_of(count: int, kind: str, revision: int) -> list[int]:
    """The seeds of a kind (pilot or confirmatory) and revision: addresses of their own, so none is ever met twice."""
    return [address("evidence", kind, revision, i) >> 1 for i in range(count)]


def check(
    name: str,
    *,
    seeds: int | None = None,
    reduced: bool = False,
    pilot: bool = False,
    jobs: int | None = None,
    folder: Path | None = None,
    listen: Listener | None = None,
) -> Checked:
    """Run a claim's arms side by side, seed by seed, and judge it. What was run before is not run again.

    `jobs`: arms at once, each in a process of its own; None: as many as there are processors. `pilot`: seeds for setting it up; nothing
    is written. `reduced`: half of the test problems. Returns what evidence/ID.json holds.
    Raises BadConfig where a confirmatory run is not frozen as it is.
    """
    it, listen = subject(name, folder), shown(listen)
    claim, wanted = it.claim, seeds or (min(3, it.claim.seeds) if pilot else it.claim.seeds)
    if not 1 <= wanted <= claim.most:
        raise BadConfig(f"{wanted} seeds: the claim allows 1 to {claim.most}")
    fixed: dict[str, Any] = {"revision": 0, **it.hashes()} if pilot else held(it)
    fixed |= {"parts": parts(it.name, it.others)}  # now: the code that runs is the code that is loaded
    before = read(it.evidence) if not pilot and it.evidence.is_file() else None
    problems = round(claim.problems * REDUCED) if reduced else claim.problems
    numbers = seeds_of(wanted, "pilot" if pilot else "confirmatory", fixed["revision"])
    names = list(dict.fromkeys([*(c.metric for c in claim.comparisons), "accuracy", "tokens"]))
    listen(begin("check", f"{it.id}: {claim.primary}"))
    listen(Event("arms", {"arms": it.arms, "seeds": wanted, "metrics": names}))
    trials = _interruptible(it, numbers, problems, jobs or cores(), listen)
    done = len(trials[claim.baseline])
    scale = "pilot" if pilot else "reduced" if reduced or done < claim.seeds else "miniature"
    looks = _looks(before, fixed, scale, done)
    found = _record(it, fixed, trials, looks, scale, problems)
    return Checked(found if pilot else _write(it.evidence, found))


def _looks(before: Mapping[str, Any] | None, fixed: Mapping[str, Any], scale: str, done: int) -> list[int]:
    """How many seeds were looked at, each time, in this revision. The same number again is the same look."""
    kept = list(before["looks"]) if before is not None and before["freeze"]["revision"] == fixed["revision"] else []
    return kept if kept and kept[-1] == done and before is not None and before["scale"] == scale else [*kept, done]


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _interruptible(it: Subject, seeds: Sequence[int], problems: int, jobs: int, listen: Listener) -> dict[str, list[Trial]]:
    """The trials; interrupted, it says what is kept."""
    done = 0

    def count(event: Event) -> None:
        nonlocal done
        done += event.kind == "trial"
        listen(event)

    try:
        return _trials(it, seeds, problems, jobs, count)
    except KeyboardInterrupt:
        text = f"{done} of {len(it.arms) * len(seeds)} runs are done; they are kept, and those at work begin anew"
        listen(Event("interrupted", {"text": text, "again": same()}))
        raise


def _tell(listen: Listener, told: Mapping[str, Any], of: int) -> None:
    """What an arm's run tells of itself."""
    listen(Event("arm", {"of": of, "share": told["share"]}))
    listen(Event("step", told["step"]))
    if told["sample"] is not None:
        listen(Event("sample", told["sample"]))


def _trials(it: Subject, seeds: Sequence[int], problems: int, jobs: int, listen: Listener) -> dict[str, list[Trial]]:
    """The trials of each arm, seed by seed, all arms equally many; fewer than wanted where the claim's CPU minutes are used up."""
    found: dict[str, list[Trial]] = {arm: [] for arm in it.arms}
    spent = 0.0
    for n, seed in enumerate(seeds):
        if n and spent * (n + 1) / n > 60 * it.claim.minutes:
            listen(Event("warning", {"text": f"{n} seeds took {spent / 60:.1f} of {it.claim.minutes:g} CPU minutes; no more are run"}))
            break
        setting, about = replace(it.claim.setting, seed=seed), {"seed": n + 1, "of": len(seeds)}
        started(setting)  # once, before the arms are
        what = {arm: (it.recipe(arm, setting), setting, Sizes(problems, it.claim.samples, arm == it.claim.baseline)) for arm in it.arms}
        places = {arm: place(*what[arm]) for arm in it.arms}
        same = {arm: [a for a in it.arms if places[a] == places[arm]] for arm in it.arms}
        distinct = [arm for arm in it.arms if same[arm][0] == arm]
        kept = {arm: places[arm].is_file() for arm in it.arms}
        tick = lambda i, told, n=n, distinct=distinct: _tell(of_arm(listen, distinct[i], n + 1), told, len(seeds))
        for i, made in beside([partial(trial, *what[arm]) for arm in distinct], jobs, tick):
            for arm in same[distinct[i]]:
                found[arm].append(made)
                means = running([t.metrics for t in found[arm]])
                listen(Event("trial", {"arm": arm, **about, "metrics": dict(made.metrics), "means": means, "kept": kept[arm]}))
            spent += made.cpu_s
    return found


def outcomes_of(trials: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, list[float]]]:
    """Values by arm, metric and seed, of the metrics that are defined for every seed of the arm."""
    names = {arm: [k for k in metrics[0] if all(k in m for m in metrics)] for arm, metrics in trials.items() if metrics}
    return {arm: {k: [m[k] for m in trials[arm]] for k in kept} for arm, kept in names.items()}


def _record(
    it: Subject, fixed: Mapping[str, Any], trials: Mapping[str, Sequence[Trial]], looks: list[int], scale: str, problems: int
) -> dict[str, Any]:
    """What is published."""
    claim = it.claim
    arms: dict[str, dict[str, Any]] = {
        arm: {
            "metrics": [dict(t.metrics) for t in made],
            "curves": {k: _mean([t.curves[k] for t in made]) for k in made[0].curves},
            "tokens": sum(t.tokens for t in made),
            "cpu_s": round(sum(t.cpu_s for t in made), 1),
        }
        for arm, made in trials.items()
    }
    before = [dict(t.before) for t in trials[claim.baseline]]
    judged = judge(claim, outcomes_of({arm: a["metrics"] for arm, a in arms.items()}), before, len(looks))
    return {
        "schema": SCHEMA, "method": it.id, "title": it.title, "verdict": judged.verdict, "line": line_of(it, judged, looks[-1], scale),
        "scale": scale, "seeds": looks[-1], "looks": looks, "problems": problems, **_findings(judged),
        "freeze": {k: fixed[k] for k in ("revision", "claim", "file")}, "parts": fixed["parts"], "revisions": fixed["revision"],
        "others": it.others, "numerics": NUMERICS,
        "baseline": claim.baseline, "before": before, "arms": arms, "setting": described(claim.setting), "config": dict(claim.config),
        "paper": claim.paper, "hardware": {"cpu": platform.processor() or platform.machine(), "device": "cpu"}, "versions": versions(),
        "written": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def _mean(curves: Sequence[Sequence[float]]) -> list[float]:
    """The mean of curves, point by point, as far as all go."""
    return [round(sum(points) / len(points), 4) for points in zip(*curves)]


def _findings(judged: Judgement) -> dict[str, Any]:
    """Reasons and comparisons as plain values, controls and mechanism checks apart."""
    rows = [{k: v for k, v in asdict(f).items() if v is not None} for f in judged.findings]
    named = {"comparisons": ("primary", "secondary"), "mechanism": ("mechanism",), "controls": ("must move", "placebo")}
    return {"reasons": list(judged.reasons)} | {k: [r for r in rows if r["role"] in roles] for k, roles in named.items()}


def line_of(it: Subject, judged: Judgement, seeds: int, scale: str) -> str:
    """The verdict in words."""
    primary = judged.findings[0] if judged.findings else None
    about = f"{primary.text} ({primary.why})" if primary is not None else it.id
    figures = ""
    if primary is not None and primary.low is not None and primary.high is not None:
        figures = (
            f": {primary.a:.3f} against {primary.b:.3f}, effect {primary.effect:.3f} "
            f"({100 * (primary.level or 0):.2f} % interval {primary.low:.3f} to {primary.high:.3f})"
        )
    why = f"; {'; '.join(judged.reasons)}" if judged.reasons else ""
    return f"{judged.verdict}: {about}{figures}; {seeds} seeds, {scale}{why}"


# ---- verifying


def verify(folder: Path | None = None) -> list[str]:
    """What is wrong with the evidence at hand, in words: files edited, judged otherwise than their numbers, not as frozen, or stale."""
    where, wrong = folder or evidence_folder(), []
    for path in sorted(where.glob("*.json")) if where.is_dir() else []:
        try:
            found = read(path)
            if not path.name.endswith(".freeze.json"):
                wrong += [f"{path.name}: {x}" for x in _faults(found, where)]
        except InputError as error:
            wrong.append(str(error))
    return wrong


def _faults(found: Mapping[str, Any], where: Path) -> list[str]:
    """What is wrong with one method's evidence."""
    if stale(found):
        return ["stale: the method, a part that it names, or the numerics changed; run its check again"]
    it = subject(found["method"], where)
    try:
        fixed = held(it)
    except BadConfig as error:
        return [str(error)]
    if found["freeze"]["revision"] != fixed["revision"]:
        return [f"made at revision {found['freeze']['revision']}, frozen is {fixed['revision']}; run its check again"]
    outcomes = outcomes_of({arm: a["metrics"] for arm, a in found["arms"].items()})
    again = judge(it.claim, outcomes, found["before"], len(found["looks"]))
    kept = {k: found[k] for k in _findings(again)}
    if again.verdict != found["verdict"] or json.loads(json.dumps(_findings(again))) != kept:
        return [f"its numbers give {again.verdict!r}, not what it says; run its check again"]
    return []


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put the table of verdicts into a Markdown file, between its marks. Raises BadData where they are missing."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadData(path, error.strerror or str(error)) from error
    with storage(path):
        path.write_text(placed(text, rows, path), encoding="utf-8")
