"""Equations, operators, calendars, orders and schedules against plainer solvers that read nothing but the prompt, and by hand."""

import re
from calendar import monthrange
from collections import Counter
from datetime import date, timedelta
from itertools import pairwise, permutations, product

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, load_task, ordering, schedule

HOSTILE = ("#", "#1/0", "#-", "#" + "-" * 9999, "#٣", "#a0a0", "#x=3", "#3 0", "#2024-13-45", "#99:99", "#a999 b999 c999", "#nan", "##\x00")


def asked(prompt, answer, data=None):
    return Problem("by hand", Question(prompt), answer, data=data)


def score(task, problem, text):
    verdict = task.verify(problem, Reply(text))
    assert verdict.reason
    return verdict.score


@pytest.mark.parametrize("name", ["equations", "operators", "calendar", "ordering", "schedule"])
def test_hostile_replies_earn_nothing_and_are_told_why(name):
    task = load_task(name)
    for i, text in product(range(20), HOSTILE):
        assert score(task, task.problem(i), text) == 0


@pytest.mark.parametrize(
    ("name", "hardest"),
    [
        ("equations", {"terms": 9, "largest": 99, "fractions": True}),
        ("equations", {"terms": 9, "largest": 99}),
        ("equations", {"terms": 2, "largest": 2}),
        ("operators", {"numbers": 8, "largest": 99}),
        ("operators", {"numbers": 2, "largest": 9}),
        ("calendar", {"steps": 9}),
        ("ordering", {"items": 6, "dead_ends": 30}),
        ("ordering", {"items": 3, "dead_ends": 2}),
        ("schedule", {"jobs": 6, "longest": 9, "slack": 20, "dead_ends": 30}),
        ("schedule", {"jobs": 2, "longest": 1, "slack": 0, "dead_ends": 0}),
    ],
)
def test_styles_hold_at_either_end_of_difficulty(name, hardest):
    task = load_task(name, **hardest)
    for i, style in product(range(30), task.styles):
        p = task.problem(i)
        made = task.demonstration(p, style, rng(i, style))
        assert score(task, p, made) == (style != "corrupted")
        assert len(made) < task.max_tokens


# ---- equations


def sides(prompt, x):
    """Both sides with x put in, by Python."""
    return [eval(re.sub(r"(\d)x", r"\1*x", side), {"x": x}) for side in prompt.removesuffix("?").split("=")]


@pytest.mark.parametrize("spec", [{}, {"terms": 2}, {"terms": 6, "largest": 20}])
def test_equations_have_one_whole_solution(spec):
    task = load_task("equations", **spec)
    for i in range(200):
        p = task.problem(i)
        reach = range(-25, 26)
        fitting = [x for x in reach if len(set(sides(p.question.prompt, x))) == 1]
        assert fitting == [int(p.answer)]
        assert [x for x in reach if score(task, p, f"#{x}")] == fitting


def test_solutions_of_equations_are_spread():
    counts = Counter(load_task("equations").problem(i).answer for i in range(500))
    assert len(counts) > 12
    assert max(counts.values()) < 120


def test_a_fraction_may_be_written_in_any_terms():
    task = load_task("equations", fractions=True)
    p = asked("4x=6?", "3/2", (((4, "x"),), ((6, ""),)))
    assert [score(task, p, f"#{x}") for x in ("3/2", "6/4", "15/10", "3/4", "2/3", "1", "-3/2", "1.5")] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert task.demonstration(p, "trace", rng(0)) == "4x=6,x=3/2#3/2"


def test_an_equation_is_worked_as_by_hand():
    task = load_task("equations")
    p = asked("3x+4-x=5x+10?", "-2", (((3, "x"), (4, ""), (-1, "x")), ((5, "x"), (10, ""))))
    assert task.demonstration(p, "trace", rng(0)) == "2x+4=5x+10,-3x=6,x=-2#-2"
    assert task.demonstration(p, "structured", rng(0)) == "2x+4=5x+10\n-3x=6\nx=-2\n#-2"


def test_every_line_of_a_trace_has_the_same_solution():
    task = load_task("equations", terms=5)
    for i in range(200):
        p = task.problem(i)
        for line in task.demonstration(p, "structured", rng(i)).split("\n")[:-1]:
            left, right = sides(line, int(p.answer))
            assert left == right


# ---- operators


def test_operators_pay_for_every_filling_that_holds_and_for_no_other():
    task = load_task("operators", numbers=4)
    several = 0
    for i in range(60):
        p = task.problem(i)
        parts = p.question.prompt.split("?")
        right = 0
        for filling in product("+-*", repeat=3):
            text = "".join(a + b for a, b in zip(parts, (*filling, "")))
            left, target = text.split("=")
            assert score(task, p, "#" + text) == (eval(left) == int(target))
            right += eval(left) == int(target)
        several += right > 1
        assert right
    assert several > 5


def test_operators_take_no_other_numbers_order_or_claim():
    task = load_task("operators")
    p = asked("3?4?2=11", "3+4*2=11", ((3, 4, 2), 11, "+*"))
    replies = ("3+4*2=11", "3+2*4=11", "3+4+4=11", "3+4*2", "11", "3+4*2=011", "3+8=11", "4*2+3=11", "3+4*2=11=11", "3+4-2=11")
    assert [score(task, p, "#" + text) for text in replies] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert task.demonstration(p, "trace", rng(0)) == "4*2=8,3+8=11#3+4*2=11"
    assert task.verify(p, Reply("#3+4-2=11")).reason == "the left side is 5, not 11"


# ---- calendar


def by_days(prompt):
    """What a prompt of days, weeks and clocks asks, by going on day by day and minute by minute."""
    start, what = prompt.removesuffix("?").rsplit("=", 1)
    if what == "days":
        days = [date.fromisoformat(x) for x in start.split(">")]
        return str(sum(abs((b - a).days) for a, b in pairwise(days)))
    first = re.match(r"(?:[a-z]{3} )?(\d{4}-\d\d-\d\d|\d\d:\d\d)", start)
    moves = [(int(n), unit) for n, unit in re.findall(r"([+-]\d+)([dwmh])", start[first.end() :])]
    if what == "time":
        minutes = int(first[1][:2]) * 60 + int(first[1][3:]) + sum(n * (60 if unit == "h" else 1) for n, unit in moves)
        return f"{minutes // 60 % 24:02}:{minutes % 60:02}"
    day = date.fromisoformat(first[1])
    for n, unit in moves:
        for _ in range(abs(n) * {"d": 1, "w": 7, "m": 0}[unit]):
            day += timedelta(1 if n > 0 else -1)
        if unit == "m":
            year, month, left = day.year, day.month, abs(n)
            while left:
                month, left = month + (1 if n > 0 else -1), left - 1
                year, month = (year + 1, 1) if month > 12 else (year - 1, 12) if month < 1 else (year, month)
            day = date(year, month, min(day.day, monthrange(year, month)[1]))
    return day.strftime("%a").lower() if what == "weekday" else str(day)


@pytest.mark.parametrize("kind", ["date", "weekday", "days", "time", "any"])
def test_calendars_agree_with_going_day_by_day(kind):
    task = load_task("calendar", kind=kind, years=(1890, 2110))
    for i in range(150):
        p = task.problem(i)
        assert p.answer == by_days(p.question.prompt), p.question.prompt


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("2024-02-27+3d=date?", "2024-03-01"),
        ("2023-02-27+3d=date?", "2023-03-02"),
        ("2024-01-31+1m=date?", "2024-02-29"),
        ("2024-12-31+2m-1d=date?", "2025-02-27"),
        ("mon 2024-01-01-1d=weekday?", "sun"),
        ("2024-02-28>2024-03-01>2024-02-28=days?", "4"),
        ("23:50+15m=time?", "00:05"),
        ("00:10-1h=time?", "23:10"),
    ],
)
def test_the_plain_calendar_is_right_by_hand(prompt, answer):
    assert by_days(prompt) == answer


def test_calendars_of_every_kind_occur_and_weekdays_are_as_likely_as_can_be():
    kinds = Counter(re.search(r"=(\w+)", load_task("calendar").problem(i).question.prompt)[1] for i in range(400))
    assert set(kinds) == {"date", "weekday", "days", "time"}
    assert min(kinds.values()) > 60
    days = Counter(load_task("calendar", kind="weekday").problem(i).answer for i in range(700))
    assert len(days) == 7
    assert max(days.values()) < 150  # more than five standard deviations of 9.3


@pytest.mark.parametrize("spec", [{"kind": "month"}, {"years": (2000, 1990)}, {"years": 999}])
def test_a_calendar_out_of_range_is_refused(spec):
    with pytest.raises(BadConfig, match=next(iter(spec))):
        load_task("calendar", **spec)


# ---- ordering


def fits(order, constraint):
    """Whether an order keeps a constraint as it is written."""
    if "+1=" in constraint:
        return constraint[0] + constraint[-1] in order
    x, sign, y = constraint
    return {"<": lambda: order.index(x) < order.index(y), "=": lambda: order[int(y) - 1] == x, "!": lambda: order[int(y) - 1] != x}[sign]()


@pytest.mark.parametrize("items", [3, 4, 5, 6])
def test_one_order_fits_and_no_constraint_fits_every_order(items):
    task = load_task("ordering", items=items)
    kinds = Counter()
    for i in range(60):
        p = task.problem(i)
        letters, constraints = p.question.prompt.removesuffix("?").split(":")
        constraints = constraints.split(";")
        orders = ["".join(o) for o in permutations(letters)]
        assert [o for o in orders if all(fits(o, c) for c in constraints)] == [p.answer]
        assert not any(all(fits(o, c) for o in orders) for c in constraints)
        if items < 5:
            assert [o for o in orders if score(task, p, "#" + o)] == [p.answer]
        kinds.update(c[1:-1] for c in constraints)
    assert set(kinds) == {"<", "+1=", "=", "!"}


def test_an_ordering_is_searched_as_by_hand():
    constraints = [("before", "a", "c"), ("at", "b", "1"), ("at", "d", "4")]
    assert list(ordering.searched("", "abcd", constraints)) == ["a:b=1", "bacd"]
    assert list(ordering.searched("", "abc", [("next", "c", "a"), ("not", "b", "1")])) == ["a:c+1=a", "b:b!1", "cab"]
    assert list(ordering.searched("", "abc", [("before", "b", "a"), ("at", "c", "3")])) == ["a:b<a", "bac"]


def test_what_an_ordering_gives_up_cannot_be_completed():
    task = load_task("ordering", items=5)
    for i in range(60):
        p = task.problem(i)
        letters = p.question.prompt.split(":")[0]
        for line in task.demonstration(p, "structured", rng(i)).split("\n")[:-2]:
            begun, broken = line.split(":")
            assert not any(fits(begun + "".join(o), broken) for o in permutations(sorted(set(letters) - set(begun))))


# ---- schedule


def keeps(starts, prompt):
    """Whether starts keep all that a prompt says, hour by hour."""
    busy = Counter()
    ends = {}
    for part in prompt.removesuffix("?").split(";"):
        if "<" in part:
            a, b = part.split("<")
            if ends[a] > starts[b]:
                return False
            continue
        name, hours, opens, closes = re.fullmatch(r"([a-z])(\d+) (\d+)-(\d+)", part).groups()
        ends[name] = starts[name] + int(hours)
        busy.update(range(starts[name], ends[name]))
        if starts[name] < int(opens) or ends[name] > int(closes):
            return False
    return max(busy.values()) == 1


def waits(starts, prompt):
    """Whether some job could start an hour sooner and still after the same ones."""
    jobs = {part[0]: [int(n) for n in re.findall(r"\d+", part)] for part in prompt.removesuffix("?").split(";") if "<" not in part}
    free = lambda name: all(starts[o] >= starts[name] or starts[o] + jobs[o][0] < starts[name] for o in jobs if o != name)
    return any(starts[name] > opens and free(name) for name, (_, opens, _) in jobs.items())


def test_schedules_pay_for_whatever_keeps_the_prompt_and_for_nothing_else():
    task = load_task("schedule", jobs=3, longest=3, slack=7)
    several = 0
    for i in range(25):
        p = task.problem(i)
        names = re.findall(r"([a-z])\d", p.question.prompt)
        right = 0
        for hours in product(range(13), repeat=3):
            starts = dict(zip(names, hours))
            good = keeps(starts, p.question.prompt) and not waits(starts, p.question.prompt)
            assert score(task, p, "#" + " ".join(f"{n}{h}" for n, h in starts.items())) == good
            right += good
        several += right > 1
    assert several > 5


def test_a_schedule_is_searched_as_by_hand():
    jobs = [schedule.Job("a", 3, 0, 9), schedule.Job("b", 2, 0, 4), schedule.Job("c", 4, 2, 9)]
    assert [*map(str, jobs)] == ["a3 0-9", "b2 0-4", "c4 2-9"]
    assert list(schedule.searched({}, jobs, [("b", "c")])) == ["a0 b3:b2 0-4", "a0 c3:b<c", "b0 a2 c5"]


def test_a_schedule_is_read_in_any_order_but_whole():
    task = load_task("schedule")
    p = next(p for p in (task.problem(i) for i in range(100)) if len(p.data[2]) > 2)
    assert score(task, p, "#" + " ".join(reversed(p.answer.split()))) == 1  # in any order
    assert score(task, p, "#" + p.answer.replace(" ", "")) == 0
    assert score(task, p, "#" + p.answer.rpartition(" ")[0]) == 0  # a job is missing
    assert score(task, p, f"#{p.answer} {p.answer.split()[0]}") == 0  # one is named twice
    assert task.verify(p, Reply("#" + p.answer.rpartition(" ")[0])).reason.endswith("does not name every job once")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    ("name", "key", "values"), [("ordering", "items", (3, 5)), ("schedule", "jobs", (2, 4)), ("equations", "terms", (2, 4))]
)
def test_harder_problems_take_longer_work(name, key, values, split):
    task = load_task(name)
    low, high = (sum(len(task.demonstration(task.problem(i, split, **{key: v}), "trace", rng(0))) for i in range(40)) for v in values)
    assert high > 1.2 * low
