"""A verifier reads what people and models write; each misreading pays for a wrong answer or refuses a right one. Goldens are by hand."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkery.core.errors import UnknownName, VerifierError
from thinkery.core.records import Reply
from thinkery.tasks import verifier


def score(name, gold, text):
    return verifier(name)(gold, Reply(text)).score


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        # plain, signs, separators, units
        ("579", "579"),
        ("-5", "-5"),
        ("+5", "5"),
        ("−5", "-5"),
        ("1,234,567.5", "1234567.5"),
        ("$1,000", "1000"),
        ("-$5.50", "-5.50"),
        ("$-5.50", "-5.50"),
        ("50%", "50"),
        ("18 apples", "18"),
        ("18kg.", "18"),
        (".5", ".5"),
        ("1.5e3", "1.5e3"),
        # fractions
        ("3/4", "3/4"),
        ("-3/4 of it", "-3/4"),
        ("2 1/2", "2 1/2"),
        ("\\frac{3}{4}", "3/4"),
        ("2\\dfrac{1}{2}", "2 1/2"),
        # markers: the last one counts, and a heading is none
        ("first #1 then #2", "2"),
        ("work 3 #### 18\n\nI also saw 4.", "18"),
        ("Answer: 7 of 9", "7"),
        ("**Answer:** 7", "7"),
        ("The answer is $\\boxed{18}$, as 9+9=18 and x=3", "18"),
        ("\\boxed{ \\$1{,}000 }", "1000"),
        ("answer: x = -5", "-5"),
        ("answer: 3 + 4 = 7", "7"),
        ("answer:\n\n18", "18"),
        ("### Step 3: the total\nso she has 18 dollars.", "18"),
        ("#", None),
        ("answer: none of 5\nanswer: I do not know", None),
        # without a marker: the last number
        ("3 birds and 5 cats make 8.", "8"),
        ("3+4=7", "7"),
        ("it is -5", "-5"),
        ("- 3 apples\n- 6 pears", "6"),
        # what only looks like a number
        ("", None),
        ("many", None),
        ("1/0", None),
        ("#1/0", None),
        ("#3+4", None),
        ("3 + 4", None),
        ("10-5", None),
        ("#5-10", None),
        ("#10^5", None),
        ("1.2 x 10^5", None),
        ("2024-01-05", None),
        ("3:30", None),
        ("1,23", None),
        ("0,5", None),
        ("1.5.3", None),
        ("x2", None),
        ("#\u0663", None),
        ("1e400", None),
        ("9" * 70, None),
    ],
)
def test_number_reads(text, parsed):
    assert verifier("number")("1", Reply(text)).parsed == parsed


@pytest.mark.parametrize(
    ("gold", "text", "same"),
    [
        ("0.75", "3/4", 1),
        ("3/4", "#0.75", 1),
        ("2.5", "2 1/2", 1),
        ("18", "18.00", 1),
        ("1000", "#1,000 dollars", 1),
        ("50%", "50", 1),
        ("50%", "0.5", 0),
        ("3.14159265", "3.141593", 1),  # off by 1.1e-7 of it
        ("3.14159265", "3.14160", 0),  # off by 2.3e-6 of it
        ("1234567", "1234568", 0),  # off by 8e-7, but whole numbers are counted
        ("0", "0.0000001", 0),
        ("5", "-5", 0),
        ("1", "#1 1/2", 0),
        ("She has 9+9=18 eggs.\n#### 18", "#18", 1),
    ],
)
def test_number_compares(gold, text, same):
    assert score("number", gold, text) == same


@pytest.mark.parametrize(
    ("gold", "text", "same"),
    [
        ("Paris", "paris", 1),
        ("Paris", "  PARIS.\n", 1),
        ("New York", "the answer is:  new\n york", 1),
        ("Paris", "Berlin? No. #Paris", 1),
        ("Paris", "#Paris #Berlin", 0),
        ("Paris", "Answer: Paris\n\nBecause it is.", 1),
        ("Paris", "**Answer:** **Paris**", 1),
        ("Paris", "\\boxed{Paris}. Done.", 1),
        ("Paris", "\\boxed{Berlin} \\boxed{Paris}", 1),
        ("Paris", "\\boxed{Paris} \\boxed{Berlin}", 0),
        ("f(x)={1}", "so \\boxed{f(x)={1}} it is", 1),
        ("Paris", "It is Paris", 0),
        ("Paris", "not Paris", 0),
        ("C#", "C#", 1),
        ("C#", "#C#", 1),
        ("C#", "answer: C#", 1),
        ("G# minor", "minor", 0),
        ("long work #### Paris", "paris", 1),
        ("$5", "5", 0),
        ("Paris", "", 0),
    ],
)
def test_exact_compares(gold, text, same):
    assert score("exact", gold, text) == same


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("B. because it rains", "B"),
        ("answer is B", "B"),
        ("The answer is option (C).", "C"),
        ("Answer: (C) because A is wrong", "C"),
        ("**Answer: D**", "D"),
        ("#e", "E"),
        ("\\boxed{\\text{D}}", "D"),
        ("answer: B. Vitamin A", "B"),
        ("answer is A because", "A"),
        ("I take (A), no, (B)", "B"),
        ("so it must be\nC.", "C"),
        ("F", None),
        ("", None),
        ("a cat", None),
        ("A cat", None),
        ("answer: A cat", None),
        ("answer: A or B", None),
        ("answer: B, C", None),
        ("answer: B/C", None),
        ("ABCDE", None),
        ("answer: ABCDE", None),
        ("answer: A B C D E", None),
        ("answer: B C", None),
        ("Because", None),
        # several different letters are no choice
        ("(A)(B)(C)(D)(E)", None),
        ("(A) (B) (C) (D) (E)", None),
        ("(A), (B) or (C)", None),
        ("so (A) or (B)", None),
        ("A. cats\nB. dogs\nC. birds", None),
        ("(B) (B)", "B"),
        ("(B) because (A) is wrong", "B"),
        ("B. A vitamin", "B"),
    ],
)
def test_choice_reads(text, parsed):
    assert verifier("choice")("A", Reply(text)).parsed == parsed


@pytest.mark.parametrize(
    ("gold", "text", "same"),
    [
        ("a, b", "B; a", 1),
        ("a, b", "a\nb", 1),
        ("a, b", "a, b, a", 1),
        ("a, b", "so #{b, a}", 1),
        ("{1, 2}", "answer: 2,1.", 1),
        ("a, b", "a", 0),
        ("a, b", "a, b, c", 0),
        ("a, b", "a b", 0),
        ("a, b", "#a #b", 0),
        ("a, b", "a, c #a, b", 1),
        ("C#, Java", "answer: java, c#", 1),
        ("a, b", ",;,", 0),
    ],
)
def test_set_compares(gold, text, same):
    assert score("set", gold, text) == same


@pytest.mark.parametrize(("name", "gold"), [("number", "many"), ("number", ""), ("exact", "  "), ("choice", "F"), ("set", ",;")])
def test_an_unreadable_gold_answer_is_an_error_and_no_zero(name, gold):
    with pytest.raises(VerifierError, match="gold answer"):
        verifier(name)(gold, Reply("1"))


def test_an_unknown_verifier_is_named():
    with pytest.raises(UnknownName, match=r"numbr.*number"):
        verifier("numbr")


GOLDS = {"number": "7", "exact": "seven", "choice": "B", "set": "a, b"}


@pytest.mark.parametrize("name", GOLDS)
@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(max_size=80), st.text("#\\{}boxedanswer: is()-+*/=,.;%$ \n0123456789ABCabc", max_size=80)))
def test_no_text_makes_it_raise(name, text):
    for form in (text, "#" + text, "answer: " + text, "\\boxed{" + text):
        verdict = verifier(name)(GOLDS[name], Reply(form))
        assert verdict.score in (0, 1)
        assert verdict.reason
        assert verdict.parsed is not None or verdict.score == 0


@pytest.mark.parametrize("name", GOLDS)
@pytest.mark.parametrize(
    "unit",
    ["#", "##.", "# ", "1", "1,", "1,111", "1 ", "1 1/", "1/", ".", ".1", "-", "- ", "$", "e", "1e", "\\boxed{", "{", "}", "{}"]
    + [
        "answer",
        "answer is ",
        "answer:",
        "answer   ",
        "\\frac{",
        "\\frac{1}{",
        "\\frac ",
        "(",
        "(A",
        "A",
        "A ",
        "A.",
        "A,",
        "A or ",
        "*",
        "`",
    ]
    + [" ", "\n", "\t", "\u00a0", "a,", ";", ",", ", ", "\x00", "\u2028", "=1", "B" + " " * 50, "#A" + "," * 50, "ı", "İ"],
)
def test_a_megabyte_of_nonsense_is_judged_at_once(name, unit):
    text = unit * (1_000_000 // len(unit))
    start = time.thread_time()
    for form in (text, text + "#", "answer: " + text[:15_000], text[:15_000] + "#A", "\\boxed{" + text[:15_000]):
        assert verifier(name)(GOLDS[name], Reply(form)).score == 0
    assert time.thread_time() - start < 0.5


@settings(max_examples=200, deadline=None)
@given(
    value=st.decimals(-(10**12), 10**12, allow_nan=False, places=3),
    form=st.sampled_from(["{}", "#{}", "answer: {}.", "so \\boxed{{{}}} it is"]),
)
def test_numbers_are_read_as_written(value, form):
    for written in (f"{value}", f"{value:,}"):
        assert score("number", str(value), form.format(written)) == 1
        assert score("number", str(value + 1 + abs(value)), form.format(written)) == 0
