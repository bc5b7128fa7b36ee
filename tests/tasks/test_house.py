"""What the house tasks write is worked by hand or by a second, plainer solver: a wrong trace would teach wrong reasoning, and a
verifier that pays for an invalid solution would be found by training."""

import re
from collections import Counter

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, load_task


def asked(prompt, answer, data):
    return Problem("by hand", Question(prompt), answer, data=data)


SUM = asked("123+456=", "579", (123, 456))
CARRY = asked("999+999=", "1998", (999, 999))
CHAIN = asked("3+4*2-7=", "7", ((3, 4, 2, 7), "+*-"))
DOWN = asked("3,4,5>7:", "3*4=12,12-5=7#7", ((3, 4, 5), 7, [(3, "*", 4, 12), (12, "-", 5, 7)]))
RULES = asked("a&~b>c;d>~c;a;~b;c?", "true", (((("a", "~b"), "c"), (("d",), "~c")), ("a", "~b")))


@pytest.mark.parametrize(
    ("name", "problem", "style", "text"),
    [
        ("addition", SUM, "direct", "#579"),
        ("addition", SUM, "trace", "3+6+0:9,2+5+0:7,1+4+0:5#579"),
        ("addition", SUM, "structured", "3+6+0:9\n2+5+0:7\n1+4+0:5\n#579"),
        ("addition", SUM, "verbose", "3+6+0:9,2+5+0:7,1+4+0:5;3+6+0:9,2+5+0:7,1+4+0:5#579"),
        ("addition", CARRY, "trace", "9+9+0:18,9+9+1:19,9+9+1:19#1998"),
        ("chain", CHAIN, "direct", "#7"),
        ("chain", CHAIN, "trace", "3+4:7,7*2:4,4-7:7#7"),
        ("chain", CHAIN, "structured", "3+4:7\n7*2:4\n4-7:7\n#7"),
        ("countdown", DOWN, "direct", "3*4=12,12-5=7#7"),
        ("countdown", DOWN, "trace", "3*4=12:5 12,12-5=7:7#7"),
        ("countdown", DOWN, "structured", "3*4=12\n12-5=7\n#7"),
        ("logic", RULES, "direct", "#true"),
        ("logic", RULES, "trace", "a&~b>c:c#true"),
        ("logic", RULES, "verbose", "a&~b>c:c,d>~c:?#true"),
        ("logic", RULES, "structured", "a&~b>c:c\n#true"),
    ],
)
def test_worked_replies_by_hand(name, problem, style, text):
    assert load_task(name).demonstration(problem, style, rng(0)) == text


def test_a_corrupted_addition_errs_in_one_column_and_carries_on():
    task = load_task("addition")
    for i in range(200):
        p = task.problem(i)
        work, answer = task.demonstration(p, "corrupted", rng(i)).split("#")
        columns = [tuple(map(int, re.split("[+:]", c))) for c in work.split(",")]
        assert sum(x + y + carry != total for x, y, carry, total in columns) == 1
        assert [c[2] for c in columns] == [0, *(c[3] // 10 for c in columns[:-1])]
        assert int(answer) == sum(c[3] % 10 * 10**k for k, c in enumerate(columns)) + columns[-1][3] // 10 * 10 ** len(columns)


def test_a_chain_is_worked_as_python_does_it():
    task = load_task("chain")
    for i in range(200):
        p = task.problem(i)
        value, *rest = re.findall(r"[+*-]?\d", p.question.prompt)
        for step in rest:
            value = eval(f"({value}){step}") % 10
        assert p.answer == str(value)
        wrong = re.findall(r"(\d[+*-]\d):(\d)", task.demonstration(p, "corrupted", rng(i)))
        assert sum(eval(step) % 10 != int(result) for step, result in wrong) == 1


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("3*4=12,12-5=7#7", 1),
        ("4*3=12,12-5=7#7", 1),
        (" 3*4=12 , 12-5=7 # 7 \n", 1),
        ("3+4=7,5*7=35;3*4=12,12-5=7#7", 1),  # only the last attempt counts
        ("4-3=1,5+1=6#7", 0),  # misses
        ("4-3=1,5+1=6#6", 0),
        ("3*4=12,12-5=7#8", 0),  # says something else
        ("3*4=12,12-5=8#7", 0),  # a wrong result
        ("3*4=12,12-4=8#7", 0),  # a number used twice
        ("3+4=7#7", 0),  # a number left over
        ("7+0=7#7", 0),  # numbers that were not given
        ("3-5=-2,4--2=6#7", 0),  # negative
        ("3*4=12,12-5=7;#7", 0),
        ("#7", 0),
        ("7", 0),
        ("3*4=12,12-5=7", 0),
        ("3*4-5=7#7", 0),
        ("3*4=12,12-5=7#\u0667", 0),
        ("3*4=12:5 12,12-5=7:7#7", 1),
        ("3*4=12,5-12=7#7", 0),
    ],
)
def test_countdown_pays_for_valid_solutions_only(reply, score):
    assert load_task("countdown").verify(DOWN, Reply(reply)).score == score


def test_countdown_says_what_is_wrong():
    reasons = {r: load_task("countdown").verify(DOWN, Reply(r)).reason for r in ("3*4=12,12-5=8#7", "3*4=12,12-4=8#7", "3+4=7#7")}
    assert reasons == {
        "3*4=12,12-5=8#7": "12-5 is not 8",
        "3*4=12,12-4=8#7": "4 is not there to be used in 12-4=8",
        "3+4=7#7": "the numbers 5 7 are left",
    }


def test_a_difficulty_that_leaves_nothing_is_refused_and_does_not_hang():
    task = load_task("countdown", largest=2, targets=(9000, 9999))
    with pytest.raises(BadConfig, match="no problem for the train split"):
        task.problem(0)


def closure(prompt):
    """Literals with the round in which they first follow, from the prompt's text alone; and the atom in question."""
    *lines, goal = prompt.removesuffix("?").split(";")
    rules = [line.split(">") for line in lines if ">" in line]
    known = {line: 0 for line in lines if ">" not in line}
    for round_ in range(1, 30):
        known |= {h: round_ for body, h in rules if h not in known and all(known.get(b, 99) < round_ for b in body.split("&"))}
    return known, goal


def test_logic_labels_follow_from_the_prompt_alone():
    task = load_task("logic")
    for i in range(600):
        p = task.problem(i)
        known, goal = closure(p.question.prompt)
        assert not any("~" + k in known for k in known), "contradictory"
        assert p.answer == ("true" if goal in known else "false" if "~" + goal in known else "unknown")
        if p.answer != "unknown":
            assert known[goal if p.answer == "true" else "~" + goal] == p.difficulty


def test_logic_traces_derive_all_that_follows_and_no_more():
    task = load_task("logic")
    for i in range(200):
        p = task.problem(i)
        known, _ = closure(p.question.prompt)
        steps = [s.split(":") for s in task.demonstration(p, "trace", rng(0)).split("#")[0].split(",") if s]
        facts = {k for k, r in known.items() if r == 0}
        for rule, result in steps:
            body, head = rule.split(">")
            assert rule in p.question.prompt.split(";")
            assert head == result
            assert set(body.split("&")) <= facts
            facts.add(result)
        assert facts == set(known)


@pytest.mark.parametrize("depth", [1, (1, 3), 5])
@pytest.mark.parametrize("split", SPLITS)
def test_logic_labels_are_balanced_at_every_depth_and_split(split, depth):
    task = load_task("logic", depth=depth)
    counts = Counter(task.problem(i, split).answer for i in range(600))
    assert len(counts) == 3
    assert all(abs(n - 200) < 50 for n in counts.values())  # more than four standard deviations of 11.5


def test_logic_gives_no_label_away_by_its_rules():
    task = load_task("logic")
    for i in range(200):
        *lines, goal = task.problem(i).question.prompt.removesuffix("?").split(";")
        heads = Counter(line.split(">")[1] for line in lines if ">" in line)
        assert heads[goal] == heads["~" + goal] == 1
        assert goal not in lines
        assert "~" + goal not in lines


def test_logic_breaks_chains_by_missing_and_by_negated_facts():
    task = load_task("logic")
    negated = Counter()
    for i in range(300):
        rules, facts = task.problem(i).data
        asked = {b for body, _ in rules for b in body} - {head for _, head in rules}
        for b in asked - set(facts):
            negated[("~" + b).replace("~~", "") in facts] += 1
    assert min(negated[True], negated[False]) > 100


def same_sum(prompt):
    return frozenset(prompt.removesuffix("=").split("+"))


def same_chain(prompt):
    a, operation, b, *rest = prompt
    return (frozenset((a, b)) if operation != "-" else a + b, operation, *rest)


def same_numbers(prompt):
    return tuple(sorted(prompt.split(">")[0].split(",")))


def same_rules(prompt):
    """What leads to the atom in question and to its negation, without letters and order."""
    *lines, goal = prompt.removesuffix("?").split(";")
    bodies = {line.split(">")[1]: line.split(">")[0].split("&") for line in lines if ">" in line}

    def shape(literal):
        sign, facts = literal[:-1], (literal, ("~" + literal).replace("~~", ""))
        return (sign, sorted(map(shape, bodies[literal])) if literal in bodies else [str(f in lines) for f in facts])

    return repr((shape(goal)[1], shape("~" + goal)[1], sum(len(line.strip("~")) == 1 for line in lines)))


@pytest.mark.parametrize(
    ("name", "spec", "same"),
    [
        ("addition", {"digits": 2}, same_sum),
        ("chain", {"steps": 1}, same_chain),
        ("countdown", {}, same_numbers),
        ("logic", {"depth": 1}, same_rules),
    ],
)
def test_problems_that_only_look_different_are_on_one_side(name, spec, same):
    task = load_task(name, **spec)
    train, test = ({same(task.problem(i, split).question.prompt) for i in range(n)} for split, n in (("train", 3000), ("test", 400)))
    assert len(train) < 2700, "too many for a leak to show"
    assert not train & test
