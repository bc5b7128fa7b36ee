"""Runs side by side, comparisons and checks are told in the same shape as a run: each number must be the one that was measured, intervals
must be those of the seeds or problems, hostile text must stay text, and the page must hold together on a phone, offline."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.test_report import HOSTILE, Page, sample
from tests.support import recorded

from thinkery.cli.main import main
from thinkery.core.errors import BadConfig, BadData, InputError, UnknownName
from thinkery.lab.check_page import evidence_of
from thinkery.lab.compare import compare
from thinkery.lab.comparison import Comparison
from thinkery.lab.comparison_page import curves, read_comparison
from thinkery.lab.reports import write_check, write_comparison, write_report
from thinkery.lab.side_by_side import together
from thinkery.lab.statistics import paired, t_interval
from thinkery.lab.verdicts import content

SETTINGS: dict[str, Any] = {"task": "addition", "steps": 3, "seeds": 2, "n": 8, "workers": 1, "config": {"problems": "2", "samples": "4"}}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(["reinforce", "raft"], out=tmp_path_factory.mktemp("compared") / "all", **SETTINGS)


def run(folder: Path, scores: str, **changes: Any) -> Path:
    """A run's folder; `scores` are those of its test problems after training, a digit each."""
    folder.mkdir(parents=True)
    after = [sample(f"p{i}", f"reply {s}", float(s)) for i, s in enumerate(scores)]
    accuracy = sum(float(s) for s in scores) / len(scores)
    score = {"accuracy": accuracy, "low": accuracy / 2, "high": 1.0, "n": len(scores), "tokens_per_reply": 3.0}
    about = {
        "method": "grpo",
        "task": "sums",
        "model": "tiny",
        "seed": 0,
        "status": "done",
        "wall_s": 2.0,
        "command": "thinkery train grpo",
    }
    (folder / "run.json").write_text(json.dumps(about | {"evaluations": {"before": score | {"accuracy": 0.0}, "after": score}} | changes))
    (folder / "samples.json").write_text(json.dumps({"before": [s | {"score": 0.0} for s in after], "after": after}))
    recorded(
        folder,
        [{"step": i + 1, "accuracy": i / 10, "reward": i / 10, "tokens": 100.0} for i in range(10)],
        dict.fromkeys(range(1, 11), 0.5),
    )
    return folder


# ---- runs side by side


def test_runs_stand_side_by_side_paired_by_problem(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", "11110000"), run(tmp_path / "b", "11111110", seed=1, method="rloo")
    found = together([a, b])
    (pair,) = found["differences"]
    wanted = paired([1.0] * 7 + [0.0], [1.0] * 4 + [0.0] * 4)
    assert (pair["a"], pair["b"], pair["mean"]) == ("a", "b", 0.375)
    assert (pair["low"], pair["high"], pair["p_holm"]) == (wanted.low, wanted.high, wanted.p)
    path = write_report([a, b])
    assert path == tmp_path / "report.html"
    text = path.read_text("utf-8")
    assert not Page(text).tags & {"script", "link", "iframe", "img"}
    assert text.count("Answered differently") == 3 and "right: b" in text and "right: a" not in text
    for said in (
        "2 runs on sums",
        "b − a",
        "+37.5",
        "tokens sampled by then",
        "seconds spent by then",
    ):
        assert said in text
    assert re.search(r">Seed</td><td[^>]*>0</td><td[^>]*>1</td>", text)
    assert len(re.findall(r"<svg", text)) == 6  # accuracies; reward, accuracy and speed by step; accuracy by tokens and by seconds
    told = json.loads(write_report([a, b], form="json").read_text("utf-8"))
    assert set(told["runs"]) == {"a", "b"} and len(told["runs"]["a"]["metrics"]) == 10
    assert "| b − a | +37.5 |" in write_report([a, b], form="md").read_text("utf-8")


def test_answers_that_never_differ_are_no_certainty(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", "1100"), run(tmp_path / "b", "1100", seed=1)
    (pair,) = together([a, b])["differences"]
    assert pair["mean"] == 0 and pair["low"] < -0.2 and pair["high"] > 0.2 and not pair["real"]  # of four problems


def test_runs_of_other_problems_are_not_paired_and_names_tell_them_apart(tmp_path: Path) -> None:
    a, b = run(tmp_path / "x" / "run", "10"), run(tmp_path / "y" / "run", "101")
    found = together([a, b])
    assert found["differences"] == [] and list(found["runs"]) == ["x/run", "y/run"]
    assert "cannot be paired" in write_report([a, b], tmp_path / "both.html").read_text("utf-8")
    with pytest.raises(BadConfig, match="twice"):
        write_report([a, a])
    with pytest.raises(BadData, match=r"no run\.json"):
        write_report([a, tmp_path])
    with pytest.raises(UnknownName):
        write_report([a, b], form="pdf")


def test_hostile_runs_stay_text(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", "10", task=HOSTILE, command=HOSTILE, config={HOSTILE: HOSTILE}), run(tmp_path / "b", "01", method=HOSTILE)
    text = write_report([a, b]).read_text("utf-8")
    assert "script" not in Page(text).tags and "&lt;script&gt;" in text and not [c for c in "\x1b\u202e" if c in text]


# ---- comparisons


def test_a_comparison_is_read_from_its_folder_as_it_was_found(compared: Comparison) -> None:
    again = read_comparison(Path(compared.folder))
    assert again.to_dict() == compared.to_dict() and again.rows() == compared.rows()
    html = write_report(Path(compared.folder)).read_text("utf-8")
    assert html == (Path(compared.folder) / "compare.html").read_text("utf-8")
    Page(html)
    for heading in (
        "What was found",
        "What was compared",
        "All pairs",
        "Learning",
        "Test problems, side by side",
        "What it cost",
        "Run it again",
    ):
        assert f"<h2>{heading}</h2>" in html
    for row in compared.rows()[1:]:
        assert all(f">{cell}<" in html for cell in row)


def test_a_curve_is_the_mean_over_seeds_in_its_interval() -> None:
    steps, tokens, seconds = curves("a", [[(10.0, 1.0, 0.2), (20.0, 2.0, 0.4)], [(12.0, 3.0, 0.4), (24.0, 4.0, 0.8), (36.0, 5.0, 1.0)]])
    assert tokens.points == [(11.0, pytest.approx(0.3)), (22.0, pytest.approx(0.6))]  # as far as both seeds go
    _, low, high = t_interval([0.2, 0.4])
    assert tokens.band[0] == (11.0, max(0.0, low), min(1.0, high))
    assert [x for x, _ in steps.points] == [1, 2] and [x for x, _ in seconds.points] == [2, 3]
    assert [c.points for c in curves("a", [])] == [[], [], []]


def test_a_comparison_has_other_forms_and_says_what_is_broken(compared: Comparison, tmp_path: Path) -> None:
    told = json.loads(write_comparison(compared, tmp_path / "it.json").read_text("utf-8"))
    assert told["pairs"] == json.loads(json.dumps(compared.to_dict()["pairs"])) and "findings" in told and "torch" in told["versions"]
    text = write_comparison(compared, tmp_path / "it.md").read_text("utf-8")
    assert "| reinforce − raft |" in text and "## What it cost" in text
    with pytest.raises(UnknownName, match=r"it\.pdf"):
        write_comparison(compared, tmp_path / "it.pdf")
    broken = tmp_path / "broken"
    shutil.copytree(compared.folder, broken)
    (broken / "compare.json").write_text('{"start": 1}')
    with pytest.raises(BadData, match=r"compare\.json: cannot be read"):
        write_report(broken)
    with pytest.raises(BadConfig, match="name it alone"):
        write_report([broken, broken / "raft" / "seed-0"])


# ---- checks


def evidence() -> dict[str, Any]:
    """What a check leaves, with figures that are easily recognised."""
    role = {"text": "accuracy: it better than plain by 0.1", "verdict": "supported", "why": HOSTILE}
    figures = {
        "effect": 0.1234,
        "low": 0.0511,
        "high": 0.1957,
        "level": 0.975,
        "detectable": 0.09,
        "a": 0.75,
        "b": 0.6266,
        "margin": [0, 1],
    }
    arm = lambda *values: {
        "metrics": [{"accuracy": v, "tokens": 10.0} for v in values], "curves": {"accuracy": [0.2, 0.6], "length": [10.0, 30.0]},
        "tokens": 8000, "cpu_s": 61.0,
    }  # fmt: skip
    found = {
        "schema": 1, "method": "it", "title": "A thing", "verdict": "supported", "line": "supported: it is better", "scale": "miniature",
        "seeds": 2, "looks": [1, 2], "problems": 50, "reasons": ["of this reason"], "comparisons": [{"role": "primary", **role, **figures}],
        "mechanism": [], "controls": [{"role": "placebo", **role}], "freeze": {"revision": 1, "claim": "c1", "file": "f1"}, "parts": "p1",
        "revisions": 1, "others": [], "numerics": 1, "baseline": "plain", "before": [{"accuracy": 0.25}],
        "arms": {"plain": arm(0.5, 0.6), "it": arm(0.7, 0.8)}, "setting": ["m:Setting", {"task": ["m:T", {"name": "sums"}]}],
        "config": {"lr": 0.1}, "paper": "more", "hardware": {"cpu": "x"}, "versions": {"torch": "2"}, "written": "2026-01-01",
    }  # fmt: skip
    return found


def test_a_check_tells_every_comparison_with_its_interval(tmp_path: Path) -> None:
    text = write_check(evidence(), tmp_path / "it.html").read_text("utf-8")
    page = Page(text)
    assert not page.tags & {"script", "link", "iframe", "img"} and "&lt;script&gt;" in text
    for said in (
        "it: A thing",
        "0.1234",
        "0.0511 to 0.196 (97.5 %)",
        "0.55 [",
        "0.75 [",
        "16,000",
        "2 min 02 s",
        "thinkery check it --seeds 2",
    ):
        assert said in text
    assert "looked at after 1, 2" in text and "Of this reason." in text and "no verdict" not in text
    assert len(re.findall("<svg", text)) == 4  # the accuracy of arms; accuracy and length by step; accuracy by tokens
    over = re.findall(r'<path class="mean c0" d="M(\S+) \S+L(\S+) ', text)[-1]
    assert float(over[0]) < float(over[1])
    pilot = write_check(evidence() | {"scale": "pilot"}, tmp_path / "pilot.md").read_text("utf-8")
    assert "this is no verdict" in pilot and "thinkery check it --seeds 2 --pilot" in pilot and "| primary |" in pilot


def test_evidence_is_reported_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    with pytest.raises(InputError, match="no evidence yet"):
        evidence_of("rlcr", folder)
    found = evidence() | {"method": "rlcr", "numerics": -1}
    (folder / "rlcr.json").write_text(json.dumps(found | {"content": content(found)}))
    assert evidence_of("rlcr", folder)["stale"]
    monkeypatch.setattr("thinkery.lab.check_page.evidence_folder", lambda: folder)
    assert main(["evidence", "report", "rlcr", "--out", str(tmp_path / "of.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'of.html'}\n"
    assert "The code has changed since" in (tmp_path / "of.html").read_text("utf-8")
    assert main(["check", "rlcr", "--pilot", "--report", str(tmp_path / "of.pdf")]) == 2  # before anything is run
    monkeypatch.setattr("thinkery.lab.evidence.check", lambda *names, **how: evidence() | {"scale": "pilot"})
    assert main(["check", "rlcr", "--pilot", "--report", str(tmp_path / "pilot.md")]) == 0
    assert "this is no verdict" in (tmp_path / "pilot.md").read_text("utf-8")


def test_compare_writes_its_report_where_it_is_asked_to(compared: Comparison, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "reinforce", "raft", "--task", "addition", "--steps", "3", "--seeds", "2", "--n", "8", "--workers", "1", "--quiet"]
    words += ["--set", "problems=2", "--set", "samples=4", "--out", compared.folder]  # all is done already
    assert main([*words, "--report", str(tmp_path / "it.md")]) == 0
    assert (tmp_path / "it.md").read_text("utf-8") == write_report(Path(compared.folder), form="md").read_text("utf-8")
    assert main([*words, "--report", str(tmp_path / "it.pdf")]) == 2
    assert "*.html" in capsys.readouterr().err


# ---- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api").sync_playwright
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("no chromium: apt-get install chromium")
    with sync() as p:
        opened = p.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield opened
        opened.close()


def test_reports_hold_together_on_a_phone_in_the_dark_and_on_paper(browser: Any, compared: Comparison, tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", "11110000"), run(tmp_path / "b", "11111110", method="m" * 60)
    pages = [write_report(a), write_report([a, b]), write_report(Path(compared.folder)), write_check(evidence(), tmp_path / "check.html")]
    for path in pages:
        for width, scheme, medium in ((390, "dark", "screen"), (1200, "light", "screen"), (690, "dark", "print")):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page, asked, said = context.new_page(), list[str](), list[str]()
            page.on("request", lambda r, asked=asked: asked.append(r.url))
            page.on("console", lambda m, said=said: said.append(m.text))
            page.emulate_media(media=medium)
            page.goto(path.as_uri())
            assert asked == [path.as_uri()] and not said
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} at {width} px, {medium}"
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(22, 24, 27)") == (scheme == "dark" and medium == "screen")
            context.close()
