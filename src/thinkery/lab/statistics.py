"""What can be said of numbers from few seeds: Student's t, paired differences, Holm's correction, detectable differences, betting."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..core.errors import InputError

ALPHA = 0.05
BETS = (0.25, 0.5, 1.0)  # shares of the wealth that are put on "better"; the wealth is split between them at the start


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method (Abramowitz & Stegun 26.5.8)."""
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / ((1 + term * d) or tiny)
            c = (1 + term / c) or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            return value
    raise InputError(f"the incomplete beta function of a={a}, b={b}, x={x} did not converge")


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for a, b > 0 and x in [0, 1]."""
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        raise InputError(f"the incomplete beta function wants a, b > 0 and x in [0, 1], not a={a}, b={b}, x={x}")
    if x in (0, 1):
        return float(x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def t_tail(t: float, df: float) -> float:
    """P(T > t) of Student's t with `df` degrees of freedom."""
    if df <= 0:
        raise InputError(f"Student's t has {df} degrees of freedom: give more than 0")
    half = incomplete_beta(df / 2, 0.5, df / (df + t * t)) / 2
    return half if t >= 0 else 1 - half


@lru_cache(maxsize=256)
def t_quantile(p: float, df: float) -> float:
    """The t below which a share `p` of Student's distribution lies."""
    if not 0 < p < 1:
        raise InputError(f"a quantile of {p} was asked for: give a share between 0 and 1")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_tail(high, df) > 1 - p:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_tail(middle, df) > 1 - p else (low, middle)
    return high


def _finite(values: Sequence[float]) -> None:
    if not values:
        raise InputError("there is no value to make an interval of")
    if not all(math.isfinite(v) for v in values):
        raise InputError(f"an interval wants finite values, not {list(values)}")


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean, low and high end of the interval of the mean (Student 1908). One value bounds nothing: its interval is infinite."""
    _finite(values)
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, -math.inf, math.inf
    half = t_quantile((1 + level) / 2, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class Difference:
    """A mean paired difference with its 95 % interval, its two-sided p and the number of pairs (one pair: infinite, and p is 1)."""

    mean: float
    low: float
    high: float
    p: float
    n: int


def paired(a: Sequence[float], b: Sequence[float], noise: float = 0.0) -> Difference:
    """How much greater `a` is than `b`, pair by pair (one pair a seed), with Student's t over the differences.

    noise  the known standard deviation of one difference, from a finite number of problems: the measured spread is not believed below
           it. Two or three scores on a coarse scale agree by luck, and would make any difference certain.
    """
    if len(a) != len(b):
        raise InputError(f"paired values are needed, not {len(a)} and {len(b)}")
    differences = [x - y for x, y in zip(a, b, strict=True)]
    _finite(differences)
    mean, n = statistics.fmean(differences), len(differences)
    if n == 1:
        return Difference(mean, -math.inf, math.inf, 1.0, 1)
    error = max(statistics.stdev(differences), noise) / math.sqrt(n)
    half = t_quantile(1 - ALPHA / 2, n - 1) * error
    p = 2 * t_tail(abs(mean) / error, n - 1) if error else float(mean == 0)
    return Difference(mean, mean - half, mean + half, min(1.0, p), n)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p adjusted for all of them being looked at (Holm 1979): the chance of any false finding stays below the level."""
    if not all(0 <= p <= 1 for p in ps):
        raise InputError(f"p-values lie in [0, 1], not {list(ps)}")
    adjusted, least = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        least = max(least, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = least
    return adjusted


def detectable(sd: float, n: int, power: float = 0.8, alpha: float = ALPHA) -> float:
    """The smallest true difference that n pairs of spread `sd` find at this level and power (Bloom 1995); one pair: infinite."""
    if sd < 0 or n < 1:
        raise InputError(f"a spread of {sd} over {n} pairs: give a spread of at least 0 and at least one pair")
    if n == 1:
        return math.inf
    return (t_quantile(1 - alpha / 2, n - 1) + t_quantile(power, n - 1)) * sd / math.sqrt(n)


@dataclass(frozen=True)
class EProcess:
    """The wealth of a gambler who bets that differences in [-1, 1] are above 0 on average (Waudby-Smith & Ramdas 2024).

    It starts at 1. While no difference is expected to be above 0, it ever reaches w with a chance of at most 1 / w, whenever one looks.
    """

    stakes: tuple[float, ...] = (1 / len(BETS),) * len(BETS)

    def after(self, difference: float) -> EProcess:
        """The process when one more difference has been seen."""
        if not -1 <= difference <= 1:
            raise InputError(f"the bets are on differences in [-1, 1], not {difference}")
        return EProcess(tuple(s * (1 + bet * difference) for s, bet in zip(self.stakes, BETS, strict=True)))

    @property
    def wealth(self) -> float:
        """What the gambler owns."""
        return sum(self.stakes)


def threshold(arms: int) -> float:
    """The wealth at which one of `arms` is dropped. The ordered pairs share the 5 %, so no arm is dropped wrongly but with that chance."""
    return arms * (arms - 1) / ALPHA


def seeds_needed(difference: float, arms: int) -> int:
    """The fewest seeds after which an arm can be dropped if every seed shows this difference, in (0, 1]."""
    if not 0 < difference <= 1:
        raise InputError(f"a difference of {difference} was asked about: give one in (0, 1]")
    process, n = EProcess(), 0
    while process.wealth < threshold(arms):
        process, n = process.after(difference), n + 1
    return n
