"""Twelve rollouts stand for a hundred thousand: so each must be what its reason says, the same folder must give the same, no problem may
stand twice, and a kind that is missing must not leave the report empty."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support import recorded

from thinkery.core.errors import BadData
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab.store import Store
from thinkery.lab.telling import HEAD, TAIL, Telling, chosen, shown


def sample(prompt: str, score: float | None, truncated: bool = False) -> dict[str, Any]:
    return {"prompt": prompt, "gold": "42", "reply": f"{prompt} {score}", "score": score, "reason": "as read", "truncated": truncated}


def answered(run: Path, *marks: tuple[str, float | None, float | None]) -> None:
    """samples.json of problems with their scores before and after."""
    sides = {side: [sample(p, m[i], p.startswith("cut")) for p, *m in marks] for i, side in enumerate(("before", "after"))}
    (run / "samples.json").write_text(json.dumps(sides))


def rollout(step: int, problem: str, reply: str, score: float | None, truncated: bool = False) -> Rollout:
    verdict = None if score is None else Verdict(score, reply, reason="as scored")
    return Rollout(step, 0, 0, Problem(problem, Question(f"{problem}="), "42"), [], Reply(reply, truncated), verdict)


def record(run: Path, *steps: list[tuple[str, str, float | None, float]]) -> None:
    """A record of steps with rollouts (problem, reply, score, reward); a reply that begins with "cut" was."""
    store = Store(run)
    for i, replies in enumerate(steps, 1):
        store.write(i, "rl", {"reward": 0.0}, 0.1, [rollout(i, p, r, s, r.startswith("cut")) for p, r, s, _ in replies])
    store.flush()
    paid = [x for replies in steps for *_, x in replies]
    store.connection.executemany(
        "UPDATE rollouts SET reward = ?, tokens = length(reply) WHERE id = ?", [(x, i + 1) for i, x in enumerate(paid)]
    )
    store.connection.executemany("INSERT INTO rewards VALUES (?, 'right', ?)", [(i + 1, x) for i, x in enumerate(paid)])
    store.close()


def kinds(found: list[Telling]) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for t in found:
        out.setdefault(t.kind, []).append(t.prompt)
    return out


def test_each_stands_for_what_its_reason_says(tmp_path: Path) -> None:
    answered(tmp_path, ("learnt", 0, 1), ("lost", 1, 0), ("hard", 0, 0), ("easy", 1, 1), ("cut short", 1, 1), ("broke", None, 1))
    record(
        tmp_path,
        [("rises", "no", 0.0, 0.0), ("rises", "nope", 0.0, 0.0), ("never", "bad", 0.0, 0.0), ("steady", "y", 1.0, 1.0)],
        [("rises", "yes", 1.0, 1.0), ("rises", "yes!", 0.0, 0.0), ("never", "worse", 0.0, 0.0), ("steady", "y", 1.0, 1.0)],
        [("gamed", "pays", 0.0, 0.9), ("strict", "fine", 1.0, 0.0), ("long", "cut" * 30, None, 0.0), ("talk", "x" * 50, 1.0, 1.0)],
    )
    found = chosen(tmp_path)
    by = kinds(found)
    assert by["Most improved"] == ["learnt", "rises="]
    assert by["Still wrong"] == ["hard", "never="]
    assert by["Rewarded but not correct"] == ["gamed="]
    assert by["Correct but not rewarded"] == ["strict="]
    assert by["Right before, wrong after"] == ["lost"]
    assert set(by["Cut off"]) == {"cut short", "long="}
    assert by["Longest"][0] == "talk="
    assert "broke" not in [t.prompt for t in found]  # a failure is no wrong answer
    risen = next(t for t in found if t.prompt == "rises=")
    assert [(s.label, s.reply, s.solved) for s in risen.sides] == [("step 1", "no", False), ("step 2", "yes", True)]
    assert risen.why == "met twice in training: 0 % right in step 1, 50 % in step 2"
    gamed = next(t for t in found if t.prompt == "gamed=")
    assert (gamed.sides[0].reward, dict(gamed.sides[0].rewards), gamed.sides[0].solved) == (0.9, {"right": 0.9}, False)
    assert next(t for t in found if t.prompt == "long=").sides[0].verdict == "not verified"


def test_twelve_three_of_a_kind_none_twice_and_always_the_same(tmp_path: Path) -> None:
    marks = [(f"{name} {i}", *m) for i in range(9) for name, *m in (("learnt", 0, 1), ("hard", 0, 0), ("lost", 1, 0))]
    answered(tmp_path, *marks)  # type: ignore[arg-type]
    steps = [[(f"p{s}{i}", "y" * (s + i), float(i % 2), float(i % 3)) for i in range(8)] for s in range(4)]
    record(tmp_path, *steps)
    found = chosen(tmp_path)
    assert len(found) == 12 == len({t.prompt for t in found})
    assert [len(prompts) for prompts in kinds(found).values()] == [3, 3, 3, 3]
    assert found == chosen(tmp_path)


def test_a_kind_that_is_missing_leaves_its_place_to_the_others(tmp_path: Path) -> None:
    answered(tmp_path, *[(f"learnt {i}", 0, 1) for i in range(20)], ("hard", 0, 0))
    assert {k: len(v) for k, v in kinds(chosen(tmp_path)).items()} == {"Most improved": 11, "Still wrong": 1}


def test_what_is_not_there_is_not_told(tmp_path: Path) -> None:
    assert chosen(tmp_path) == []
    (tmp_path / "samples.json").write_text(json.dumps({"before": [sample("a", 0)]}))
    assert chosen(tmp_path) == []  # a run that goes on
    recorded(tmp_path, [{"step": 1, "reward": 0.5}])
    assert chosen(tmp_path) == []


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "samples.json").write_text('{"before": [1]}')
    with pytest.raises(BadData, match=r"samples\.json: cannot be read"):
        chosen(tmp_path)
    (tmp_path / "samples.json").write_text(json.dumps({"before": [sample("a", 0)], "after": [sample("b", 0)]}))
    with pytest.raises(BadData, match="differ"):
        chosen(tmp_path)


def test_a_long_reply_keeps_both_ends_and_says_what_is_gone() -> None:
    text = "a" * HEAD + "b" * 1_000_000 + "c" * TAIL
    cut = shown(text)
    assert cut.startswith("a" * HEAD + "\n[… 1,000,000 characters left out …]\n") and cut.endswith("\n" + "c" * TAIL)
    assert shown("\x1b[31mred\u202e") == "red" and shown("x" * (HEAD + TAIL)) == "x" * (HEAD + TAIL)


def test_it_is_quick_at_a_hundred_thousand_rollouts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    row = "SELECT value, 1 + value / 200, 'rl', value, value % 8, 'p' || (value / 16), 'r' || value, NULL, value % 3 = 0, '', NULL, 0"
    store.connection.execute(
        "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 100000) "
        f"INSERT INTO rollouts {row}, value % 50, (value % 5) / 4.0 FROM n"
    )
    store.connection.execute("INSERT INTO problems SELECT DISTINCT problem, problem, '42', '', 1 FROM rollouts")
    store.connection.execute("INSERT INTO steps SELECT DISTINCT step, 'rl', 0.1 FROM rollouts")
    store.close()
    began = time.thread_time()
    assert len(chosen(tmp_path)) == 12
    assert time.thread_time() - began < 5  # it takes about a second
