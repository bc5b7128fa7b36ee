"""Formulas and puzzles are solved a second time by going through every case from the prompt alone: a wrong label would train against
what is right, and an assignment is paid for only if it satisfies every clause."""

import re
from collections import Counter
from itertools import permutations, product

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, load_task
from thinkery.tasks.logic import LETTERS
from thinkery.tasks.puzzle import CLAIMS, NOTATIONS
from thinkery.tasks.puzzle import family as puzzle_family
from thinkery.tasks.sat import family, hardness, search

CLAUSES = (("a", "b"), ("~a", "c"), ("~a", "~c"))
FORMULA = Problem("by hand", Question("a|b;~a|c;~a|~c?"), "~abc", data=(CLAUSES, ("ac:~a|~c", "~ab")))
PEOPLE = Problem("by hand", Question("a:~b;b:all x;a?"), "true", data=("symbols", ("a", "b"), (("liar", "b"), ("all",))))
SPOKEN = Problem("by hand", Question(""), "true", data=("words", ("a", "b"), (("liar", "b"), ("all",))))
TABLE = Problem("by hand", Question(""), "true", data=("table", ("a", "b"), (("liar", "b"), ("all",))))


def score(task, problem, text):
    return task.verify(problem, Reply(text)).score


@pytest.mark.parametrize(
    ("name", "problem", "style", "text"),
    [
        ("sat", FORMULA, "direct", "#~abc"),
        ("sat", FORMULA, "trace", "ac:~a|~c,~ab#~abc"),
        ("sat", FORMULA, "structured", "ac:~a|~c\n~ab\n#~abc"),
        ("puzzle", PEOPLE, "direct", "#true"),
        ("puzzle", PEOPLE, "trace", "ab:no,a~b:yes,~ab:no,~a~b:no#true"),
        ("puzzle", SPOKEN, "trace", "if none lie:no,if b lie:yes,if a lie:no,if a b lie:no#true"),
        ("puzzle", TABLE, "structured", "11:no\n10:yes\n01:no\n00:no\n#true"),
    ],
)
def test_worked_replies_by_hand(name, problem, style, text):
    assert load_task(name).demonstration(problem, style, rng(0)) == text


# ---- sat


def models(prompt):
    """Every assignment that satisfies the formula, spelt with its letters in order."""
    clauses = [c.split("|") for c in prompt.removesuffix("?").split(";")]
    letters = sorted({x[-1] for c in clauses for x in c})
    for values in product(("", "~"), repeat=len(letters)):
        held = [sign + x for sign, x in zip(values, letters)]
        yield held, all(set(c) & set(held) for c in clauses)


@pytest.mark.parametrize("planted", [True, False])
def test_exactly_the_assignments_that_satisfy_are_right(planted):
    task = load_task("sat", planted=planted, clauses=(4, 14), variables=4)
    alternatives = 0
    for i in range(60):
        p = task.problem(i)
        drawn = list(models(p.question.prompt))
        alternatives += sum(good for _, good in drawn) > 1
        for held, good in drawn:
            assert score(task, p, "#" + "".join(held)) == good
            assert score(task, p, "#" + "".join(rng(i).shuffle(list(held)))) == good
            assert score(task, p, "#" + "".join(held[1:])) == 0
            assert score(task, p, "#" + "".join([*held, held[0]])) == 0
        assert score(task, p, "#none") == (not any(good for _, good in drawn))
        assert score(task, p, "#none~" + p.answer) == 0
    assert alternatives > 10


@pytest.mark.parametrize("split", SPLITS)
def test_labels_of_formulas_hold_by_brute_force_and_both_occur(split):
    task = load_task("sat", planted=False, clauses=(14, 20), variables=4)
    labels = Counter()
    for i in range(150):
        p = task.problem(i, split)
        possible = any(good for _, good in models(p.question.prompt))
        assert (p.answer != "none") == possible
        labels[possible] += 1
    assert min(labels[True], labels[False]) > 30


@pytest.mark.parametrize(("variables", "width", "clauses"), [(10, 3, (30, 60)), (14, 3, (50, 70)), (20, 2, (24, 44))])
def test_labels_of_large_formulas_are_those_of_another_solver(variables, width, clauses):
    pysat = pytest.importorskip("pysat.solvers")
    task = load_task("sat", planted=False, clauses=clauses, variables=variables, width=width, dead_ends=64)
    labels = Counter()
    for i in range(40):
        p = task.problem(i)
        code = lambda part: (-1 if part[0] == "~" else 1) * (1 + LETTERS.index(part[-1]))
        formula = [[code(part) for part in clause.split("|")] for clause in p.question.prompt.removesuffix("?").split(";")]
        with pysat.Solver("minisat22", bootstrap_with=formula) as solver:
            possible = solver.solve()
            assert (p.answer != "none") == possible
            used = {abs(x) for clause in formula for x in clause}
            if possible:  # its assignment, which need not be ours, is right, too
                reply = "#" + "".join(("~" if x < 0 else "") + LETTERS[abs(x) - 1] for x in solver.get_model() if abs(x) in used)
                assert score(task, p, reply) == 1
        labels[possible] += 1
    assert min(labels[True], labels[False]) > 3


def test_planted_formulas_always_have_an_assignment():
    task = load_task("sat", clauses=(12, 20))
    for i in range(60):
        p = task.problem(i)
        assert any(good for _, good in models(p.question.prompt))
        assert p.answer != "none"


def test_a_search_shows_where_each_branch_breaks():
    task = load_task("sat", planted=False, clauses=(10, 20), variables=5)
    for i in range(100):
        p = task.problem(i)
        clauses = p.question.prompt.removesuffix("?").split(";")
        lines = task.demonstration(p, "structured", rng(0)).splitlines()[:-1]
        assert sum(":" in line for line in lines) <= 8
        for line in lines:
            held, _, broken = line.partition(":")
            literals = re.findall("~?[a-z]", held)
            assert len({x[-1] for x in literals}) == len(literals)
            if broken:
                assert broken in clauses
                assert all(("~" + x).replace("~~", "") in literals for x in broken.split("|"))
            else:
                assert all(set(c.split("|")) & set(literals) for c in clauses)
        assert any(":" not in line for line in lines) == (p.answer != "none")


def test_a_search_stops_at_its_limit():
    unsatisfiable = tuple(tuple(s + x for s, x in zip(signs, "abcd")) for signs in product(("", "~"), repeat=4))
    lines = []
    assert search(unsatisfiable, (), lines, 99) is None
    assert len(lines) == 8  # the last of four letters is forced
    cut = []
    assert search(unsatisfiable, (), cut, 2) is None
    assert cut == lines[:3]


def test_formulas_have_the_size_asked_for():
    task = load_task("sat")
    for n, k, m in ((3, 2, 5), (12, 3, 30), (20, 5, 40)):
        for i in range(10):
            p = task.problem(i, variables=n, width=k, clauses=m)
            clauses = [c.split("|") for c in p.question.prompt.removesuffix("?").split(";")]
            assert len(clauses) == m == p.difficulty
            assert len({frozenset(c) for c in clauses}) == m
            assert {len({x[-1] for x in c}) for c in clauses} == {k}
            assert len({x[-1] for c in clauses for x in c}) <= n
            assert score(task, p, "#" + p.answer) == 1


def test_hardness_by_hand():
    assert hardness(2, 8, 16) == 3 + 8 - 2 + 4
    assert hardness(3, 4, 8) < hardness(3, 4, 16) < hardness(3, 16, 16)
    assert hardness(4, 8, 16) < hardness(3, 8, 16)


def test_a_formula_in_other_letters_and_order_is_the_same_formula():
    told_apart = 0
    for i in range(100):
        p = load_task("sat").problem(i)
        clauses, _ = p.data
        names = dict(zip(LETTERS, rng(i).shuffle(list(LETTERS))))
        renamed = [tuple(rng(i, j).shuffle([x[:-1] + names[x[-1]] for x in c])) for j, c in enumerate(clauses)]
        assert family(tuple(rng(i, "order").shuffle(renamed))) == p.family
        first = clauses[0]
        turned = (("~" + first[0]).replace("~~", ""), *first[1:])
        told_apart += family((turned, *clauses[1:])) != family(clauses)
    assert told_apart > 80  # the others are alike


def test_width_is_bounded_by_the_variables():
    with pytest.raises(BadConfig, match="width"):
        load_task("sat", variables=2, width=3)


# ---- puzzle


def spoken(prompt):
    """Who says what, and who is asked about: claims as Python over the dictionary h."""
    if "says " in prompt:
        said = re.findall(r"(\w) says ([^.]+)\.", prompt)
        asked = re.search(r"is (\w) honest\?", prompt)[1]
    elif prompt.startswith("who,"):
        head, says, question = prompt.split("\n")
        said = list(zip(head.split(",")[1:], says.split(",")[1:], strict=True))
        asked = question[0]
    else:
        *parts, question = prompt.split(";")
        said = [tuple(part.split(":")) for part in parts]
        asked = question[0]
    return [(who, truth(claim)) for who, claim in said], asked


FORMS = [
    (r"~(\w)|(\w) lies", lambda a, b: lambda h: not h[a or b]),
    (r"(\w)|(\w) is honest", lambda a, b: lambda h: h[a or b]),
    (r"(\w)=(\w)|(\w) and (\w) are alike", lambda a, b, c, d: lambda h: h[a or c] == h[b or d]),
    (r"(\w)\|(\w)|(\w) or (\w) is honest", lambda a, b, c, d: lambda h: h[a or c] or h[b or d]),
    (r"all x|all are honest", lambda: lambda h: all(h.values())),
    (r"some ~x|some lie", lambda: lambda h: not all(h.values())),
]


def truth(claim):
    return next((make(*found.groups()) for form, make in FORMS if (found := re.fullmatch(form, claim))), None)


def fitting(prompt):
    """What the person asked about is, in each world that fits."""
    said, asked = spoken(prompt)
    people = [who for who, _ in said]
    for values in product((True, False), repeat=len(people)):
        honest = dict(zip(people, values))
        if all(honest[who] == claim(honest) for who, claim in said):
            yield honest[asked]


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("people", [2, (3, 4), 6])
def test_puzzles_are_labelled_by_every_world_that_fits(notation, people):
    task = load_task("puzzle", notation=notation, people=people)
    for i in range(60):
        p = task.problem(i)
        worlds = set(fitting(p.question.prompt))
        assert p.answer == {frozenset({True}): "true", frozenset({False}): "false", frozenset({True, False}): "unknown"}[frozenset(worlds)]
        assert len(spoken(p.question.prompt)[0]) == p.difficulty


def test_the_notations_say_the_same():
    for i in range(60):
        p, q, r = (load_task("puzzle", notation=n).problem(i) for n in NOTATIONS)
        assert p.data[1:] == q.data[1:] == r.data[1:]
        assert (p.answer, p.family) == (q.answer, q.family) == (r.answer, r.family)
        assert len({p.question.prompt, q.question.prompt, r.question.prompt}) == 3


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("people", [3, (3, 4)])
def test_puzzle_labels_are_balanced(split, people):
    counts = Counter(load_task("puzzle", people=people).problem(i, split).answer for i in range(300))
    assert len(counts) == 3
    assert all(abs(n - 100) < 35 for n in counts.values())  # four standard deviations of 8.2


def test_a_puzzle_in_other_names_and_order_is_the_same_puzzle():
    for i in range(60):
        p = load_task("puzzle", notation="symbols").problem(i)
        _, people, claims = p.data
        asked = p.question.prompt[-2]
        for order in list(permutations(range(len(people))))[:6]:
            names = dict(zip(people, rng(i).sample(LETTERS, len(people))))
            renamed = [names[people[k]] for k in order]
            said = tuple((claims[k][0], *(names[x] for x in claims[k][:0:-1])) for k in order)
            assert puzzle_family(renamed, said, names[asked]) == p.family


def test_every_kind_of_claim_occurs_in_every_label():
    seen = {(kind, p.answer) for p in map(load_task("puzzle").problem, range(300)) for kind, *_ in p.data[2]}
    assert seen == set(product(CLAIMS, ("true", "false", "unknown")))
