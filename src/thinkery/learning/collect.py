"""Collecting: from units of work to rollouts, the same for training, evaluation and traces."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.context import Context, Turn
from ..core.errors import BadData, InputError, PromptTooLong, SolverError, VerifierError
from ..core.reading import loads
from ..core.records import Problem, Reply, Rollout, Verdict
from ..core.rng import Stream, address, addresses, rng
from ..engines.base import Engine
from ..engines.session import Sampling, Session
from ..engines.work import run
from ..solvers import Solver
from ..tasks import Task


@dataclass(frozen=True)
class Unit:
    """One rollout to make: sample `k` of problem `index`; `style` has the solver recite a worked reply; `replay` is a saved record
    whose turns are taken as they are, as forced text. Plain values: it travels.
    """

    index: int
    k: int
    spec: Mapping[str, Any] = field(default_factory=dict)
    style: str | None = None
    replay: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Collector:
    """How units become rollouts.

    purpose   names the draws: "sample" in training, "evaluate" apart from it
    cast      role -> engine, for roles that are not the policy
    """

    task: Task
    engine: Engine
    solver: Solver
    sampling: Sampling
    seed: int
    purpose: str = "sample"
    split: str = "train"
    verifies: bool = True
    cast: Mapping[str, Engine] | None = None

    def collect(self, step: int, units: Sequence[Unit]) -> list[Rollout]:
        """The rollouts of `attempt`. Raises SolverError when all fail."""
        rollouts = self.attempt(step, units)
        failed = [r for r in rollouts if r.error is not None]
        if failed and len(failed) == len(rollouts):
            raise SolverError(f"all {len(failed)} rollouts of step {step} failed; the first: {failed[0].error}")
        return rollouts

    def attempt(self, step: int, units: Sequence[Unit]) -> list[Rollout]:
        """The rollouts, in the units' order. A solver or verifier that raises leaves `error` set."""
        engines = [self.engine, *dict.fromkeys((self.cast or {}).values())]
        for engine in engines:
            engine.reset()
        places = addresses(address(self.seed, self.purpose, step), [u.index for u in units], [u.k for u in units]).tolist()
        tools = None if type(self.task).tools is Task.tools else self.task.tools
        made: dict[tuple[int, str], Problem] = {}
        rollouts: list[Rollout] = []
        live: list[tuple[Rollout, Session]] = []

        def solvers() -> Iterator[Awaitable[Reply]]:
            last, problem = None, None
            for u, place in zip(units, places):
                if last is None or u.index != last.index or u.spec is not last.spec:
                    problem = self._problem(u, made)
                assert problem is not None
                last = u
                rollout = Rollout(step, u.index, u.k, problem)
                rollouts.append(rollout)
                if u.replay is not None:
                    replayed(rollout, u.replay, self.engine.root)
                    continue
                session = Session(self.engine, place, self.sampling, self.cast, None if u.style is None else self._script(problem, u))
                live.append((rollout, session))
                yield self.solver(session, problem.question, tools and tools(problem, Stream(address("tools", base=place))))

        def ended(i: int, reply: Any) -> None:
            rollout, session = live[i]
            rollout.turns = session.close()
            self._close(rollout, reply)

        run(solvers(), engines, ended)
        return rollouts

    def _problem(self, unit: Unit, made: dict[tuple[int, str], Problem]) -> Problem:
        """The unit's problem, made once."""
        key = (unit.index, repr(sorted(unit.spec.items())))
        if key not in made:
            made[key] = self.task.problem(unit.index, self.split, self.seed, **unit.spec)
        return made[key]

    def _script(self, problem: Problem, unit: Unit) -> str:
        """The demonstration that the unit is to recite."""
        assert unit.style is not None
        return self.task.demonstration(problem, unit.style, rng(self.seed, "demonstration", unit.style, unit.index, unit.k))

    def _close(self, rollout: Rollout, reply: Any) -> None:
        """Note the reply and its verdict, or what went wrong."""
        if isinstance(reply, BaseException):
            if isinstance(reply, PromptTooLong) and rollout.turns:  # for what was written, not for the prompt
                reply = Reply("".join(t.text for t in rollout.turns), truncated=True)
            elif isinstance(reply, InputError) or not isinstance(reply, Exception):
                raise reply
            else:
                rollout.error = f"solver: {type(reply).__name__}: {reply}"
                return
        rollout.reply = reply
        if self.verifies:
            try:
                rollout.verdict = checked(self.task.verify(rollout.problem, reply, rollout))
            except Exception as error:
                rollout.error = f"verifier: {type(error).__name__}: {error}"


def checked(verdict: Verdict) -> Verdict:
    """The verdict, if it is one. Raises VerifierError for a score that is no number in [0, 1]."""
    score = verdict.score
    if not (isinstance(score, (int, float)) and math.isfinite(score) and 0 <= score <= 1):
        raise VerifierError(f"the verifier gave the score {score!r}; a score is a number in [0, 1]")
    return verdict


# ---- rollouts as plain values, for files and for other processes


def record(rollout: Rollout) -> dict[str, Any]:
    """A rollout as JSON: what is needed to learn from it again, and to read it."""
    return {
        "index": rollout.index,
        "problem": rollout.problem.id,
        "prompt": rollout.problem.question.prompt,
        "reply": None if rollout.reply is None else rollout.reply.text,
        "score": None if rollout.verdict is None else rollout.verdict.score,
        "parsed": None if rollout.verdict is None else rollout.verdict.parsed,
        "rewards": rollout.rewards,
        "turns": [
            {"role": t.role, "context": list(t.context.ids), "ids": list(t.ids), "text": t.text, "ended": t.ended} for t in rollout.turns
        ],
    }


def replayed(rollout: Rollout, saved: Mapping[str, Any], root: Context) -> None:
    """Fill a rollout with the turns of a saved record, as forced text, and its score. Raises BadData where the record does not fit."""
    try:
        for t in saved["turns"]:
            ids = tuple(map(int, t["context"]))
            if ids[: root.n] != root.ids:
                raise BadData(
                    "saved rollouts", "a context begins with other tokens than this model's: they were written with another tokenizer"
                )
            context = root + ids[root.n :] if len(ids) > root.n else root
            rollout.turns.append(Turn(context, t["role"], ("saved", 0), 1.0, t["ended"], tuple(map(int, t["ids"]))))
        rollout.reply = None if saved["reply"] is None else Reply(saved["reply"])
        if saved.get("score") is not None:
            if not 0 <= float(saved["score"]) <= 1:
                raise ValueError(f"score {saved['score']}")
            rollout.verdict = Verdict(float(saved["score"]), saved.get("parsed"))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadData):
            raise
        raise BadData("saved rollouts", f"not a record of a rollout: {type(error).__name__} {error}") from error


def load_records(path: str | Path) -> list[dict[str, Any]]:
    """The records of a JSONL file. Raises BadData naming the line."""
    out = []
    try:
        for n, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            out.append(loads(line))
            if not isinstance(out[-1], dict) or "turns" not in out[-1]:
                raise BadData(path, "not a record of a rollout (no turns)", n)
            if not _numbered(out[-1]["turns"]):
                raise BadData(path, "not a record of a rollout (a token that is no number)", n)
    except OSError as error:
        raise BadData(path, error.strerror or str(error)) from error
    except ValueError as error:
        if isinstance(error, BadData):
            raise
        raise BadData(path, f"not valid JSON: {error}", len(out) + 1) from error
    return out


def _numbered(turns: Any) -> bool:
    """Whether what should be tokens are numbers."""
    listed = isinstance(turns, list) and all(isinstance(t, dict) for t in turns)
    return listed and all(type(i) is int for t in turns for of in ("context", "ids") if isinstance(t.get(of), list) for i in t[of])


def pack(rollouts: Iterable[Rollout]) -> list[dict[str, Any]]:
    """Rollouts as plain values; contexts as their token ids."""
    return [
        {
            "step": r.step,
            "index": r.index,
            "k": r.k,
            "problem": r.problem,
            "turns": [
                (t.context.ids, t.role, t.writer, t.temperature, t.ended, t.ids, None if t.forced else t.logp, t.weight, t.entropy)
                for t in r.turns
            ],
            "reply": r.reply,
            "verdict": r.verdict,
            "rewards": r.rewards,
            "error": r.error,
        }
        for r in rollouts
    ]


def unpack(packed: Iterable[dict[str, Any]], root: Callable[[str], Context]) -> list[Rollout]:
    """The rollouts again, their contexts under the root of each role: another role may have another vocabulary."""
    out = []
    for d in packed:
        turns = []
        for ids, role, writer, temperature, ended, tokens, logp, weight, entropy in d["turns"]:
            base = root(role)
            rest = tuple(ids[base.n :])
            context = base + rest if rest else base
            turns.append(Turn(context, role, tuple(writer), temperature, ended, tuple(tokens), logp, weight, entropy=entropy))
        out.append(Rollout(d["step"], d["index"], d["k"], d["problem"], turns, d["reply"], d["verdict"], d["rewards"], d["error"]))
    return out
