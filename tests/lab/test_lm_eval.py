"""Our reading of GSM8K's replies beside lm-evaluation-harness's: what its two filters took from them (0.4.13, gsm8k version 3), recorded."""

from __future__ import annotations

import pytest

from thinkery.core.records import Reply
from thinkery.tasks.numbers import same_number
from thinkery.tasks.verifiers import verifier

NONE = "[invalid]"
RECORDED = [  # reply, strict-match, flexible-extract
    ("Ann has 12 + 30 = <<12+30=42>>42 pens.\n#### 42", "42", "42"),
    ("#### 1,234", "1,234", "1,234"),
    ("so -7.\n#### -7", "-7", "-7"),
    ("#### 3.50", "3.50", "3.50"),
    ("She has 40% left, 8 of 20.\n#### 8\n", "8", "8"),
    ("#### 42.", "42.", "42."),
    ("#### 9 pens", "9", "9"),
    ("The total is $18.", NONE, "$18."),
    ("He pays $1,250 in all.", NONE, "$1,250"),
    ("12 + 5 = 17", NONE, "17"),
    ("It is 5 apples.", NONE, "5"),
    ("#### $15", NONE, "$15"),
    ("####15", NONE, "15"),
    ("The answer is 72.", NONE, "72."),
    ("So \\boxed{36}", NONE, "36"),
    ("First 3. Then 10 . Then 7 eggs", NONE, "7"),
    ("Answer: 0.5", NONE, "0.5"),
    ("no number here", NONE, NONE),
    ("", NONE, NONE),
    ("2 #### 3 then #### 4", "3", "4"),
]
LAST_OF_TWO = RECORDED[-1]


def ours(reply: str) -> str | None:
    """The answer that the verifier reads."""
    return verifier("number")("0", Reply(reply)).parsed


def number(taken: str) -> str:
    """What a filter took, without what the harness's metric ignores."""
    return taken.replace("$", "").replace(",", "").rstrip(".")


@pytest.mark.parametrize(("reply", "strict", "flexible"), RECORDED)
def test_the_answer_is_what_the_flexible_filter_takes(reply: str, strict: str, flexible: str) -> None:
    found = ours(reply)
    if flexible == NONE:
        assert found is None
    else:
        assert found is not None and same_number(number(flexible), found)


@pytest.mark.parametrize(("reply", "strict", "flexible"), [r for r in RECORDED if r[1] != NONE and r is not LAST_OF_TWO])
def test_a_marked_answer_is_what_the_strict_filter_takes(reply: str, strict: str, flexible: str) -> None:
    assert verifier("number")(number(strict), Reply(reply)).score == 1.0
    assert verifier("number")(number(strict) + "1", Reply(reply)).score == 0.0


def test_of_two_marked_answers_the_last_counts_not_the_strict_filters_first() -> None:
    reply, strict, flexible = LAST_OF_TWO
    assert (verifier("number")(strict, Reply(reply)).score, verifier("number")(flexible, Reply(reply)).score) == (0.0, 1.0)


def test_a_reply_cut_off_at_the_limit_earns_nothing_here_though_the_harness_reads_it() -> None:
    assert verifier("number")("42", Reply("#### 42", truncated=True)).score == 0.0
