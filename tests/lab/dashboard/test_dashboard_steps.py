"""Two steps of a run side by side: problems that both met are paired, and what turned is counted and comes first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thinkery.core.errors import InputError
from thinkery.core.records import Problem, Question, Reply, Rollout, Verdict
from thinkery.lab.dashboard import steps
from thinkery.lab.evaluation import wilson
from thinkery.lab.events import Event
from thinkery.lab.statistics import paired, t_quantile
from thinkery.lab.store import Store

from .support import HOSTILE, Client, Page

# problem -> the scores of its samples by step; None where one failed
MET: dict[int, dict[int, list[float | None]]] = {
    0: {1: [0, 0, 0], 5: [1, 1, 0], 9: [1, 1, 1]},
    1: {1: [1, 1, 1], 5: [0, 0, 1]},
    2: {1: [0, 0, 1], 5: [0, 0, 0]},
    3: {1: [1, 1, 0], 5: [1, 1, 1]},
    4: {1: [0, 1, 0], 5: [0, 1, 0]},
    5: {1: [None, None, None], 5: [1, 1, 1]},
    6: {1: [0, 0, 0]},
    7: {5: [0, 0, 0]},
    8: {5: [0, 0, 0]},
    9: {7: [0]},
}


def sampled(step: int, number: int, k: int, score: float | None) -> Rollout:
    problem = Problem(f"p{number}", Question(f"problem {number} {HOSTILE}"), "1")
    if score is None:
        return Rollout(step, number, k, problem, [], error=HOSTILE)
    return Rollout(step, number, k, problem, [], Reply(f"{score} {HOSTILE}"), Verdict(score, "1"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    place = tmp_path / "one"
    place.mkdir()
    record = Store(place)
    for step in range(1, 10):
        record.write(step, "rl", {}, 0.1, [sampled(step, n, k, x) for n, by in MET.items() for k, x in enumerate(by.get(step, ()))])
        if step == 5:
            record.listen(Event("checkpoint", {"path": "x"}))
    record.close()
    (place / "run.json").write_text(json.dumps({"status": "done", "method": "grpo", "task": "sums"}))
    return place


def test_what_turned_comes_first_and_is_counted(run: Path) -> None:
    told = steps.steps(run, {"a": "1", "b": "5"})
    assert [(r["number"], r["kind"]) for r in told["rows"]] == [
        (1, "turned wrong"),
        (0, "turned right"),
        (2, "right less often"),
        (3, "right more often"),
        (4, "as before"),
        (5, "failed"),
    ]
    assert told["n"] == 6 and [its["n"] for its in told["alone"]] == [1, 2] and told["ends"] == (1, 9) and told["checkpoints"] == [5]
    assert told["counts"] == [(kind, 1, *wilson(1, 6)) for kind in steps.KINDS]
    right = told["figures"][0]
    shares = [(0, 2 / 3), (1, 1 / 3), (1 / 3, 0), (2 / 3, 1), (1 / 3, 1 / 3)]
    assert right["before"] == pytest.approx(7 / 15) and right["after"] == pytest.approx(7 / 15)
    before, after = zip(*shares)
    expected = paired(after, before)
    assert (right["change"].low, right["change"].high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    side = told["rows"][0]["sides"][1]
    assert (side["share"], side["n"], [r["n"] for r in side["replies"]]) == (pytest.approx(1 / 3), 3, [2, 1])
    assert [r["number"] for r in steps.steps(run, {"a": "1", "b": "5", "only": "turned right"})["rows"]] == [0]


def test_the_first_step_and_what_has_most_in_common_are_offered(run: Path) -> None:
    told = steps.steps(run, {})
    assert (told["a"], told["b"], told["common"]) == (1, 5, [(5, 6), (9, 1)])
    assert steps.steps(run, {"a": "9"})["b"] == 5  # both have one problem in common, and 5 is nearer to the end
    assert steps.steps(run, {"a": "7"})["b"] == 9  # none has any in common
    nothing = steps.steps(run, {"a": "1", "b": "7"})
    assert (nothing["n"], nothing["rows"], [its["n"] for its in nothing["alone"]]) == (0, [], [7, 1])
    assert nothing["figures"][0]["change"] is None  # step 7 met one problem alone


def test_where_nothing_differs_the_interval_is_that_of_one_sample() -> None:
    samples = [[{"score": 1.0, "reward": 1.0, "tokens": 5}] * 4] * 9
    change = next(steps._compared(samples, samples))["change"]
    assert change.mean == 0 and change.high == pytest.approx(t_quantile(0.975, 8) / (4 * 3) / 3)


def test_steps_without_a_problem_in_common_are_compared_apart() -> None:
    sample = lambda score: [{"score": score, "reward": score, "tokens": 5}]
    x, y = (0.0, 1.0, 0.0, 0.0), (1.0, 1.0, 0.0)
    right, reward, _ = steps._compared([sample(v) for v in x], [sample(v) for v in y], apart=True)
    assert (right["before"], right["after"]) == (0.25, pytest.approx(2 / 3))
    change = reward["change"]  # Welch by hand: variances 1/4 and 1/3
    a, b = 0.25 / 4, (1 / 3) / 3
    half = t_quantile(0.975, (a + b) ** 2 / (a**2 / 3 + b**2 / 2)) * (a + b) ** 0.5
    assert (change["low"], change["high"]) == (pytest.approx(5 / 12 - half), pytest.approx(5 / 12 + half))


def test_the_page_says_what_was_met_where(run: Path) -> None:
    client = Client(run.parent)
    text = Page(client.get("/run/one/steps?a=1&b=5").text).text
    assert "6 problems met in both; 1 more in step 1 alone, 2 in step 5 alone" in text and "turned right: 1" in text
    assert "<script>alert(1)</script>red" in text and "49" not in text
    assert "met no problem in common" in Page(client.get("/run/one/steps?a=1&b=7").text).text
    assert "No other step met a problem of step 7" in Page(client.get("/run/one/steps?a=7&b=1").text).text
    assert '"/run/one/steps"' in client.get("/run/one").text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"a": "x"}, "whole number"),
        ({"a": "5", "b": "5"}, "beside itself"),
        ({"a": "1", "b": "4"}, "no rollouts of step 4"),
        ({"a": "99"}, "99"),
    ],
)
def test_steps_that_are_not_there_are_refused(run: Path, asked: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        steps.steps(run, asked)
    query = "&".join(f"{k}={v}" for k, v in asked.items())
    assert Client(run.parent).get(f"/run/one/steps?{query}").status_code == 404
