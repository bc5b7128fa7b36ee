"""A verifier that errs trains a model to err. Each planted fault must be named in words, and a sound verifier must pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from thinkery.cli.main import main
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.lab import audit as auditing
from thinkery.lab.audit import Audit, audit, foreign, verdicts
from thinkery.lab.hostile import HOSTILE
from thinkery.lab.rewrites import FORMS, guessed, near_misses, rewrites, same_text
from thinkery.lab.scorers import number
from thinkery.tasks import load_file, load_task, verifier

PLANTED = """
import random, re, time

def last(text):
    found = re.findall(r"-?[0-9][0-9,]*(?:[.][0-9]+)?", text.replace("{,}", ","))
    return found[-1].replace(",", "").removesuffix(".00").removesuffix(".0") if found else ""

def constant(gold, reply): return 1.0 if reply == "0" else float(last(reply) == gold)
def strict(gold, reply): return float(reply.strip() == gold)
def lenient(gold, reply): return float(last(reply)[:1] == gold[:1])
def refuses(gold, reply): return 0.0
def raises(gold, reply): return float(int(reply) == int(gold))
def hangs(gold, reply):
    while "#" in reply: pass
    return 1.0
def two(gold, reply): return 2.0 * (last(reply) == gold)
def dice(gold, reply): return random.random()
def wordy(gold, reply): return "very good"

def reward(completions, answer, **kwargs): return [float(last(c) == a) for c, a in zip(completions, answer)]
def careless(prompts, completions, ground_truth, **kwargs): return [1.0 for _ in completions]
def compute_score(data_source, solution_str, ground_truth, extra_info=None): return {"score": float(last(solution_str) == ground_truth)}

class Rubric:
    def __init__(self, funcs, weights): self.funcs, self.weights = funcs, weights
async def correct(completion, answer, state): return float(last(completion[-1]["content"]) == answer)
def short(completion, info): return 1.0 if len(completion[-1]["content"]) < 9 else 0.0
rubric = Rubric([correct, short], [1.0, 0.0])
brief = Rubric([correct, short], [0.5, 0.5])
"""
GOLDS = [str(n) for n in (17, 23, 41, 58, 364, 1207, 92, 73, 846, 65)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of problems and a module of verifiers, sound and faulty."""
    path = tmp_path_factory.mktemp("audit")
    (path / "planted.py").write_text(PLANTED, "utf-8")
    rows = (json.dumps({"q": f"What is {int(g) - 3} + 3?", "a": g, "split": "train"}) for g in GOLDS)
    (path / "problems.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    return path


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Audits a verifier on the file's problems; gives status, output and errors."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(auditing, "MISSES", 100)
    monkeypatch.setattr(auditing, "LIMIT", 0.5)

    def run(*arguments: str) -> tuple[int, str, str]:
        columns = ("--data", "problems.jsonl", "--question", "q", "--answer", "a")
        if "--problems" not in arguments:
            arguments = (*arguments, "--problems", "4")
        status = main(["task", "audit", *columns, *arguments])
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("constant", "pays for a constant: '0'"),
        ("strict", "refuses right answers in another form"),
        ("lenient", "takes wrong answers for right"),
        ("refuses", "refuses the gold answer"),
        ("raises", "raised"),
        ("hangs", "hung"),
        ("two", "outside [0, 1]"),
        ("dice", "another score the second time"),
        ("wordy", "a score is a number, not 'very good'"),
        ("careless", "pays for a constant"),
        ("brief", "pays for a constant"),
        ("nothing", "has no"),
    ],
)
def test_a_planted_fault_is_named(cli: Callable[..., tuple[int, str, str]], name: str, fault: str) -> None:
    status, out, _ = cli("--verifier", f"planted.py:{name}")
    assert status == 1
    assert fault in out
    assert "FAILS" in out


@pytest.mark.parametrize("name", ["reward", "compute_score", "rubric"])
def test_what_others_write_is_called_as_they_call_it(cli: Callable[..., tuple[int, str, str]], name: str) -> None:
    status, out, _ = cli("--verifier", f"planted.py:{name}", "--json")
    found = json.loads(out)
    assert (status, found["passed"], found["faults"]) == (0, True, [])
    assert found["verifier"] == f"planted.py:{name}"
    assert found["gold"]["n"] == 4
    assert found["false_positives"]["n"] >= 100
    assert found["hostile"]["n"] >= 4 * 100


def test_a_verifier_by_name_passes(cli: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = cli("--verifier", "number")
    assert status == 0
    assert "passes" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("--problems", "0"), "--problems 0"), (("--verifier", "nowhere.py:f"), "no such file"), (("--verifier", "numbr"), "number")],
)
def test_wrong_use_is_told(cli: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], said: str) -> None:
    status, _, err = cli(*arguments)
    assert status == 2
    assert said in err


def test_a_task_of_the_house_passes_and_its_counts_are_whole() -> None:
    found = audit(load_task("addition"), n=10)
    assert found.passed
    assert (found.problems, found.gold.n, found.gold.errors) == (10, 10, 0)
    assert found.false_positives.n == auditing.MISSES
    assert len(HOSTILE) >= 100


def test_a_verifier_that_pays_for_everything_is_caught_on_a_task_of_the_house() -> None:
    found = audit(load_task("countdown"), lambda problem, text: 1.0, n=10)
    assert any("constant" in f for f in found.faults)
    assert any("wrong answers for right" in f for f in found.faults)


def test_a_hanging_verifier_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "LIMIT", 0.2)
    task = load_file(folder / "problems.jsonl", question="q", answer="a", verifier="number")
    found = audit(task, foreign(f"{folder / 'planted.py'}:hangs"), n=4)
    assert found.broken["hung"] == auditing.PATIENCE
    assert not found.passed


@pytest.mark.parametrize(
    ("kind", "gold"), [("number", "1234"), ("exact", "New York"), ("choice", "B"), ("set", "a, b, c"), ("units", "12 km")]
)
def test_every_rewriting_says_the_gold_answer(kind: str, gold: str) -> None:
    check = verifier(kind)
    assert len(rewrites(kind, gold)) >= 8
    for text in rewrites(kind, gold):
        assert check(gold, Reply(text)).score == 1, text


def test_near_misses_say_something_else() -> None:
    for gold in ("17", "-5", "1,204", "north west", "0.5"):
        missed = near_misses(gold, ["8", "north"], rng(0, "misses"))
        assert len(missed) >= 2
        assert all(same_text(m) != same_text(gold) for m in missed)
    assert "(1) Ann is a knave" in near_misses("(1) Ann is a knight", [], rng(0, "misses"))
    assert not any(m.startswith("0.6666") for m in near_misses("0.6666666667", [], rng(0, "misses")))  # a verifier may round


@pytest.mark.parametrize(("golds", "kind"), [(["1", "2,000"], "number"), (["A", "D"], "choice"), (["1", "Paris"], "exact")])
def test_the_kind_is_guessed_from_the_gold_answers(golds: list[str], kind: str) -> None:
    assert guessed(golds) == kind
    assert kind in FORMS


@pytest.mark.parametrize(("value", "score"), [(1, 1.0), (True, 1.0), ([0.5], 0.5), ({"score": 0.25, "why": ""}, 0.25)])
def test_scores_are_read(value: object, score: float) -> None:
    assert number(value) == score


@pytest.mark.parametrize("value", [None, "1", [1, 2], {}, object()])
def test_what_is_no_score_is_an_error_and_no_zero(value: object) -> None:
    with pytest.raises(TypeError, match="a score is a number"):
        number(value)


def test_slowness_is_a_fault() -> None:
    found = Audit("t", "v", calls=10, seconds=10.0)
    assert verdicts(found) == ["is slow: 1.0 calls a second"]
