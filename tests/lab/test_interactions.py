"""Whether methods add up, on numbers worked by hand: a sum that is no surprise must not be called one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from thinkery.core.rng import rng
from thinkery.lab.comparison import Arm, Comparison, Measured
from thinkery.lab.interactions import interactions, pairs_of

ABOUT = {"n": 100, "budget": None, "task": "t", "model": "m", "steps": 1, "sampled_n": 1, "seeds": 3, "of_seeds": 3, "skipped": {}}


def of(accuracy: float, n: int = 1000) -> Measured:
    scores: list[float | None] = [float(i < round(accuracy * n)) for i in range(n)]
    return Measured(accuracy, scores, 1.0, 0.0, 0.0, 0, None, None, "", None, None)


def seeds(*accuracies: float) -> dict[int, Measured]:
    return dict(enumerate(map(of, accuracies)))


BASE, A, B = seeds(0.20, 0.22, 0.24, 0.21), seeds(0.30, 0.32, 0.34, 0.31), seeds(0.25, 0.27, 0.29, 0.26)


@pytest.mark.parametrize(
    ("both", "beyond", "kind"),
    [
        (seeds(0.35, 0.37, 0.39, 0.36), 0.0, "not told apart from adding up"),
        (seeds(0.60, 0.62, 0.64, 0.61), 0.25, "more than their sum"),
        (seeds(0.15, 0.17, 0.19, 0.16), -0.2, "less than their sum"),
        (seeds(0.60), 0.25, "not told apart from adding up"),  # one seed shows nothing
    ],
)
def test_worked_by_hand(both: dict[int, Measured], beyond: float, kind: str) -> None:
    (x,) = interactions("base", {"base": BASE, "a": A, "b": B, "a+b": both})
    assert x.alone == (pytest.approx(0.1), pytest.approx(0.05))
    assert x.beyond.mean == pytest.approx(beyond, abs=1e-9) and x.kind == kind
    assert x.together.mean == pytest.approx(beyond + 0.15)


def test_noise_alone_is_no_interaction() -> None:
    """Of 200 maps without one, at most one in twenty calls any."""
    called = 0
    for i in range(200):
        draws = rng("noise", i)
        rate = lambda p, draws=draws: sum(draws.random() < p for _ in range(100)) / 100
        arm = lambda p, rate=rate: {s: of(rate(p), 100) for s in range(4)}
        arms: dict[str, Any] = {"base": arm(0.3), "a": arm(0.4), "b": arm(0.35), "a+b": arm(0.45)}
        called += interactions("base", arms)[0].kind != "not told apart from adding up"
    assert called <= 20


def test_only_what_was_measured_alone_is_said_of() -> None:
    assert interactions("base", {"base": BASE, "a": A, "a+b": B}) == []
    assert interactions("base", {"base": BASE, "a": A, "b": {}, "a+b": B}) == []
    arms = {"base": BASE, "a": A, "b": B, "c": A, "a+b": B, "b+c": A}
    assert [(x.a, x.b) for x in interactions("base", arms)] == [("a", "b"), ("b", "c")]


def test_pairs_are_of_the_methods_after_the_first() -> None:
    assert pairs_of(["base", "a", "b", "c"]) == ["a+b", "a+c", "b+c"]
    assert pairs_of(["base", "a", "b", "b+a"]) == []


def test_it_is_told_in_words_and_as_json() -> None:
    found = Comparison(
        ABOUT,
        Arm("start", BASE),
        tuple(Arm(k, v) for k, v in (("base", BASE), ("a", A), ("b", B), ("a+b", seeds(0.6, 0.62, 0.64, 0.61)))),
        "",
    )
    (said,) = [line for line in found.words() if "beyond the sum" in line]
    assert (
        said.startswith("a and b together gain +40.0 points, +10.0 and +5.0 alone: +25.0 beyond the sum (95 % interval +")
        and "more than" in said
    )
    (x,) = found.to_dict()["interactions"]
    assert (x["a"], x["b"], x["kind"]) == ("a", "b", "more than their sum")


def test_a_method_that_changes_nothing_beside_another_is_named() -> None:
    """The combination learns the same as `a` alone in every seed: what b brings alone must not pass for something that they bring together."""
    (x,) = interactions("base", {"base": BASE, "a": A, "b": B, "a+b": A})
    assert x.idle == "b" and x.kind == "b changes nothing beside a"
    (x,) = interactions("base", {"base": BASE, "a": A, "b": B, "a+b": B})
    assert x.kind == "a changes nothing beside b"
    other = {s: replace(m, tokens=m.tokens + 1) for s, m in A.items()}  # as right, and yet another run
    assert interactions("base", {"base": BASE, "a": A, "b": B, "a+b": other})[0].idle is None
