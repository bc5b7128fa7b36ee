"""Numbers side by side: what differs must come first, and intervals, differences and clashes must be those that were measured."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from thinkery.core.errors import BadData
from thinkery.lab.dashboard import compared, data, sides
from thinkery.lab.statistics import t_interval

from .support import HOSTILE, Client, Page


def test_a_comparison_shows_what_was_measured(client: Client, folder: Path) -> None:
    told = compared.comparison(folder, "which")
    assert told["against"][0] == {"method": told["names"][1], "mean": 0.25, "low": 0.2, "high": 0.3, "real": True}
    assert [a["runs"] for a in told["arms"]] == [[], ["which/grpo/seed-0"], [], []]
    text = Page(client.get("/compare/which").text).text
    assert "75.0 % [65.0, 85.0]" in text and "+25.0 [+20.0, +30.0]" in text and "12,345" in text
    assert [c["accuracy"] for c in compared.comparisons(folder)] == [0.75]


def test_curves_are_over_steps_tokens_and_seconds_and_accuracy_over_what_it_cost(client: Client, folder: Path) -> None:
    told = compared.comparison(folder, "which")
    assert [c["over"] for c in told["charts"]] == ["step", "tokens", "seconds", "tokens"]
    first = told["names"].index("grpo")
    drawn = [json.loads(c["told"]) for c in told["charts"]]
    points = [[(x, y) for x, y in zip(d["x"], d["curves"][first]["y"]) if y is not None] for d in drawn]
    assert points == [[(1, 0.1), (2, 0.5)], [(10, 0.1), (20, 0.5)], [(1, 0.1), (2, 0.5)], [(12345.5, 0.5)]]
    ends = drawn[3]["curves"][first]
    assert [y for y in ends["low"] if y is not None] == [0.4] * 2 and [y for y in ends["high"] if y is not None] == [0.6] * 2
    page = client.get("/compare/which").text
    given = re.findall(r'data-chart="([^"]*)" data-sync="([^"]*)"', page)
    assert [(json.loads(unescape(v)), o.split()[-1]) for v, o in given] == [(d, d["over"]) for d in drawn]
    assert page.count('<path class="band c0"') == 1  # the interval


def test_several_seeds_give_curves_a_band(folder: Path, tmp_path: Path) -> None:
    told = json.loads((folder / "which" / "compare.json").read_text())
    told["arms"][0]["curves"] = [{"seed": k, "points": [[10, 1.0, 0.2 + k / 10], [30, 3.0, 0.6 + k / 10]]} for k in range(2)]
    (tmp_path / "wide").mkdir()
    (tmp_path / "wide" / "compare.json").write_text(json.dumps(told))
    charts = compared.comparison(tmp_path, "wide")["charts"]
    banded = [[c for c in json.loads(chart["told"])["curves"] if "low" in c] for chart in charts[:3]]
    assert [[c["name"] for c in its] for its in banded] == [["grpo"]] * 3 and "95 % intervals" in charts[0]["caption"]
    grpo = banded[0][0]
    assert grpo["y"] == [0.25, 0.65]
    mean, low, high = t_interval([0.2, 0.3])
    assert (grpo["low"][0], grpo["high"][0]) == (0.0, pytest.approx(high, rel=1e-3)) and low < 0 and mean == pytest.approx(0.25)


def test_one_seed_has_no_interval_and_many_arms_are_drawn_in_part(folder: Path, tmp_path: Path) -> None:
    told = json.loads((folder / "which" / "compare.json").read_text())
    arm = lambda i: told["arms"][0] | {"method": f"m{i}", "means": {"accuracy": {"mean": i / 20, "low": None, "high": None}}}
    pairs = [{"a": "m0", "b": f"m{i}", "mean": 0.1, "low": None, "high": None, "real": False} for i in range(1, 12)]
    (tmp_path / "wide").mkdir()
    changed = {"arms": [arm(i) for i in range(12)], "pairs": pairs, "interactions": []}
    (tmp_path / "wide" / "compare.json").write_text(json.dumps(told | changed))
    found = compared.comparison(tmp_path, "wide")
    assert found["hidden"] == 4 and found["charts"][0]["names"] == ["m0", *(f"m{i}" for i in range(11, 4, -1))]
    text = Page(Client(tmp_path).get("/compare/wide").text).text
    assert "one seed" in text and "4 more stand in the table alone" in text
    with pytest.raises(BadData, match="--pairs"):
        compared.interactions(tmp_path, "wide")


def test_the_map_says_what_adds_up_and_what_clashes(folder: Path, tmp_path: Path) -> None:
    told = json.loads((folder / "which" / "compare.json").read_text())
    told["arms"].append(told["arms"][0] | {"method": "dapo"})
    told["arms"].append(told["arms"][0] | {"method": "rloo+dapo"})
    told["interactions"].append({"a": "dapo", "b": "rloo", "kind": "dapo changes nothing beside rloo", "beyond": {}})
    told["skipped"] = {f"dapo+{HOSTILE}": "dapo and x both change 'advantage'; they cannot be combined"}
    (tmp_path / "paired").mkdir()
    (tmp_path / "paired" / "compare.json").write_text(json.dumps(told))
    found = compared.interactions(tmp_path, "paired")
    assert found["others"] == [data.clean(HOSTILE), "rloo", "dapo"]
    cells = {(a, b): cell for a, row in found["rows"] for b, cell in zip(found["others"], row)}
    bad = data.clean(HOSTILE)
    assert cells[bad, bad] == {"text": "+25.0", "kind": "alone real", "more": "+20.0 to +30.0"}
    assert cells[bad, "rloo"] == cells["rloo", bad] == {"text": "-20.0", "kind": "harms real", "more": "-30.0 to -10.0"}
    assert cells["rloo", "dapo"]["text"] == "the same" and cells["dapo", "dapo"]["text"] == "—"
    assert cells["dapo", bad] == {"text": "clash", "kind": "clash", "more": "dapo and x both change 'advantage'"}
    client = Client(tmp_path)
    assert client.get("/map/paired").text.count("<b>") == 4 and "/map/paired" in client.get("/compare").text


# ---- two sides


def test_what_differs_comes_first(client: Client, folder: Path) -> None:
    told = sides.beside(folder, "good:before", "good:after", "")
    assert [(r["number"], r["kind"]) for r in told["rows"]] == [
        (1, "right → wrong"), (2, "wrong → right"), (3, "both wrong"), (0, "both right"), (4, "both failed"),
    ]  # fmt: skip
    assert told["counts"] == dict.fromkeys(("right → wrong", "wrong → right", "both wrong", "both right", "both failed"), 1)
    assert told["change"].mean == 0 and told["n"] == 5 and not told["hidden"]
    assert [r["number"] for r in sides.beside(folder, "good:before", "good:after", "wrong → right")["rows"]] == [2]
    page = client.get("/beside?a=good:before&b=good:after&only=right → wrong").text
    assert page.count('<details class="pair"') == 1 and "problem 1" in page


def test_two_runs_are_paired_by_the_problems_that_both_were_asked(folder: Path, tmp_path: Path) -> None:
    answers = json.loads((folder / "good" / "samples.json").read_text())["after"]
    for name, of in (("a", answers), ("b", answers[::-1][:3]), ("c", [answers[0] | {"prompt": "another"}])):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "samples.json").write_text(json.dumps({"before": of, "after": of}))
    told = sides.beside(tmp_path, "a:after", "b:before", "")
    assert told["n"] == 3 and told["alone"] == (2, 0) and {r["kind"] for r in told["rows"]} == {"both wrong", "both failed", "both right"}
    assert sorted(told["known"]) == ["a:after", "a:before", "b:after", "b:before", "c:after", "c:before"]
    assert "no problem in common" in Client(tmp_path).get("/beside?a=a:after&b=c:after").text
    (tmp_path / "a" / "samples.json").write_text("{")
    assert Client(tmp_path).get("/beside?a=a:after&b=b:after").status_code == 404
