"""Other trainers' rollouts: reports from issue trackers planted as fixtures, whose true cause must be the first that is named; healthy runs are left alone."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkery.cli.main import main
from thinkery.core.errors import BadData, InputError
from thinkery.lab.diagnosis import diagnose
from thinkery.lab.dumps import load

Row = dict[str, Any]
STEPS, PROBLEMS, SAMPLES = 6, 8, 8
PROMPT = "<|im_start|>user\nTom has {a} bags of {b} apples and eats {c}. How many are left?<|im_end|>\n<|im_start|>assistant\n"
WORDS = re.findall(r"\w+", "so we first count the bags and then what is in each of them before we take away those that were eaten by Tom")


def healthy(seed: int = 0, right: float = 0.5, steps: int = STEPS) -> list[Row]:
    """A run in verl's form that is as it should be: half of the replies right, paid 1, advantages normalised by group."""
    draw, rows = random.Random(seed), list[Row]()
    for step in range(1, steps + 1):
        for p in range(PROBLEMS):
            a, b, c = draw.randint(2, 30), draw.randint(2, 30), draw.randint(1, 20)
            group = []
            for _ in range(SAMPLES):
                good = draw.random() < right
                answer = a * b - c if good else a * b - c + draw.randint(1, 9)
                said = " ".join(draw.choice(WORDS) for _ in range(draw.randint(8, 30)))
                text = f"{a} times {b} is {a * b}, {said}. The answer is \\boxed{{{answer}}}"
                group.append(
                    {"input": PROMPT.format(a=a, b=b, c=c), "output": text, "gts": str(a * b - c), "score": float(good), "step": step}
                )
            rows += normalised(group, p)
    return rows


def normalised(group: list[Row], p: int) -> list[Row]:
    score = np.array([g["score"] for g in group])
    advantage = (score - score.mean()) / (score.std() + 1e-6)
    return [{**g, "advantage": float(a), "uid": f"{g['step']}-{p}"} for g, a in zip(group, advantage)]


def again(rows: list[Row]) -> list[Row]:
    """With advantages of the rewards as they are now."""
    groups: dict[str, list[Row]] = {}
    for r in rows:
        groups.setdefault(r["uid"], []).append(r)
    return [r for i, g in enumerate(groups.values()) for r in normalised(g, i)]


def every(change: Callable[[Row, random.Random], Row], pay: bool = True) -> list[Row]:
    """Each row changed; rewards then as an honest grader pays, if `pay`."""
    draw = random.Random(1)
    rows = [{**r, **change(r, draw)} for r in healthy()]
    return again(rows) if pay else rows


def shifted_rewards() -> list[Row]:
    rows = healthy()
    scores = [r["score"] for r in rows]
    return again([{**r, "score": s} for r, s in zip(rows, scores[1:] + scores[:1])])


def tokens(
    learner: Callable[[np.ndarray, random.Random], np.ndarray], mask: Callable[[int], list[bool]] | None = None, **more: Any
) -> list[Row]:
    """Token exports as prime-rl writes them: 6 tokens of prompt, then a reply."""
    noise, draw, rows = np.random.default_rng(0), random.Random(0), list[Row]()
    for r in healthy():
        n = draw.randint(20, 40)
        sampler = -noise.exponential(0.8, n)
        inside = [False] * 6 + [True] * n if mask is None else mask(n + 6)
        both = [[0.0] * 6 + list(x) for x in (sampler, learner(sampler, draw))]
        rows.append(
            {"token_ids": list(range(n + 6)), "loss_mask": inside, "advantages": [r["advantage"]] * (n + 6), "inference_logprobs": both[0]}
            | {"trainer_logprobs": both[1], "step": r["step"], "reward": r["score"], "group": r["uid"], **more}
        )
    return rows


def trl(rows: list[Row], **parts: Callable[[Row, random.Random], float]) -> list[Row]:
    """As TRL logs completions: a column for each reward function, none for their sum."""
    draw = random.Random(2)
    return [
        {"step": r["step"], "prompt": r["input"], "completion": r["output"], "answer": r["gts"], "advantage": r["advantage"]}
        | {name: part(r, draw) for name, part in parts.items()}
        for r in rows
    ]


def noisy(x: np.ndarray, draw: random.Random, scale: float) -> np.ndarray:
    return x + np.array([draw.gauss(0, scale) for _ in x])


def first_off(x: np.ndarray, draw: random.Random) -> np.ndarray:
    return np.concatenate([x[:1] - 3.0, noisy(x[1:], draw, 0.01)])


def over(change: Callable[[Row, float, random.Random], Row]) -> list[Row]:
    """Rows changed by how far the run is, 0 to 1."""
    draw = random.Random(3)
    return again([{**r, **change(r, (r["step"] - 1) / (STEPS - 1), draw)} for r in healthy()])


def paid(r: Row, draw: random.Random) -> float:
    return float(r["score"])


BODY = "Question: what is 3+4?\nAnswer: 7"
LONG = " ".join(WORDS) * 4
REPORTS: dict[str, tuple[str, Callable[[], list[Row]]]] = {
    "autocontext#1070: plain string prompts, no template, replies never end": (
        "template",
        lambda: every(lambda r, d: {"input": r["input"].split("\n")[1].split("<")[0], "output": f"{r['output']}\n{BODY}\n{BODY}", "score": 0.0}, False),
    ),
    "autocontext#1067: a limit of 256 tokens cuts every answer": (
        "truncation",
        lambda: every(lambda r, d: {"output": r["output"].split("The answer")[0], "finish_reason": "length", "score": 0.0}, False),
    ),
    "TRL#6966: the template writes <think>, the format reward wants it in the reply": (
        "prefilled tag",
        lambda: trl(every(lambda r, d: {"output": "we count\n</think>\n" + r["output"]}), think_format_reward=lambda r, d: 0.0, accuracy_reward=paid),
    ),
    "verl#5635: signal.alarm outside the main thread, every answer is graded 0": ("grader", lambda: every(lambda r, d: {"score": 0.0})),
    "R1-V#38: the grader takes the first number it finds": ("grader", lambda: every(lambda r, d: {"score": 0.0 if d.random() < 0.9 else r["score"]})),
    "NeMo-RL#3635: one reply that could not be parsed shifts all rewards": ("shifted rewards", shifted_rewards),
    "cookbook#335, open-r1#293: gold that cannot be parsed pays everything": (
        "grader",
        lambda: every(lambda r, d: {"gts": f"\\frac{{{r['gts']}7}}{{3}}", "score": 1.0 if d.random() < 0.8 else 0.0}),
    ),
    "TRL#3903: format goes to 1, accuracy stays 0": (
        "format alone",
        lambda: trl(healthy(right=0.0), format_reward=lambda r, d: float(d.random() < 0.6), accuracy_reward=lambda r, d: 0.0),
    ),
    "TRL#2771: a reward that grows with the distance": ("sign", lambda: every(lambda r, d: {"score": 1.0 - r["score"]})),
    "TRL#3857: parts that differ, sums that do not": (
        "constant reward",
        lambda: [{**r, "reward": 3.0} for r in trl(healthy(right=0.0), rewrite=lambda r, d: d.choice([-3.0, 2.0]), json=lambda r, d: 2.0)],
    ),
    "TRL#3452: loss 0, every reward 0": ("constant reward", lambda: again([{**r, "score": 0.0} for r in healthy(right=0.0)])),
    "the gold answers are lost when the data are mapped": (
        "gold answers",
        lambda: every(lambda r, d: {"gts": None if d.random() < 0 else "None", "score": 0.0}),
    ),
    "TRL#2892, TRL#6044: the end-of-turn token is no stop token": (
        "end token",
        lambda: every(lambda r, d: {"output": r["output"] + "<|im_end|>\nassistant " + LONG}),
    ),
    "open-r1#462: two begin tokens": (
        "begin token",
        lambda: every(lambda r, d: {"input": "<｜begin▁of▁sentence｜><｜begin▁of▁sentence｜><｜User｜>" + r["input"][17:60] + "<｜Assistant｜>"}),
    ),
    "the template without its generation prompt": (
        "generation prompt", lambda: every(lambda r, d: {"input": r["input"].replace("<|im_start|>assistant\n", "")})),
    "tt-metal#53077: n completions of one seed": (
        "same samples",
        lambda: every(lambda r, d: {"output": f"it is {r['uid']}, {LONG}", "score": float(int(r["uid"][-1]) % 2)}),
    ),
    "verl-tool#116: the loss mask is the attention mask": ("mask", lambda: tokens(lambda x, d: noisy(x, d, 0.005), lambda n: [True] * n)),
    "TRL assistant_only_loss on a template without generation marks": ("mask", lambda: tokens(lambda x, d: noisy(x, d, 0.005), lambda n: [False] * n)),
    "TRL#4159, verl#6240: sampled at 0.6, learnt at 1": ("temperature", lambda: tokens(lambda x, d: noisy(x * 0.6, d, 0.01))),
    "TRL#3867: an engine of another precision": ("stale or other weights", lambda: tokens(lambda x, d: noisy(x, d, 0.3))),
    "TRL#5312: weights never reach the sleeping engine": ("stale or other weights", lambda: tokens(lambda x, d: noisy(x, d, 1.5), policy_version=40)),
    "marin#7179: a begin token less in training than in sampling": ("context", lambda: tokens(first_off)),
    "verl#3287: log-probabilities off by one": ("shifted log-probabilities", lambda: tokens(lambda x, d: np.roll(x, 1))),
    "prime-rl: runs far ahead of the weights": ("stale samples", lambda: every(lambda r, d: {"off_policy_level": 0 if d.random() < 0.05 else 24})),
    "TRL num_generations and a shuffling sampler: groups of other problems": (
        "advantage groups",
        lambda: (lambda rows, order: [{**r, "advantage": rows[i]["advantage"]} for r, i in zip(rows, order)])(
            healthy(), random.Random(5).sample(range(STEPS * PROBLEMS * SAMPLES), STEPS * PROBLEMS * SAMPLES)
        ),
    ),
    "one nan reward in a group": ("reward", lambda: every(lambda r, d: {"score": float("nan") if d.random() < 0.05 else r["score"]}, False)),
    "verl#5839: graders run into their time limit": (
        "errors",
        lambda: every(lambda r, d: {"error": "TimeoutError: grader", "score": 0.0} if d.random() < 0.5 else {"error": ""}),
    ),
    "the solution's column is in the prompt": ("leak", lambda: every(lambda r, d: {"input": r["input"].replace("left?", f"left? Answer: {r['gts']}")})),
    "prompts cut at max_prompt_length from the right": (
        "same prompts",
        lambda: every(lambda r, d: {"input": "You are a helpful assistant. " * 9, "uid": "x" + r["uid"]}),
    ),
    "DAPO: most groups all wrong": (
        "dead groups",
        lambda: again([{**r, "score": r["score"] if int(r["uid"].split("-")[1]) == 0 else 0.0, "gts": "-1"} for r in healthy()]),
    ),
    "a judge that likes length": (
        "length bias",
        lambda: again([{**{k: v for k, v in r.items() if k != "gts"}, "score": len(r["output"]) / 200} for r in healthy()]),
    ),
    "vLLM: the first token is a stop token": ("empty replies", lambda: every(lambda r, d: {"output": "", "score": 0.0})),
    "unsloth#1672: mangled text after the answer": ("tokenizer", lambda: every(lambda r, d: {"output": "\ufffd\ufffdath\ufffdErs\ufffd" * 30, "score": 0.0})),
    "critique-GRPO#2: the model repeats itself": ("repetition", lambda: every(lambda r, d: {"output": r["output"] + " and so it is again" * 40})),
    "Intuitor#26: entropy collapses": (
        "collapsed variety",
        lambda: over(lambda r, at, d: {"output": "It is seven apples in all. \\boxed{7}" if at > 0.5 and d.random() < 0.97 else r["output"], "gts": None}),
    ),
    "GMPO#3: length grows, reward does not": (
        "length blow-up",
        lambda: over(lambda r, at, d: {"output": " ".join(d.choice(WORDS) for _ in range(int(100 * at))) + r["output"]}),
    ),
    "a reward that is hacked": (
        "reward hacking",
        lambda: over(lambda r, at, d: {"score": max(r["score"], float(d.random() < at)), "output": r["output"] if d.random() > at * 0.7 else "I am sure. \\boxed{0}"}),
    ),
}  # fmt: skip


def written(rows: list[Row], folder: Path) -> Path:
    """As verl dumps them: a file for each step."""
    folder.mkdir(parents=True, exist_ok=True)
    for step in {r.get("step", 0) for r in rows}:
        lines = [json.dumps(r) for r in rows if r.get("step", 0) == step]
        (folder / f"{step}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def named(rows: list[Row], folder: Path) -> list[str]:
    """The checks that warn, the worst first."""
    return [f.check for f in diagnose([written(rows, folder)]).findings if f.level in ("fatal", "warning")]


@pytest.mark.parametrize("report", REPORTS)
def test_the_cause_is_named_first(report: str, tmp_path: Path) -> None:
    cause, rows = REPORTS[report]
    assert named(rows(), tmp_path / "dumps")[:1] == [cause], diagnose([tmp_path / "dumps"]).findings


def test_there_are_enough_reports_of_others() -> None:
    numbered = [r for r in REPORTS if re.match(r"[\w-]+#\d+", r)]
    assert len(REPORTS) >= 35 and len(numbered) >= 22


@pytest.mark.parametrize("seed", range(30))
def test_healthy_runs_are_left_alone(seed: int, tmp_path: Path) -> None:
    rates = (0.1, 0.3, 0.5, 0.7, 0.9)
    assert named(healthy(seed, rates[seed % 5], steps=4 + seed % 5), tmp_path / "a") == []
    exports = tokens(lambda x, d: noisy(x, d, 0.01))
    assert seed or named(exports, tmp_path / "b") == []


def test_healthy_runs_of_other_forms(tmp_path: Path) -> None:
    assert named(trl(healthy(), accuracy_reward=paid, format_reward=lambda r, d: float(d.random() < 0.9)), tmp_path / "trl") == []
    plain = [{"question": f"Q: {r['input'][17:60]}", "response": r["output"], "reward": r["score"]} for r in healthy()]
    assert named(plain, tmp_path / "plain") == []


def test_whose_files_they_are(tmp_path: Path) -> None:
    forms = {"verl": healthy(), "prime-rl": tokens(lambda x, d: x), "trl": trl(healthy(), accuracy_reward=paid)}
    forms["plain"] = [{"prompt": "a", "reply": "b", "reward": 1}]
    for kind, rows in forms.items():
        found, samples = load([written(rows, tmp_path / kind)])
        assert (found, len(samples)) == (kind, len(rows))
    (one,) = load([tmp_path / "plain"])[1]
    assert (one.prompt, one.text, one.reward, one.where) == ("a", "b", 1.0, "0.jsonl line 1")
    sums = load([tmp_path / "trl"])[1]
    assert [s.reward for s in sums] == [r["accuracy_reward"] for r in sorted(forms["trl"], key=lambda r: r["step"])]


def test_parquet_as_trl_writes_it(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "completions"
    folder.mkdir()
    for step in (1, 2):
        rows = [r for r in trl(healthy(), accuracy_reward=paid) if r["step"] == step]
        parquet.write_table(arrow.Table.from_pylist(rows), folder / f"completions_{step:05d}.parquet")
    found = diagnose([folder])
    assert (found.kind, found.samples, found.steps, found.healthy) == ("trl", 128, 2, True)
    (folder / "completions_00003.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(BadData, match="not a Parquet file"):
        diagnose([folder])


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("", InputError, "no rollouts in"),
        ("[1]\n", BadData, "line 1: a list, not an object"),
        ('{"a": 1}\n', BadData, "no reply in it: it has a; a reply is called"),
        ('{"prompt": "x", "completion": "y"}\n{"prompt"', BadData, "line 2"),
        ("[" * 100_000, BadData, "not valid JSON"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, error: type[Exception], said: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(error, match=said):
        diagnose([tmp_path / "x.jsonl"])
    with pytest.raises(BadData, match="no such file"):
        diagnose([tmp_path / "nowhere"])


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=40),
    lambda x: st.lists(x, max_size=5) | st.dictionaries(st.text(max_size=8), x, max_size=4),
)
names = [
    "prompt",
    "completion",
    "reward",
    "score",
    "answer",
    "advantage",
    "step",
    "token_ids",
    "loss_mask",
    "inference_logprobs",
    "trainer_logprobs",
]


@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from([*names, "error", "format", "truncated", "uid"]), values, max_size=9), min_size=1, max_size=24
    )
)
@settings(max_examples=150, deadline=None)
def test_no_rows_break_it(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "r.jsonl"
    file.write_text("\n".join(json.dumps({"completion": "x", **r}) for r in rows))
    found = diagnose([file])
    json.dumps(found.to_dict())
    assert found.samples == len(rows)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "rollouts", str(written(healthy(), tmp_path / "good"))]) == 0
    assert "384 samples in 48 groups, 6 steps (verl)" in capsys.readouterr().out
    bad = written(shifted_rewards(), tmp_path / "bad")
    assert main(["doctor", "rollouts", str(bad)]) == 1
    assert "shifted rewards" in capsys.readouterr().out
    assert main(["doctor", "rollouts", str(bad), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "verl" and told["findings"][0]["check"] == "shifted rewards" and not told["healthy"]
    assert main(["doctor", "rollouts", str(tmp_path / "nowhere")]) == 2
