"""A graph task is sound if every right answer counts and no other, if node numbers tell nothing, and if no graph is on both sides."""

import math
from collections import Counter, deque
from dataclasses import replace
from itertools import combinations, pairwise, permutations, product

import pytest

from thinkery.core.errors import BadConfig, BadData, UnknownName
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.models.tokenizer import CHARACTERS
from thinkery.tasks import CORRUPTED, load_task, split_of
from thinkery.tasks.generated import STYLES
from thinkery.tasks.graphs import GRAPHS, WORKED
from thinkery.tasks.graphs.counted import COUNTED
from thinkery.tasks.graphs.graph import Graph, acyclic, drawn, family, network, shuffled
from thinkery.tasks.graphs.measured import MEASURED
from thinkery.tasks.graphs.task import YesNo, read, spelt

nx = pytest.importorskip("networkx")
ALL = pytest.mark.parametrize("name", GRAPHS)


def problems(task, n=25, split="train", seed=0, **spec):
    return [task.problem(i, split, seed, **spec) for i in range(n)]


def score(task, problem, tail):
    return task.verify(problem, Reply("#" + tail)).score


def parsed(prompt):
    """Neighbours by node, read from the prompt alone."""
    size, edges, _ = prompt.split(";")
    around = {u: set() for u in range(int(size[2:]))}
    for edge in filter(None, edges.split(",")):
        u, v = (int(x) for x in edge.replace(">", "-").split("-"))
        around[u].add(v)
        if "-" in edge:
            around[v].add(u)
    return around


def distances(around, start):
    far, queue = {start: 0}, deque([start])
    while queue:
        u = queue.popleft()
        for v in around[u] - far.keys():
            far[v] = far[u] + 1
            queue.append(v)
    return far


# ---- all tasks


@ALL
def test_demonstrations_verify_corrupted_ones_do_not_and_all_fit(name):
    for task in (load_task(f"graph:{name}"), load_task(f"graph:{name}", nodes=10)):
        for p, style in product(problems(task, 15), task.styles):
            made = task.demonstration(p, style, rng(0, style, p.id))
            verdict = task.verify(p, Reply(made))
            assert verdict.score == (style != CORRUPTED), (p.question.prompt, made)
            assert verdict.parsed is not None
            assert set(p.question.prompt + made) <= set(CHARACTERS)
            assert len(made) < task.max_tokens


@ALL
def test_what_is_no_answer_earns_nothing(name):
    task = load_task(f"graph:{name}")
    for p in problems(task, 10):
        for text in ("", "#", p.question.prompt, p.answer + "#x", f"{p.answer} or #", f"{p.answer} #?", "#" + "9" * 5000, "#99 99", "#-1"):
            assert task.verify(p, Reply(text)).score == 0, text
        assert task.verify(p, Reply("#" + p.answer, truncated=True)).score == 0


@ALL
def test_problems_are_pure_of_their_split_and_as_large_as_asked(name):
    task, seen = load_task(f"graph:{name}"), {}
    for split, seed in product(("train", "validation", "test"), range(2)):
        for p in problems(task, 12, split, seed):
            assert split_of(p.family) == split
            assert seen.setdefault(p.question.prompt, split) == split
            assert 5 <= p.difficulty <= 9
    assert task.problem(7, "test", 3) == task.problem(7, "test", 3)
    assert {p.difficulty for p in problems(task, 3, nodes=10)} == {10}


@ALL
def test_yes_and_no_are_alike_often_and_no_other_answer_wins_by_being_common(name):
    task = load_task(f"graph:{name}")
    counts = Counter(p.answer for p in problems(task, 80))
    if isinstance(task, YesNo):
        assert 20 <= counts["yes"] <= 60
    else:
        assert counts.most_common(1)[0][1] <= 60, counts


def test_there_are_fifty_tasks_in_four_tiers():
    tiers = Counter(task.tier for task in GRAPHS.values())
    assert tiers == {"easy": 14, "medium": 12, "hard": 17, "challenging": 7}


def test_all_ten_worked_tasks_are_the_mixture_graph():
    task = load_task("graph")
    assert len(WORKED) == 10
    assert task.styles == STYLES
    for p in problems(task, 20):
        assert task.verify(p, Reply(task.demonstration(p, "trace", rng(0)))).score == 1


def test_wrong_names_and_keys_are_named():
    with pytest.raises(UnknownName, match="degree"):
        load_task("graph:degre")
    with pytest.raises(BadConfig, match="colour"):
        load_task("graph:degree", colour=1)
    for key, value in (("nodes", 3), ("nodes", (5, 36)), ("network", "moon"), ("encoding", "picture")):
        with pytest.raises(BadConfig, match=key):
            load_task("graph:degree", **{key: value})
    assert {p.difficulty for p in problems(load_task("graph:bfs:nodes=6-7"), 20)} == {6, 7}


# ---- graphs


def test_the_built_in_network_is_the_karate_club():
    assert {tuple(sorted(e)) for e in nx.karate_club_graph().edges} == {(u, v) for u, vs in network("karate").items() for v in vs if u < v}


def test_a_network_is_read_from_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("THINKERY_DATA", str(tmp_path))
    task = load_task("graph:degree", network="dolphins")
    network.cache_clear()
    with pytest.raises(BadData, match="dolphins"):
        task.problem(0)
    (tmp_path / "graphs").mkdir()
    nx.write_gml(nx.petersen_graph(), tmp_path / "graphs" / "dolphins.gml")
    assert all(int(p.answer) <= 3 for p in problems(task))
    network.cache_clear()


def test_a_cut_of_a_network_is_an_induced_connected_part_of_it():
    club = nx.karate_club_graph()
    for i in range(20):
        cut = drawn("karate", 7, rng(i)).nx()
        assert nx.is_connected(cut)
        assert nx.algorithms.isomorphism.GraphMatcher(club, cut).subgraph_is_isomorphic()
    assert len({tuple(sorted(drawn("random", 6, rng(i)).edges)) for i in range(20)}) > 15


def test_both_encodings_tell_the_same_graph():
    for name in ("degree", "topological_sort"):
        edges, rows = (load_task(f"graph:{name}", encoding=e).problem(4) for e in ("edges", "adjacency"))
        assert edges.answer == rows.answer
        _, *lines, _ = rows.question.prompt.split(";")
        found = {int(u): {int(v) for v in vs.split()} for u, vs in (line.split(":") for line in lines)}
        assert found == parsed(edges.question.prompt)


def test_families_forget_numbers_and_remember_the_graph_and_the_question():
    graph = Graph(5, ((0, 1), (1, 2), (2, 3), (3, 4)))
    name = family("t", (graph,), (0,), False)
    assert {family("t", (Graph(5, ((4, 3), (3, 2), (1, 2), (0, 1))),), (4,), False)} == {name}
    assert len({name, family("t", (graph,), (1,), False), family("u", (graph,), (0,), False)}) == 3
    assert family("t", (graph,), (0, 1), True) == family("t", (graph,), (1, 0), True) != family("t", (graph,), (1, 0), False)
    directed = acyclic(graph, rng(0))
    assert family("t", (directed,), (), False) != family("t", (graph,), (), False)
    assert family("t", (directed,), (), False) == family("t", (shuffled(directed, rng(1)),), (), False)


def test_no_graph_with_its_question_is_on_both_sides():
    task = load_task("graph:triangles", nodes=5)

    def same(p):
        graph, asked = p.data
        return min(str((sorted(tuple(sorted((q[u], q[v]))) for u, v in graph.edges), q[asked[0]])) for q in permutations(range(5)))

    train, test = ({same(p) for p in problems(task, n, split)} for split, n in (("train", 150), ("test", 40)))
    assert len(train) < 100
    assert not train & test


def test_node_numbers_tell_nothing():
    counts = Counter(u for p in problems(load_task("graph:common_neighbor", nodes=6), 300) for u in read(p.answer))
    assert min(counts[u] for u in range(6)) > 0.6 * max(counts.values())
    first = Counter(u for p in problems(load_task("graph:topological_sort", nodes=6), 300) for u in p.data[0].edges[0])
    assert min(first[u] for u in range(6)) > 0.6 * max(first.values())


# ---- truth, from the prompt alone


def truth(name, around, asked):
    """The answer to a worked task with a single one, by going through all there is."""
    if name == "degree":
        return str(len(around[asked[0]]))
    if name == "edge_existence":
        return "yes" if asked[1] in around[asked[0]] else "no"
    if name == "common_neighbor":
        return spelt(sorted(around[asked[0]] & around[asked[1]]))
    if name == "triangles":
        return str(sum(v in around[u] for u, v in combinations(around[asked[0]], 2)))
    parts = {frozenset(distances(around, u)) for u in around}
    if name == "connected_component_number":
        return str(len(parts))
    if name == "has_cycle":
        return "yes" if sum(map(len, around.values())) // 2 > len(around) - len(parts) else "no"
    sides = product((0, 1), repeat=len(around))
    return "yes" if any(all(side[u] != side[v] for u in around for v in around[u]) for side in sides) else "no"


@pytest.mark.parametrize(
    "name", ["degree", "edge_existence", "common_neighbor", "triangles", "connected_component_number", "has_cycle", "is_bipartite"]
)
def test_single_answers_are_what_a_search_through_everything_gives(name):
    for p in problems(load_task(f"graph:{name}", nodes=(5, 7)), 40):
        asked = [int(x) for x in p.question.prompt.rsplit(";", 1)[1].rstrip("?").split() if x.isdecimal()]
        assert truth(name, parsed(p.question.prompt), asked) == p.answer


def right(name, around, asked, order):
    """Whether an order of nodes answers the task."""
    if name == "topological_sort":
        return sorted(order) == sorted(around) and all(order.index(u) < order.index(v) for u in around for v in around[u])
    if name == "dfs":
        searches = [([asked[0]], [asked[0]])]  # every depth-first search: what it met, and the path on which it stands
        while fresh := [s for s in searches if len(s[0]) < len(around)]:
            searches = [s for s in searches if len(s[0]) == len(around)]
            for met, path in fresh:
                unmet = around[path[-1]] - set(met)
                searches += [([*met, v], [*path, v]) for v in unmet] or [(met, path[:-1])]
        return order in [met for met, _ in searches]
    if name == "shortest_path":
        linked = all(v in around[u] for u, v in pairwise(order))
        return (order[0], order[-1]) == tuple(asked) and linked and len(order) == distances(around, asked[0])[asked[1]] + 1
    searches = [[asked[0]]]  # every breadth-first search, node by node
    for at in range(len(around)):
        grown = []
        for s in searches:
            fresh = around[s[at]] - set(s)
            grown += [[*s, *more] for more in permutations(fresh)]
        searches = grown
    return order in searches


@pytest.mark.parametrize("name", ["bfs", "dfs", "shortest_path", "topological_sort"])
def test_of_all_orders_those_and_only_those_that_are_right_count(name):
    task, several = load_task(f"graph:{name}", nodes=5), 0
    for p in problems(task, 16):
        around, asked = parsed(p.question.prompt), p.data[1]
        orders = [list(o) for n in range(1, 6) for o in permutations(range(5), n)]
        counted = [o for o in orders if score(task, p, spelt(o))]
        assert counted == [o for o in orders if right(name, around, asked, o)]
        several += len(counted) > 1
    assert several >= 2


def test_sets_are_paid_in_any_order_and_partly_in_a_part():
    task = load_task("graph:common_neighbor")
    p = next(p for p in problems(task, 50) if len(read(p.answer)) == 2)
    u, v = read(p.answer)
    assert score(task, p, f"{v} {u}") == 1
    assert task.verify(p, Reply(f"#{u}")).parts == {"partial": 0.5}
    assert task.verify(p, Reply(f"#{u} {u} {v}")).parts == {"partial": 0.0}
    assert score(task, p, "none") == score(task, p, f"{u}") == 0
    nobody = replace(p, answer="none")
    assert task.verify(nobody, Reply("#none")).parts == {"partial": 1.0}


def distance_truth(name, around, asked):
    """What the tasks on distances in connected graphs answer, from all distances."""
    far = {u: distances(around, u) for u in around}
    widest, total = ({u: kind(far[u].values()) for u in around} for kind in (max, sum))
    return {
        "diameter": str(max(widest.values())),
        "radius": str(min(widest.values())),
        "wiener_index": str(sum(total.values()) // 2),
        "center": spelt([u for u in around if widest[u] == min(widest.values())]),
        "periphery": spelt([u for u in around if widest[u] == max(widest.values())]),
        "barycenter": spelt([u for u in around if total[u] == min(total.values())]),
        "neighbor": spelt(sorted(around[asked[0]])) if asked else "",
        "node_number": str(len(around)),
        "edge_number": str(sum(map(len, around.values())) // 2),
        "strongly_connected_number": str(len({frozenset(v for v in far[u] if u in far[v]) for u in around})),
    }[name]


@pytest.mark.parametrize("name", [n for n in (c.name.removeprefix("graph:") for c in COUNTED) if n != "dfs"])
def test_counts_and_sets_are_what_all_distances_give(name):
    for p in problems(load_task(f"graph:{name}", network="random"), 40):
        assert distance_truth(name, parsed(p.question.prompt), p.data[1]) == p.answer


def share_through(around, at):
    """The mean share of shortest paths of pairs of other nodes that lead through a node."""
    shares = []
    for u, v in combinations([u for u in around if u != at], 2):
        far = distances(around, u)
        paths = [[u]] if v in far else []
        for _ in range(far.get(v, 0)):
            paths = [[*path, w] for path in paths for w in around[path[-1]]]
        paths = [path for path in paths if path[-1] == v]
        shares.append(sum(at in path for path in paths) / len(paths) if paths else 0)
    return sum(shares) / len(shares)


def measured(name, around, asked):
    """The measures by their definitions."""
    n = len(around)
    degree = {u: len(vs) for u, vs in around.items()}
    if not asked:
        inverse = sum(1 / d for u in around for d in distances(around, u).values() if d)
        return (sum(degree.values()) if name == "density" else inverse) / (n * (n - 1))
    if len(asked) == 2:
        common, both = around[asked[0]] & around[asked[1]], around[asked[0]] | around[asked[1]]
        if name == "jaccard_coefficient":
            return len(common) / len(both) if both else 0
        return sum(1 / (math.log(degree[u]) if name == "adamic_adar_index" else degree[u]) for u in common)
    u, far = asked[0], distances(around, asked[0])
    pairs = list(combinations(around[u], 2))
    return {
        "clustering_coefficient": sum(w in around[v] for v, w in pairs) / max(1, len(pairs)),
        "degree_centrality": degree[u] / (n - 1),
        "average_neighbor_degree": sum(degree[v] for v in around[u]) / max(1, degree[u]),
        "closeness_centrality": (len(far) - 1) ** 2 / (n - 1) / max(1, sum(far.values())),
        "harmonic_centrality": sum(1 / d for d in far.values() if d),
        "betweenness_centrality": share_through(around, u),
    }[name]


@pytest.mark.parametrize("name", [c.name.removeprefix("graph:") for c in MEASURED])
def test_measures_are_what_their_definitions_give(name):
    task = load_task(f"graph:{name}", network="random")
    for p in problems(task, 25):
        x = measured(name, parsed(p.question.prompt), p.data[1])
        assert float(p.answer) == pytest.approx(x, abs=0.005 + 1e-9)
        assert score(task, p, f"{x:.6f}") == score(task, p, f"{x:.3f}") == 1
        assert score(task, p, f"{x + 0.0056:.6f}") == 0


# ---- worked replies


@pytest.mark.parametrize(
    ("name", "graph", "asked", "lines"),
    [
        ("degree", Graph(4, ((0, 1), (2, 0))), (0,), ["0-1:1", "0-2:2"]),
        ("edge_existence", Graph(4, ((0, 1), (2, 0))), (0, 3), ["0:1 2"]),
        ("common_neighbor", Graph(4, ((0, 1), (2, 0))), (1, 2), ["1:0", "2:0"]),
        ("bfs", Graph(4, ((0, 1), (2, 0), (2, 3))), (1,), ["1:0", "0:2", "2:3"]),
        ("connected_component_number", Graph(4, ((3, 1),)), (), ["0", "1 3", "2"]),
        ("shortest_path", Graph(4, ((0, 1), (2, 0), (2, 3), (3, 1))), (0, 3), ["0", "1 2", "3"]),
        ("has_cycle", Graph(4, ((0, 1), (1, 2), (2, 0), (2, 3))), (), ["3", "left:0 1 2"]),
        ("has_cycle", Graph(3, ((0, 1), (1, 2))), (), ["0", "1", "2", "left:none"]),
        ("is_bipartite", Graph(4, ((0, 1), (1, 2), (2, 0), (2, 3))), (), ["0 a", "1 b", "2 b", "3 a", "1-2"]),
        ("topological_sort", Graph(3, ((2, 0), (2, 1), (1, 0)), directed=True), (), ["2:1", "1:0", "0:"]),
        ("triangles", Graph(4, ((0, 1), (1, 2), (2, 0), (0, 3))), (0,), ["0:1 2 3", "1-2:1"]),
    ],
)
def test_traces_by_hand(name, graph, asked, lines):
    assert load_task(f"graph:{name}").work(graph, asked) == lines
