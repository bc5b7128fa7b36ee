"""A verdict follows from its intervals and from nothing else: each is reachable, no favourable one without its controls, and the true value is
inside as often as promised; a wrong sign, a wrong pairing or a level that looks forget would publish what is not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support import Sums

from thinkery.core.errors import BadConfig
from thinkery.core.rng import rng
from thinkery.lab import claims
from thinkery.lab.claims import Claim, Finding, Judgement, difference, judge, less, more, not_worse, ratio
from thinkery.lab.statistics import holm, paired, t_tail
from thinkery.learning.recipe import Recipe, Setting, default

GOOD = {"accuracy": 0.4, "pass@1": 0.4, "pass@8": 0.8, "mixed": 0.7}


def recipe(setting: Setting) -> Recipe:
    return default(setting)


def claim_of(primary: claims.Comparison, **changes: Any) -> Claim:
    arms = {"base": recipe, "mine": recipe, "without": recipe}
    settings: dict[str, Any] = {"arms": arms, "baseline": "base", "method": "mine", "must_move": "without", "placebo": "placebo"}
    return Claim(primary=primary, setting=Setting(Sums()), **(settings | changes))


HALF = less("ece", "mine", "base", by=ratio(0.5), why="half")
TENTH = more("accuracy", "mine", "base", by=difference(0.1), why="a tenth")
SAME = not_worse("accuracy", "mine", "base", margin=0.03, why="near")


def seeds(mean: float, n: int = 10, spread: float = 0.01, name: str = "x") -> list[float]:
    """n values around a mean, exactly centred."""
    draws = [rng(name, i).normal() for i in range(n)]
    return [mean + spread * (d - sum(draws) / n) for d in draws]


def verdict(claim: Claim, base: float, mine: float, *, without: float | None = None, placebo: float | None = None, **changes: Any) -> str:
    return judged(claim, base, mine, without=without, placebo=placebo, **changes).verdict


def judged(
    claim: Claim, base: float, mine: float, *, without: float | None = None, placebo: float | None = None, n: int = 10, spread: float = 0.01
) -> Judgement:
    """Judged on arms around these means; the ablation and the placebo are as the baseline unless told."""
    means = {"base": base, "mine": mine, "without": base if without is None else without, "placebo": base if placebo is None else placebo}
    outcomes = {arm: {claim.primary.metric: seeds(m, n, spread, arm)} for arm, m in means.items()}
    return judge(claim, outcomes, [GOOD] * n)


@pytest.mark.parametrize(
    ("primary", "base", "mine", "said"),
    [
        (HALF, 0.4, 0.1, "supported"),
        (HALF, 0.4, 0.3, "smaller"),
        (HALF, 0.4, 0.6, "contradicted"),
        (HALF, 0.4, 0.4, "contradicted"),
        (HALF, 0.4, 0.2, "inconclusive"),
        (TENTH, 0.4, 0.6, "supported"),
        (TENTH, 0.4, 0.45, "smaller"),
        (TENTH, 0.4, 0.2, "contradicted"),
        (TENTH, 0.4, 0.5, "inconclusive"),
        (SAME, 0.4, 0.4, "supported"),
        (SAME, 0.4, 0.3, "contradicted"),
        (SAME, 0.4, 0.37, "inconclusive"),
    ],
)
def test_each_verdict_where_it_belongs(primary: claims.Comparison, base: float, mine: float, said: str) -> None:
    without = mine - 0.2 if primary is SAME else None  # on not-worse claims the ablation must be worse
    assert verdict(claim_of(primary), base, mine, without=without) == said


def test_noise_and_few_seeds_are_inconclusive() -> None:
    assert verdict(claim_of(HALF), 0.4, 0.1, spread=0.5) == "inconclusive"
    assert verdict(claim_of(HALF), 0.4, 0.1, n=2, spread=0.0) == "inconclusive"
    assert judge(claim_of(HALF), {}, []).verdict == "not run"
    assert judge(claim_of(HALF), {"base": {"accuracy": [0.5] * 5}, "mine": {"accuracy": [0.5] * 5}}, [GOOD] * 5).verdict == "not run"


def test_a_placebo_that_does_the_same_makes_it_invalid() -> None:
    found = judged(claim_of(HALF), 0.4, 0.1, placebo=0.1)
    assert found.verdict == "invalid"
    assert "placebo" in found.reasons[0]


def test_a_placebo_without_the_metric_leaves_it_open() -> None:
    outcomes = {arm: {"ece": seeds(m, name=arm)} for arm, m in (("base", 0.4), ("mine", 0.1), ("without", 0.4))}
    found = judge(claim_of(HALF), outcomes, [GOOD] * 10)
    assert found.verdict == "inconclusive"
    assert "placebo" in found.reasons[0]


def test_an_ablation_that_does_the_same_leaves_it_open_and_a_better_one_makes_it_invalid() -> None:
    assert verdict(claim_of(HALF), 0.4, 0.1, without=0.1) == "inconclusive"
    assert verdict(claim_of(HALF), 0.4, 0.1, without=0.02) == "invalid"
    assert verdict(claim_of(TENTH), 0.4, 0.6, without=0.9) == "invalid"


@pytest.mark.parametrize("bad", [{"accuracy": 0.1}, {"accuracy": 0.7}, {"pass@8": 0.45}, {"mixed": 0.3}])
def test_a_gate_that_fails_makes_anything_invalid(bad: dict[str, float]) -> None:
    outcomes = {arm: {"ece": seeds(m, name=arm)} for arm, m in (("base", 0.4), ("mine", 0.1), ("without", 0.4), ("placebo", 0.4))}
    found = judge(claim_of(HALF), outcomes, [GOOD | bad] * 10)
    assert found.verdict == "invalid"
    assert found.reasons[0].startswith("gate: ")
    assert judge(claim_of(HALF), outcomes, [GOOD] * 10).verdict == "supported"


def test_seeds_are_paired() -> None:
    """What all arms share, however large, is no noise."""
    shared = seeds(0.5, spread=0.2)
    outcomes = {arm: {"accuracy": [s + x for s, x in zip(shared, seeds(d, name=arm))]} for arm, d in (("base", 0.0), ("mine", 0.15))}
    assert _primary(TENTH, outcomes).verdict == "supported"
    outcomes["mine"]["accuracy"].reverse()
    assert _primary(TENTH, outcomes).verdict == "inconclusive"


def _primary(comparison: claims.Comparison, outcomes: dict[str, dict[str, list[float]]], **changes: Any) -> Finding:
    return judge(claim_of(comparison), outcomes, [GOOD] * 10, **changes).findings[0]


def test_a_share_of_nothing_is_open() -> None:
    """Half of what neither arm has is no finding; half of what one arm has in every seed is one."""
    outcomes = {name: {"ece": [0.0] * 10} for name in ("mine", "base", "without")}
    assert _primary(HALF, outcomes).verdict == claims.INCONCLUSIVE
    assert _primary(HALF, outcomes | {"base": {"ece": [0.5] * 10}}).verdict == claims.SUPPORTED
    assert _primary(HALF, outcomes | {"mine": {"ece": [0.25] * 10}, "base": {"ece": [0.5] * 10}}).verdict == claims.SUPPORTED


def test_each_look_is_wider_and_all_looks_together_stay_below_five_per_cent() -> None:
    outcomes = {arm: {"accuracy": seeds(m, name=arm, spread=0.1)} for arm, m in (("base", 0.3), ("mine", 0.5))}
    levels = [_primary(TENTH, outcomes, look=k).level or 0.0 for k in (1, 2, 3, 4)]
    assert levels == sorted(levels)
    assert sum(1 - x for x in levels) < claims.ALPHA


def test_the_step_down_rejects_what_holm_rejects() -> None:
    names = [f"m{i}" for i in range(4)]
    comparisons = [more(n, "mine", "base", by=difference(0.0), why="") for n in names]
    claim = claim_of(comparisons[0], secondary=tuple(comparisons[1:]))
    for trial in range(40):
        draw = rng("holm", trial)
        outcomes = {
            arm: {n: [shift * draw.random() * k / 3 + 0.3 * draw.normal() for _ in range(8)] for k, n in enumerate(names)}
            for arm, shift in (("base", 0.0), ("mine", 1.0))
        }
        findings = judge(claim, outcomes, [GOOD] * 8).findings[:4]
        ps = [paired(outcomes["mine"][n], outcomes["base"][n]).p for n in names]
        assert [f.verdict != "inconclusive" for f in findings] == [p < claims.ALPHA / 2 for p in holm(ps)]


@pytest.mark.parametrize(("effect", "wrong"), [(0.1, {"smaller"}), (0.0999, {"supported"}), (0.0, {"supported", "smaller"})])
def test_wrong_verdicts_are_as_rare_as_promised(effect: float, wrong: set[str]) -> None:
    trials, bad = 600, 0
    for trial in range(trials):
        draw = rng("coverage", int(effect * 1e4), trial)
        outcomes = {"base": {"accuracy": [0.0] * 8}, "mine": {"accuracy": [effect + 0.1 * draw.normal() for _ in range(8)]}}
        bad += _primary(TENTH, outcomes).verdict in wrong
    assert bad / trials < claims.ALPHA / 2


def test_the_true_effect_is_inside_as_often_as_the_level_says() -> None:
    inside, trials = 0, 800
    for trial in range(trials):
        draw = rng("inside", trial)
        outcomes = {"base": {"accuracy": [0.0] * 6}, "mine": {"accuracy": [0.3 + 0.1 * draw.normal() for _ in range(6)]}}
        found = _primary(TENTH, outcomes)
        assert found.low is not None and found.high is not None and found.level == pytest.approx(0.975)
        inside += found.low <= 0.3 <= found.high
    assert 0.96 < inside / trials < 0.99


def test_a_mechanism_check_costs_the_claims_nothing() -> None:
    means = {"base": 0.4, "mine": 0.1, "without": 0.4, "placebo": 0.4}
    outcomes = {arm: {"ece": seeds(m, name=arm), "brier": seeds(m, name=arm)} for arm, m in means.items()}
    plain, beside = claim_of(HALF), claim_of(HALF, mechanism=(less("brier", "mine", "base", by=difference(0.1), why="it is the reward"),))
    one, two = (judge(c, outcomes, [GOOD] * 10) for c in (plain, beside))
    assert one.findings[0] == two.findings[0]
    assert [f.role for f in two.findings] == ["primary", "mechanism", "must move", "placebo"]


def test_p_of_a_t_is_what_the_interval_says() -> None:
    assert 2 * t_tail(2.262157, 9) == pytest.approx(0.05, abs=1e-6)


def test_a_claim_about_an_arm_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadConfig, match="compares an arm 'yours'"):
        claim_of(replace(HALF, a="yours"))


def test_comparisons_say_what_they_claim() -> None:
    say: Callable[[claims.Comparison], str] = str
    assert say(HALF) == "ece: mine less than base, 0.5 times of it"
    assert say(TENTH) == "accuracy: mine more than base, by 0.1"
    assert say(SAME) == "accuracy: mine not worse than base by 0.03"
