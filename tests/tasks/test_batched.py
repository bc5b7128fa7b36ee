"""Questions in company: each gets its own chain back, a chain that was cut off is none, and no label can be had from length alone."""

from __future__ import annotations

import pytest

from thinkery.core.errors import BadConfig
from thinkery.core.records import Question, Reply
from thinkery.core.rng import rng
from thinkery.models.tokenizer import CHARACTERS
from thinkery.tasks import SPLITS
from thinkery.tasks.batched import CONCISE, MOST, VERBOSE, WRONG, Batched, Graded, Several, chains, together
from thinkery.tasks.chain import Chain
from thinkery.tasks.generated import Generated

TASK = Batched(Chain(steps=(2, 4)), hard=4)
SEVERAL, GRADED = Several(TASK, 3), Graded(TASK)


@pytest.mark.parametrize(
    ("text", "truncated", "found"),
    [
        ("1+1:2#2||#3||#4", False, ["1+1:2#2", "#3", "#4"]),
        ("#2||#3||#4", True, ["#2", "#3", None]),
        ("#2||#3", False, ["#2", "#3", None]),
        ("#2||#3||", True, ["#2", "#3", None]),
        ("#2|| ||#4", False, ["#2", None, "#4"]),
        ("#2||#3||#4||#5", False, [None, None, None]),
        ("", True, [None, None, None]),
    ],
)
def test_each_question_gets_its_own_chain(text: str, truncated: bool, found: list[str | None]) -> None:
    assert chains(text, 3, truncated) == found


def test_a_question_is_the_same_alone_and_in_company() -> None:
    for i in range(30):
        alone, batched = TASK.problem(i, "test", 3), TASK.problem(i, "test", 3, batch=3)
        assert (alone.id, alone.question.prompt, alone.answer) == (batched.id, batched.question.prompt, batched.answer)
        shown = batched.question.shown
        assert shown["batch"].prompt.split("||")[shown["place"]] == alone.question.prompt and shown["of"] == 3
        assert not alone.question.shown, "alone nothing is shown"
        assert shown["batch"] == SEVERAL.problem(i // 3, "test", 3).question, "what is taught is what is asked"
    company = [TASK.problem(i, batch=3).question.shown["company"] for i in range(200)]
    assert 70 < sum(company) < 130


def test_the_prompt_of_a_batch_says_how_to_reply() -> None:
    both = together([Question("1+1=", instruction="Add."), Question("2+2=", instruction="Add.")])
    assert both.prompt == "1+1=||2+2=" and both.instruction.startswith("Add. Answer each") and '"||"' in both.instruction


@pytest.mark.parametrize("wrong", [0, MOST + 1, "3"])
def test_how_many_is_a_number_in_range(wrong: object) -> None:
    with pytest.raises(BadConfig, match=r"batch is .*1\.\.16"):
        TASK.problem(0, batch=wrong)  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="m is "):
        Several(TASK, wrong)  # type: ignore[arg-type]


def test_a_task_that_uses_the_separator_is_refused() -> None:
    with pytest.raises(BadConfig, match=r"'\|\|'"):
        Batched(type("Bars", (Chain,), {"instruction": "a || b"})(), hard=4)


def test_demonstrations_verify_fit_and_are_brief_in_company() -> None:
    lengths: dict[tuple[bool, bool], list[int]] = {}
    for i in range(60):
        problem = SEVERAL.problem(i)
        text = SEVERAL.demonstration(problem, "trace", rng(i))
        assert SEVERAL.verify(problem, Reply(text)).score == 1 and len(text) < SEVERAL.max_tokens and set(text) <= set(CHARACTERS)
        for inner, chain in zip(problem.data, chains(text, 3)):
            alone = TASK.demonstration(inner, "trace", rng(i))
            assert chain is not None and TASK.verify(inner, Reply(alone)).score == TASK.verify(inner, Reply(chain)).score == 1
            lengths.setdefault((inner.difficulty >= TASK.hard, True), []).append(len(chain))
            lengths.setdefault((inner.difficulty >= TASK.hard, False), []).append(len(alone))
    mean = {key: sum(found) / len(found) for key, found in lengths.items()}
    saved = {hard: mean[hard, True] / mean[hard, False] for hard in (False, True)}
    assert 1.5 * saved[False] < saved[True] < 0.8, "most is saved on the easy ones"


def test_the_score_of_several_is_the_share_that_is_right() -> None:
    problem = SEVERAL.problem(0)
    a, b, c = (p.answer for p in problem.data)
    assert problem.answer == f"{a}||{b}||{c}" and SEVERAL.verify(problem, Reply(problem.answer)).score == 1
    cut = SEVERAL.verify(problem, Reply(f"#{a}||#{b}||#{c}", truncated=True))
    assert cut.score == pytest.approx(2 / 3) and cut.parsed == f"{a}||{b}||"
    assert SEVERAL.verify(problem, Reply("nothing")).score == 0 and SEVERAL.verify(problem, Reply("")).parsed is None


def test_hard_questions_are_a_part_of_their_own() -> None:
    problems = [TASK.problem(i) for i in range(40)]
    for p in problems:
        assert TASK.verify(p, Reply(f"#{p.answer}")).parts == ({"hard": 1.0} if p.difficulty >= 4 else {})
    assert {len(TASK.verify(p, Reply("#?")).parts) for p in problems} == {0, 1}


def test_labels_are_true_and_length_does_not_tell_the_wrong_ones() -> None:
    lengths: dict[str, list[int]] = {}
    for j in range(100):
        four = [GRADED.problem(i) for i in range(4 * j, 4 * j + 4)]
        assert sorted(p.answer for p in four) == [CONCISE, VERBOSE, WRONG, WRONG]
        for p in four:
            chain = p.question.prompt.removeprefix(p.data.question.prompt).removesuffix("?")
            assert TASK.verify(p.data, Reply(chain)).score == (p.answer != WRONG), "the label is true"
            lengths.setdefault(p.answer, []).append(len(chain))
    short, long, wrong = (sum(lengths[x]) / len(lengths[x]) for x in (CONCISE, VERBOSE, WRONG))
    assert short < 0.8 * wrong and wrong < 0.9 * long, "wrong ones are of both kinds"
    assert min(lengths[WRONG]) <= 1.2 * min(lengths[CONCISE]) and max(lengths[WRONG]) >= 0.8 * max(lengths[VERBOSE])


def test_worked_grades_verify_and_corrupted_ones_do_not() -> None:
    for i in range(60):
        p = GRADED.problem(i)
        for style in GRADED.styles:
            text = GRADED.demonstration(p, style, rng(i))
            assert GRADED.verify(p, Reply(text)).score == (style != "corrupted")
            assert len(text) < GRADED.max_tokens and set(p.question.prompt + text) <= set(CHARACTERS)
    assert sum(GRADED.verify(GRADED.problem(i), Reply(f"#{CONCISE}")).score for i in range(200)) == 50


def test_splits_are_those_of_the_questions() -> None:
    for task in (TASK, GRADED):
        families = {split: {task.problem(i, split).family for i in range(40)} for split in SPLITS}
        assert not families["train"] & families["test"]
    inside = lambda split: {p.family for i in range(20) for p in SEVERAL.problem(i, split).data}
    assert not inside("train") & inside("test")


def test_sizes_follow_the_task() -> None:
    assert TASK.size("test") is SEVERAL.size("test") is GRADED.size("test") is None
    finite = Batched(type("Ten", (Chain,), {"size": lambda self, split: 10})(), hard=4)
    assert isinstance(finite.task, Generated)
    assert (finite.size("test"), Several(finite, 3).size("test"), Graded(finite).size("test")) == (10, 3, 40)
