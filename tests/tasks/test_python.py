"""The small Python of the house must be Python: labels are held against the real interpreter, and replies, which may be any text, must
neither raise, nor hang, nor be paid for what they do not do."""

import io
import re
import time
from collections import Counter
from contextlib import redirect_stdout
from itertools import product

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Problem, Question, Reply
from thinkery.core.rng import rng
from thinkery.tasks import load_task
from thinkery.tasks.mini_python import LARGEST, Fault, Machine
from thinkery.tasks.python_fix import TOKEN, mutated

BROKEN = "def f(x):\n x=x+3\n return x"
TIMES = "def f(x):\n x=x*3\n return x"
FIX = Problem("by hand", Question(f"{BROKEN}\nf(2)=6;f(4)=12;f(1)=3?"), TIMES, data=(BROKEN, ((2, 6), (4, 12), (1, 3))))
PLUS = "def f(x):\n x=x*3\n x+=1\n return x"
SYNTH = Problem(
    "by hand",
    Question("f(2)=7;f(0)=1;f(5)=16?"),
    PLUS,
    data=(((2, 7), (0, 1), (5, 16)), ((1, 4), (3, 10)), ("2>6>7", "0>0>1", "5>15>16")),
)
PRINT = Problem("by hand", Question("a=3\nb=a+4\nb-=2\nprint(b)\n?"), "5", data=("a=3", "b=7", "b=5"))


def really(program):
    """What Python itself prints."""
    with redirect_stdout(io.StringIO()) as out:
        exec(program, {})
    return out.getvalue().rstrip("\n")


def really_f(program, x):
    names = {}
    exec(program, names)
    return names["f"](x)


def asked_of(prompt):
    return [(int(x), int(y)) for x, y in re.findall(r"f\((\d+)\)=(-?\d+)", prompt)]


@pytest.mark.parametrize(
    ("name", "problem", "style", "text"),
    [
        ("python_output", PRINT, "direct", "#5"),
        ("python_output", PRINT, "trace", "a=3,b=7,b=5#5"),
        ("python_output", PRINT, "verbose", "a=3,b=7,b=5;a=3,b=7,b=5#5"),
        ("python_output", PRINT, "structured", "a=3\nb=7\nb=5\n#5"),
        ("python_fix", FIX, "direct", "#" + TIMES),
        ("python_fix", FIX, "trace", f"x=x+3>x=x*3#{TIMES}"),
        ("python_fix", FIX, "verbose", f"f(2)is5,not6,x=x+3>x=x*3#{TIMES}"),
        ("python_synth", SYNTH, "direct", "#" + PLUS),
        ("python_synth", SYNTH, "trace", f"2>6>7,0>0>1,5>15>16#{PLUS}"),
        ("python_synth", SYNTH, "structured", f"2>6>7\n0>0>1\n5>15>16\n#{PLUS}"),
    ],
)
def test_worked_replies_by_hand(name, problem, style, text):
    task = load_task(name)
    made = task.demonstration(problem, style, rng(0))
    assert made.replace(" ", "") == text.replace(" ", "")
    assert task.verify(problem, Reply(made)).score == 1


# ---- the interpreter


def test_a_program_is_followed_step_by_step():
    machine = Machine()
    machine.run(
        "a=2\nl=[a,5]\nfor i in range(2):\n a+=i\nif a>9:\n a=0\nelse:\n l.append(a)\ndef f(x):\n return x%2\nb=f(a)\nprint(sum(l))"
    )
    assert machine.steps == ["a=2", "l=[2,5]", "a=2", "a=3", "l=[2,5,3]", "b=1"]
    assert machine.output == ["10"]


@pytest.mark.parametrize("lines", [(1, 5), (6, 20), 30])
def test_programs_print_what_python_prints(lines):
    task = load_task("python_output", lines=lines)
    for i in range(200):
        p = task.problem(i)
        program = p.question.prompt.removesuffix("\n?")
        assert p.answer == really(program)
        assert program.count("\n") == p.difficulty


def test_steps_are_those_of_python():
    """Before every line of straight programs, Python's own variables are looked at."""
    checked = 0
    for i in range(200):
        p = load_task("python_output").problem(i)
        program = p.question.prompt.removesuffix("\n?").splitlines()[:-1]
        if any(line.startswith((" ", "def", "l")) for line in program):
            continue
        names, steps = {}, []
        for line in program:
            exec(line, {}, names)
            name = line[0]
            steps.append(f"{name}={names[name]}")
        assert list(p.data) == steps
        checked += 1
    assert checked > 30


@pytest.mark.parametrize(
    "expression", ["7%3", "-7%3", "7//2", "-7//2", "2*3+4", "(1<2)+1", "[3,1][1]", "max([3,1])", "min(4,2)", "len([1])", "abs(-3)"]
)
def test_values_are_those_of_python(expression):
    assert printed(f"print({expression})") == repr(eval(expression))


def printed(program):
    machine = Machine()
    machine.run(program)
    return machine.output[0]


HOSTILE = [
    "import os",
    "open('x')",
    "x=range(3)",
    "x=[range(3)]",
    "x=[1]*999999999",
    "x=999999999*[1]",
    "x=sum(range(999999999))",
    "x=max(range(999999999))",
    "l=[1]\n" + "l=[l,l]\n" * 60,
    "for i in range(999999999):\n x=i",
    "def g(x):\n return g(x)\nx=g(1)",
    "x=" + "(" * 300 + "1" + ")" * 300,
    "x=" + "-" * 500 + "1",
    "x=" + "9" * 500,
    "x=9\n" + "x=x*x\n" * 60,
    "x=1\nwhile 1:\n x=x",
    "x=1%0",
    "x=[1][5]",
    "x=[]\nx.append(x)",
    "l=[1]\nfor i in l:\n l.append(i)",
    "x=max([])",
    "x=len(3)",
    "return 3",
    "x=y",
    "x=f",
    "lambda: 1",
    "x=1;y=(",
    "x = 1\n  y = 2",
    "print(1,2)",
    "del x",
    "x=[1][0:1]",
    "x=range(1,2,3,4)",
    "x=x.append(1)",
]


@pytest.mark.parametrize("program", HOSTILE, ids=lambda p: p[:24])
def test_whatever_else_is_asked_for_is_a_fault_at_once(program):
    start = time.thread_time()
    with pytest.raises(Fault):
        Machine().run(program)
    body = "".join(f"\n {line}" for line in program.split("\n") if line)
    for name, p in (("python_fix", FIX), ("python_synth", SYNTH), ("python_output", PRINT)):
        for text in (f"#{program}", f"#def f(x):{body}\n return x", f"#def f(x):\n return x*3{body}"):
            verdict = load_task(name).verify(p, Reply(text))
            assert verdict.reason
            assert verdict.score == 0 or (
                name == "python_fix" and text.startswith("#def f(x):\n return x*3")
            )  # what never runs harms nobody
    assert time.thread_time() - start < 0.5


def test_numbers_and_time_are_bounded():
    machine = Machine()
    machine.run(f"a={LARGEST}")
    with pytest.raises(Fault, match="large"):
        machine.run("a=a+1")
    with pytest.raises(Fault, match="long"):
        Machine().run("for i in range(400):\n a=i")


# ---- repair


@pytest.mark.parametrize(
    ("program", "score"),
    [
        (TIMES, 1),
        ("def f(x):\n x*=3\n return x", 1),
        ("def f(y):\n return y*3", 1),
        ("def f(x): return 3*x", 1),
        ("def f(x):\n return x+x+x", 1),
        ("def g(x):\n return x*3\ndef f(x):\n return g(x)", 1),
        ("def f(x):\n y=0\n for i in range(3):\n  y+=x\n return y", 1),
        (BROKEN, 0),
        ("def f(x):\n x=x*2\n return x", 0),
        ("def f(x):\n x=x*3", 0),
        ("def g(x):\n return x*3", 0),
        ("def f(x,y):\n return x*3", 0),
        ("def f(x):\n return x*3\nf(", 0),
        ("def f(x):\n if x<4:\n  return x*3\n return x", 0),
        ("return x*3", 0),
        ("x*3", 0),
    ],
)
def test_a_repair_counts_by_what_it_does(program, score):
    assert load_task("python_fix").verify(FIX, Reply("#" + program)).score == score


def test_a_broken_function_differs_by_one_token_and_fails():
    task = load_task("python_fix", lines=(2, 8))
    for i in range(150):
        p = task.problem(i)
        broken, tests = p.data
        assert sum(a != b for a, b in zip(TOKEN.findall(broken), TOKEN.findall(p.answer))) == 1
        assert TOKEN.sub("_", broken) == TOKEN.sub("_", p.answer)
        assert p.question.prompt.startswith(broken + "\n")
        assert list(tests) == asked_of(p.question.prompt)
        assert all(really_f(p.answer, x) == y for x, y in tests)
        assert any(really_f(broken, x) != y for x, y in tests)
        assert task.verify(p, Reply("#" + broken)).score == 0
        assert p.answer.count("\n") - 1 == p.difficulty


def test_every_mutant_is_judged_as_python_judges_it():
    """Other repairs than the one drawn are among them."""
    task, right = load_task("python_fix"), Counter()
    for i in range(100):
        p = task.problem(i)
        broken, tests = p.data
        for mutant in {mutated(broken, rng(i, k)) for k in range(60)}:
            passes = all(really_f(mutant, x) == y for x, y in tests)
            assert task.verify(p, Reply("#" + mutant)).score == passes
            right[passes, mutant == p.answer] += 1
    assert right[True, False] > 0
    assert right[False, False] > 500


# ---- synthesis


@pytest.mark.parametrize(
    ("program", "score", "unseen"),
    [
        (PLUS, 1, 1),
        ("def f(x):\n return 3*x+1", 1, 1),
        ("def f(x):\n if x<1:\n  return 1\n if x<3:\n  return 7\n return 16", 1, 0),  # a table of the tests
        ("def f(x):\n if x==1:\n  return 4\n return 0", 0, 0.5),
        ("def f(x):\n return 3*x", 0, 0),
        ("def f(x):\n return", 0, 0),
    ],
)
def test_a_function_counts_by_its_tests_and_is_told_apart_by_the_unseen(program, score, unseen):
    verdict = load_task("python_synth").verify(SYNTH, Reply("#" + program))
    assert (verdict.score, dict(verdict.parts)) == (score, {"unseen": unseen})


def test_a_function_asked_for_is_what_python_runs():
    task = load_task("python_synth", lines=(2, 12))
    for i in range(150):
        p = task.problem(i)
        tests = asked_of(p.question.prompt)
        assert len(tests) == 5
        assert all(really_f(p.answer, x) == y for x, y in tests)
        assert any(x != y for x, y in tests)
        assert len({y for _, y in tests}) > 1
        assert p.answer.count("\n") - 1 == p.difficulty
        verdict = task.verify(p, Reply("#" + p.answer))
        assert verdict.parts == {"unseen": 1}
        for (x, y), line in zip(tests, task.demonstration(p, "trace", rng(0)).split("#")[0].split(","), strict=True):
            assert re.fullmatch(rf"{x}(>-?\d+)*", line)
            assert line.split(">")[-1] == str(y)


# ---- all


@pytest.mark.parametrize("name", ["python_fix", "python_synth"])
def test_a_function_is_right_for_the_problems_of_its_family_and_no_other(name):
    """However it is written: x=x-2 and x-=2 must not stand on both sides of a split."""
    task = load_task(name, lines=2)
    drawn, right = [task.problem(i) for i in range(70)], Counter()
    for p, q in product(drawn, drawn):
        assert task.verify(p, Reply("#" + q.answer)).score == (p.family == q.family)
        right[p.family == q.family, p.answer == q.answer] += 1
    assert right[True, False] > 10


@pytest.mark.parametrize("name", ["python_fix", "python_synth"])
def test_what_is_asked_for_by_the_same_tests_is_one_family(name):
    task, seen = load_task(name, lines=2), {}
    for i in range(600):
        p = task.problem(i)
        assert seen.setdefault(frozenset(asked_of(p.question.prompt)), p.family) == p.family
    assert len(set(seen.values())) == len(seen) < 550


@pytest.mark.parametrize("name", ["python_output", "python_fix", "python_synth"])
def test_no_answer_stands_out(name):
    task = load_task(name)
    answers = Counter(task.problem(i).answer for i in range(300))
    assert answers.most_common(1)[0][1] < 75


@pytest.mark.parametrize(("name", "most"), [("python_output", 30), ("python_fix", 12), ("python_synth", 12)])
def test_the_longest_programs_still_fit(name, most):
    task, short = load_task(name, lines=most), load_task(name, lines=2)
    with pytest.raises(BadConfig, match="lines"):
        load_task(name, lines=most + 1)
    longer = 0
    for i, style in product(range(40), task.styles):
        p = task.problem(i)
        made = task.demonstration(p, style, rng(i))
        assert task.verify(p, Reply(made)).score == (style != "corrupted")
        assert len(made) + 1 <= task.max_tokens
        longer += len(made) - len(short.demonstration(short.problem(i), style, rng(i)))
    assert longer > 0
