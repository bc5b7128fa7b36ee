"""Fact worlds, graphs and tables are solved a second time from their prompts alone: a wrong label or trace would teach wrong reasoning,
and a verifier that takes half a set for the whole would be found by training."""

import re
from collections import Counter
from itertools import combinations, permutations

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, load_task
from thinkery.tasks.hops import family
from thinkery.tasks.logic import LETTERS

STYLES = ("direct", "trace", "verbose", "structured")
GRAPH = (("a", "1", "b"), ("a", "2", "c"), ("b", "2", "d"), ("b", "2", "e"), ("a", "1", "c"))
REACHED = Problem("by hand", Question("a1b;a2c;b2d;b2e;a1c;a12?"), "de", data=(GRAPH, "a", "12"))
WAY = Problem("by hand", Question(""), "tobi", data=(("boss", "home"), ("zor", "kas", "tobi"), ("zor", "kas", "tobi", "lemu", "fin")))
SUM = Problem("by hand", Question(""), "7", data=(("31>20:yes", "12>20:no", "0+7:7"), ("zor", "kas")))


def score(task, problem, text):
    return task.verify(problem, Reply(text)).score


@pytest.mark.parametrize(
    ("name", "problem", "style", "text"),
    [
        ("facts", WAY, "direct", "#tobi"),
        ("facts", WAY, "trace", "boss of zor:kas,home of kas:tobi#tobi"),
        ("facts", WAY, "structured", "boss of zor:kas\nhome of kas:tobi\n#tobi"),
        ("facts", WAY, "corrupted", "boss of zor:kas,home of kas:lemu#lemu"),  # the only other town
        ("hops", REACHED, "direct", "#de"),
        ("hops", REACHED, "trace", "a1:bc,b2:de,c2:#de"),
        ("hops", REACHED, "verbose", "a1:bc,b2:de,c2:;a1:bc,b2:de,c2:#de"),
        ("tables", SUM, "trace", "31>20:yes,12>20:no,0+7:7#7"),
        ("tables", SUM, "structured", "31>20:yes\n12>20:no\n0+7:7\n#7"),
    ],
)
def test_worked_replies_by_hand(name, problem, style, text):
    assert load_task(name).demonstration(problem, style, rng(0)) == text


# ---- facts


def read(text):
    """What sentences say, (relation, of) to object."""
    return {(relation, of): to for relation, of, to in re.findall(r"the (\w+) of (\w+) is (\w+)\.", text)}


def asked(prompt):
    """The relations of a question in the order in which they are followed, and where it starts."""
    *path, start = re.findall(r"the (\w+) of (?=the )|the (\w+) of (\w+)\?", prompt.splitlines()[-1])
    relations = [a for a, _, _ in path] + [start[1]]
    return relations[::-1], start[2]


@pytest.mark.parametrize("hops", [1, (1, 3), 9])
def test_facts_follow_from_the_documents_alone(hops):
    task = load_task("facts", hops=hops, extra=12)
    for i in range(150):
        p = task.problem(i)
        facts, (path, here) = read(p.question.prompt), asked(p.question.prompt)
        lines = []
        for relation in path:
            lines.append(f"{relation} of {here}:{facts[relation, here]}")
            here = facts[relation, here]
        assert p.answer == here
        assert len(path) == p.difficulty
        assert len(facts) == len(path) + 12
        assert task.demonstration(p, "trace", rng(0)) == ",".join(lines) + "#" + here


def test_there_is_one_document_for_each_thing_that_is_spoken_of():
    for i in range(100):
        p = load_task("facts").problem(i)
        documents = p.question.shown["documents"]
        assert p.question.prompt.splitlines()[:-1] == list(documents)
        spoken = [{of for _, of in read(d)} for d in documents]
        assert all(len(of) == 1 for of in spoken)
        assert len(set.union(*spoken)) == len(spoken)
        assert sum(map(len, map(read, documents))) == len(read(p.question.prompt)), "something is said twice"


def test_a_closed_book_shows_the_documents_to_tools_only():
    task, book = load_task("facts", open_book=False), load_task("facts")
    for i in range(100):
        p, same = task.problem(i), book.problem(i)
        assert (p.id, p.answer, p.family, p.question.shown) == (same.id, same.answer, same.family, same.question.shown)
        assert p.question.prompt == same.question.prompt.splitlines()[-1]
        assert p.answer not in p.question.prompt
        assert score(task, p, task.demonstration(p, "trace", rng(0))) == 1


def test_a_question_of_facts_cannot_be_told_by_its_kind_of_answer():
    """There is something else of the kind asked for in most worlds, so reading matters."""
    task = load_task("facts", hops=2)
    others = [
        len({x for x in read(p.question.prompt).values() if len(x) == len(p.answer)} - {p.answer}) for p in map(task.problem, range(200))
    ]
    assert sum(n > 0 for n in others) > 150


def same_facts(p):
    """The question and what is said of whom it starts from, without names; for questions of one hop."""
    (relation,), start = asked(p.question.prompt)
    said = {r: to for (r, of), to in read(p.question.prompt).items() if of == start}
    order = Counter(said.values())
    return relation, tuple(sorted((r, sorted(s for s in said if said[s] == to)[0], order[to]) for r, to in said.items()))


# ---- hops


def graph(prompt):
    *edges, question = prompt.removesuffix("?").split(";")
    return [tuple(e) for e in edges], question[0], question[1:]


def reached(prompt):
    """The nodes at the end of every walk of the types asked for: one walk after another."""
    edges, start, path = graph(prompt)
    walks = [start]
    for kind in path:
        walks = [b for here in walks for a, t, b in edges if (a, t) == (here, kind)]
    return set(walks)


@pytest.mark.parametrize("spec", [{}, {"hops": 5}, {"nodes": 20, "types": 4, "edges": 80}])
def test_hops_end_where_a_walk_ends(spec):
    task = load_task("hops", **spec)
    for i in range(150):
        p = task.problem(i)
        edges, _, path = graph(p.question.prompt)
        assert set(p.answer) == reached(p.question.prompt)
        assert len(path) == p.difficulty
        assert len(set(edges)) == len(edges) == task.spec.edges
        assert all(a != b for a, _, b in edges)


def test_hops_takes_the_set_in_every_order_and_no_other_set():
    task = load_task("hops")
    sizes = Counter()
    for i in range(60):
        p = task.problem(i)
        nodes = sorted({x for e in graph(p.question.prompt)[0] for x in (e[0], e[2])})
        sizes[len(p.answer)] += 1
        for order in list(permutations(p.answer))[:24]:
            assert score(task, p, "#" + "".join(order)) == 1
        for size in range(1, len(nodes) + 1):
            for chosen in combinations(nodes, size):
                assert score(task, p, "#" + "".join(chosen)) == (set(chosen) == set(p.answer))
        assert score(task, p, f"#{p.answer}{p.answer[0]}") == 0
    assert sum(n for size, n in sizes.items() if size > 1) > 20, "hardly any answer is a set"


def test_hops_says_what_is_wrong():
    task = load_task("hops")
    said = {text: task.verify(REACHED, Reply(text)).reason for text in ("#d", "#def", "#dd", "#d e", "#ed")}
    assert said == {
        "#d": "e is missing",
        "#def": "def has more than what is reached",
        "#dd": "dd names a node twice",
        "#d e": "no nodes after the last #",
        "#ed": "right",
    }


def test_a_graph_in_other_names_and_order_is_the_same_graph():
    same, other = Counter(), Counter()
    for i in range(150):
        p = load_task("hops").problem(i)
        edges, start, path = graph(p.question.prompt)
        way = {start}.union(*(reached(f"{';'.join(map(''.join, edges))};{start}{path[:n]}?") for n in range(1, len(path) + 1)))
        assert family(edges, start, path, way) == p.family
        names = dict(zip(LETTERS, rng(i).shuffle(list(LETTERS)))) | {"1": "2", "2": "1"}
        renamed = ["".join(names[x] for x in e) for e in rng(i, "order").shuffle(list(edges))]
        same[family(renamed, names[start], "".join(names[x] for x in path), {names[x] for x in way}) == p.family] += 1
        other[family(edges, start, path[:-1] + names[path[-1]], way) == p.family] += 1
    assert set(same) == {True}
    assert other[True] < 30  # graphs that look alike by either type


# ---- tables


def answered(prompt):
    """The answer, with rows as dictionaries."""
    head, *lines, question = prompt.removesuffix("?").splitlines()
    rows = [dict(zip(head.split("|"), (x if x.isalpha() else int(x) for x in line.split("|")))) for line in lines]
    question, _, condition = question.partition(" if ")
    if condition:
        column, sign, bound = re.fullmatch(r"(\w+)([<>])(\d+)", condition).groups()
        rows = [r for r in rows if (r[column] > int(bound) if sign == ">" else r[column] < int(bound))]
    if question == "count":
        return str(len(rows))
    if " of " in question:
        column, name = question.split(" of ")
        return str(next(r[column] for r in rows if r["name"] == name))
    what, column = question.split()
    numbers = sorted(r[column] for r in rows)
    if what == "most":
        assert numbers.count(numbers[-1]) == 1
        return next(r["name"] for r in rows if r[column] == numbers[-1])
    return str(sum(numbers) if what == "sum" else numbers[-1])


@pytest.mark.parametrize(
    "spec", [{}, {"rows": 40, "columns": 5}, {"largest": 5}, *({"kind": k} for k in ("cell", "sum", "max", "most", "count"))]
)
def test_tables_say_what_is_answered(spec):
    task = load_task("tables", **spec)
    for i in range(150):
        p = task.problem(i)
        head, *rows, question = p.question.prompt.splitlines()
        assert p.answer == answered(p.question.prompt)
        assert len(rows) == p.difficulty
        assert head.count("|") == task.spec.columns
        assert max(int(x) for row in rows for x in row.split("|")[1:]) <= task.spec.largest
        if "kind" in spec:
            assert question.split()[0].rstrip("?") == spec["kind"] or (spec["kind"] == "cell" and " of " in question)


def test_steps_of_tables_hold_by_arithmetic():
    task = load_task("tables", rows=(2, 9))
    for i in range(300):
        p = task.problem(i)
        for step in [s for s in task.demonstration(p, "trace", rng(0)).split("#")[0].split(",") if s]:
            before, said = step.split(":")
            if said in ("yes", "no"):
                assert eval(before) == (said == "yes")
            elif "+" in before:
                assert eval(before) == int(said)
            elif re.fullmatch(r"[\d ]+", before):
                assert max(map(int, before.split())) == int(said)
            else:
                words = before.split()
                assert said in (words[0], p.answer) or words[2] == said


def test_a_corrupted_table_is_wrong_in_its_last_step():
    task = load_task("tables", kind="sum")
    for i in range(100):
        p = task.problem(i)
        steps = [s for s in task.demonstration(p, "corrupted", rng(i)).split("#")[0].split(",") if "+" in s]
        wrong = [eval(a) != int(b) for a, b in (s.split(":") for s in steps)]
        assert wrong == [False] * (len(steps) - 1) + [True] * bool(steps)


def same_table(p):
    """The question and the numbers of the columns it names, rows and names in no order."""
    head, *lines, question = p.question.prompt.removesuffix("?").splitlines()
    rows = [dict(zip(head.split("|"), line.split("|"))) for line in lines]
    columns = [c for c in head.split("|") if re.search(rf"\b{c}\b", question)]
    asked_about = re.search(r" of (\w+)", question)
    marked = [(asked_about is not None and r["name"] == asked_about[1], *(r[c] for c in columns)) for r in rows]
    for i, c in enumerate(columns):
        question = re.sub(rf"\b{c}\b", f"c{i}", question)
    return re.sub(r" of \w+", " of x", question), tuple(sorted(marked))


# ---- all


@pytest.mark.parametrize(
    ("name", "spec", "same"),
    [
        ("facts", {"hops": 1}, same_facts),
        ("tables", {"rows": 2, "largest": 8}, same_table),
    ],
)
def test_problems_that_only_look_different_are_on_one_side(name, spec, same):
    task = load_task(name, **spec)
    train, test = ({same(task.problem(i, split)) for i in range(n)} for split, n in (("train", 1500), ("test", 300)))
    assert len(train) < 1350, "too many for a leak to show"
    assert not train & test


@pytest.mark.parametrize("name", ["facts", "hops", "tables"])
@pytest.mark.parametrize("split", SPLITS)
def test_no_answer_stands_out(name, split):
    answers = Counter(load_task(name).problem(i, split).answer for i in range(300))
    assert answers.most_common(1)[0][1] < 60


@pytest.mark.parametrize(
    ("name", "easy", "hard"),
    [
        ("facts", {"extra": 0}, {"extra": 30}),
        ("facts", {"hops": 1}, {"hops": 9}),
        ("hops", {"edges": 8}, {"edges": 40, "nodes": 12}),
        ("hops", {"hops": 1}, {"hops": 6}),
        ("tables", {"columns": 2}, {"columns": 5}),
        ("tables", {"rows": 2}, {"rows": 40}),
    ],
)
def test_difficulty_keys_make_more_to_read_and_every_style_still_fits(name, easy, hard):
    short, long = ([(task, task.problem(i), i) for i in range(40)] for task in (load_task(name, **spec) for spec in (easy, hard)))
    little, much = (sum(len(p.question.prompt) + p.difficulty for _, p, _ in drawn) for drawn in (short, long))
    assert 1.1 * little < much
    for task, p, i in short + long:
        for style in STYLES:
            made = task.demonstration(p, style, rng(i, style))
            assert score(task, p, made) == 1
            assert len(made) + 1 <= task.max_tokens
        assert score(task, p, task.demonstration(p, "corrupted", rng(i))) == 0


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("facts", "extra", -1),
        ("facts", "open_book", "no"),
        ("hops", "nodes", 2),
        ("hops", "types", 10),
        ("hops", "edges", 99),
        ("tables", "columns", 1),
        ("tables", "kind", "mean"),
        ("tables", "largest", 100),
    ],
)
def test_a_key_out_of_range_is_refused(name, key, value):
    with pytest.raises(BadConfig, match=key):
        load_task(name, **{key: value})
