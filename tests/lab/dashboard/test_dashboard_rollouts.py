"""A page must say what the record says: what filters ask for, tokens and their shades, what samples share, a problem through training."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import fork, model_of, rollouts_of, single, tool_loop

from thinkery.core.records import Rollout, Verdict
from thinkery.engines.local import LocalEngine
from thinkery.lab.dashboard import data, rollouts, tree
from thinkery.lab.dashboard.tree import Element, Sample
from thinkery.lab.store import Store, query
from thinkery.models.model import Model

from .support import HOSTILE, Client


def test_the_table_has_what_the_filters_ask_for(client: Client, folder: Path) -> None:
    run, any_part = folder / "good", "id IN (SELECT rollout FROM rewards WHERE value {} 0)"
    for asked, sql in (
        ("", "1"), ("step=2", "step = 2"), ("number=4", "number = 4"), ("outcome=right", "score >= 1"), ("outcome=wrong", "score < 1"),
        ("outcome=cut off", "truncated = 1"), ("shortest=5", "tokens >= 5"), ("longest=4", "tokens <= 4"), ("step=1&outcome=wrong", "step = 1 AND score < 1"),
        ("ended=stop", "truncated = 0"), ("ended=length", "truncated = 1"), ("ended=said", "0"),
        ("part=correct >", any_part.format(">")), ("part=correct =", any_part.format("=")), ("part=nothing >", "0"),
        ("easiest=1.5", "problem IN (SELECT id FROM problems WHERE difficulty >= 1.5)"), ("hardest=1", "problem IN (SELECT id FROM problems WHERE difficulty <= 1)"),
    ):  # fmt: skip
        rows = rollouts.rollouts(run, dict(part.split("=", 1) for part in asked.split("&") if part))["rows"]
        wanted = [i for (i,) in query(run, f"SELECT id FROM rollouts WHERE {sql} ORDER BY id DESC LIMIT {rollouts.PAGE}")[1]]
        assert [r["id"] for r in rows] == wanted
        assert client.get(f"/run/good/rollouts?{asked}").text.count("<tr data-item>") == len(wanted)
    assert 'value="&#34;&gt;&lt;b&gt;"' in client.get('/run/good/rollouts?words="><b>').text


def test_a_part_of_the_reward_with_a_hostile_name_can_be_asked_for(folder: Path) -> None:
    names = rollouts.rollouts(folder / "bad", {})["parts"]
    assert names == [data.clean(HOSTILE)]
    assert len(rollouts.rollouts(folder / "bad", {"part": f"{names[0]} >"})["rows"]) == 3
    assert rollouts.rollouts(folder / "bad", {"part": f"{names[0]} <"})["rows"] == []


def test_older_rollouts_follow_without_gap(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollouts, "PAGE", 5)
    seen, asked = [], dict[str, str]()
    while True:
        found = rollouts.rollouts(folder / "good", asked)
        seen += [r["id"] for r in found["rows"]]
        if found["older"] is None:
            break
        asked = {"before": str(found["older"])}
    assert seen == list(range(36, 0, -1))


def test_tokens_are_shaded_by_what_pushed_them(folder: Path) -> None:
    run = folder / "good"
    by = {name: rollouts.group(run, 2, 4, name) for name in rollouts.SHADINGS}
    assert len(by["none"]["samples"]) == 4 and by["none"]["others"] == [3, 4, 5]
    for sample in range(4):
        texts = {"".join(t for turn in its["samples"][sample]["turns"] for t, _ in turn["pieces"]) for its in by.values()}
        assert len(texts) == 1
        assert {shade for turn in by["none"]["samples"][sample]["turns"] for _, shade in turn["pieces"]} == {0}
        assert all(shade <= 0 for turn in by["surprise"]["samples"][sample]["turns"] for _, shade in turn["pieces"])
    assert [rollouts.shade(v, "advantage") for v in (-9, -1.5, -0.2, 0, 0.4, 2, nan)] == [-4, -4, -1, 0, 1, 4, 0]
    assert [rollouts.shade(v, "surprise") for v in (0, -1, -4, -50, nan)] == [0, -1, -4, -4, 0]
    assert [rollouts.shade(v, "entropy") for v in (0, 0.5, 1, 2, 50, nan)] == [0, 1, 2, 4, 4, 0]


def test_entropies_are_those_of_the_record(folder: Path, client: Client) -> None:
    sql = "SELECT entropy FROM turns WHERE rollout IN (SELECT id FROM rollouts WHERE step = 2 AND number = 4) ORDER BY rollout"
    recorded = [np.frombuffer(blob, "<f4").tolist() for (blob,) in query(folder / "good", sql)[1]]
    shown = rollouts.group(folder / "good", 2, 4, "entropy")["samples"]
    assert [[e.value for t in s["turns"] for e in t["elements"]] for s in shown] == recorded and min(map(min, recorded)) > 0
    page = client.get("/run/good/step/2/problem/4?by=entropy").text
    assert 'class="by-entropy"' in page and "what could have come there" in page


def test_a_long_reply_is_cut_and_says_so(folder: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rollouts.group(folder / "good", 2, 4, "advantage")
    monkeypatch.setattr(rollouts, "TOKENS", 2)
    monkeypatch.setattr(rollouts, "SAMPLES", 3)
    cut = rollouts.group(folder / "good", 2, 4, "advantage")
    assert cut["hidden"] == 1 and len(cut["samples"]) == 3
    for s, t in zip(whole["samples"], cut["samples"]):
        n = len(s["turns"][0]["elements"])
        assert t["turns"][0]["elements"] == s["turns"][0]["elements"][:2] and t["turns"][0]["left"] == max(0, n - 2)
        assert t["turns"][0]["tail"] == ("" if n <= 2 else data.clean(s["reply"])[-rollouts.TAIL :])
    text = client.get("/run/good/step/2/problem/4").text
    assert "tokens more are not shown" in text and "1 more are not shown" in text


# ---- the tree


def sample(k: int, text: str, outcome: str = "right", value: float = 1.0) -> Sample:
    return Sample(k, outcome, [Element(c, c, value) for c in text])


def test_a_tree_shows_each_shared_beginning_once() -> None:
    grown = tree.grown([sample(0, "abcx"), sample(1, "abcy", "wrong", -1.0), sample(2, "abz", "wrong", 0.5), sample(3, "abcx")])
    told = [(level, b.text, [s.k for s in b.samples], b.outcomes) for level, b in tree.listed(grown)]
    assert told == [
        (0, "ab", [0, 1, 2, 3], "2 right, 2 wrong"),
        (1, "c", [0, 1, 3], "2 right, 1 wrong"),
        (2, "x", [0, 3], "2 right"),
        (2, "y", [1], "1 wrong"),
        (1, "z", [2], "1 wrong"),
    ]
    values = {b.text: b.value for _, b in tree.listed(grown)}
    assert values == {"ab": 0.375, "c": pytest.approx(1 / 3), "x": 1.0, "y": -1.0, "z": 0.5}


@pytest.mark.parametrize("seed", range(20))
def test_every_sample_is_a_way_through_the_tree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = [sample(k, "".join(rng.choice(list("ab"), rng.integers(0, 8)))) for k in range(9)]
    grown = tree.grown(samples)
    branches = list(tree.listed(grown))
    for s in samples:
        way = "".join(b.text for _, b in branches if s in b.samples)
        assert way == "".join(e.text for e in s.elements)
    for _, b in branches:
        assert all(c.start == b.start + b.size and c.size for c in b.children)
        assert len(b.children) != 1 or b.samples != b.children[0].samples
        assert sum(len(c.samples) for c in b.children) <= len(b.samples)
    drawn = tree.drawing(branches, [0] * len(branches))
    boxes = [tuple(map(float, m)) for m in re.findall(r'<rect class="t0" x="([\d.]+)" y="(\d+)" width="([\d.]+)" height="(\d+)"', drawn)]
    assert len(boxes) == sum(1 for _, b in branches if b.size)
    different = len({tuple(e.text for e in s.elements) for s in samples})
    assert f'viewBox="0 0 {tree.WIDTH} {tree.ROW * different}"' in drawn  # equal samples share a row
    assert all(x + w <= tree.WIDTH and y + h <= tree.ROW * different for x, y, w, h in boxes)
    for i, (x, y, w, h) in enumerate(boxes):
        assert all(x + w <= a or a + c <= x or y + h <= b or b + d <= y for a, b, c, d in boxes[:i])  # no two overlap


def test_a_tree_of_nothing_shared_and_of_long_replies() -> None:
    grown = tree.grown([sample(0, ""), sample(1, "x" * 5000), sample(2, "y")])
    assert grown.size == 0 and isnan(grown.value) and "characters…" in grown.children[0].label and len(grown.children[0].label) < 400
    drawn = tree.drawing(list(tree.listed(grown)), [0, 1, -2])
    assert drawn.count("<a ") == 2 and "x" * 200 not in drawn


def test_the_page_has_the_tree_of_its_samples(client: Client, folder: Path) -> None:
    told = rollouts.group(folder / "good", 2, 4, "advantage")
    made = [(s["k"], [e.key for t in s["turns"] for e in t["elements"]]) for s in told["samples"]]
    firsts = {tuple(ids[:1]) for _, ids in made}
    text = client.get("/run/good/step/2/problem/4").text
    assert text.count('<a href="#b') == len(told["tree"]["rows"]) == text.count('<li id="b')
    assert told["tree"]["n"] == 4 and len([r for r in told["tree"]["rows"] if r["branch"].start == 0]) == len(firsts)
    ids = query(
        folder / "good", "SELECT ids FROM turns WHERE rollout IN (SELECT id FROM rollouts WHERE step = 2 AND number = 4) ORDER BY rollout"
    )[1]
    assert [np.frombuffer(i, "<i4").tolist() for (i,) in ids] == [keys for _, keys in made]


def scored(model: Model, solver: Callable[..., Any]) -> list[Rollout]:
    """Three samples of each of two problems; the first of each three is right."""
    made = rollouts_of(LocalEngine(model), solver, problems=2, samples=3)
    for r in made:
        r.verdict = Verdict(float(r.k == 0), "1")
    return made


@pytest.mark.parametrize("solver", [tool_loop, fork])
def test_what_no_model_wrote_is_folded_between_turns(solver: Callable[..., Any], tmp_path: Path) -> None:
    run, model = tmp_path / "one", model_of()
    run.mkdir()
    record = Store(run)
    made = scored(model, solver)
    record.write(1, "rl", {}, 0.1, made)
    record.close()
    model.save(run / "model")
    (run / "run.json").write_text(json.dumps({"status": "done"}))
    told = rollouts.group(run, 1, made[0].index, "none")
    for r, s in zip(made, told["samples"]):
        assert [t["pieces"][0][0].replace("■", "") if t["pieces"] else "" for t in s["turns"]] == [data.clean(t.text) for t in r.turns]
    later = [t for s in told["samples"] for t in s["turns"][1:]]
    page = Client(tmp_path).get(f"/run/one/step/1/problem/{made[0].index}").text
    assert page.count("told: <code>") == sum(1 for t in later if t["context"]) > 0
    assert all(t["context"] not in t["told"] or len(t["context"]) <= 60 for t in later)


# ---- through training


def test_a_problem_is_followed_through_training(tmp_path: Path) -> None:
    run = tmp_path / "one"
    run.mkdir()
    record, model = Store(run), model_of()
    for step in (1, 2, 3):
        made = scored(model, single)
        record.write(step, "rl", {}, 0.1, made if step != 2 else made[3:])
    record.close()
    (run / "run.json").write_text(json.dumps({"status": "done"}))
    number = made[0].index
    told = rollouts.problem(run, number)
    assert [s["step"] for s in told["steps"]] == [1, 3] and all(s["n"] == 3 for s in told["steps"])
    assert told["steps"][0]["score"] == pytest.approx(1 / 3) and told["steps"][0]["outcomes"] == ["right", "wrong", "wrong"]
    assert sum(r["n"] for r in told["steps"][0]["replies"]) == 3 and told["steps"][0]["more"] == 0
    text = Client(tmp_path).get(f"/run/one/problem/{number}").text
    assert text.count("<tr data-item>") == 2 and "Met in 2 steps" in text
    assert "/run/one/step/3/problem" in Client(tmp_path).get(f"/run/one/step/1/problem/{number}").text


# ---- many


def test_pages_are_quick_with_100000_rollouts(tmp_path: Path) -> None:
    run, steps, problems, samples = tmp_path / "many", 400, 16, 16
    run.mkdir()
    record = Store(run)
    count = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {} - 1) "
    total, each = steps * problems * samples, problems * samples
    do = record.connection.execute
    do("BEGIN")
    do(f"INSERT INTO steps {count.format(steps)} SELECT i + 1, 'rl', 1.0 FROM n")
    for name in ("reward", "accuracy", "length", "entropy", "mixed", "tokens", "gradient_norm"):
        do(f"INSERT INTO metrics {count.format(steps)} SELECT i + 1, '{name}', (i % 7) / 7.0 FROM n")
    do(f"INSERT INTO problems {count.format(64)} SELECT 'p' || i, 'what is ' || i, i, i, i % 5 FROM n")
    do(f"INSERT INTO contexts {count.format(64)} SELECT i + 1, 1, 'what is ' || i FROM n")
    do(
        f"INSERT INTO rollouts {count.format(total)} SELECT i + 1, i / {each} + 1, 'rl', (i / {samples}) % 64, i % {samples}, 'p' || ((i / {samples}) % 64), "
        "printf('%.60c', 'x') || i, i, (i % 3) / 2.0, 'because', NULL, 0, 60, 0.5 FROM n"
    )
    do(f"INSERT INTO rewards {count.format(total)} SELECT i + 1, 'correct', (i % 3) / 2.0 FROM n")
    do(
        f"INSERT INTO turns {count.format(total)} SELECT i + 1, 0, 'policy', 'm', (i / {samples}) % 64 + 1, printf('%.60c', 'x'), 'stop', 0, 1.0, 60, "
        "zeroblob(240), zeroblob(240), zeroblob(240), zeroblob(4) FROM n"
    )
    do("COMMIT")
    record.close()
    model_of().save(run / "model")
    (run / "run.json").write_text(json.dumps({"status": "done", "stages": [{"name": "rl", "steps": steps}]}))
    client, slow = Client(tmp_path), dict[str, float]()
    pages = ("", "/rollouts", "/rollouts?outcome=wrong", "/rollouts?step=200", "/rollouts?part=correct+%3E", "/rollouts?ended=length",
             "/rollouts?hardest=1", "/step/200/problem/48", "/problem/48", "/steps", "/steps?a=1&b=397")  # fmt: skip
    for path in ("/", "/run/many", *(f"/run/many{p}" for p in pages)):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            assert client.get(path).status_code == 200
            times.append(time.perf_counter() - began)
        slow[path] = min(times)
    assert max(slow.values()) < 0.3, slow  # 0.1 is meant; the rest is for a machine that does much else
