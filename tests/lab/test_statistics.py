"""Intervals and tests decide what is called a finding: a wrong quantile, a pair compared twice or a peek too many would call noise one."""

from __future__ import annotations

import math
import statistics

import pytest

from thinkery.core.errors import InputError
from thinkery.core.rng import rng
from thinkery.lab.statistics import (
    EProcess,
    detectable,
    holm,
    incomplete_beta,
    paired,
    seeds_needed,
    t_interval,
    t_quantile,
    t_tail,
    threshold,
)

TABLE = [  # p, degrees of freedom, t: closed forms for 1, 2 and 4, printed tables for the rest
    (0.975, 1, math.tan(math.pi * 0.475)),
    (0.9995, 1, math.tan(math.pi * 0.4995)),
    (0.975, 2, 2 * 0.475 * math.sqrt(2 / (1 - 0.95**2))),
    (0.95, 4, 2.131846786),
    (0.975, 4, 2.776445105),
    (0.995, 5, 4.032142984),
    (0.95, 10, 1.812461123),
    (0.975, 9, 2.262157163),
    (0.975, 30, 2.042272456),
    (0.995, 30, 2.749995654),
    (0.975, 1e7, 1.959964),
]


@pytest.mark.parametrize(("p", "df", "t"), TABLE)
def test_quantiles_are_those_of_the_tables(p: float, df: float, t: float) -> None:
    assert t_quantile(p, df) == pytest.approx(t, rel=1e-6)
    assert t_quantile(1 - p, df) == pytest.approx(-t, rel=1e-6)
    assert t_tail(t, df) == pytest.approx(1 - p, rel=1e-5)


def test_the_beta_function_has_its_closed_forms_and_symmetry() -> None:
    for x in (0.01, 0.3, 0.5, 0.9, 0.999):
        assert incomplete_beta(1, 3, x) == pytest.approx(1 - (1 - x) ** 3, abs=1e-12)
        assert incomplete_beta(2.5, 0.5, x) == pytest.approx(1 - incomplete_beta(0.5, 2.5, 1 - x), abs=1e-12)
    assert [incomplete_beta(2, 3, x) for x in (0, 1)] == [0, 1]


def test_nineteen_of_twenty_intervals_cover_the_mean() -> None:
    covered, n = 0, 2000
    for trial in range(n):
        stream = rng("tests", "coverage", trial)
        _, low, high = t_interval([0.3 + stream.normal() for _ in range(4)])
        covered += low < 0.3 < high
    assert abs(covered / n - 0.95) < 3 * math.sqrt(0.95 * 0.05 / n)


def test_one_value_bounds_nothing_and_none_is_an_error() -> None:
    assert t_interval([0.4]) == (0.4, -math.inf, math.inf)
    assert paired([0.9], [0.1]).p == 1
    for wrong in ([], [math.nan, 0.1]):
        with pytest.raises(InputError):
            t_interval(wrong)
    with pytest.raises(InputError, match="2 and 1"):
        paired([0.1, 0.2], [0.1])


def test_pairing_takes_out_what_seeds_share() -> None:
    a, b = [0.50, 0.70, 0.90], [0.40, 0.61, 0.79]
    found = paired(a, b)
    d = [0.10, 0.09, 0.11]
    t = statistics.fmean(d) / (statistics.stdev(d) / math.sqrt(3))
    assert (found.mean, found.n) == (pytest.approx(0.1), 3)
    assert found.p == pytest.approx(2 * t_tail(t, 2)) and found.p < 0.01 < paired([0.5, 0.9, 0.7], [0.4, 0.6, 0.8]).p
    assert found.low == pytest.approx(0.1 - t_quantile(0.975, 2) * 0.01 / math.sqrt(3))
    assert paired(b, a).mean == pytest.approx(-found.mean) and paired(b, a).p == pytest.approx(found.p)


def test_two_seeds_that_agree_by_luck_are_not_believed() -> None:
    assert paired([0.55, 0.55], [0.50, 0.50]).p < 1e-6
    noisy = paired([0.55, 0.55], [0.50, 0.50], noise=0.1)
    assert noisy.p > 0.5 and noisy.low < 0 < noisy.high
    assert paired([0.5, 0.5], [0.5, 0.5]).p == 1


def test_holm_is_the_step_down_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.6]) == [1, 1] and holm([]) == [] and holm([0.02]) == [0.02]
    with pytest.raises(InputError):
        holm([1.2])


def test_what_is_called_detectable_is_found_four_times_in_five() -> None:
    for n in (3, 8):
        effect, found, trials = detectable(0.1, n), 0, 1500
        for trial in range(trials):
            stream = rng("tests", "power", n, trial)
            found += paired([effect + 0.1 * stream.normal() for _ in range(n)], [0.0] * n).p < 0.05
        assert abs(found / trials - 0.8) < 0.05
    assert detectable(0.1, 1) == math.inf and detectable(0.1, 5, alpha=0.01) > detectable(0.1, 5)


@pytest.mark.parametrize(("arms", "size"), [(2, 1.0), (2, 0.3), (4, 1.0)])
def test_equal_arms_are_dropped_in_at_most_one_comparison_of_twenty(arms: int, size: float) -> None:
    """Looked at after every seed, the wealth of any ordered pair being enough; the differences are as coarse as can be."""
    trials, seeds, dropped = 800, 60, 0
    for trial in range(trials):
        stream = rng("tests", "stopping", arms, str(size), trial)
        pairs = {(a, b): EProcess() for a in range(arms) for b in range(arms) if a != b}
        for _ in range(seeds):
            scores = [size * (stream.random() < 0.5) for _ in range(arms)]
            pairs = {(a, b): e.after(scores[a] - scores[b]) for (a, b), e in pairs.items()}
            if max(e.wealth for e in pairs.values()) >= threshold(arms):
                dropped += 1
                break
    assert dropped / trials <= 0.05


def test_a_worse_arm_is_dropped_after_as_many_seeds_as_was_said() -> None:
    for difference, arms in ((0.5, 2), (0.2, 3)):
        process, n = EProcess(), seeds_needed(difference, arms)
        for _ in range(n - 1):
            process = process.after(difference)
        assert process.wealth < threshold(arms) <= process.after(difference).wealth
    assert EProcess().wealth == 1 and EProcess().after(0).wealth == 1 and EProcess().after(-1).wealth == pytest.approx(1.25 / 3)
    with pytest.raises(InputError, match="-1, 1"):
        EProcess().after(1.5)
    with pytest.raises(InputError):
        seeds_needed(0, 2)
