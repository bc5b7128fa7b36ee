"""A comparison is believed: so equal arms must come out equal, an interruption must change nothing, and what cannot run must be named
before hours are spent."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from thinkery.cli.compare import tokens
from thinkery.cli.main import main
from thinkery.core.errors import BadConfig, BadData, InputError, UnknownName
from thinkery.core.rng import rng
from thinkery.lab import compare as comparing
from thinkery.lab import design
from thinkery.lab.compare import compare
from thinkery.lab.comparison import Arm, Comparison, Measured, dropped, measured
from thinkery.lab.comparison_page import write_page
from thinkery.lab.design import Design, prepare
from thinkery.lab.evaluation import Evaluation
from thinkery.lab.events import Event
from thinkery.lab.statistics import detectable
from thinkery.models.decoder import DecoderConfig
from thinkery.models.model import new_model
from thinkery.models.tokenizer import character_tokenizer
from thinkery.tasks import load_file

SETTINGS: dict[str, Any] = {
    "task": "addition", "steps": 4, "seeds": 2, "n": 20, "workers": 1, "config": {"problems": "4", "samples": "4"}
}  # fmt: skip
SMALL = DecoderConfig(vocabulary=64, width=32, layers=2, heads=2, kv_heads=1, head_width=16, feed_forward=64, context=128)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A method of one's own that is the default recipe under another name: `reinforce` again."""
    path = tmp_path_factory.mktemp("methods") / "copy.py"
    path.write_text(
        "from thinkery.core.records import Card\nfrom thinkery.learning.recipe import default\n"
        "CARD = Card(id='copy', family='baselines', title='A copy', changes=('advantage',))\n"
        "def recipe(setting):\n    return default(setting)\n"
    )
    return str(path)


@pytest.fixture(scope="module")
def straight(mine: str, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(["reinforce", mine, "raft"], out=tmp_path_factory.mktemp("compare") / "all", **SETTINGS)


def timeless(value: Any) -> Any:
    """Without what the clock says."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in ("seconds", "summary")}
    if isinstance(value, list):
        return [timeless(v) for v in value]
    return value


def result(found: Comparison) -> Any:
    """What must not depend on interruptions."""
    out = timeless(found.to_dict())
    for arm in out["arms"]:
        for c in arm["curves"]:
            c["points"] = [[t, a] for t, _, a in c["points"]]
    return out


def no_constant(text: str) -> Any:
    raise AssertionError(f"{text} is no JSON")


def test_interrupted_and_continued_equals_straight(straight: Comparison, mine: str, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    for after in (3, 12):  # in the first run, and in a later one
        seen: list[Event] = []

        def listen(event: Event, seen: list[Event] = seen, after: int = after) -> None:
            seen.append(event)
            if len([e for e in seen if e.kind == "step"]) == after:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            compare(["reinforce", mine, "raft"], out=tmp_path, listen=listen, **SETTINGS)
    assert result(compare(["reinforce", mine, "raft"], out=tmp_path, **SETTINGS)) == result(straight)


def test_identical_arms_have_no_real_difference(straight: Comparison) -> None:
    (pair,) = [p for p in straight.pairs() if {p.a, p.b} == {"reinforce", "copy"}]
    assert pair.difference.mean == 0 and pair.adjusted == 1 and not pair.real
    assert straight.arms[0].seeds[0].scores == straight.arms[1].seeds[0].scores
    assert any(line.startswith("Not told apart: reinforce and copy") for line in straight.words())
    assert 0 < straight.detectable() < 10


def test_what_is_done_is_not_done_again_and_more_can_be_asked_for(straight: Comparison, mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, told, train = list[tuple[str, int]](), list[Event](), comparing.train

    def counted(method: str, **how: Any) -> Any:
        runs.append((Path(method).stem, how["seed"]))
        return train(method, **how)

    monkeypatch.setattr(comparing, "train", counted)
    again = lambda *methods, **how: compare(methods, out=straight.folder, listen=told.append, **SETTINGS | how)
    assert result(again("reinforce", mine, "raft")) == result(straight) and runs == []
    assert not [e for e in told if e.kind == "evaluation"]
    more = again("reinforce", "rloo", seeds=3)
    assert runs == [("rloo", 0), ("rloo", 1), ("reinforce", 2), ("rloo", 2)]
    assert [e.data["label"] for e in told if e.kind == "evaluation"].count("before") == 1  # once a seed, for both arms
    assert list(more.arms[0].seeds) == [0, 1, 2] and more.arms[0].seeds[0] == straight.arms[0].seeds[0]


def test_arms_start_alike_and_meet_the_same_problems(straight: Comparison) -> None:
    for seed in (0, 1):
        kept = json.loads((Path(straight.folder) / "start" / f"seed-{seed}" / "evaluation.json").read_text())["samples"]
        for arm in straight.arms:
            samples = json.loads((Path(straight.folder) / arm.method / f"seed-{seed}" / "samples.json").read_text())
            assert samples["before"] == kept
            assert [s["prompt"] for s in samples["after"]] == [s["prompt"] for s in kept]


def test_the_folder_of_another_comparison_is_refused(straight: Comparison, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="was started with n 20, not 30"):
        compare(["reinforce", "raft"], out=straight.folder, **SETTINGS | {"n": 30})
    (tmp_path / "letter.txt").write_text("not a comparison")
    with pytest.raises(BadConfig, match="holds no comparison"):
        compare(["reinforce", "raft"], out=tmp_path, **SETTINGS)
    path = tmp_path / "measured.json"
    path.write_text("{")
    with pytest.raises(BadData, match="delete it"):
        design.read(path)


def test_the_json_has_a_schema_and_no_constants(straight: Comparison) -> None:
    found = json.loads((Path(straight.folder) / "compare.json").read_text(), parse_constant=no_constant)
    assert found["schema"] == 1 and found["task"] == "addition" and found["model"] == "tiny" and found["budget"] is None
    for arm in straight.to_dict()["arms"]:
        assert {"mean", "low", "high"} == set(arm["means"]["accuracy"]) and [s["seed"] for s in arm["seeds"]] == [0, 1]
        for s in arm["seeds"]:
            assert len(s["scores"]) == 20 and 0 <= s["pass_at_8"] <= 1 and 0 <= s["ece"] <= 1 and s["steps"] == 4 and s["tokens"] > 0
        for c in arm["curves"]:
            assert len(c["points"]) == 4 and c["points"][-1][0] == arm["seeds"][c["seed"]]["tokens"]
    pairs = straight.to_dict()["pairs"]
    assert [(p["a"], p["b"]) for p in pairs] == [("reinforce", "copy"), ("reinforce", "raft"), ("copy", "raft")]
    assert set(pairs[0]) == {"a", "b", "mean", "low", "high", "p", "n", "p_holm", "real"}


def test_the_page_is_offline_and_shows_what_was_found(straight: Comparison, tmp_path: Path) -> None:
    page = write_page(straight).read_text()
    assert not re.search(r"<script|src=|href=|url\(|https?:", page)
    assert page.count('class="band c0"') == 3 and "copy" in page and "side by side" in page
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    over = [(d[0].text or "").rpartition(" over ")[2] for d in drawings[2:]]  # the first two show accuracies and their differences
    assert over == ["training steps", "tokens", "seconds"]
    for line in straight.words():
        assert line.split(":")[0] in page
    hostile = replace(straight, about=straight.about | {"model": "<script>alert(1)</script>", "skipped": {"sft": "<b>"}})
    assert "<script" not in write_page(hostile).read_text()


def test_one_seed_gives_no_interval_and_says_so(straight: Comparison) -> None:
    only = lambda arm: replace(arm, seeds={0: arm.seeds[0]}, curves={0: arm.curves[0]} if arm.curves else {})
    one = replace(straight, start=only(straight.start), arms=tuple(map(only, straight.arms)))
    assert "one seed" in one.table() and " to " not in one.table()
    assert any("With one seed no interval" in line for line in one.words()) and not any(p.real for p in one.pairs())
    assert one.to_dict()["pairs"][0]["low"] is None and one.to_dict()["detectable"] is None


def test_a_budget_ends_runs_within_one_step_of_it(tmp_path: Path) -> None:
    found = compare(["reinforce", "raft"], out=tmp_path, **SETTINGS | {"budget": 500, "steps": 50, "seeds": 1})
    for arm in found.arms:
        points = arm.curves[0]
        assert points[-1][0] >= 500 > points[-2][0] and len(points) < 50
        assert arm.seeds[0].steps == len(points)
    with pytest.raises(BadConfig, match="budget 500, not 600"):
        compare(["reinforce", "raft"], out=tmp_path, **SETTINGS | {"budget": 600, "steps": 50, "seeds": 1})


# ---- what cannot run


def test_methods_that_cannot_run_are_named_before_anything_runs(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"q": f"{i}+{i}=", "a": 2 * i}) + "\n" for i in range(60)))
    new_model(SMALL, character_tokenizer("0123456789+=?"), "other").save(tmp_path / "other")
    how = SETTINGS | {"task": load_file(rows, "q", "a", "number"), "model": str(tmp_path / "other"), "out": tmp_path / "out"}
    with pytest.raises(InputError, match="--skip-unfit") as error:
        compare(["reinforce", "raft", "sft", "opd", "ppo+dapo"], **how)
    told = str(error.value)
    assert re.search(r"sft: it needs worked replies, which the task .* lacks; name their column with --solution", told)
    assert re.search(r"opd: its teacher tiny has another tokenizer .* --set cast.teacher=FOLDER", told)
    assert re.search(r"ppo\+dapo: .* cannot be combined", told) and "raft" not in told and not (tmp_path / "out").exists()
    left = prepare(Design(methods=("reinforce", "raft", "sft", "opd"), skip_unfit=True, **how))
    assert left.arms == ("reinforce", "raft") and set(left.skipped) == {"sft", "opd"}
    assert any(line.startswith("left out: sft") for line in left.plan().lines())
    with pytest.raises(InputError, match="at least two"):
        prepare(Design(methods=("reinforce", "sft"), skip_unfit=True, **how))
    with pytest.raises(InputError, match="chat template that knows thoughts"):
        prepare(Design(methods=("reinforce", "raft"), solver="thinking", **how))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(UnknownName, match="grpoo"):
        prepare(Design(methods=("grpoo", "raft"), task="addition", skip_unfit=True))
    for methods in (("raft", "raft"), ("raft",), ()):
        with pytest.raises(InputError):
            prepare(Design(methods=methods, task="addition"))
    for wrong in ({"seeds": 0}, {"budget": 0}, {"n": 0}, {"stop": "late"}):
        with pytest.raises(BadConfig, match=str(next(iter(wrong)))):
            Design(methods=("raft", "rloo"), task="addition", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="teacher"):
        prepare(Design(methods=("reinforce", "opd"), task="addition", config={"cast.teacher": "nowhere"}))


# ---- the plan


def test_the_plan_counts_what_is_left_and_says_what_can_be_found(tmp_path: Path) -> None:
    new = prepare(Design(methods=("reinforce", "raft"), out=tmp_path / "no", **SETTINGS))
    plan = new.plan()
    room = 16 * 4 * new.task.max_tokens
    assert plan.done == 0 and plan.tokens == 4 * room and plan.answers == 4 * (20 + 8 * 20) and not (tmp_path / "no").exists()
    assert (
        plan.spread_from.startswith("assumed") and "any difference" in "\n".join(plan.lines()) and plan.steps == {"reinforce": 4, "raft": 4}
    )
    capped = prepare(Design(methods=("reinforce", "raft"), **SETTINGS | {"budget": 100})).plan()
    assert capped.tokens == 4 * (100 + room // 4) and "100 tokens" in "\n".join(capped.lines())


def test_the_plan_goes_by_what_is_measured_once_it_is(tmp_path: Path) -> None:
    p = prepare(Design(methods=("reinforce", "raft"), out=tmp_path, **SETTINGS | {"seeds": 8, "stop": "early"}))
    for arm, accuracies in (("reinforce", (0.5, 0.7, 0.6)), ("raft", (0.5, 0.5))):
        for seed, m in made(*accuracies).items():
            p.place(arm, seed).mkdir(parents=True)
            (p.place(arm, seed) / "measured.json").write_text(json.dumps(asdict(m)))
    plan = p.plan()
    assert plan.done == 5 and plan.spread == pytest.approx(0.2 / 2**0.5) and plan.spread_from.startswith("measured")
    assert plan.detectable == pytest.approx(detectable(0.2 / 2**0.5, 8)) and plan.needed[0.5] < plan.needed[0.2]
    assert any("nothing can be dropped" in line for line in plan.lines()) == (min(plan.needed.values()) > 8)
    json.dumps(plan.to_dict(), allow_nan=False)


def test_what_does_not_fit_in_memory_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    full = design.job_of
    monkeypatch.setattr(design, "job_of", lambda *a: replace(full(*a), memory=1 << 20))
    with pytest.raises(InputError, match=r"reinforce: this run needs about .* GiB"):
        prepare(Design(methods=("reinforce", "raft"), task="addition"))


# ---- what is made of numbers


def made(*accuracies: float, n: int = 100) -> dict[int, Measured]:
    """Measurements by seed; which problems are right differs from seed to seed."""
    scores = [[float((i + s) % n < round(a * n)) for i in range(n)] for s, a in enumerate(accuracies)]
    return {
        s: Measured(a, scores[s], 9.0, 0.0, 0.0, 0, 1.0, 0.5, "the majority's share", 0.1, 0.2, 4, 1000, 2.0, 600_000)
        for s, a in enumerate(accuracies)
    }


def found(*arms: Arm, **about: Any) -> Comparison:
    shared = {"n": 100, "budget": None, "steps": 4, "stop": None}
    return Comparison(shared | about, Arm("start", made(0.1, 0.1, 0.1)), arms, "nowhere")


def test_an_interval_of_a_difference_ends_at_what_is_possible() -> None:
    c = found(Arm("good", made(1.0, 0.99)), Arm("bad", made(0.0, 0.01)))
    (pair,) = c.pairs()
    words = "\n".join(c.words())
    assert pair.real and pair.difference.high > 1 and f"(95 % interval {100 * pair.difference.low:.1f} to 100.0)" in words


def test_a_clear_difference_is_real_in_words_and_numbers() -> None:
    c = found(Arm("good", made(0.8, 0.82, 0.81)), Arm("bad", made(0.3, 0.31, 0.3)), Arm("also", made(0.8, 0.81, 0.82)), budget=5000)
    real = {(p.a, p.b): p.real for p in c.pairs()}
    assert real == {("good", "bad"): True, ("good", "also"): False, ("bad", "also"): True}
    words = "\n".join(c.words())
    assert "Real: good is better than bad by 50.7 points" in words and "Real: also is better than bad" in words
    assert "Not told apart: good and also." in words and "good, also have the highest accuracy" in words
    assert "bad sampled 1,000 tokens of the budget of 5,000" in words
    row = next(r for r in c.rows() if r[0] == "bad")
    assert row[4] == "-50.7" and re.fullmatch(r"-6\d\.\d to -3\d\.\d", row[5]) and all(len(r) == len(c.rows()[0]) for r in c.rows())


def test_equal_methods_are_called_different_in_at_most_one_comparison_of_twenty() -> None:
    """Coarse scores, few seeds, all pairs looked at: where luck looks most like a finding."""
    trials, wrong = 300, 0
    for trial in range(trials):
        arms = []
        for name in "abc":
            stream = rng("tests", "comparison", trial, name)
            drawn = [[float(stream.random() < 0.5) for _ in range(12)] for _ in range(3)]
            arms.append(Arm(name, {s: replace(made(0.5)[0], accuracy=sum(d) / 12, scores=list(d)) for s, d in enumerate(drawn)}))
        wrong += any(p.real for p in found(*arms).pairs())
    assert 0 < trials * 0.05 >= wrong


def test_an_interval_is_never_narrower_than_its_problems_allow() -> None:
    assert Arm("a", made(0.0, 0.0, 0.0)).interval() == (0.0, pytest.approx(0.037, abs=1e-3))
    low, high = Arm("a", made(0.2, 0.8)).interval() or (None, None)
    assert (low, high) == (0.0, 1.0) and Arm("a", made(0.5)).interval() is None


def test_a_race_drops_what_is_worse_against_the_leader_alone() -> None:
    equal = [{"a": 0.5, "b": 0.5, "c": 0.5}] * 40
    assert dropped(equal, ("a", "b", "c")) == {}
    rounds = [{"a": 0.9, "b": 0.2, "c": 0.88}] * 30
    out = dropped(rounds, ("a", "b", "c"))
    assert set(out) == {"b"} and out["b"][1] == "a" and out["b"][0] == design.seeds_needed(0.7, 3)


def test_a_dropped_arm_gets_no_further_seeds(straight: Comparison, mine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(comparing, "dropped", lambda rounds, arms: {"raft": (1, "reinforce", 130.0)})
    out = compare(["reinforce", "rloo", "raft"], out=tmp_path, stop="early", **SETTINGS)
    assert [len(a.seeds) for a in out.arms] == [2, 2, 1] and not (tmp_path / "raft" / "seed-1").exists()
    assert "raft was dropped after 1 seeds: worse than reinforce, wealth 130." in out.words()


def evaluation(samples: list[dict[str, Any]], size: int) -> Evaluation:
    return Evaluation(0.5, 0, 1, len(samples) // size, size, 5.0, 0.0, 0.0, 0, 1.0, "t", "test", "single", 0.0, samples=samples)


def test_measurements_by_hand() -> None:
    say = lambda parsed, score, **more: {"parsed": parsed, "score": score, **more}
    sampled = [say("7", 1.0)] * 5 + [say("8", 0.0)] * 3 + [say("1", 0.0)] * 7 + [say(None, 0.0)]
    m = measured(evaluation([say("7", 1.0), say("1", 0.0)], 1), evaluation(sampled, 8))
    assert (m.pass_at_8, m.majority_at_8) == (0.5, 0.5) and m.scores == [1.0, 0.0]
    assert m.brier == pytest.approx((0.375**2 + 0.875**2) / 2) and m.confidence_from == "the majority's share"
    stated = [say("7", 1.0, confidence=0.9), say("1", 0.0, confidence=None), say("2", 0.0, confidence=0.3)]
    m = measured(evaluation(stated, 1), evaluation(sampled, 8))
    assert m.brier == pytest.approx((0.1**2 + 0.3**2) / 2) and m.confidence_from == "stated by the solver"
    failed = measured(evaluation([say("7", None)], 1), evaluation([say("7", 1.0)] * 7 + [say(None, None)], 8))
    assert failed.pass_at_8 is None and failed.majority_at_8 is None and failed.ece is None and failed.scores == [None]


# ---- the command


def test_budgets_are_read_as_people_write_them() -> None:
    assert [tokens(t) for t in ("2M-tokens", "500k", "2000000", "1.5M", "2_000")] == [2_000_000, 500_000, 2_000_000, 1_500_000, 2000]
    for wrong in ("", "M", "2T", "-5", "0", "0.5", "many", "nan", "inf"):
        with pytest.raises(BadConfig, match="budget"):
            tokens(wrong)


def test_the_command_plans_runs_and_refuses(straight: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["compare", "reinforce", "raft", "--task", "addition", "--seeds", "2", "--steps", "4", "--n", "20", "--workers", "1"]
    line += ["--set", "problems=4", "--set", "samples=4", "--out", straight.folder]
    assert main([*line, "--plan"]) == 0
    assert "4 done already" in capsys.readouterr().out
    assert main([*line, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=no_constant)
    assert [a["method"] for a in told["arms"]] == ["reinforce", "raft"]
    assert main([*line, "--quiet"]) == 0
    assert "highest accuracy" in capsys.readouterr().out
    assert main(["compare", "reinforce", "nothing", "--task", "addition"]) == 2
