"""A file of one's own becomes a task that is the same whatever the order of its rows, and every bad row is named by its line: a row
dropped in silence, or a question on both sides of the split, would spoil an evaluation without a sign."""

import json
import pickle

import pytest

from thinkery.core.errors import BadConfig, BadData, InputError, UnknownName
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks import SPLITS, FileTask, load_file, load_task

ROWS = [{"q": f"What is {a} times {b}?", "a": a * b, "w": f"{a}*{b}={a * b}"} for a in range(20) for b in range(20)]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def load(path, **more):
    return load_file(path, "q", "a", "number", **more)


def everything(task):
    return {split: task.problems[split] for split in SPLITS}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.jsonl"


# ---- what a good file gives


def test_csv_and_jsonl_give_the_same_task(tmp_path, path):
    table = tmp_path / "rows.csv"
    table.write_text('\ufeffq,a,w\r\n"What is 3, and 4?",7,"3+4=7\nso 7"\r\n\r\nWhat is 1?,1,\r\n', encoding="utf-8")
    jsonl(path, [{"q": "What is 3, and 4?", "a": 7, "w": "3+4=7\nso 7"}, {"q": "What is 1?", "a": "1", "w": None}])
    one, two = load(table, solution="w"), load(path, solution="w")
    assert everything(one) == everything(two)
    problems = [p for split in SPLITS for p in one.problems[split]]
    assert {(p.question.prompt, p.answer, p.data) for p in problems} == {
        ("What is 3, and 4?", "7", "3+4=7\nso 7"),
        ("What is 1?", "1", None),
    }


def test_the_order_of_rows_makes_no_difference(tmp_path, path):
    turned = ROWS[::-1] + ROWS[:50]
    assert everything(load(jsonl(path, ROWS))) == everything(load(jsonl(tmp_path / "turned.jsonl", turned)))


def test_every_question_is_on_one_side_in_about_the_shares(path):
    task = load(jsonl(path, [*ROWS, *({**r, "q": r["q"].upper().replace(" ", "  ")} for r in ROWS)]))
    sides = {split: {p.question.prompt.casefold().replace("  ", " ") for p in task.problems[split]} for split in SPLITS}
    assert sum(map(len, sides.values())) == len(set.union(*sides.values())) == len(ROWS)
    assert 0.7 * len(ROWS) < len(sides["train"]) < 0.9 * len(ROWS)
    assert everything(task) != everything(load(path, seed_split=1))


def test_training_meets_each_problem_once_an_epoch_in_a_new_order(path):
    task = load(jsonl(path, ROWS))
    n = task.size("train")
    epochs = [[task.problem(e * n + i).id for i in range(n)] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(p.id for p in task.problems["train"])
    assert epochs[0] != epochs[1] != [task.problem(i, seed=1).id for i in range(n)]


def test_the_test_split_ends(path):
    task = load(jsonl(path, ROWS))
    n = task.size("test")
    assert sorted(task.problem(i, "test", 3).id for i in range(n)) == sorted(p.id for p in task.problems["test"])
    with pytest.raises(InputError, match=f"no problem {n} in the test split; it has {n}"):
        task.problem(n, "test")


def test_a_split_without_problems_says_so(path):
    task = load(jsonl(path, ROWS[:1]))
    empty = next(s for s in SPLITS if task.size(s) == 0)
    with pytest.raises(InputError, match=f"none of its 1 questions fell into the {empty} split"):
        task.problem(0, empty)


def test_a_question_may_join_columns(path):
    task = load_file(jsonl(path, [{"body": "Ann has 3. ", "question": "How many?", "a+b": 3}]), "body+question", "a+b", "number")
    assert [p.question.prompt for s in SPLITS for p in task.problems[s]] == ["Ann has 3. How many?"]


def test_a_gold_answer_at_the_end_of_its_work_is_read(path):
    task = load(jsonl(path, [{"q": "How many?", "a": "9 and 9 is 18\n#### 18"}]))
    (p,) = (p for s in SPLITS for p in task.problems[s])
    assert p.answer == "18"
    assert task.verify(p, Reply("9 #18")).score == 1


def test_solutions_are_demonstrations_and_end_in_the_answer(path):
    rows = [{"q": "one", "a": 18, "w": "9+9 is it, by rule 7"}, {"q": "two", "a": 18, "w": "9+9=18"}, {"q": "three", "a": 18}]
    task = load(jsonl(path, rows), solution="w")
    by_question = {p.question.prompt: p for s in SPLITS for p in task.problems[s]}
    assert task.styles == ("solution",)
    assert task.demonstration(by_question["one"], "solution", rng(0)) == "9+9 is it, by rule 7\n#### 18"
    assert task.demonstration(by_question["two"], "solution", rng(0)) == "9+9=18"
    assert [task.has_demonstration(by_question[q]) for q in ("one", "two", "three")] == [True, True, False]
    with pytest.raises(InputError, match="no solution in the row of 'three'"):
        task.demonstration(by_question["three"], "solution", rng(0))
    assert load(path).styles == ()


def test_a_task_travels_to_other_processes(path):
    task = load(jsonl(path, ROWS), solution="w")
    again = pickle.loads(pickle.dumps(task))
    assert [again.problem(i) for i in range(9)] == [task.problem(i) for i in range(9)]
    assert again.verify(again.problem(0), Reply(again.problem(0).answer)).score == 1


# ---- what is wrong with a file


GOOD = '{"q": "1+1", "a": 2}'
BAD_ROWS = {
    '{"q": "2+2", "a": 4': "broken JSON at column 20",
    "[" * 100_000: "nested too deeply",
    '["2+2", 4]': "a row is an object",
    "7": "a row is an object",
    '{"question": "2+2", "a": 4}': "no column 'q'; there are 'question', 'a'",
    "{}": "there are none",
    '{"q": "  ", "a": 4}': "the question is empty",
    '{"q": null, "a": 4}': "the question is empty",
    '{"q": "2+2"}': "no column 'a'",
    '{"q": "2+2", "a": null}': "the answer '' cannot be read as a number",
    '{"q": "2+2", "a": "four"}': "the answer 'four' cannot be read as a number",
    '{"q": "2+2", "a": NaN}': "the answer 'NaN' cannot be read as a number",
    '{"q": "2+2", "a": true}': "the answer 'true' cannot be read as a number",
    '{"q": "2+2", "a": 1e999}': "cannot be read as a number",
    '{"q": "2+2", "a": [4]}': "column 'a' holds a list",
    '{"q": {"text": "2+2"}, "a": 4}': "column 'q' holds a nested object",
    '{"q": "2+2 \\ud800", "a": 4}': "half a surrogate pair",
    '{"q": "1+1", "a": 3}': "lines 1 and 3 give one question the answers '2' and '3'",
}


@pytest.mark.parametrize(("bad", "reason"), BAD_ROWS.items(), ids=BAD_ROWS.values())
def test_a_bad_row_is_named_or_skipped(path, bad, reason):
    path.write_text(f"{GOOD}\n\n{bad}\n" + '{"q": "3+3", "a": 6}\n')
    with pytest.raises(BadData) as raised:
        load(path)
    clash = "lines" in reason
    assert reason in str(raised.value)
    assert str(path) in str(raised.value)
    assert raised.value.line == (1 if clash else 3)
    assert "--skip-bad" in str(raised.value)
    task = load(path, skip_bad=True)
    assert [line for line, _ in task.skipped] == ([1, 3] if clash else [3])
    assert all(reason in why for _, why in task.skipped)
    kept = {p.question.prompt for s in SPLITS for p in task.problems[s]}
    assert kept == ({"3+3"} if clash else {"1+1", "3+3"})


def test_the_same_question_with_the_same_answer_is_one_problem(path):
    path.write_text('{"q": "1+1", "a": 2}\n{"q": "1+1 ", "a": "2.0", "w": "1+1=2"}\n')
    task = load(path, solution="w")
    assert task.skipped == []
    assert [p.data for s in SPLITS for p in task.problems[s]] == ["1+1=2"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('q,a\n1+1,2\n"2+2,4\n', 3, "broken CSV"),
        ("q,a,q\n", 1, "two columns have one name"),
        ("q,a\n1+1,2\n2+2\n", 3, "1 cells under a header of 2"),
        ("q;a\n1+1;2\n", 2, "no column 'q'; there are 'q;a'"),
        ('q,a\n"1\n+1",2\n2+2,four\n', 4, "the answer 'four'"),
        ("q,a\n", None, "no usable row"),
        ("", None, "no usable row"),
    ],
)
def test_a_bad_csv_is_named(tmp_path, text, line, reason):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(BadData, match=reason) as raised:
        load(path)
    assert raised.value.line == line


def test_a_wrong_encoding_is_named_with_its_line(path):
    path.write_bytes(GOOD.encode() + b"\n" + '{"q": "café", "a": 4}'.encode("latin-1") + b"\n")
    with pytest.raises(BadData, match="0xe9 is not UTF-8") as raised:
        load(path, skip_bad=True)
    assert raised.value.line == 2


def test_a_file_that_is_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(BadData, match="No such file"):
        load(tmp_path / "none.jsonl")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadData, match="Is a directory"):
        load(tmp_path / "folder.csv")
    with pytest.raises(BadData, match=r"'\.txt'.*\.jsonl or \.csv"):
        load(tmp_path / "rows.txt")


def test_rows_that_are_all_bad_or_have_no_solution(path):
    path.write_text('{"q": "1", "a": "x"}\n')
    with pytest.raises(BadData, match=r"no usable row \(line 1: the answer 'x'"):
        load(path, skip_bad=True)
    path.write_text(GOOD)
    with pytest.raises(BadData, match="solution in a column 'work'"):
        load(path, solution="work")


def test_load_task_takes_a_path(path):
    jsonl(path, ROWS)
    task = load_task(path, question="q", answer="a", verifier="number")
    assert isinstance(task, FileTask)
    assert everything(task) == everything(load_task(str(path), question="q", answer="a", verifier="number"))
    with pytest.raises(BadConfig, match=r"missing a required argument: 'answer'"):
        load_task(path, question="q")
    with pytest.raises(UnknownName, match="verifier 'nummer'"):
        load_task(path, question="q", answer="a", verifier="nummer")
    with pytest.raises(BadConfig, match="no difficulty keys"):
        task.problem(0, digits=3)
