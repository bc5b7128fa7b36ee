"""A report must be one offline page that says what the run's folder says and nothing more; hostile replies, runs cut short and
measurements that were never made are where a page breaks or invents."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.support import recorded

from thinkery.core.errors import BadData, StorageError, UnknownName
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab.chart import BOTTOM, HEIGHT, INSET, TOP, WIDTH, Curve, Range, chart, intervals, running_mean, ticks
from thinkery.lab.events import Event
from thinkery.lab.finding import Finding
from thinkery.lab.report import charts
from thinkery.lab.reports import write_report
from thinkery.lab.store import Store, metrics_of, seconds_of
from thinkery.lab.text import clean, one_line

HOSTILE = "<script>alert(1)</script>\x1b[31mred\x1b[0m\u202egnp.exe {{ 7*7 }}"
VOID = {"meta", "br", "hr", "img", "link", "input"}


def sample(prompt: str, reply: str, score: float) -> dict[str, Any]:
    return {"prompt": prompt, "gold": "42", "reply": reply, "parsed": reply, "score": score, "reason": f"reads {reply}"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with every kind of problem: learnt, lost, still wrong, right both times."""
    score = {"accuracy": 0.25, "low": 0.1, "high": 0.4, "n": 4, "tokens_per_reply": 12.5}
    about = {
        "schema": 1, "method": "grpo", "task": "addition", "model": "tiny", "seed": 7, "status": "done", "config": {"lr": 0.001},
        "versions": {"torch": "2.9"}, "command": "thinkery train grpo --task addition", "wall_s": 75.0, "remarks": ["Only four problems."],
        "evaluations": {"before": score, "after": score | {"accuracy": 0.75}},
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(about))
    metrics = [{"step": i + 1, "reward": i / 100, "accuracy": i / 100, "length": 20.0, "tokens": 1000.0, "mixed": 0.5} for i in range(100)]
    recorded(tmp_path, metrics)
    marks = [("learnt", 0, 1), ("lost", 1, 0), ("hard", 0, 0), ("easy", 1, 1)]
    sides = {side: [sample(p, f"{p} {side}", m[i]) for p, *m in marks] for i, side in enumerate(("before", "after"))}
    (tmp_path / "samples.json").write_text(json.dumps(sides))
    return tmp_path


class Page(HTMLParser):
    """A page's tags, what they point to, and whether they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [v or "" for k, v in attrs if k in ("href", "src", "action", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def change(run: Path, **changes: Any) -> None:
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_it_is_one_offline_page_that_says_what_was_measured(run: Path) -> None:
    path = write_report(run)
    assert path == run / "report.html"
    text = path.read_text("utf-8")
    page = Page(text)
    assert not page.tags & {"script", "link", "iframe", "img", "object"}
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\(|@import|https?://", text)
    assert "prefers-color-scheme" in text
    assert 'name="viewport"' in text
    for said in ("grpo on addition", "25.0 %", "75.0 %", "[10.0 %, 40.0 %], n = 4 problems", "Only four problems.", "100,000"):
        assert said in text
    for said in ("1 min 15 s", "thinkery train grpo --task addition", "learnt before", "learnt after", "Still wrong", "seed 7"):
        assert said in text
    assert write_report(run, run / "elsewhere" / "page.html").read_text("utf-8") == text


def test_hostile_text_stays_text(run: Path) -> None:
    change(run, task=HOSTILE, remarks=[HOSTILE], command=HOSTILE, config={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}, model=HOSTILE)
    both = [sample(HOSTILE, HOSTILE, 0)]
    (run / "samples.json").write_text(json.dumps({"before": both, "after": both}))
    text = write_report(run).read_text("utf-8")
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7*7 }}" in text
    assert not [c for c in "\x1b\u202e" if c in text]


def test_what_was_not_measured_is_not_filled_in(run: Path) -> None:
    for name in ("run.sqlite", "samples.json"):
        (run / name).unlink()
    (run / "run.json").write_text(json.dumps({"method": "sft", "task": "chain", "status": "failed"}))
    text = write_report(run).read_text("utf-8")
    Page(text)
    assert "failed after 0 steps" in text
    assert "not recorded" in text
    assert "<svg" not in text
    assert "0.0 %" not in text


@pytest.mark.parametrize(("status", "said"), [("running", "had not ended"), ("interrupted", "interrupted after 100"), ("done", "")])
def test_a_run_that_did_not_end_says_so(run: Path, status: str, said: str) -> None:
    change(run, status=status)
    text = write_report(run).read_text("utf-8")
    assert said in text
    assert ("had not ended" in text or "not its end" in text) == bool(said)


def test_a_broken_record_is_named(run: Path) -> None:
    (run / "run.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(BadData, match=r"run\.sqlite: cannot be read"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_bad_folders_are_named(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(BadData, match=r"no run\.json"):
        write_report(tmp_path_factory.mktemp("empty"))
    for text in ("[]", "{", "\x80"):
        (run / "run.json").write_text(text, "latin-1")
        with pytest.raises(BadData, match=r"run\.json"):
            write_report(run)


def test_samples_that_do_not_pair_are_refused(run: Path) -> None:
    (run / "samples.json").write_text(json.dumps({"before": [sample("a", "x", 0)], "after": [sample("b", "x", 0)]}))
    with pytest.raises(BadData, match="differ"):
        write_report(run)


def test_a_sample_that_failed_is_not_a_wrong_answer(run: Path) -> None:
    failed = sample("broke", "", 0) | {"score": None, "reason": "the solver raised"}
    sides = {"before": [failed, sample("fine", "x", 0)], "after": [sample("broke", "42", 1), sample("fine", "x", 1)]}
    (run / "samples.json").write_text(json.dumps(sides))
    text = write_report(run).read_text("utf-8")
    for kind in ("Failed, and so not counted", "Wrong before, right after"):
        assert re.search(rf">{kind}</td><td>1 of 2</td>", text)
    found = json.loads(write_report(run, form="json").read_text("utf-8"))
    assert found["change"] is None and [t["kind"] for t in found["telling"]] == ["Most improved"]  # one pair is no interval


def test_speed_is_tokens_over_seconds_of_the_same_step(run: Path) -> None:
    metrics = [{"step": i, "reward": 0.5, "tokens": 1000.0 * i} for i in (1, 2, 3)]
    (run / "run.sqlite").unlink()
    recorded(run, metrics, {2: 0.25, 3: 0.25})  # step 1 was not timed
    curves = {c.names[0]: c.svg for c in charts(metrics_of(run), seconds_of(run))}
    heights = [HEIGHT - BOTTOM - y for _, y in coordinates(str(curves["speed"]), "mean")]
    # 8,000 and 12,000 tokens/s on an axis that ends at 15,000
    assert heights == pytest.approx([(HEIGHT - TOP - BOTTOM) * v / 15 for v in (8, 12)], abs=0.1)


def test_a_supervised_run_shows_its_loss_and_no_empty_charts(run: Path) -> None:
    metrics = [{"step": i, "length": 0.0, "tokens": 0.0, "loss/sft": 2.0 / i} for i in (1, 2, 3)]
    curves = [c.names for c in charts(metrics, {})]
    assert curves == [["loss/sft"]]


def test_a_place_that_cannot_be_written_is_one_message(run: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        write_report(run, run / "run.json" / "report.html")


# ---- curves


def coordinates(svg: str, kind: str) -> list[tuple[float, float]]:
    """The points of the curve of a kind."""
    paths = [e.get("d", "") for e in ElementTree.fromstring(svg).iter("path") if (e.get("class") or "").startswith(kind)]
    return [(float(x), float(y)) for p in paths for x, y in re.findall(r"[ML](\S+) ([^ML]+)", p)]


def test_a_curve_goes_up_where_its_values_do() -> None:
    svg = str(chart([Curve("reward", [(i, i / 10) for i in range(11)])], unit="share", bounds=(0.0, 1.0)))
    points = coordinates(svg, "mean")
    assert len(points) == 11
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(points))  # on a screen up is less
    assert "share" in svg
    assert "step" in svg


@pytest.mark.parametrize("values", [[0.5], [1.0] * 5, [0.0] * 5, [-3.0, 4.0], [1e-9, 2e-9], [1e12, 2e12], [math.nan, 1.0, math.inf, 2.0]])
def test_any_values_give_a_drawing_without_nonsense(values: list[float]) -> None:
    svg = str(chart([Curve("x", list(enumerate(values)))], unit="nats"))
    ElementTree.fromstring(svg)
    assert not re.search(r"\b(nan|inf)\b", svg)


def test_steps_are_whole_numbers() -> None:
    texts = [e.text or "" for e in ElementTree.fromstring(str(chart([Curve("a", [(2, 0.5), (3, 0.75)])], unit="u"))).iter("text")]
    across = texts[texts.index("step") - 2 : texts.index("step")]
    assert across == ["2", "3"]


def test_nothing_measured_gives_no_drawing() -> None:
    assert chart([], unit="x") == ""
    assert chart([Curve("x", [(1, math.nan)])], unit="x") == ""


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.3), (-2, 7), (1e-6, 3e-6), (0, 123456)])
def test_ticks_are_round_and_cover(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low + 1e-12
    assert found[-1] >= high - 1e-12
    assert 2 <= len(found) <= 8
    step = found[1] - found[0]
    assert any(math.isclose(step / 10.0 ** math.floor(math.log10(step) + 1e-9), k) for k in (1, 2, 5))


def test_a_running_mean_keeps_a_line_and_flattens_noise() -> None:
    line = [(float(i), 2.0 * i) for i in range(20)]
    assert [y for _, y in running_mean(line, 3)][5:15] == pytest.approx([y for _, y in line][5:15])
    noise = [(float(i), float(i % 2)) for i in range(20)]
    assert all(0.3 < y < 0.7 for _, y in running_mean(noise, 3)[3:17])


def test_intervals_lie_where_their_values_do_and_hold_hostile_names() -> None:
    rows = [Range(HOSTILE, 0.5, (0.25, 1.0), "50 %", 0), Range("alone", 0.0, None, "0 %"), Range("nothing", math.nan, None, "—")]
    root = ElementTree.fromstring(str(intervals(rows, unit="share", zero=0.0)).replace("\x1b", ""))
    dots = [float(e.get("cx", "")) for e in root.iter("circle")]
    assert dots == pytest.approx([WIDTH / 2, INSET], abs=0.1)  # from 0 to 1 across the drawing
    (whisker,) = (e.get("d", "") for e in root.iter("path"))
    low, high = (float(x) for x in re.findall(r"M(\S+) \S+v8", whisker))
    assert (low, high) == pytest.approx((INSET + 0.25 * (WIDTH - 2 * INSET), WIDTH - INSET), abs=0.1)
    assert intervals([], unit="share") == "" and intervals(rows[2:], unit="share") == ""


# ---- text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "link"),
        ("\x9b2Jgone", "gone"),
        ("a\u202eb\u2066c\x00d\x7f", "abcd"),
        ("line\r\nline\ttab", "line\nline\ttab"),
        ("नि\u200dनি, 👩\u200d🔬", "नि\u200dनি, 👩\u200d🔬"),
    ],
)
def test_clean_removes_what_acts_and_keeps_what_reads(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_one_line_is_one_line_of_bounded_width() -> None:
    assert one_line(" a\nb ") == "a⏎b"
    assert one_line("x" * 1000, 10) == "x" * 9 + "…"
    assert one_line("x" * 10, 10) == "x" * 10


# ---- other forms


def test_markdown_and_json_say_the_same_and_hold_hostile_text(run: Path) -> None:
    evil = "```\n# not a heading\n````"
    change(run, task="a|b*c", command=evil)
    both = [sample(evil, evil, 0)]
    (run / "samples.json").write_text(json.dumps({"before": both, "after": both}))
    record = Store(run)
    problem = Problem("p", Question("1+1="), "2")
    rollout = Rollout(101, 0, 0, problem, [], Reply("3, surely"), Verdict(0.0, "3", reason="3 is not 2"))
    record.write(101, "rl", {"reward": float("nan")}, 0.1, [rollout])
    record.flush()
    record.connection.execute("UPDATE rollouts SET reward = 0.75")
    record.listen(Event("warning", {"text": "odd *things*"}))
    record.listen(Event("finding", vars(Finding("signal", "warning", "all alike", "sample more"))))
    record.listen(Event("finding", vars(Finding("format", "fine", "all is well"))))
    record.close()
    text = write_report(run, form="md").read_text("utf-8")
    assert text.startswith("# grpo on a\\|b\\*c\n") and "| before | 25.0 % |" in text and "| 1–10 |" in text
    assert "`````\n```\n# not a heading\n````\n`````" in text  # a longer fence around it
    assert "reward 0.75" in text and "3 is not 2" in text and "odd \\*things\\*" in text and "all is well" not in text
    found = json.loads(write_report(run, form="json").read_text("utf-8"))
    paid = next(t for t in found["telling"] if t["kind"] == "Rewarded but not correct")
    assert paid["sides"][0]["reply"] == "3, surely" and paid["sides"][0]["reward"] == 0.75
    assert found["findings"] == ["step 101: odd *things*", "step 101: signal: all alike → sample more"]
    assert found["metrics"][-1]["reward"] is None and len(found["metrics"]) == 101 and found["run"]["task"] == "a|b*c"
    page = write_report(run).read_text("utf-8")
    assert "Rewarded but not correct" in page and "3, surely" in page and "Findings" in page
    Page(page)
    with pytest.raises(UnknownName):
        write_report(run, form="pdf")
