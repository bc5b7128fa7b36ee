"""ReEx-SQL's rewards worked by hand: looking is paid only where it tells something about what is asked, and results are never learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support import TINY, Sums, model_of
from thinkery.core.errors import BadConfig, InputError
from thinkery.core.records import CALLS, Problem, Question, Reply, Rollout, Verdict
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.lab import catalogue
from thinkery.learning.batch import build
from thinkery.learning.collect import Collector, Unit
from thinkery.learning.loop import Learning
from thinkery.learning.recipe import Optimizer, Setting
from thinkery.solvers import single
from thinkery.solvers.querying import branching, querying, retrying, voting, withheld
from thinkery.tasks.databases import Databases
from thinkery.tools.small_sql import SmallDatabase

reex = catalogue.load("reex_sql")
GOLD = "select size2 from pets where land=~per~"
PETS = SmallDatabase(
    "create table pets(land text,size1 int,size2 int);insert into pets values('per',null,3);insert into pets values('oma',null,7)"
)
SETTING = Setting(Databases(tables=1))


def called(query: str) -> dict[str, str]:
    """A query as the solver records it."""
    try:
        return {"tool": "sql", "arguments": query, "text": str(PETS.asked(query)), "error": ""}
    except InputError as error:
        return {"tool": "sql", "arguments": query, "text": str(error), "error": str(error)}


def replied(answer: str = "#" + GOLD, queries: Sequence[str] = (), score: float = 1.0, truncated: bool = False, text: str = "") -> Rollout:
    said = text or "".join(f"<sql>{q}</sql>" for q in queries) + answer
    reply = Reply(said, truncated, {CALLS: [called(q) for q in queries]})
    return Rollout(0, 0, 0, Problem("p", Question("q"), GOLD), [], reply, Verdict(score))


def total(recipe: Any, found: list[Rollout]) -> list[float]:
    scores = recipe.flat()[0].reward.score(found)
    return [round(sum(weight * values[i] for weight, values in scores), 9) for i in range(len(found))]


LOOK = "select land,size1,size2 from pets limit 1"


# ---- what is paid


def test_the_form_is_queries_in_tags_and_one_answer_behind_them() -> None:
    good = ["#x", "so #x", "<sql>a</sql>#x", "hm <sql>a</sql><sql>b</sql>so<sql>c</sql>#x"]
    bad = ["x", "", "##x", "#x#y", "<sql>a#x", "a</sql>#x", "#x<sql>a</sql>", "<sql><sql>a</sql></sql>#x", "<sql>a</sql>" * 4 + "#x"]
    assert reex.formed([replied(text=t) for t in good]) == [1.0] * len(good)
    assert reex.formed([replied(text=t) for t in bad if t]) == [0.0] * (len(bad) - 1)
    assert reex.formed([replied(truncated=True)]) == [0.0]


def test_what_a_query_names() -> None:
    assert reex.entities(GOLD) == {"size2", "pets", "land", "'per'"}
    assert reex.entities("SELECT Max(a.Size) FROM pets AS a WHERE a.land IN ('x y', 3, 4.5)") == {
        "a",
        "size",
        "pets",
        "land",
        "'x y'",
        "3",
        "4.5",
    }


def test_the_finer_match_worked_by_hand() -> None:
    """Gold names four things. Said: the same; three of four; two of two; none."""
    said = [GOLD, GOLD.replace("per", "peru"), "select land from pets", "select 1", ""]
    expected = [1.0, 6 / 8, 4 / 6, 0.0, 0.0]
    assert reex.alike([replied("#" + s, text="#" + s) for s in said]) == pytest.approx(expected)


def test_looking_worked_by_hand() -> None:
    of = lambda *queries: reex.explored([replied(queries=queries)])[0]
    assert of() == 0.0
    assert of(LOOK) == 1.0
    assert of(LOOK, LOOK) == 0.5, "the same again tells nothing new"
    assert of(LOOK, "select land,size1,size2 from pets where size2=3") == 0.5, "nor do other words for it"
    assert of(LOOK, "select colour from pets") == 0.5, "what does not run tells nothing"
    assert of(LOOK, "select size2 from pets", "select land from pets") == 1.0


def test_select_1_is_not_paid() -> None:
    of = lambda *queries: reex.explored([replied(queries=queries)])[0]
    for idle in ("select 1", "select 1 from pets", "select ~x~", "select count(*) from pets", "select 2+2 as a"):
        assert PETS.asked(idle)[1], "it runs"
        assert of(idle) == 0.0
        assert of(LOOK, idle) == 0.5


def test_looking_out_of_form_or_more_than_three_times_is_not_paid() -> None:
    rollout = replied(queries=[LOOK], answer="nothing")
    assert reex.explored([rollout]) == [0.0]
    assert reex.explored([replied(queries=[LOOK, "select 1", "select 2", "select land from pets"])]) == [0.0], "four are out of form"


def test_the_whole_reward_worked_by_hand() -> None:
    found = [
        replied(queries=[LOOK]),
        replied(),
        replied("#select 1", ["select 1"], 0.0),
        replied(queries=[LOOK, LOOK], score=0.0),
        replied(text="x", score=0.0),
    ]
    assert total(reex.recipe(SETTING), found) == pytest.approx([1.6, 1.4, 0.1, 0.5, 0.0])
    assert total(reex.unpaid(SETTING), found) == pytest.approx([1.4, 1.4, 0.1, 0.4, 0.0])
    assert total(reex.plain(SETTING), found) == [1.0, 1.0, 0.0, 0.0, 0.0]


# ---- arms


def test_each_arm_differs_by_what_it_is_named_for() -> None:
    stage = {name: arm(SETTING).flat()[0] for name, arm in reex.CLAIM.arms.items()}
    last = {name: arm(SETTING).flat()[-1] for name, arm in reex.CLAIM.arms.items()}
    ways = {"plain": single, "retry": retrying, "reex": querying, "unpaid": querying, "blind": withheld, "tree": branching, "vote": voting}
    assert {name: s.solver for name, s in last.items()} == ways
    parts = lambda s: [name for name, *_ in s.reward.parts]
    assert parts(stage["blind"]) == parts(stage["reex"]) == parts(stage["tree"]) == ["correct", "formed", "alike", "explored"]
    assert parts(stage["unpaid"]) == ["correct", "formed", "alike"] and parts(stage["plain"]) == parts(stage["retry"]) == ["correct"]


def test_it_is_for_tasks_with_a_database() -> None:
    with pytest.raises(BadConfig, match=r"'sums'.*'databases'"):
        reex.recipe(Setting(Sums()))


def test_the_last_step_of_a_tree_learns_nothing() -> None:
    learning = Learning(small(reex.tree(SETTING)), SETTING, model_of(replace(TINY, context=384)))
    learning.step()
    before = {k: v.clone() for k, v in learning.model.decoder.state_dict().items()}
    while not learning.done:
        assert learning.step()["errors"] == 0
    learning.leave()
    assert all((v == before[k]).all() for k, v in learning.model.decoder.state_dict().items())


def small(recipe: Any) -> Any:
    change = lambda s: replace(s, steps=1, problems=2, samples=3, shards=1, max_tokens=24, optimizer=Optimizer(lr=0.01, warmup=1))
    return replace(recipe, stages=tuple(map(change, recipe.stages)))


# ---- results carry no loss


def test_no_token_of_a_result_is_trained() -> None:
    """What is weighted in the batch are the tokens that the model wrote, which hold no result; its contexts do."""
    engine, task = LocalEngine(model_of(replace(TINY, context=512))), SETTING.task
    found = Collector(task, engine, querying, Sampling(task.max_tokens), 0).collect(0, [Unit(i, 0, style="trace") for i in range(4)])
    batch = build(found, engine.tree, ("policy",))
    written = sum(len(t.ids) for r in found for t in r.turns)
    assert int(batch.mask.sum()) == written
    shown = sum(len(c["text"]) for r in found for c in r.calls)
    assert shown > 40 and not any("<result>" in t.text for r in found for t in r.turns)


def test_its_claim_says_why() -> None:
    claim = reex.CLAIM
    assert claim.placebo is not None and all(c.why for c in claim.comparisons)
    assert not isinstance(claim.setting.start, str) and claim.setting.start.task.name == "databases queried"
