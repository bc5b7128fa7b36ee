"""Graph tasks with many right answers: of all that could be said, those and only those that are right count, by a search through all."""

from itertools import combinations, pairwise, permutations

import pytest

from thinkery.core.errors import BadConfig
from thinkery.tasks import load_task
from thinkery.tasks.graphs.chosen import CHOSEN
from thinkery.tasks.graphs.task import read, spelt

from .test_graphs import distances, parsed, problems, score

pytest.importorskip("networkx")


def weights(prompt):
    """Weights by edge, read from the prompt alone."""
    found = {}
    for edge in filter(None, prompt.split(";")[1].split(",")):
        link, _, weight = edge.partition("=")
        found[tuple(sorted(int(x) for x in link.split("-")))] = int(weight or 1)
    return found


def parts(size, edges):
    """How many components edges leave."""
    around = {u: {w for e in edges if u in e for w in e} - {u} for u in range(size)}
    return len({frozenset(distances(around, u)) for u in around})


def valid(name, size, weight, edges):
    """Whether edges are a choice that the task allows, and how good it is."""
    if "spanning" in name:
        return len(edges) == size - 1 and parts(size, edges) == 1, -sum(weight[e] for e in edges)
    if name == "min_edge_covering":
        return {u for e in edges for u in e} == set(range(size)), -len(edges)
    if name == "bridges":
        return set(edges) == {e for e in weight if parts(size, weight.keys() - {e}) > parts(size, weight)}, 0
    return all(not set(a) & set(b) for a, b in combinations(edges, 2)), sum(weight[e] for e in edges)


@pytest.mark.parametrize("name", [c.name.removeprefix("graph:") for c in CHOSEN])
def test_of_all_choices_of_edges_the_best_and_only_they_count(name):
    task, several = load_task(f"graph:{name}", nodes=5), 0
    for p in [p for p in problems(task, 14) if len(p.data[0].edges) < 9][:8]:
        weight = weights(p.question.prompt)
        choices = [c for n in range(len(weight) + 1) for c in combinations(weight, n)]
        judged = {c: valid(name, 5, weight, c) for c in choices}
        best = max(good for ok, good in judged.values() if ok)
        counted = [c for c in choices if score(task, p, " ".join(f"{v}-{u}" for u, v in c) or "none")]
        assert counted == [c for c in choices if judged[c] == (True, best)]
        several += len(counted) > 1
    assert several or name == "bridges"


def fits(name, around, nodes):
    """Whether nodes, in this order, are a choice that the task allows."""
    pairs = list(combinations(nodes, 2))
    if name == "hamiltonian_path":
        return len(nodes) == len(around) and all(v in around[u] for u, v in pairwise(nodes))
    if name == "min_vertex_cover":
        return all(u in nodes or v in nodes for u in around for v in around[u])
    if name == "maximal_independent_set":
        return not any(v in around[u] for u, v in pairs)
    return all(u in nodes or around[u] & set(nodes) for u in around)


@pytest.mark.parametrize("name", ["dominating_set", "maximal_independent_set", "min_vertex_cover", "hamiltonian_path"])
def test_of_all_choices_of_nodes_the_right_and_only_they_count(name):
    task, several = load_task(f"graph:{name}", nodes=5), 0
    for p in problems(task, 12):
        around = parsed(p.question.prompt)
        orders = [o for n in range(6) for o in permutations(range(5), n)]
        good = [o for o in orders if fits(name, around, o)]
        sets = {frozenset(o) for o in good}
        if name == "min_vertex_cover":
            good = [o for o in good if len(o) == min(map(len, sets))]
        elif name != "hamiltonian_path":
            worse = (lambda a, b: a < b) if name == "maximal_independent_set" else (lambda a, b: a > b)
            good = [o for o in good if not any(worse(set(o), other) for other in sets)]
        counted = [o for o in orders if score(task, p, spelt(o))]
        assert counted == good
        several += len({frozenset(o) for o in counted}) > 1 or name == "hamiltonian_path"
    assert several >= 2


def test_local_connectivity_is_the_fewest_nodes_that_part_two():
    for p in problems(load_task("graph:local_connectivity"), 30):
        around, (start, end) = parsed(p.question.prompt), p.data[1]
        others = [u for u in around if u not in (start, end)]
        cuts = (c for n in range(len(others) + 1) for c in combinations(others, n))
        parting = (c for c in cuts if end not in distances({u: vs - set(c) for u, vs in around.items() if u not in c}, start))
        assert p.answer == str(len(next(parting)))


def test_a_maximum_flow_is_as_large_as_the_least_cut():
    for p in problems(load_task("graph:maximum_flow", nodes=(5, 7)), 30):
        size, edges, _ = p.question.prompt.split(";")
        found = [(*map(int, e.partition("=")[0].split(">")), int(e.partition("=")[2])) for e in edges.split(",")]
        start, end = p.data[1]
        others = [u for u in range(int(size[2:])) if u not in (start, end)]
        sides = ({start, *c} for n in range(len(others) + 1) for c in combinations(others, n))
        assert p.answer == str(min(sum(w for u, v, w in found if u in side and v not in side) for side in sides))


def order_truth(name, prompt, size, asked, orders):
    """Orders of nodes that answer the task, and how heavy each is."""
    weight = weights(prompt)
    cost = lambda o: sum(weight.get(tuple(sorted(e)), 99) for e in pairwise(o))
    if name == "weighted_shortest_path":
        found = {o: cost(o) for o in orders if o and (o[0], o[-1]) == asked and cost(o) < 99}
    elif name == "traveling_salesman_problem":
        found = {o: cost([*o, o[0]]) for o in orders if len(o) == size}
    else:
        second = {tuple(map(int, e.split("-"))) for e in prompt.rsplit(" ", 1)[1].rstrip("?").split(",")}
        found = {o: 0 for o in orders if len(o) == size and {tuple(sorted((o[u], o[v]))) for u, v in weight} == second}
    return [o for o, c in found.items() if c == min(found.values())]


@pytest.mark.parametrize("name", ["weighted_shortest_path", "traveling_salesman_problem", "isomorphic_mapping"])
def test_of_all_orders_the_best_and_only_they_count(name):
    task, several = load_task(f"graph:{name}", nodes=5), 0
    orders = [o for n in range(1, 6) for o in permutations(range(5), n)]
    for p in problems(task, 40 if name == "weighted_shortest_path" else 8):
        counted = [o for o in orders if score(task, p, spelt(o))]
        assert counted == order_truth(name, p.question.prompt, 5, p.data[1], orders)
        several += len(counted) > 1
    assert several


def test_yes_is_said_of_regular_complete_and_eulerian_graphs_only():
    for p in problems(load_task("graph:is_regular"), 40):
        assert (p.answer == "yes") == (len({len(vs) for vs in parsed(p.question.prompt).values()}) == 1)
    for p in problems(load_task("graph:is_tournament"), 40):
        around = parsed(p.question.prompt)
        assert (p.answer == "yes") == all((v in around[u]) != (u in around[v]) for u, v in combinations(around, 2))
    for p in problems(load_task("graph:is_eulerian"), 40):
        around = parsed(p.question.prompt)
        even = all(len(vs) % 2 == 0 for vs in around.values())
        assert (p.answer == "yes") == (even and len(distances(around, 0)) == len(around))


def test_a_round_trip_through_too_many_nodes_is_refused():
    with pytest.raises(BadConfig, match="at most 10"):
        load_task("graph:traveling_salesman_problem", nodes=11).problem(0)


def test_the_order_of_a_mapping_tells_nothing_of_it():
    for p in problems(load_task("graph:isomorphic_mapping"), 20):
        edges = [tuple(map(int, e.split("-"))) for e in p.question.prompt.rsplit(" ", 1)[1].rstrip("?").split(",")]
        assert edges == sorted(edges)
        assert sorted(read(p.answer)) == list(range(int(p.difficulty)))
