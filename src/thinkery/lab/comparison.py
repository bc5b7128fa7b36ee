"""What a comparison found: what was measured of each arm and seed, which differences are real, and the same in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from .evaluation import Evaluation, wilson
from .interactions import Interaction, interactions
from .metrics import brier, ece, majority, pass_at_k
from .notebook import grid, paragraphs, sheet
from .statistics import ALPHA, Difference, EProcess, detectable, holm, paired, t_interval, threshold
from .text import duration, percent

SCHEMA = 1
START = "start"  # what the model before training is called, as an arm
SAMPLES = 8  # replies to a problem at temperature 1
SPREAD = 0.05  # of one arm's accuracy between seeds, assumed until it is measured
WHOLE = 0.9  # of a budget, below which an arm is said not to have used it
EDGE = 0.05  # from 0 or 1, where all accuracies look alike
SMALL = 100_000_000  # parameters below which the size is remarked on


@dataclass(frozen=True)
class Measured:
    """What was measured of one model: the start, or what an arm made of it with one seed.

    accuracy        greedy, on n problems; `scores` are theirs in order (None: failed, not counted)
    pass_at_8, majority_at_8    at temperature 1, on fewer problems
    ece, brier      of the confidence: what the solver says of greedy replies, else the majority's share; None: none could be read
    tokens, seconds sampled and spent in training
    """

    accuracy: float
    scores: list[float | None]
    tokens_per_reply: float
    truncated: float
    unparsed: float
    errors: int
    pass_at_8: float | None
    majority_at_8: float | None
    confidence_from: str
    ece: float | None
    brier: float | None
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    parameters: int = 0


def measured(greedy: Evaluation, sampled: Evaluation, **training: Any) -> Measured:
    """The measurements in two evaluations: one greedy reply to each problem, and SAMPLES at temperature 1 to some."""
    size = sampled.samples_per_problem
    groups = [sampled.samples[i : i + size] for i in range(0, len(sampled.samples), size)]
    whole = [g for g in groups if all(s["score"] is not None for s in g)]  # pass@8 of fewer than 8 would be another number
    votes = [majority([s["parsed"] for s in g]) for g in whole]
    right = [
        max((s["score"] for s in g if s["parsed"] == vote), default=0.0) if vote is not None else 0.0 for g, (vote, _) in zip(whole, votes)
    ]
    stated = [s for s in greedy.samples if s.get("confidence") is not None and s["score"] is not None]
    says = any("confidence" in s for s in greedy.samples)
    confidence = [s["confidence"] for s in stated] if says else [share for _, share in votes]
    outcome = [s["score"] for s in stated] if says else right
    return Measured(
        accuracy=greedy.accuracy,
        scores=[s["score"] for s in greedy.samples],
        tokens_per_reply=greedy.tokens_per_reply,
        truncated=greedy.truncated,
        unparsed=greedy.unparsed,
        errors=greedy.errors + sampled.errors,
        pass_at_8=statistics.fmean(pass_at_k(size, sum(s["score"] >= 1 for s in g), size) for g in whole) if whole else None,
        majority_at_8=statistics.fmean(right) if right else None,
        confidence_from="stated by the solver" if says else "the majority's share",
        ece=ece(confidence, outcome) if confidence else None,
        brier=brier(confidence, outcome) if confidence else None,
        **training,
    )


def noise(a: Measured, b: Measured) -> float:
    """The standard deviation that a finite number of problems gives the difference of two accuracies."""
    gaps = [x - y for x, y in zip(a.scores, b.scores, strict=True) if x is not None and y is not None]
    return statistics.pstdev(gaps) / math.sqrt(len(gaps)) if gaps else 0.0


@dataclass(frozen=True)
class Arm:
    """A method with what was measured of it, by seed; `curves` has training accuracy by seed: [sampled tokens, seconds, accuracy]."""

    method: str
    seeds: Mapping[int, Measured]
    curves: Mapping[int, Sequence[tuple[float, float, float]]] = field(default_factory=dict)
    dropped: str = ""

    def values(self, name: str) -> list[float]:
        """One measurement by seed, where there is one."""
        return [float(v) for m in self.seeds.values() if (v := getattr(m, name)) is not None]

    @property
    def accuracy(self) -> float:
        """The mean over seeds."""
        return statistics.fmean(self.values("accuracy"))

    def interval(self) -> tuple[float, float] | None:
        """Where the accuracy lies: by Student over seeds and by Wilson for one seed's problems, whatever is wider; None with one seed."""
        mean, low, high = t_interval(self.values("accuracy"))
        if len(self.seeds) < 2:
            return None
        n = min(len(m.scores) for m in self.seeds.values())
        least, most = wilson(mean * n, n)
        return max(0.0, min(low, least)), min(1.0, max(high, most))


@dataclass(frozen=True)
class Pair:
    """How much better `a` is than `b` in accuracy; `adjusted` is p after Holm's correction for all pairs."""

    a: str
    b: str
    difference: Difference
    adjusted: float

    @property
    def real(self) -> bool:
        """Whether chance is an unlikely cause."""
        return self.adjusted < ALPHA


def dropped(rounds: Sequence[Mapping[str, float]], arms: Sequence[str]) -> dict[str, tuple[int, str, float]]:
    """The arms that fell out of a race: after which round, against which leader, at which wealth. A round is one seed's accuracies.

    A process runs for each ordered pair, so who leads may depend on the data; the ordered pairs share the error of 5 %.
    """
    processes = {(a, b): EProcess() for a in arms for b in arms if a != b}
    total, out = dict.fromkeys(arms, 0.0), dict[str, tuple[int, str, float]]()
    for number, scores in enumerate(rounds, 1):
        live = [a for a in arms if a not in out]
        total |= {a: total[a] + scores[a] for a in live}
        for a, b in ((a, b) for a in live for b in live if a != b):
            processes[a, b] = processes[a, b].after(scores[a] - scores[b])
        leader = max(live, key=lambda a: total[a])
        wealth = {a: processes[leader, a].wealth for a in live if a != leader}
        out |= {a: (number, leader, w) for a, w in wealth.items() if w >= threshold(len(arms))}
    return out


COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "pass_at_8": ("pass@8", percent),
    "majority_at_8": ("majority@8", percent),
    "tokens_per_reply": ("tokens/answer", lambda v: "—" if v is None else f"{v:.1f}"),
    "truncated": ("cut off", percent),
    "unparsed": ("unreadable", percent),
    "ece": ("ECE", lambda v: "—" if v is None else f"{v:.3f}"),
    "brier": ("Brier", lambda v: "—" if v is None else f"{v:.3f}"),
    "tokens": ("sampled", lambda v: f"{v:,.0f}"),
    "seconds": ("time", duration),
}


@dataclass(frozen=True)
class Comparison:
    """Arms that began alike, met the same problems and had the same steps and budget.

    about    task, model, n, sampled_n, steps, budget, stop: what all arms share
    start    the model before training, by seed
    folder   where compare.json, compare.html and all runs lie
    """

    about: Mapping[str, Any]
    start: Arm
    arms: tuple[Arm, ...]
    folder: str

    @property
    def seeds(self) -> int:
        """Seeds that every arm still in the race has been through."""
        return max(len(arm.seeds) for arm in self.arms)

    def pairs(self) -> list[Pair]:
        """All pairs of arms, by the seeds that both have."""
        found = []
        for a, b in combinations(self.arms, 2):
            seeds = [s for s in a.seeds if s in b.seeds]
            left, right = [a.seeds[s] for s in seeds], [b.seeds[s] for s in seeds]
            known = math.sqrt(statistics.fmean(noise(x, y) ** 2 for x, y in zip(left, right)))
            found.append((a.method, b.method, paired([x.accuracy for x in left], [y.accuracy for y in right], known)))
        adjusted = holm([d.p for *_, d in found])
        return [Pair(*f, p) for f, p in zip(found, adjusted)]

    def interactions(self) -> list[Interaction]:
        """What combinations of two bring beyond what each brings alone, where both were measured alone, too."""
        return interactions(self.arms[0].method, {arm.method: arm.seeds for arm in self.arms})

    def spread(self) -> float | None:
        """The standard deviation of a paired difference between seeds, over all pairs; None where no pair has two seeds."""
        squares = []
        for a, b in combinations(self.arms, 2):
            seeds = [s for s in a.seeds if s in b.seeds]
            if len(seeds) > 1:
                gaps = [a.seeds[s].accuracy - b.seeds[s].accuracy for s in seeds]
                known = statistics.fmean(noise(a.seeds[s], b.seeds[s]) ** 2 for s in seeds)
                squares.append(max(statistics.variance(gaps), known))
        return math.sqrt(statistics.fmean(squares)) if squares else None

    def detectable(self) -> float:
        """The smallest true difference that would be found four times in five, after Holm's correction; infinite with one seed.

        Arms that never differed have shown no spread, so one is assumed.
        """
        return smallest(self.spread() or assumed(self.about["n"]), self.seeds, len(self.arms))

    def rows(self) -> list[list[str]]:
        """The table: a head, the start, the arms; each difference is to the first arm."""
        first = self.arms[0].method
        heads = ["method", "seeds", "accuracy", "95 % interval", f"against {first}", "95 % interval", "p (Holm)"]
        rows = [heads + [head for head, _ in COLUMNS.values()], self._row(self.start, None)]
        against = {p.b: p for p in self.pairs() if p.a == first}
        return rows + [self._row(arm, against.get(arm.method)) for arm in self.arms]

    def _row(self, arm: Arm, pair: Pair | None) -> list[str]:
        within = arm.interval()
        cells = [arm.method, str(len(arm.seeds)), percent(arm.accuracy), span(*within) if within is not None else "one seed"]
        if pair is None:
            cells += ["", "", ""]
        else:
            d = pair.difference
            cells += [points(-d.mean), span(-d.high, -d.low, True) if d.n > 1 else "one seed", f"{pair.adjusted:.3g}" if d.n > 1 else "—"]
        average = {name: statistics.fmean(v) if (v := arm.values(name)) else None for name in COLUMNS}
        trained = arm is not self.start
        return cells + [show(average[k]) if trained or k not in ("tokens", "seconds") else "" for k, (_, show) in COLUMNS.items()]

    def standings(self) -> list[list[str]]:
        """The start and the arms alone: method, seeds, accuracy, interval."""
        return [row[:4] for row in self.rows()[1:]]

    def table(self, width: int = 100) -> str:
        """The table as text, in as many parts as a terminal of so many columns takes."""
        rows = self.rows()
        first, *columns = zip(*rows)
        wide = lambda part: sum(max(map(len, column)) + 2 for column in part) - 2
        parts = [[first, columns[0]]]
        for column in columns[1:]:
            if wide([*parts[-1], column]) > width:
                parts.append([first])
            parts[-1].append(column)
        return "\n\n".join(aligned(list(zip(*part))) for part in parts)

    def finding(self) -> list[str]:
        """What was found, in the fewest sentences: which arm leads, and which differences are real."""
        best = max(arm.accuracy for arm in self.arms)
        names = [arm.method for arm in self.arms if arm.accuracy == best]
        n = f"{self.about['n']} problems, {self.seeds} {'seed' if self.seeds == 1 else 'seeds'}"
        lead = f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} the highest accuracy: {percent(best)} ({n})"
        return [f"{lead}; before training it was {percent(self.start.accuracy)}.", *self._differences()]

    def words(self) -> list[str]:
        """What was found, what it cost, and how far it holds, in sentences."""
        out = [*self.finding(), *map(combined, self.interactions()), *self._cost()]
        size = max((int(v) for v in self.start.values("parameters")), default=0)
        if size < SMALL:
            meaning = "mostly shows when it uses what it knows, not new skill: the order may be another one for a larger model."
            return [*out, f"A model of {size / 1e6:.1f} million parameters {meaning}"]
        return [
            *out,
            f"This holds for this model ({size / 1e9:.1f} billion parameters) and this task; others need a comparison of their own.",
        ]

    def _cost(self) -> list[str]:
        """What was dropped or could not be seen, what failed, what it took."""
        out = [f"{arm.method} was {arm.dropped}." for arm in self.arms if arm.dropped]
        if out:
            out.append(
                "Intervals and p are made for a number of seeds fixed beforehand; when arms were dropped, the wealth counts, not they."
            )
        tokens, seconds = (sum(sum(arm.values(name)) for arm in self.arms) for name in ("tokens", "seconds"))
        out.append(f"It cost {tokens:,.0f} sampled tokens and {duration(seconds)} of training and its evaluations.")
        if min(arm.accuracy for arm in self.arms) > 1 - EDGE or max(arm.accuracy for arm in self.arms) < EDGE:
            out.append(
                "All accuracies lie at the edge of what can be measured: other problems, or a smaller budget, tell methods apart better."
            )
        failed = int(sum(sum(arm.values("errors")) for arm in (self.start, *self.arms)))
        if failed:
            out.append(f"{failed} replies failed and are not counted.")
        budget = self.about["budget"]
        for arm in self.arms:
            used = statistics.fmean(arm.values("tokens"))
            if budget is not None and used < WHOLE * budget:
                out.append(f"{arm.method} sampled {used:,.0f} tokens of the budget of {budget:,}: its steps were over before.")
        return out

    def _differences(self) -> list[str]:
        """Which differences are real, which cannot be told, and how small a difference could have been."""
        if len(self.arms) < 2:
            return []
        if self.seeds == 1:
            return ["With one seed no interval can be given and no difference called real: another seed may turn the order round."]
        out, open_ = [], []
        for pair in self.pairs():
            if not pair.real:
                open_.append(f"{pair.a} and {pair.b}")
                continue
            d, (better, worse) = pair.difference, (pair.a, pair.b) if pair.difference.mean > 0 else (pair.b, pair.a)
            least, most = sorted((abs(d.low), abs(d.high)))
            out.append(f"Real: {better} is better than {worse} by {100 * abs(d.mean):.1f} points (95 % interval {span(least, most)}).")
        if open_:
            out.append(f"Not told apart: {', '.join(open_)}. That is no finding that they are equal.")
        least = self.detectable()
        if least >= 1:
            return [*out, "So few seeds and problems find no difference reliably."]
        return [*out, f"A true difference of {100 * least:.1f} points or more would be found four times in five."]

    def __repr__(self) -> str:
        return "\n\n".join([self.table(), *self.words()])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = [row[:-1] for row in self.rows()]  # without the time, which is another one every time
        return sheet(f"{', '.join(arm.method for arm in self.arms)} on {self.about['task']}", grid(rows), paragraphs(self.words()))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values; what is infinite or was not measured is None."""
        return {
            "schema": SCHEMA,
            **self.about,
            "start": self._arm(self.start),
            "arms": [self._arm(arm) for arm in self.arms],
            "pairs": [
                {"a": p.a, "b": p.b, **{k: finite(v) for k, v in asdict(p.difference).items()}, "p_holm": p.adjusted, "real": p.real}
                for p in self.pairs()
            ],
            "interactions": [
                {"a": x.a, "b": x.b, "alone": list(x.alone), "kind": x.kind, "p_holm": x.adjusted}
                | {name: {k: finite(v) for k, v in asdict(d).items()} for name, d in (("together", x.together), ("beyond", x.beyond))}
                for x in self.interactions()
            ],
            "spread": self.spread(),
            "detectable": finite(self.detectable()),
            "summary": self.words(),
        }

    def _arm(self, arm: Arm) -> dict[str, Any]:
        means = {}
        for name in ("accuracy", *COLUMNS):
            if values := arm.values(name):
                means[name] = dict(zip(("mean", "low", "high"), map(finite, t_interval(values))))
        seeds = [{"seed": s, **asdict(m)} for s, m in arm.seeds.items()]
        curves = [{"seed": s, "points": [list(p) for p in c]} for s, c in arm.curves.items()]
        return {"method": arm.method, "means": means, "dropped": arm.dropped, "seeds": seeds, "curves": curves}


def combined(x: Interaction) -> str:
    """One combination in a sentence."""
    sum_, d = sum(x.alone), x.beyond
    within = "" if d.n < 2 else f" (95 % interval {span(d.low, d.high, True)})"
    return (
        f"{x.a} and {x.b} together gain {points(x.together.mean)} points, {points(x.alone[0])} and {points(x.alone[1])} alone: "
        f"{points(x.together.mean - sum_)} beyond the sum{within}, {x.kind}."
    )


def smallest(spread: float, seeds: int, arms: int) -> float:
    """The difference that is detectable if all pairs of arms are looked at."""
    return detectable(spread, seeds, alpha=ALPHA / max(1, math.comb(arms, 2)))


def assumed(n: int) -> float:
    """The spread of a paired difference until it is measured: n problems half of which are solved, and SPREAD for each arm."""
    return math.sqrt(0.5 / n + 2 * SPREAD**2)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    line = lambda row: "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()
    return "\n".join(map(line, rows))


def finite(value: float) -> float | None:
    """A number that JSON has, or None."""
    return value if math.isfinite(value) else None


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def span(low: float, high: float, sign: bool = False) -> str:
    """An interval of shares in percent."""
    low, high = max(-1.0, low), min(1.0, high)
    return f"{points(low)} to {points(high)}" if sign else f"{100 * low:.1f} to {100 * high:.1f}"
