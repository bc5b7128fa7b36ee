"""A metric that is off by a convention (who votes, which bin, what counts as better) makes every table wrong alike."""

from __future__ import annotations

import itertools
import statistics

import pytest

from thinkery.core.errors import InputError
from thinkery.lab.metrics import auroc, brier, chance_corrected, distinct, ece, hypervolume, majority, pass_at_k


def test_pass_at_k_is_the_mean_over_all_choices_of_k() -> None:
    for n, c, k in ((8, 3, 1), (8, 3, 4), (6, 1, 6), (5, 0, 2), (5, 5, 2), (8, 7, 3)):
        samples = [i < c for i in range(n)]
        assert pass_at_k(n, c, k) == pytest.approx(statistics.fmean(any(s) for s in itertools.combinations(samples, k)))
    for wrong in ((4, 5, 1), (4, 2, 5), (4, 2, 0), (4, -1, 1)):
        with pytest.raises(InputError):
            pass_at_k(*wrong)


def test_the_unreadable_have_no_vote_but_count() -> None:
    assert majority(["7", None, "8", "7", None]) == ("7", 0.4)
    assert majority(["8", "7", "7", "8"]) == ("8", 0.5)
    assert majority([None, None]) == (None, 0.0) and majority([]) == (None, 0.0)


def test_calibration_by_hand() -> None:
    confidence, correct = [0.95, 0.95, 0.15, 1.0], [1, 0, 0, 1]
    assert ece(confidence, correct) == pytest.approx((abs(0.95 + 0.95 + 1.0 - 2) + 0.15) / 4)
    assert brier(confidence, correct) == pytest.approx((0.05**2 + 0.95**2 + 0.15**2) / 4)
    assert ece([0.5, 0.5], [0, 1]) == 0 and ece([1.0], [0]) == 1
    for wrong in (([], []), ([0.5], [1, 0]), ([1.5], [1])):
        with pytest.raises(InputError):
            ece(*wrong)
        with pytest.raises(InputError):
            brier(*wrong)


def test_ranking_counts_equals_half_and_needs_both_kinds() -> None:
    assert auroc([0.9, 0.8, 0.1], [True, True, False]) == 1
    assert auroc([0.5, 0.5], [True, False]) == 0.5
    assert auroc([0.1, 0.9, 0.9], [True, False, True]) == pytest.approx(0.25)
    assert auroc([0.1, 0.9], [True, True]) is None


def test_the_rest_by_hand() -> None:
    assert distinct(["a", "b", "a", "a"]) == 0.5
    assert chance_corrected(0.625, 0.25) == pytest.approx(0.5) and chance_corrected(0.0, 0.5) == -1
    assert hypervolume([(1, 3), (2, 2), (3, 1), (1, 1)], (0, 0)) == 6
    assert hypervolume([(0.5, 0.5)], (0.25, 0.25)) == 0.0625 and hypervolume([(-1, 5), (5, 0)], (0, 0)) == 0 == hypervolume([], (0, 0))
    for call in (lambda: distinct([]), lambda: chance_corrected(0.5, 1.0)):
        with pytest.raises(InputError):
            call()
