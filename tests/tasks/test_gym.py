"""Other people's scorers decide what is learnt: one that pays for a constant, runs the answer as code or changes its items with the hash
seed would spoil every result without a sign. So each data set must pay its gold answer and nothing else, in every process alike."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from thinkery.cli.main import main
from thinkery.core.errors import BadConfig, InputError, UnknownName, VerifierError
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, gym_listing, load_task, split_of
from thinkery.tasks.gym import ask, findings, reading
from thinkery.tasks.gym_scorers import OURS, antiderivative, complex_number, plain, polynomial, probability, queens, target

ADAPTED = [row["task"] for row in gym_listing() if row["scorer"] != "refused"]
HASHED = ["isomorphic_strings", "polynomial_multiplication", "ransom_note", "word_ladder"]  # change with the hash seed if it is not fixed
CONSTANTS = ["0", "1", "-1", "True", "False", "nan", "inf", "yes", "A", "[]"]
HOSTILE = [
    *(
        "",
        " ",
        "\n",
        "#",
        "Answer:",
        "\\boxed{}",
        "<answer></answer>",
        "[[]]",
        "{}",
        "()",
        "None",
        "null",
        "infeasible",
        "[0]",
        "24",
        "x",
        "C",
    ),
    *(
        "x + C",
        "0.5",
        "answer",
        "the answer",
        "9**9**9**9",
        "'a'*10**10",
        "1e999999999",
        "0x" + "f" * 5000,
        "9" * 9000,
        "(" * 500 + ")" * 500,
    ),
    *(
        "{answer}",
        "%s%n",
        "\x00",
        "\ud800",
        "\u0663",
        '[""]',
        '{"a": 1}',
        "1 2 3\n4 5 6",
        "Q",
        "_",
        "*",
        "a" * 15000,
        "[[" * 3000,
        "+",
        "1,2,3",
    ),
]


@pytest.fixture
def library():
    """Tests that need the package."""
    pytest.importorskip("reasoning_gym")


def right(text, gold):
    """Whether a constant happens to be the gold answer."""
    try:
        return float(text) == float(gold)
    except ValueError:
        return plain(text).casefold() == plain(gold).casefold()


@pytest.mark.parametrize("name", ADAPTED)
def test_gold_earns_1_and_no_constant_or_hostile_text_does(library, name, tmp_path):
    task, mark = load_task(name), tmp_path / "ran"
    attack = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    for i in range(2):
        p = task.problem(i)
        if task.has_gold:
            for text in (p.answer, f"so it is\nAnswer: {p.answer}", f"<answer>\n{p.answer}</answer>"):
                assert task.verify(p, Reply(text)).score == 1, text
            assert not task.has_demonstration(p) or task.demonstration(p, "direct", rng(0)) == p.answer
            assert task.verify(p, Reply(p.answer, truncated=True)).score == 0
        for text in (*CONSTANTS, *HOSTILE, attack, f"[{attack}]", f"Answer: {attack}", p.question.prompt):
            verdict = task.verify(p, Reply(text))
            assert verdict.score < 1 or right(text, p.answer), (text, p.answer, verdict)
            assert 0 <= verdict.score <= 1 and verdict.reason
    assert not mark.exists()


PRINT = """
import json, sys
from thinkery.tasks import load_task
names = json.loads(sys.argv[1])
print(json.dumps({n: [p.id, p.answer] for n in names for p in [load_task(n).problem(0, "train", 5)]}))
"""


def printed(names, hash_seed):
    """The items that another process makes, in that order."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", PRINT, json.dumps(names)], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_items_are_the_same_in_every_process_and_in_any_order(library):
    with ThreadPoolExecutor(2) as pool:
        here, there = pool.map(printed, (ADAPTED, ADAPTED[::-1]), ("1", "2"))
    assert here == there and len(here) == len(ADAPTED)
    assert {value[0] for value in here.values()} >= {load_task(f"gym:{n}").problem(0, "train", 5).id for n in HASHED}


@pytest.mark.filterwarnings("ignore")  # the library leaves files open
def test_a_data_set_that_is_seeded_anew_gives_what_a_fresh_one_gives(library):
    from thinkery.tasks import gym_items

    for name in sorted(gym_items.RESEEDED):
        for draw in (3, 2**30 + 1):
            assert gym_items.entry(name, "{}", draw) == gym_items.dataset(name, "{}", draw)[0], name


def test_no_item_stands_on_both_sides_and_no_seed_overlaps_its_neighbour(library):
    task = load_task("gym:gcd")
    drawn = {(split, seed): [task.problem(i, split, seed) for i in range(30)] for split in SPLITS for seed in (0, 1)}
    for (split, _), problems in drawn.items():
        assert all(split_of(p.family) == split for p in problems)
    assert len({p.id for problems in drawn.values() for p in problems}) > 170
    easy = load_task("gym:syllogism")
    assert not {easy.problem(i).id for i in range(200)} & {easy.problem(i, "test").id for i in range(50)}


def test_levels_and_settings_are_difficulty_keys(library):
    task = load_task("gym:chain_sum")
    hard = task.problem(0, level=4)
    assert hard.difficulty == 4 and len(hard.question.prompt) > len(task.problem(0, level=0).question.prompt)
    assert load_task("gym:chain_sum", level=4).problem(0).id == hard.id
    exact = load_task("gym:chain_sum", min_terms=7, max_terms=7).problem(0)
    assert exact.question.prompt.count("+") + exact.question.prompt.count(" - ") == 6
    for spec, message in (({"level": 99}, "0..10"), ({"level": True}, "True"), ({"colour": 1}, "colour"), ({"seed": 1}, "seed"),
                          ({"min_terms": 9, "max_terms": 2}, "another setting"), ({"min_terms": {1}}, "plain")):  # fmt: skip
        with pytest.raises(BadConfig, match=message):
            load_task("gym:chain_sum", **spec)
        if "seed" not in spec:
            with pytest.raises(BadConfig, match=message):
                task.problem(0, **spec)
    with pytest.raises(BadConfig, match="no levels"):
        load_task("gym:acre", level=0)


def test_wrong_names_splits_styles_and_indices_are_named(library):
    with pytest.raises(UnknownName, match="chain_sum"):
        load_task("gym:chainsum")
    with pytest.raises(BadConfig, match="mixes"):
        load_task("gym:composite")
    task = load_task("gym:graph_color")
    with pytest.raises(UnknownName, match="dev"):
        task.problem(0, "dev")
    with pytest.raises(InputError, match="-1"):
        task.problem(-1)
    with pytest.raises(UnknownName, match="direct"):
        task.demonstration(task.problem(0), "direct", rng(0))
    assert not task.has_gold and not task.has_demonstration(task.problem(0))


def test_a_data_set_without_gold_still_pays_a_right_answer(library):
    task = load_task("gym:graph_color", num_colors=3, min_num_vertices=3, max_num_vertices=3)
    p = task.problem(0)
    colouring = json.dumps({str(v): v % 3 + 1 for v in range(3)})
    assert task.verify(p, Reply(f"Answer: {colouring}")).score == 1
    assert task.verify(p, Reply("Answer: {}")).score == 0


def test_what_hangs_is_an_error_and_the_next_one_works(library):
    task = load_task("gym:gcd")
    p = task.problem(0)
    with pytest.raises(VerifierError, match="within 1 s"):
        ask("item", "knight_swap", "{}", "validation", 0, 0, seconds=1)
    assert task.verify(p, Reply(p.answer)).score == 1


def test_threads_have_their_turns(library):
    task = load_task("gym:gcd")
    problems = [task.problem(i) for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert all(v.score == 1 for v in pool.map(lambda p: task.verify(p, Reply(p.answer)), problems))


@pytest.mark.filterwarnings("ignore")
def test_what_was_replaced_had_to_be(library, tmp_path):
    from thinkery.tasks import gym_items

    def pays(name, text):
        return gym_items.data(name, "{}").score_answer(text, gym_items.entry(name, "{}", 3))

    assert pays("coin_flip", "0") == pays("complex_arithmetic", "nan") == pays("game_of_life_halting", "anything") == 1
    assert pays("puzzle24", "6*4*1*1") == 1 and load_task("gym:puzzle24").problem(0).answer != "6*4*1*1"
    mark = tmp_path / "ran"
    pays("spiral_matrix", f"__import__('pathlib').Path({str(mark)!r}).touch()")
    assert mark.exists()


def test_the_listing_names_every_data_set_and_whose_scorer_judges(capsys):
    assert main(["list", "tasks", "--gym", "--json"]) == 0
    rows = {row["task"]: row for row in json.loads(capsys.readouterr().out)}
    assert len(rows) == 106 and rows["gym:composite"]["scorer"] == "refused"
    assert {n for n, row in rows.items() if row["scorer"] == "ours"} == {f"gym:{n}" for n in OURS}
    assert "no gold" in rows["gym:graph_color"]["note"]


def test_another_version_is_a_finding():
    assert findings("0.1.25") == ()
    (finding,) = findings("0.2.0")
    assert "0.2.0" in finding and "pip install reasoning-gym==0.1.25" in finding


# ---- what an answer is, and our own scorers: these need no package


def test_the_answer_is_what_stands_last():
    for text, gold, found in (
        ("5", "5", "5"),
        ("Answer: 5\nbecause", "5", "5"),
        ("Answer: 4 #5", "5", "5"),
        ("<answer>4</answer> no <answer> 5 </answer>", "5", "5"),
        ("\\boxed{5}", "5", "5"),
        ("Answer:\n1 2\n3 4", "1 2\n3 4", "1 2\n3 4"),
        ("Answer: #A A#", "#B B#", "#A A#"),
        ("Answer:", "5", ""),
    ):
        assert reading(text, gold) == found


def check(score, item, good, bad):
    for text in good:
        assert score(text, item), text
    for text in (*bad, "", "C", "__import__('os')", "9**9**9", "(" * 900, "lambda: 1", "x.y", "\u0663"):
        assert not score(text, item), text


def test_an_antiderivative_is_judged_by_its_derivative():
    def item(integrand, variable="x"):
        return {"question": integrand, "metadata": {"integrand": integrand, "variable": variable}}

    check(
        antiderivative,
        item("2*x"),
        ["x**2", "x^2 + C", "x*x + 7", "$x**2$", "(2x^2)/2"],
        ["x**2 + x", "2*x", "Integral(2*x, x)", "x**3", "0", "x**2.0001"],
    )
    check(antiderivative, item("-8*sqrt(2 - 8*x)"), ["2*(2 - 8*x)**(3/2)/3 + C"], ["(2 - 8*x)**(3/2)/3", "2*(2 - 8*x)**(1/2)/3"])
    check(antiderivative, item("asin(3*x)"), ["x*asin(3*x) + sqrt(1 - 9*x**2)/3 + C"], ["x*asin(3*x) + sqrt(1 - 9*x**2)"])
    check(antiderivative, item("1/X", "X"), ["log(X)", "ln(abs(X))", "log(5*X) + C"], ["log(x)", "1/X", "log(X)**2"])
    check(
        antiderivative,
        item("exp(x)*cos(x)"),
        ["exp(x)*(sin(x) + cos(x))/2", "E**x*sin(x)/2 + e**x*cos(x)/2"],
        ["exp(x)*sin(x)", "exp(exp(exp(exp(x))))"],
    )


def test_a_polynomial_must_be_multiplied_out():
    item = {"answer": "x**3*y - 2*x + 1"}
    check(polynomial, item, ["1 - 2*x + y*x**3", "x^3*y-2x+1", "x*x*x*y - x - x + 1", "1.0 + -2*x + x**3*y"],
          ["x*(x**2*y - 2) + 1", "x**3*y - 2*x", "x**3*y - 2*x + 2", "x**99999999", "1/0", "1e999*x", "-" * 900 + "1"])  # fmt: skip


def test_numbers_make_the_target_each_used_once():
    item = {"metadata": {"numbers": [4, 8, 6, 2], "target": 34}}
    check(target(24), item, ["4*8 - 6 - 2", "4×8−6−2"], ["24", "8*3", "4*6 + 2 - 2", "4*8 - 6", "4*8-6-2+0", "48//2*6"])
    check(target(None), item, ["4*8 + 6/2 - 1 + 0"][:0] + ["4*6 + 8 + 2"], ["4*8 - 6 - 2", "34"])


def test_probabilities_and_complex_numbers():
    half = {"metadata": {"rational": {"numerator": 13, "denominator": 4096}}}
    check(probability, half, ["13/4096", "0.003173828125", "0.003174", "3.174e-3"], ["0", "0.0", "0.0032", "nan", "1/0", "1e999", "13"])
    number = {"metadata": {"result": (4, -7)}}
    check(complex_number, number, ["4 - 7i", "(4.0 - 7.0j)", "4-7i"], ["nan", "inf", "4", "-7i", "4 + 7i", "4i - 7", "0", "i"])
    check(complex_number, {"metadata": {"result": (0, 12)}}, ["12i", "0 + 12i"], ["12", "1+2i", "i"])


def test_a_board_of_queens():
    item = {"metadata": {"valid_answers": ["_ Q _ _\n_ _ _ Q\nQ _ _ _\n_ _ Q _"]}}
    check(queens, item, ["_ Q _ _\n_ _ _ Q\nQ _ _ _\n_ _ Q _\n"], ["Q _ _ _\n" * 4, "_ Q _ _ _ _ _ Q Q _ _ _ _ _ Q _"])


def test_a_level_in_the_name_is_a_level() -> None:
    named, given = load_task("gym:chain_sum:level=2"), load_task("gym:chain_sum", level=2)
    assert (
        [named.problem(i) for i in range(3)]
        == [given.problem(i) for i in range(3)]
        != [load_task("gym:chain_sum").problem(i) for i in range(3)]
    )
