"""Published data sets keep what they were published as: their counts, their splits, their scorers. A test problem that slips into
training, a gold answer that its own verifier refuses, or a row dropped in silence would spoil every number measured on them.

The files are looked for in THINKERY_DATA, else beside the repository; without them the tests that read them are skipped.
"""

import os
import re
import sys
import time
import types
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thinkery.core.errors import BadConfig, BadData, InputError, MissingExtra, UnknownName, VerifierError
from thinkery.core.records import Reply
from thinkery.core.rng import rng
from thinkery.tasks import DATASETS, SPLITS, TASKS, VERIFIERS, VIEWS, load_task, task_names
from thinkery.tasks.real import found

ROOT = Path(__file__).resolve().parents[2]
PLACES = [Path(p) for p in (os.environ.get("THINKERY_DATA"), ROOT.parent / "shared" / "data") if p]
DATA = next((p for p in PLACES if p.is_dir()), None)
SLOW = {"boxoban": 20}  # how many of a split are tried, where each takes long
NONSENSE = (
    """
#|##|# #|Answer:|answer is|\\boxed{}|{answer}|#{gold}|nan|?|#\x00|()|[]|;|.|A, B, C, D or E|Answer: (A) or (B)|Answer: yes and no|yes no
True False Uncertain Unknown|Answer: True, False or Uncertain|0 1 2 3 4 5 6 7 8 9|Answer: n s e w|Answer: u d|\\boxed{A or B}|everybody is a knight
import os|SELECT|pass|None of these
""".strip()
    .replace("\n", "|")
    .split("|")
)
NONSENSE += ["", " ", "\n", "|", "#" + "9" * 5000, "True" * 5000]
LABELS = ["A", "B", "C", "D", "E", "(A)", "(B)", "yes", "no", "True", "False", "Uncertain", "0", "1", "2", "kitchen", "valid", "Yes", "No"]


@pytest.fixture(autouse=True)
def where(monkeypatch):
    if DATA:
        monkeypatch.setenv("THINKERY_DATA", str(DATA))


@cache
def loaded(name):
    start = time.thread_time()
    task = load_task(name)
    return task, time.thread_time() - start


@pytest.fixture(params=list(DATASETS))
def task(request):
    if request.param not in found():
        pytest.skip(f"the files of {request.param} are not in {DATA or PLACES}")
    verifier = DATASETS[request.param]
    if verifier.check is None and verifier.verifier not in VERIFIERS:
        pytest.skip(f"there is no verifier {verifier.verifier!r} yet")
    return loaded(request.param)[0]


def some(task, most):
    """Up to `most` problems of each split, as `problem` gives them."""
    return [task.problem(i, split) for split in SPLITS for i in range(min(most, task.size(split)))]


def everything(task):
    return [p for split in SPLITS for p in task.problems[split]] if task.name not in SLOW else some(task, SLOW[task.name])


# ---- what was published


def manifest():
    """Rows by (folder, file) as the manifest of the data folder counts them."""
    counts, folder = {}, ""
    for line in (DATA / "MANIFEST.md").read_text("utf-8").splitlines():
        if line.startswith("### "):
            folder = line[4:]
        elif row := re.match(r"\| ([^|]+) \| ([0-9,]+) \|", line):
            counts[folder, row[1]] = int(row[2].replace(",", ""))
    return counts


@pytest.mark.skipif(DATA is None or not (DATA / "MANIFEST.md").is_file(), reason="no manifest of the data")
def test_every_row_is_a_problem_or_was_left_out_by_a_named_rule(task):
    files = [path.relative_to(DATA / task.dataset.folder) for path, _ in task.dataset.paths(DATA)]
    rows = sum(manifest()[task.dataset.folder, str(f)] for f in files)
    assert sum(map(task.size, SPLITS)) + sum(task.left_out.values()) == rows
    assert sum(task.left_out.values()) < 0.15 * rows


def test_the_document_says_what_was_read(task):
    """docs/data.md has a line for each data set: sizes, licence, folder, rows left out."""
    (line,) = (x for x in (ROOT / "docs" / "data.md").read_text("utf-8").splitlines() if x.startswith(f"| `{task.name}` |"))
    for split in SPLITS:
        assert not task.size(split) or f"{split} {task.size(split):,}" in line
    assert task.dataset.licence in line
    assert task.dataset.folder in line
    assert all(f"{n} {rule}" in line for rule, n in task.left_out.items())


def test_loading_is_quick_and_gives_the_same_again(task):
    assert loaded(task.name)[1] < 2.0
    if task.name in ("gsm8k", "folio", "aime"):
        again = load_task(task.name)
        assert again.problems == task.problems
        assert [again.problem(i, "test", 3) for i in range(20)] == [task.problem(i, "test", 3) for i in range(20)]


def test_no_family_is_on_two_sides(task):
    sides = [{p.family for p in task.problems[split]} for split in SPLITS]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]
    prompts = [{" ".join(p.question.prompt.split()) for p in task.problems[split]} for split in SPLITS]
    assert not prompts[0] & prompts[2] | prompts[1] & prompts[2]


def test_ids_are_unique_and_prompts_say_something(task):
    problems = [p for split in SPLITS for p in task.problems[split]]
    assert len({p.id for p in problems}) == len(problems)
    assert all(len(p.question.prompt.strip()) > 5 and p.question.instruction for p in problems)
    assert all(p.question.prompt.count(p.data.solution) == 0 for p in problems if p.data.solution)


def test_test_files_are_test(task):
    """Whatever the content says, a row of a file that was published as a test lies in the test split."""
    for path, split in task.dataset.paths(DATA):
        if split == "test":
            assert not any(
                p.id.startswith(path.stem + ":") for s in ("train", "validation") for p in task.problems[s] if "train" not in p.id
            )


# ---- verdicts


def test_the_gold_answer_scores_1(task):
    bad = [(p.id, p.answer) for p in everything(task) if task.verify(p, Reply(p.answer)).score != 1]
    assert not bad


def test_the_gold_answer_scores_1_as_the_instruction_asks(task):
    """The instruction names the marker: Answer: or a box."""
    for p in everything(task):
        told = p.question.instruction
        ending = f"\\boxed{{{p.answer}}}" if "boxed" in told else f"```\n{p.answer}\n```" if "```" in told else f"Answer: {p.answer}"
        verdict = task.verify(p, Reply(f"Let me think: a few words, and more.\n\n{ending}"))
        assert verdict.score == 1, (p.id, verdict)
        assert verdict.parsed is not None


def test_demonstrations_verify(task):
    for p in everything(task):
        if task.has_demonstration(p):
            verdict = task.verify(p, Reply(task.demonstration(p, "solution", rng(0))))
            assert verdict.score == 1, (p.id, verdict)
    assert not task.styles or task.styles == ("solution",)


def test_nonsense_scores_0(task):
    for p, text in product(some(task, 4 if task.name in SLOW else 12), NONSENSE):
        assert task.verify(p, Reply(text)).score == 0, (p.id, p.answer, text)


def test_no_constant_earns_more_than_its_share(task):
    problems = some(task, 4 if task.name in ("boxoban", "math", "math500", "humaneval", "mbpp") else 120)
    for text in LABELS:
        right = sum(task.verify(p, Reply(text)).score for p in problems)
        assert right <= 0.65 * len(problems) + 2, text


def test_other_answers_score_0(task):
    """The gold answer of a neighbour is right only where both have the same one."""
    problems = some(task, SLOW.get(task.name, 100))
    for p, q in pairwise(problems):
        if p.answer != q.answer and task.name not in ("saturn_sat", "boxoban", "spider", "babi", "folio", "mbpp", "humaneval"):
            a, b = task.verify(p, Reply(q.answer)).score, task.verify(q, Reply(p.answer)).score
            assert a == b == 0, (p.answer, q.answer)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=60), at=st.integers(0, 30))
def test_no_text_makes_a_verifier_raise(task, text, at):
    p = some(task, 1)[0]
    for reply in (text, f"Answer: {text}", p.answer[:at] + text + p.answer[at:], f"\\boxed{{{p.answer}{text}"):
        try:
            verdict = task.verify(p, Reply(reply))
        except VerifierError as error:
            if "the sandbox lacks" not in str(error):  # what programs may ask for
                raise
            continue
        assert verdict.score in (0, 1)
        assert verdict.reason


def test_a_reply_that_was_cut_off_scores_0(task):
    p = some(task, 1)[0]
    assert task.verify(p, Reply(p.answer, truncated=True)).score == 0


@pytest.mark.parametrize("unit", ["#", "1", "1,", "(A) ", "Answer: ", "u d ", "\n", "\\boxed{", "a|", "x is a knight "])
def test_a_megabyte_of_nonsense_is_judged_at_once(task, unit):
    p = some(task, 1)[0]
    text = unit * (1_000_000 // len(unit))
    task.verify(p, Reply("?"))
    start = time.thread_time()
    assert task.verify(p, Reply(text)).score == 0
    assert time.thread_time() - start < 3.0


# ---- where they are looked for


def test_what_is_missing_says_where_it_was_looked_for_and_where_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("THINKERY_DATA", str(tmp_path / "nowhere"))
    assert task_names() == sorted([*TASKS, *VIEWS])
    with pytest.raises(
        BadData, match=r"nowhere.gsm8k.train.jsonl: GSM8K is not there \(THINKERY_DATA is .*grade-school-math.*hf:openai/gsm8k"
    ):
        load_task("gsm8k")
    monkeypatch.delenv("THINKERY_DATA")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadData, match=r"THINKERY_DATA is not set, so ./data was looked at"):
        load_task("babi:qa1")
    with pytest.raises(UnknownName, match="Did you mean gsm8k"):
        load_task("gsm8")


def write(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")


SUM = '{"question": "What is %d and 1?", "answer": "%d+1=<<%d+1=%d>>%d\\n#### %d"}\n'


def sums(numbers):
    return "".join(SUM % (i, i, i, i + 1, i + 1, i + 1) for i in numbers)


def test_data_beside_the_user_is_found_and_what_is_in_the_test_file_is_never_trained_on(monkeypatch, tmp_path):
    monkeypatch.delenv("THINKERY_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "data/gsm8k/train.jsonl", sums(range(100)) + sums([5]))
    write(tmp_path, "data/gsm8k/test.jsonl", sums(range(90, 110)).replace("What is", "what  is"))
    assert task_names() == [*sorted([*TASKS, *VIEWS]), "gsm8k"]
    task = load_task("gsm8k")
    assert task.left_out == {"also in test": 10, "twice in the files": 1}
    assert task.size("test") == 20
    assert task.size("train") + task.size("validation") == 90
    p = task.problem(0)
    assert "<<" not in task.demonstration(p, "solution", rng(0))
    with pytest.raises(BadConfig, match="no difficulty keys"):
        load_task("gsm8k", depth=3)
    with pytest.raises(BadConfig, match="the data set 'gsm8k' has no difficulty keys"):
        task.problem(0, depth=3)
    with pytest.raises(InputError, match="no problem 20 in the test split"):
        task.problem(20, "test")


@pytest.mark.parametrize(("text", "said"), [("{broken", "line 1: broken JSON"), ("[1]\n", "row 1 is a list"), ("\xff", "not UTF-8")])
def test_a_broken_file_is_named(monkeypatch, tmp_path, text, said):
    monkeypatch.setenv("THINKERY_DATA", str(tmp_path))
    write(tmp_path, "gsm8k/train.jsonl", sums(range(3)))
    (tmp_path / "gsm8k" / "test.jsonl").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadData, match=said):
        load_task("gsm8k")


def test_a_row_without_its_column_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("THINKERY_DATA", str(tmp_path))
    write(tmp_path, "gsm8k/train.jsonl", sums(range(3)))
    write(tmp_path, "gsm8k/test.jsonl", sums(range(3, 5)) + '{"question": "What?"}\n')
    with pytest.raises(BadData, match=r"test.jsonl: row 3: KeyError 'answer'"):
        load_task("gsm8k")


def test_a_split_that_was_not_published_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("THINKERY_DATA", str(tmp_path))
    write(tmp_path, "word_problems/mawps_test.jsonl", '{"input": "1 and 1?", "target": 2.0}\n')
    task = load_task("mawps")
    assert task.problem(0, "test").answer == "2"
    assert task.styles == ()
    with pytest.raises(InputError, match=r"'mawps' has no train split where it was read \(1 test\)"):
        task.problem(0)


@pytest.mark.skipif("babi" not in DATASETS or DATA is None, reason="no data")
def test_a_part_is_named_behind_a_colon():
    part = load_task("babi:qa19")
    assert (part.name, part.size("test")) == ("babi:qa19", 1000)
    assert {p.answer.count(",") for p in part.problems["test"]} == {1}
    assert load_task("babi:qa1").size("test") == 1000
    assert load_task("metaqa:2hop").size("test") == 1000
    assert load_task("bbh:navigate").size("test") == 250
    with pytest.raises(UnknownName, match=r"unknown part of bbh 'navigation'\. Did you mean navigate"):
        load_task("bbh:navigation")


def test_the_hub_is_read_through_its_package(monkeypatch):
    asked_for = []

    def load_dataset(name, config):
        asked_for.append((name, config))
        row = {"question": "What is 1 and 1?", "answer": "1+1=<<1+1=2>>2\n#### 2"}
        return {"train": [row, {**row, "question": "What is 1 and 1 indeed?"}], "test": [row]}

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    task = load_task("hf:openai/gsm8k")
    assert asked_for == [("openai/gsm8k", "main")]
    assert task.size("test") == 1
    assert task.left_out == {"also in test": 1}
    assert task.verify(task.problem(0, "test"), Reply("#2")).score == 1
    with pytest.raises(UnknownName, match="Did you mean openai/gsm8k"):
        load_task("hf:openai/gsm8")

    def fails(name, config):
        raise ConnectionError("no network")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=fails))
    with pytest.raises(BadData, match="ConnectionError: no network"):
        load_task("hf:openai/gsm8k")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"thinkery\[hf\]"):
        load_task("hf:openai/gsm8k")
