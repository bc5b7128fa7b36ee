"""Twelve telling rollouts of a run: what training mended and what it did not, what was paid wrongly, what ran long; each says why it is here.

They are chosen by rule from samples.json (the same test problems before and after) and from the record, so a folder always gives the same.
Kinds take turns, three rollouts each, in the order of KINDS until there are twelve; where kinds are missing, the others show more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from sqlite3 import Connection

import msgspec

from ..core.errors import BadData
from .schema import FILE
from .store import opened, refusals
from .text import clean

ALL, EACH = 12, 3
HEAD, TAIL = 2000, 1000  # characters shown of a long text
LOOKED = 2 * ALL  # candidates of a kind: enough, as a problem is shown once and a kind names it once


@dataclass(frozen=True)
class Sample:
    """One evaluated problem, as samples.json holds it."""

    prompt: str
    gold: str
    reply: str
    score: float | None  # None: the sample failed, which is not a wrong answer
    reason: str = ""
    truncated: bool = False

    @property
    def solved(self) -> bool | None:
        """Whether the answer was right in full; None where the sample failed."""
        return None if self.score is None else self.score >= 1


@dataclass(frozen=True)
class Samples:
    """The same problems before and after training; `after` is missing while a run goes on."""

    before: list[Sample]
    after: list[Sample] = field(default_factory=list)


@dataclass(frozen=True)
class Side:
    """One reply: `label` says when; `rewards` are the parts, without their weights, and `reward` all of them together, where it was paid."""

    label: str
    solved: bool | None
    verdict: str
    reply: str
    reason: str = ""
    reward: float | None = None
    rewards: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def paid(self) -> str:
        """The reward with its parts, in words; nothing where there is none."""
        if self.reward is None:
            return ""
        parts = ", ".join(f"{clean(name)} {'—' if value is None else f'{value:.3g}'}" for name, value in self.rewards.items())
        return f", reward {self.reward:.3g}{f' ({parts})' if parts else ''}"


@dataclass(frozen=True)
class Telling:
    """A problem with one or two replies, and why it was chosen. All text is clean, and long ones are cut in the middle."""

    kind: str
    why: str
    prompt: str
    gold: str
    sides: tuple[Side, ...]


def read_samples(run: Path) -> Samples | None:
    """A run's samples.json; None where there is none. Raises BadData for one that cannot be read or whose sides differ."""
    path = run / "samples.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Samples)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BadData(path, f"cannot be read: {error}") from None
    if found.after and [s.prompt for s in found.before] != [s.prompt for s in found.after]:
        raise BadData(path, "the problems before and after training differ, so they cannot stand side by side")
    return found


def chosen(run: Path) -> list[Telling]:
    """The telling rollouts of a run's folder, at most twelve, no problem twice. Raises BadData for files that cannot be read."""
    samples = read_samples(run)
    if (run / FILE).exists():
        with closing(opened(run)) as connection, refusals(run / FILE):
            return _taken({kind: list(find(samples, connection)) for kind, find in KINDS.items()})
    return _taken({kind: list(find(samples, None)) for kind, find in KINDS.items()})


def _taken(found: Mapping[str, Sequence[Telling]]) -> list[Telling]:
    """Three of each kind, then four, and so on, until there are enough."""
    taken: dict[str, list[Telling]] = {kind: [] for kind in found}
    seen: set[str] = set()
    for most in range(EACH, ALL + 1):
        for kind, telling in ((k, t) for k, ts in found.items() for t in ts):
            if len(seen) < ALL and len(taken[kind]) < most and telling.prompt not in seen:
                seen.add(telling.prompt)
                taken[kind].append(telling)
    return list(chain.from_iterable(taken.values()))


def shown(text: str) -> str:
    """A text cleaned, a long one without its middle, which is said."""
    text = clean(text)
    left = len(text) - HEAD - TAIL
    return text if left <= 0 else f"{text[:HEAD]}\n[… {left:,} characters left out …]\n{text[-TAIL:]}"


def verdict(score: float | None) -> str:
    """A score in words."""
    return "failed, not counted" if score is None else "✓ right" if score >= 1 else "✗ wrong" if score <= 0 else f"score {score:.3g}"


# ---- from samples.json


def _pairs(samples: Samples | None, before: bool | None, after: bool | None, kind: str, why: str) -> Iterator[Telling]:
    """Test problems with these outcomes, in order."""
    for b, a in zip(samples.before, samples.after) if samples is not None else ():
        if (b.solved, a.solved) == (before, after):
            yield _paired(b, a, kind, why)


def _paired(before: Sample, after: Sample, kind: str, why: str) -> Telling:
    sides = [
        Side(label, s.solved, verdict(s.score), shown(s.reply), shown(s.reason))
        for label, s in (("before training", before), ("after training", after))
    ]
    return Telling(kind, why, shown(after.prompt), shown(after.gold), tuple(sides))


# ---- from the record


def _rollouts(connection: Connection, kind: str, sql: str, why: Callable[..., str]) -> Iterator[Telling]:
    """A telling for each row of a query: one or two rollouts' ids (the second may be the first, or NULL), then what `why` says."""
    for first, second, *figures in connection.execute(sql, {"most": LOOKED}).fetchall():
        ids = list(dict.fromkeys(i for i in (first, second) if i is not None))
        rows = [_side(connection, i) for i in ids]
        yield Telling(kind, why(*figures), rows[0][0], rows[0][1], tuple(side for *_, side in rows))


def _side(connection: Connection, rollout: int) -> tuple[str, str, Side]:
    """Prompt, gold and reply of a rollout."""
    sql = (
        "SELECT r.step, p.prompt, p.gold, r.reply, r.score, r.reason, r.reward "
        "FROM rollouts r JOIN problems p ON p.id = r.problem WHERE r.id = ?"
    )
    step, prompt, gold, reply, score, reason, reward = connection.execute(sql, (rollout,)).fetchone()
    parts = dict(connection.execute("SELECT name, value FROM rewards WHERE rollout = ? ORDER BY name", (rollout,)).fetchall())
    solved, judged = (None, "not verified") if score is None else (score >= 1, verdict(score))
    said = Side(f"step {step}", solved, judged, shown(reply or ""), shown(reason or ""), reward, parts)
    return shown(prompt or ""), shown(gold or ""), said


RISEN = """
WITH met AS (SELECT problem, step, avg(score) AS rate FROM rollouts WHERE score IS NOT NULL GROUP BY problem, step),
ends AS (SELECT problem, min(step) AS low, max(step) AS high FROM met GROUP BY problem HAVING min(step) < max(step)),
risen AS (
    SELECT e.problem, e.low, e.high, a.rate AS before, b.rate AS after
    FROM ends e JOIN met a ON a.problem = e.problem AND a.step = e.low JOIN met b ON b.problem = e.problem AND b.step = e.high
    WHERE b.rate > a.rate ORDER BY b.rate - a.rate DESC, e.problem LIMIT :most
)
SELECT
    (SELECT id FROM rollouts r WHERE r.step = e.low AND r.problem = e.problem AND r.score IS NOT NULL ORDER BY score, id LIMIT 1),
    (SELECT id FROM rollouts r WHERE r.step = e.high AND r.problem = e.problem AND r.score IS NOT NULL ORDER BY score DESC, id LIMIT 1),
    before, low, after, high
FROM risen e ORDER BY after - before DESC, problem
"""
NEVER = """
SELECT min(id), max(id), count(*), min(step), max(step) FROM rollouts WHERE score IS NOT NULL GROUP BY problem
HAVING max(score) < 1 AND NOT max(coalesce(reward > 0 AND reward > score, 0)) AND 2 * max(step) > (SELECT max(step) FROM steps)
ORDER BY max(step) DESC, count(*) DESC, problem LIMIT :most
"""
PAID = """
SELECT id, NULL, reward, score FROM (
    SELECT id, reward, score, row_number() OVER (PARTITION BY problem ORDER BY reward - score DESC, id DESC) AS place
    FROM rollouts WHERE score < 1 AND reward > 0 AND reward > score
) WHERE place = 1 ORDER BY reward - score DESC, id DESC LIMIT :most
"""
UNPAID = """
SELECT id, NULL, reward FROM (
    SELECT id, reward, row_number() OVER (PARTITION BY problem ORDER BY reward, id DESC) AS place
    FROM rollouts WHERE score >= 1 AND reward <= 0
) WHERE place = 1 ORDER BY reward, id DESC LIMIT :most
"""
CUT = "SELECT max(id), NULL, tokens FROM rollouts WHERE truncated = 1 GROUP BY problem ORDER BY max(id) DESC LIMIT :most"
LONG = """
SELECT id, NULL, tokens FROM (
    SELECT id, tokens, row_number() OVER (PARTITION BY problem ORDER BY tokens DESC, id) AS place FROM rollouts WHERE error IS NULL
) WHERE place = 1 AND tokens > 0 ORDER BY tokens DESC, id LIMIT :most
"""


def _turns(*sources: Iterator[Telling]) -> Iterator[Telling]:
    """One of each source, then the next of each."""
    return (t for row in zip_longest(*sources) for t in row if t is not None)


def _improved(samples: Samples | None, record: Connection | None) -> Iterator[Telling]:
    kind = "Most improved"
    tested = _pairs(samples, False, True, kind, "a test problem: wrong before training, right after")
    why = lambda a, low, b, high: f"met twice in training: {100 * a:.0f} % right in step {low}, {100 * b:.0f} % in step {high}"
    return _turns(tested, *([] if record is None else [_rollouts(record, kind, RISEN, why)]))


def _still(samples: Samples | None, record: Connection | None) -> Iterator[Telling]:
    kind = "Still wrong"
    tested = _pairs(samples, False, False, kind, "a test problem: wrong before training and after")
    when = lambda low, high: f"in step {low}" if low == high else f"between steps {low} and {high}"
    why = lambda n, low, high: f"in training: {n} replies {when(low, high)}, none of them right"
    return _turns(tested, *([] if record is None else [_rollouts(record, kind, NEVER, why)]))


def _lost(samples: Samples | None, record: Connection | None) -> Iterator[Telling]:
    return _pairs(samples, True, False, "Right before, wrong after", "a test problem that training unlearnt")


def _paid(samples: Samples | None, record: Connection | None) -> Iterator[Telling]:
    why = lambda reward, score: f"in training: reward {reward:.3g} for a reply that the verifier scores {score:.3g}"
    return iter(()) if record is None else _rollouts(record, "Rewarded but not correct", PAID, why)


def _unpaid(samples: Samples | None, record: Connection | None) -> Iterator[Telling]:
    why = lambda reward: f"in training: reward {reward:.3g} for a right reply"
    return iter(()) if record is None else _rollouts(record, "Correct but not rewarded", UNPAID, why)


def _cut(samples: Samples | None, record: Connection | None) -> Iterator[Telling]:
    kind = "Cut off"
    pairs = zip(samples.before, samples.after) if samples is not None else ()
    tested = (_paired(b, a, kind, "a test problem: the reply after training ran into the token limit") for b, a in pairs if a.truncated)
    why = lambda tokens: f"in training: cut off by the token limit after {tokens:,} tokens"
    return _turns(tested, *([] if record is None else [_rollouts(record, kind, CUT, why)]))


def _long(samples: Samples | None, record: Connection | None) -> Iterator[Telling]:
    why = lambda tokens: f"in training: {tokens:,} tokens, among the longest replies"
    return iter(()) if record is None else _rollouts(record, "Longest", LONG, why)


KINDS: dict[str, Callable[[Samples | None, Connection | None], Iterator[Telling]]] = {
    "improved": _improved,
    "still": _still,
    "paid": _paid,
    "unpaid": _unpaid,
    "lost": _lost,
    "cut": _cut,
    "longest": _long,
}
