"""Questions on graphs are checked against another library, and where several answers are right each of them is."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import pytest

from thinkery.core.errors import BadConfig, BadData
from thinkery.core.records import Reply
from thinkery.tasks import load_task
from thinkery.tasks.networks import BUILT_IN, QUESTIONS, network, walked

nx = pytest.importorskip("networkx")


def graph(prompt: str) -> tuple["nx.Graph[str]", str, list[str]]:
    *edges, asked = prompt.removesuffix("?").split(";")
    question, *about = asked.split(" ")
    return nx.Graph([tuple(edge) for edge in edges]), question, about


@pytest.mark.parametrize(("name", "known"), [("karate", nx.karate_club_graph), ("florence", nx.florentine_families_graph)])
def test_the_networks_are_the_published_ones(name, known):
    ours = {frozenset((a, b)) for a, near in network(name).items() for b in near}
    assert ours == {frozenset(str(x).lower() for x in edge) for edge in known().edges}


@pytest.mark.parametrize("question", QUESTIONS)
def test_answers_are_those_of_another_library(question):
    task = load_task("networks", question=question, nodes=(4, 10))
    right = refused = 0
    for i in range(80):
        p = task.problem(i)
        g, asked, about = graph(p.question.prompt)
        assert asked == question
        assert len(g) == p.difficulty
        assert nx.is_connected(g)
        if question == "degree":
            gold = {str(g.degree(about[0]))}
        elif question == "triangles":
            gold = {str(sum(nx.triangles(g).values()) // 3)}
        elif question == "common":
            gold = {"".join(order) for order in permutations(sorted(nx.common_neighbors(g, *about)))}
        else:
            gold = {"".join(way) for way in nx.all_shortest_paths(g, *about)}
        assert p.answer in gold
        for answer in gold:
            right += 1
            assert task.verify(p, Reply(f"#{answer}")).score == 1
        near = {
            p.answer[:-1],
            p.answer[1:],
            p.answer + p.answer[-1],
            p.answer[::-1],
            str(len(g)),
            "".join(about),
            "".join(sorted(g)),
        } - gold
        longer = {"".join(way) for way in nx.all_simple_paths(g, *about, cutoff=4)} - gold if question == "way" else set()
        for answer in near | longer:
            refused += 1
            assert task.verify(p, Reply(f"#{answer}")).score == 0, (p, answer)
    assert right > (100 if question in ("common", "way") else 79)
    assert refused > 200


def test_pieces_are_all_that_lies_between_the_nodes_a_walk_met():
    task = load_task("networks", nodes=7)
    sizes = Counter()
    for i in range(50):
        piece = task.problem(i).data[0]
        assert all(a in piece[b] for a in piece for b in piece[a])
        sizes[len(piece)] += 1
    assert sizes == {7: 50}


def test_a_walk_that_is_lost_in_a_small_part_ends():
    from thinkery.core.rng import rng

    pairs = {"a": frozenset("b"), "b": frozenset("a"), "c": frozenset("d"), "d": frozenset("c")}
    assert len(walked(pairs, 4, rng("x"))) == 2


def test_networks_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKERY_DATA", str(tmp_path))
    (tmp_path / "graphs").mkdir()
    edges = "\n".join(f"  edge [\n    source {a}\n    target {a + 1}\n  ]" for a in range(12))
    (tmp_path / "graphs" / "line.gml").write_text(f"graph [\n{edges}\n]")
    (tmp_path / "graphs" / "none.gml").write_text("graph [ ]")
    network.cache_clear()
    task = load_task("networks:network=line,question=degree,nodes=4-6")
    assert {task.problem(i).answer for i in range(40)} == {"1", "2"}
    with pytest.raises(BadData, match="holds no edges"):
        load_task("networks:network=none")
    for wrong in ("nowhere", "../graphs/line", ""):
        with pytest.raises(BadConfig):
            load_task("networks", network=wrong)
    with pytest.raises(BadConfig, match="has 15"):
        load_task("networks", network="florence", nodes=(4, 16))
    with pytest.raises(BadConfig, match="has 13"):
        task.problem(0, nodes=(4, 14))
    network.cache_clear()


def test_published_networks_from_the_data_folder():
    from thinkery.tasks.real import data_folder

    if not (data_folder() / "graphs" / "dolphins.gml").is_file():
        pytest.skip(f"there is no dolphins.gml in {data_folder() / 'graphs'}")
    assert (len(network("dolphins")), sum(map(len, network("dolphins").values()))) == (62, 2 * 159)
    assert set(BUILT_IN) == {"karate", "florence"}
    karate = {frozenset((a, b)) for a, near in network("karate").items() for b in near}
    assert len(karate) == 78
    assert load_task("networks", network="football", nodes=(10, 20)).problem(0).difficulty >= 10
