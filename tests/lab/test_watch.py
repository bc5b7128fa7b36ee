"""Faults that show only while a run goes on are named once, with their cause; what changes in a healthy way is not."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from thinkery.lab.api import train
from thinkery.lab.store import query
from thinkery.lab.watch import LONG, WIDE, Watch

STEADY = {
    "reward": 0.5,
    "accuracy": 0.5,
    "length": 20.0,
    "entropy": 0.4,
    "mixed": 0.6,
    "gradient_norm": 0.3,
    "truncated": 0.05,
    "unparsed": 0.05,
}
STEADY |= {"rollouts": 64.0, "trained_tokens": 900.0}


def named(steps: list[dict[str, float]]) -> list[str]:
    """The checks that warn of a stage with these metrics, in order."""
    watch = Watch()
    return [f.check for m in steps for f in watch.look("rl", m)]


def changing(n: int = 3 * WIDE, **ends: tuple[float, float]) -> list[dict[str, float]]:
    """Metrics that go from one value to another, step by step."""
    return [STEADY | {k: a + (b - a) * i / (n - 1) for k, (a, b) in ends.items()} for i in range(n)]


def then(*later: dict[str, float], before: int = WIDE) -> list[dict[str, float]]:
    return [STEADY] * before + [STEADY | m for m in later]


IDLE = {"mixed": 0.0, "trained_tokens": 0.0}
PLANTED: dict[str, tuple[str, list[dict[str, float]]]] = {
    "a learning rate that ends replies": ("update", then({"truncated": 1.0}, before=1)),
    "a learning rate that garbles replies": ("update", then({"unparsed": 0.95})),
    "right answers gone in one step": ("update", then({"accuracy": 0.0})),
    "right answers gone in two steps": ("update", then({"accuracy": 0.2}, {"accuracy": 0.01})),
    "a gradient out of all bounds": ("gradient", then({"gradient_norm": 90.0})),
    "all wrong for long": ("signal", then(*[IDLE | {"accuracy": 0.0}] * WIDE, before=0)),
    "all right for long": ("signal", then(*[IDLE | {"accuracy": 1.0}] * WIDE, before=5)),
    "entropy collapses at half": ("entropy", changing(entropy=(0.4, 0.0), n=6 * WIDE)),
    "a reward that is hacked": ("reward hacking", changing(reward=(0.5, 2.0), accuracy=(0.6, 0.3))),
    "a judge that likes length": ("length", changing(length=(20.0, 200.0))),
    "unlearning": ("accuracy", changing(accuracy=(0.9, 0.2), n=4 * WIDE)),
}  # fmt: skip
HEALTHY = {
    "nothing": [STEADY] * 60,
    "learns": changing(reward=(0.1, 1.0), accuracy=(0.1, 1.0), entropy=(0.5, 0.01), length=(10.0, 28.0), n=80),
    "learns to think longer": changing(accuracy=(0.2, 0.8), length=(10.0, 100.0)),
    "learns to be brief": changing(length=(80.0, 10.0), entropy=(0.6, 0.1)),
    "other pay rises": changing(reward=(0.5, 1.0)),
    "the problems become harder": changing(accuracy=(0.7, 0.55), reward=(0.7, 0.55)),
    "supervised": [{"loss/likelihood": 1.0 / (i + 1), "length": 20.0, "entropy": 0.5, "trained_tokens": 700.0} for i in range(60)],
    "a step without signal now and then": [STEADY | (IDLE if i % 3 else {}) for i in range(60)],
    "nan where nothing was verified": [STEADY | {"accuracy": float("nan")} for _ in range(60)],
    "few": changing(reward=(0.5, 2.0), accuracy=(0.6, 0.3), n=LONG - 1),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_faults_are_named_once(fault: str) -> None:
    check, steps = PLANTED[fault]
    assert named(steps + steps[-1:] * 5) == [check]


@pytest.mark.parametrize("run", HEALTHY)
def test_healthy_changes_are_left_alone(run: str) -> None:
    assert named(HEALTHY[run]) == []


def test_a_new_stage_begins_anew() -> None:
    watch = Watch()
    for stage in ("one", "two"):
        found = [f for m in then({"accuracy": 0.0}, {"accuracy": 0.0}) for f in watch.look(stage, m)]
        assert [f.check for f in found] == ["update"]
    assert watch.look("three", STEADY | {"accuracy": 0.0}) == [], "another stage has other problems"


def told(run: Path) -> dict[str, str]:
    """check -> what was seen, of the findings recorded after the first step."""
    rows = query(run, "SELECT data FROM events WHERE kind = 'finding' AND step > 1 ORDER BY id")[1]
    return {d["check"]: d["seen"] for (data,) in rows if (d := json.loads(data))["level"] == "warning"}


def test_a_learning_rate_that_breaks_the_model(tmp_path: Path) -> None:
    given: dict[str, Any] = {"task": "chain", "steps": 6, "evaluate": 0, "workers": 1, "doctor_stops": False}
    train("grpo", out=tmp_path / "wild", config={"lr": 0.5, "samples": 8}, **given)
    assert "update" in told(tmp_path / "wild")
    train("grpo", out=tmp_path / "tame", config={"samples": 8}, **given)
    assert told(tmp_path / "tame") == {}


TASKS = ("addition", "chain", "countdown", "logic")
METHODS = ("grpo", "rloo", "reinforce", "dr_grpo", "dapo", "gspo", "cispo", "ppo", "sft", "raft", "best_of_n", "reinforce_pp")
RUNS = int(os.environ.get("THINKERY_HEALTHY", "24"))  # more of them outside the suite


@pytest.mark.parametrize("number", range(RUNS))
def test_no_false_alarm_in_short_runs(number: int, tmp_path: Path) -> None:
    """Neither here nor from the doctor before and after the first step; that no group of a few has signal yet is no fault of the run's."""
    task, method = list(product(TASKS, METHODS))[number % (len(TASKS) * len(METHODS))]
    config = {"problems": 4 + number % 3, "max_tokens": (56, 64, 80)[number % 3]} | ({} if method == "sft" else {"samples": 4 + number % 5})
    train(
        method,
        task=task,
        seed=number,
        steps=3,
        evaluate=0,
        workers=1,
        config=config,
        out=tmp_path / "run",
        checkpoint_every_s=1e9,
        doctor_stops=True,
    )
    rows = query(tmp_path / "run", "SELECT data FROM events WHERE kind IN ('finding', 'warning')")[1]
    alarms = [d for (data,) in rows if (d := json.loads(data)).get("level", "warning") in ("warning", "fatal")]
    assert [d for d in alarms if d.get("check") != "signal"] == []
