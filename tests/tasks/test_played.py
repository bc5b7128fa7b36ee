"""Worlds that are acted in: an oracle that errs, a reward on another scale than WebShop's or a snapshot that forgets would teach a wrong game."""

import os
from dataclasses import replace
from itertools import product
from math import log2
from pathlib import Path

import pytest

from tests.support import TINY, model_of
from thinkery.core.errors import BadConfig, BadData
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.engines.local import LocalEngine
from thinkery.engines.session import Sampling
from thinkery.learning.collect import Collector, Unit
from thinkery.models.tokenizer import CHARACTERS
from thinkery.solvers import environment, solver
from thinkery.tasks import load_task
from thinkery.tasks.entities import entities, plain
from thinkery.tasks.real import load_dataset
from thinkery.tasks.real.sokoban import opened
from thinkery.tasks.shop import PER_PAGE, Product, Shop, Shopping, View, Wish, alike, worth
from thinkery.tasks.twenty_questions import Hidden, questions

DATA = Path(os.environ.get("THINKERY_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
HOSTILE = (
    "",
    "?",
    "guess",
    "ask ask",
    "buy",
    "back",
    "next",
    "open a100",
    "search",
    "pick red",
    "go nowhere",
    "x" * 20_000,
    "\x00",
    "٣",
    "buy\nbuy",
)
WORLDS = ("household", "twenty_questions", "web_shop")


def played(task, problem, actions):
    """The episode after the actions, as far as it goes."""
    episode = task.tools(problem, rng(0))
    episode.begin()
    for action in actions:
        if episode.done:
            break
        episode.act(action)
    return episode


def gold(task, problem):
    """The actions of a right plan."""
    return problem.answer.split(",") if task.name == "household" else task.demonstration(problem, "trace", rng(0)).split("\n")


# ---- every world


@pytest.mark.parametrize("name", WORLDS)
def test_going_back_is_as_if_nothing_had_happened(name):
    """Act, go back, act: the same is seen and paid as without the way that was left, which may have ended the episode."""
    task = load_task(name)
    for i in range(25):
        problem, draws = task.problem(i), rng(i, "ways")
        right = gold(task, problem)
        cut = draws.below(len(right))
        astray = [draws.choice([*right, "?", "back", "go hall", "guess owl"]) for _ in range(6)]
        episode, plain = task.tools(problem, rng(0)), task.tools(problem, rng(0))
        episode.begin(), plain.begin()
        for action in right[:cut]:
            assert episode.act(action) == plain.act(action)
        here = episode.snapshot()
        for _ in range(2):
            for action in astray:
                if not episode.done:
                    episode.act(action)
            episode.restore(here)
        for action in right[cut:]:
            assert episode.act(action) == plain.act(action)
        assert episode.record() == plain.record() and plain.total == 1 and plain.done
        assert episode.standing == plain.standing and episode.snapshot() == plain.snapshot()


@pytest.mark.parametrize("name", WORLDS)
def test_what_is_no_action_is_told_recorded_and_pays_nothing(name):
    task = load_task(name)
    for i in range(10):
        problem = task.problem(i)
        episode = played(task, problem, HOSTILE)
        errors = episode.record()["errors"]
        assert len(errors) >= len(HOSTILE) - 3 and all(e["error"] and e["text"] and len(e["arguments"]) <= 200 for e in errors)
        assert episode.total == 0
        long = played(task, problem, HOSTILE * 100)
        assert long.done and long.taken <= 200


@pytest.mark.parametrize("name", WORLDS)
def test_a_worked_reply_is_acted_out_by_the_solver_and_scored_alike(name):
    task = load_task(name)
    task.demonstration = lambda problem, style, rng: "\n".join(gold(load_task(name), problem)) + "\n"
    collector = Collector(task, LocalEngine(model_of(replace(TINY, context=4000))), environment, Sampling(60), 0)
    for rollout in collector.attempt(0, [Unit(i, 0, style="x") for i in range(3)]):
        assert rollout.error is None and rollout.verdict.score == 1
        assert len(rollout.turns) == rollout.verdict.parts["turns"] == len(gold(load_task(name), rollout.problem))
        assert rollout.reply.data["episode"]["return"] == 1 and rollout.verdict.parts["errors"] == 0


@pytest.mark.parametrize("name", WORLDS)
def test_a_model_that_knows_nothing_gets_to_the_end_of_its_turns(name):
    task = load_task(name)
    found = Collector(task, LocalEngine(model_of(replace(TINY, context=4000))), solver("environment"), Sampling(6, 1.0), 0).attempt(
        0, [Unit(0, k) for k in range(2)]
    )
    for rollout in found:
        assert rollout.error is None and rollout.verdict.score == 0


@pytest.mark.parametrize(("name", "hardest"), [("twenty_questions", {"things": 12, "questions": 12}), ("twenty_questions", {"things": 2}),
                                               ("web_shop", {"asked": 6, "products": 12}), ("web_shop", {"asked": 1, "products": 4})])  # fmt: skip
def test_styles_hold_at_either_end_of_difficulty_and_pages_keep_to_the_characters(name, hardest):
    task = load_task(name, **hardest)
    for i, style in product(range(25), task.styles):
        problem = task.problem(i)
        made = task.demonstration(problem, style, rng(i, style))
        assert task.verify(problem, Reply(made)).score == (style != "corrupted")
        assert len(made) < task.max_tokens
        episode = task.tools(problem, rng(0))
        shown = [episode.begin(), *(episode.act(action) for action in made.split("\n") if not episode.done)]
        assert {*"".join(shown)} <= {*CHARACTERS}


def test_worlds_out_of_range_are_refused():
    for name, spec in (("twenty_questions", {"questions": 3}), ("twenty_questions", {"turns": 6}), ("twenty_questions", {"kind": "rocks"}),
                       ("web_shop", {"products": 3}), ("web_shop", {"turns": 5})):  # fmt: skip
        with pytest.raises(BadConfig, match=next(iter(spec))):
            load_task(name, **spec)


# ---- twenty questions


def test_the_oracle_answers_as_the_prompt_says():
    task = load_task("twenty_questions")
    for i in range(60):
        problem = task.problem(i)
        listed = {name: true.split() for name, true in (line.split(":") for line in problem.question.prompt.split("\n")[:-1])}
        meant, attributes = problem.answer.removeprefix("guess "), problem.data.attributes
        assert len({*map(tuple, listed.values())}) == len(listed) and len(attributes) == 6
        episode = played(task, problem, [])
        for attribute in attributes:
            for _ in range(2):  # the same however often it is asked
                assert episode.act(f"ask {attribute}") == ("yes" if attribute in listed[meant] else "no")
        wrong = next(name for name in listed if name != meant)
        assert played(task, problem, [f"guess {wrong}", f"guess {meant}"]).record() == {
            "return": 0.0,
            "turns": 1,
            "done": True,
            "errors": [],
        }


def test_good_questions_tell_a_bit_each_where_they_can_and_fewer_are_asked_than_at_random():
    eight = [f"{a}{b}{c}" for a, b, c in product("xy", repeat=3)]
    table = {name: frozenset(f"{i}{c}" for i, c in enumerate(name)) for name in eight}
    for meant in eight:
        hidden = Hidden(table, ("0x", "1x", "2x", "2y"), meant, 20)
        assert questions(hidden) == ["0x", "1x", "2x"]
    task, asked = load_task("twenty_questions", things=8), {}
    for style in ("trace", "random"):
        drawn = [(p, task.demonstration(p, style, rng(i, style))) for i in range(150) for p in [task.problem(i)]]
        verdicts = [task.verify(p, Reply(made)) for p, made in drawn]
        assert all(v.parts["solved"] == 1 and v.parts["turns"] == made.count("\n") + 1 for v, (_, made) in zip(verdicts, drawn))
        asked[style] = sum(v.parts["turns"] - 1 for v in verdicts) / len(verdicts)
    assert log2(8) <= asked["trace"] + 0.3 and asked["trace"] + 0.5 < asked["random"], asked


def test_a_blind_guess_is_right_as_often_as_chance_has_it():
    task = load_task("twenty_questions", things=4)
    hits = sum(p.answer == f"guess {min(p.data.table)}" for p in map(task.problem, range(800)))
    assert abs(hits / 800 - 1 / 4) < 0.06


def test_names_are_written_with_small_letters():
    assert [*map(plain, ("J.K. Rowling", "Potato chip", "Beyoncé", " "))] == ["j-k-rowling", "potato-chip", "beyonce", ""]


def test_every_thing_of_the_house_list_is_something():
    known = entities("house")
    assert len(known) > 50 and all(known.values())


def test_published_things_are_told_apart_by_their_letters(monkeypatch, tmp_path):
    monkeypatch.setenv("THINKERY_DATA", str(tmp_path))
    with pytest.raises(BadData, match="ml-entity-deduction-arena"):
        load_task("twenty_questions:kind=things")
    if not (DATA / "entity_deduction").is_dir():
        pytest.skip("the data folder has no entity_deduction")
    monkeypatch.setenv("THINKERY_DATA", str(DATA))
    for kind, n, name in (("things", 499, "potato-chip"), ("celebs", 499, "toni-morrison")):
        known = entities(kind)
        assert len(known) == n and known[name] == {*name} - {"-"}
        task = load_task(f"twenty_questions:kind={kind}")
        for i in range(20):
            problem = task.problem(i)
            assert task.verify(problem, Reply(task.demonstration(problem, "trace", rng(i)))).score == 1


# ---- web shop


MUG = Product(
    "m100", "coffee mug", ("kitchen", "cups"), "cups", frozenset({"soft", "light"}), {"color": ("red", "blue"), "size": ("large",)}, 20
)
WISH = Wish("coffee mug", ("kitchen", "cups"), "cups", ("light", "soft"), ("red",), 30)


def like(name, **more):
    return Product(**{**vars(MUG), "name": name, **more})


@pytest.mark.parametrize(
    ("product_", "picked", "reward"),
    [
        (MUG, ["red"], 1),  # 2 attributes, 1 option and the price: (2 + 1 + 1) / 4
        (MUG, ["red", "large"], 1),  # an option that nobody asked for does no harm
        (MUG, [], 3 / 4),
        (MUG, ["blue"], 3 / 4),
        (like("coffee mug", price=30), ["red"], 1),  # the limit itself
        (like("coffee mug", price=31), ["red"], 3 / 4),
        (like("coffee mug", attributes=frozenset({"soft"})), ["red"], 3 / 4),
        (like("soft coffee mug", attributes=frozenset({"light"})), ["red"], 1),  # an attribute in its name
        (like("coffee mug", attributes=frozenset(), price=99), [], 0),
        (like("tea mug"), ["red"], 1),  # half of the name is more than a fifth
        (like("tea mug", query="x", categories=()), ["red"], 1),
        (like("soup bowl"), ["red"], 0),  # nothing of the name, though the query is the same
    ],
)
def test_a_purchase_is_worth_what_webshop_says(product_, picked, reward):
    assert worth(WISH, product_, picked)["reward"] == pytest.approx(reward)


def test_the_factor_of_the_type_falls_with_the_words_shared():
    long = Wish("a b c d e f g h i j k", ("w", "n"), "q", (), (), 9)  # eleven words
    for name, query, categories, factor in (
        ("a b c", "", (), 1),  # 3 of 11 is more than a fifth
        ("a b", "", (), 0.5),  # 2 of 11 is not
        ("a b", "q", (), 1),
        ("a b", "", ("n", "w"), 1),
        ("a b", "", ("w",), 0.5),  # one category alone
        ("a", "q", ("w", "n"), 0.1),  # less than a tenth, whatever else
        ("z", "q", ("w", "n"), 0),
    ):
        assert alike(long, like(name, query=query, categories=categories)) == factor, name
    assert worth(long, like("a b", query="", categories=(), price=5), [])["reward"] == 0.5
    assert worth(long, like("a b", query="", categories=(), price=10), [])["reward"] == 0


def test_pages_lead_to_each_other():
    others = {f"p{i}00": like("tea mug", code=f"p{i}00") for i in range(1, 5)}
    shop = Shop({**others, "m100": MUG})
    assert shop.find("coffee mug")[0] == "m100" and shop.find("light towel") == (*others, "m100") and shop.find("spoon") == ()
    episode = Shopping(shop, WISH, "hello", 40)
    assert episode.begin() == "hello"
    for action in ("next", "back", "open m100", "buy", "search", "search  "):
        assert "not possible" in episode.act(action)
    assert episode.act("search coffee mug") == "5 found\nm100 coffee mug 20\np100 tea mug 20\np200 tea mug 20\n[open,next,back,search]"
    assert "not possible" in episode.act("open p300") and "not possible" in episode.act("prev")
    assert episode.act("next") == "5 found\np300 tea mug 20\np400 tea mug 20\n[open,prev,back,search]"
    assert "not possible" in episode.act("next")
    episode.act("prev")
    assert episode.act("open m100") == "m100 coffee mug 20\nlight soft\ncolor:red,blue\nsize:large\n[pick,buy,back]"
    assert "not possible" in episode.act("pick green") and "not possible" in episode.act("search tea")
    assert "picked blue\n[" in episode.act("pick blue")
    assert "picked red\n[" in episode.act("pick red")  # instead of blue
    assert episode.act("back").startswith("5 found") and episode.world.picked == {}
    episode.act("open m100"), episode.act("pick red")
    assert episode.act("buy") == "bought m100" and episode.done and episode.total == 1
    assert episode.record()["parts"] == {"type": 1, "attributes": 1, "options": 1, "price": 1}
    assert shop.shown(View(())) == "0 found\n[back,search]" and PER_PAGE == 3


def test_one_product_of_a_shop_is_what_was_asked_for():
    """So a policy that buys the first thing found with that name is right now and then only."""
    task = load_task("web_shop")
    first = []
    for i in range(120):
        problem = task.problem(i)
        shop, wish, _ = problem.data
        assert sum(map(wish.met, shop.products.values())) == 1
        assert sum(p.name == wish.name for p in shop.products.values()) > 1
        best = [worth(wish, p, wish.options)["reward"] for p in shop.products.values()]
        assert max(best) == 1
        blind = played(task, problem, [f"search {wish.name}", f"open {shop.find(wish.name)[0]}", "buy"])
        assert 0 <= blind.total <= 1
        first.append(blind.total)
        words = problem.question.prompt.split()
        assert {*wish.name.split(), *wish.attributes, *wish.options, str(wish.limit)} <= {*words}
    assert sum(x == 1 for x in first) < 40 and 0.3 < sum(first) / 120 < 0.9


def test_a_plan_scores_as_it_does_turn_by_turn():
    task = load_task("web_shop")
    for i in range(20):
        problem = task.problem(i)
        for actions in (gold(task, problem), gold(task, problem)[:-1], [a for a in gold(task, problem) if "pick" not in a]):
            stepwise = played(task, problem, actions)
            verdict = task.verify(problem, Reply("#" + ", ".join(actions)))
            assert verdict.score == stepwise.total and verdict.parts["turns"] == stepwise.taken
            assert verdict == task.verify(problem, Reply(verdict.parsed, data={"episode": stepwise.record()}))


# ---- Boxoban


@pytest.fixture
def yards(monkeypatch):
    if not (DATA / "boxoban").is_dir():
        pytest.skip("the data folder has no boxoban")
    monkeypatch.setenv("THINKERY_DATA", str(DATA))
    return load_task("acted:boxoban:medium_valid_000")


LEVEL = "\n".join(["#" * 10, *["#" + " " * 8 + "#"] * 3, "#  @$.   #", *["#" + " " * 8 + "#"] * 4, "#" * 10])


def test_a_yard_shows_the_level_as_it_stands():
    yard, start = opened(LEVEL)
    assert yard.shown(start) == LEVEL
    assert yard.legal(start, "jump") is None and yard.legal(start, "") is None
    done = yard.legal(start, "right")
    assert yard.shown(done).split("\n")[4] == "#   @*   #" and yard.goal(done) and not yard.goal(start)
    for move in ("right", "R", "right"):
        done = yard.legal(done, move)
    assert yard.shown(done).split("\n")[4] == "#    . @$#"
    assert yard.legal(done, "r") == done  # stuck at the wall
    back = yard.legal(yard.legal(done, "l"), "left")
    assert yard.shown(back).split("\n")[4] == "#    +  $#"


def test_real_levels_are_acted_in(yards):
    for i in range(2):
        problem = yards.problem(i, "validation")
        assert problem.answer == load_dataset("boxoban:medium_valid_000").problem(i, "validation").answer
        moves = yards.demonstration(problem, yards.styles[0], rng(0))
        assert yards.verify(problem, Reply(moves)).score == 1
        episode = played(yards, problem, moves.split("\n")[:-1])
        here = episode.snapshot()
        assert not episode.done and episode.act("fly").startswith("not possible")
        episode.restore(here)
        episode.act(moves.split("\n")[-1])
        assert episode.done and episode.record()["errors"] == []
        verdict = yards.verify(problem, Reply(moves, data={"episode": episode.record()}))
        assert verdict.score == 1 and verdict.parts["turns"] == moves.count("\n") + 1
        assert yards.verify(problem, Reply("u", data={"episode": played(yards, problem, ["u", "d"]).record()})).score == 0
