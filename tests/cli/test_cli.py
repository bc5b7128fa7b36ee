"""The commands must say in one message what was wrong and end with the status that scripts rely on; a traceback, a half-written model or
a stray line in JSON output is what people meet first when this breaks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import model_of
from thinkery.cli.main import COMMANDS, GROUPS, main
from thinkery.lab.store import metrics_of
from thinkery.models.tokenizer import character_tokenizer

Cli = Callable[..., tuple[int, str, str]]
QUICK = ("--steps", "2", "--set", "problems=2", "--set", "samples=2", "--set", "max_tokens=4", "--evaluate", "4", "--workers", "1")
SOURCE = str(Path(__file__).resolve().parents[2] / "src")
ENV = {**os.environ, "PYTHONPATH": SOURCE, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
COLUMNS = ("--question", "q", "--answer", "a", "--verifier", "number")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny model's folder that no test may change."""
    folder = tmp_path_factory.mktemp("models") / "random"
    model_of().save(folder)
    return folder


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in this process, in an empty folder; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(a) for a in arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def rows(n: int = 200) -> list[dict[str, Any]]:
    return [{"q": f"{a}+{b}=", "a": a + b} for a in range(20) for b in range(a, 20)][:n]


def data(path: Path, questions: list[dict[str, Any]] | None = None) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in (rows() if questions is None else questions)), "utf-8")
    return path


def process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "thinkery", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=ENV, capture_output=True, text=True, timeout=120)


# ---- help and statuses


def test_help_is_quick_and_imports_no_torch() -> None:
    code = (
        "import sys; from thinkery.cli.main import main; status = main(['--help']);"
        " sys.exit(status or sum(m in sys.modules for m in ('torch', 'numpy', 'numba', 'jinja2')))"
    )
    seconds = []
    for _ in range(3):
        began = os.times()
        done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True)
        ended = os.times()  # of the processor, so that a busy machine says the same
        seconds.append(ended.children_user + ended.children_system - began.children_user - began.children_system)
        assert done.returncode == 0, done.stderr
        assert "demo" in done.stdout
    assert min(seconds) < 0.5


def test_every_command_has_a_help_that_says_what_it_does(cli: Cli) -> None:
    for words in [[c] for c in COMMANDS] + [[g, name] for g, (_, names) in GROUPS.items() for name in names]:
        status, out, err = cli(*words, "--help")
        assert (status, err) == (0, "")
        assert f"Usage: thinkery {' '.join(words)}" in out
    assert "thinkery train grpo --task addition" in " ".join(cli("train", "--help")[1].split())
    assert "thinkery eval --model" in " ".join(cli("eval", "--help")[1].split())


def test_statuses_of_a_process(tmp_path: Path, model: Path) -> None:
    assert process("--version", cwd=tmp_path).returncode == 0
    wrong = process("train", "grpo", "--taks", "addition", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--taks" in wrong.stderr
    assert "Did you mean --task?" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    assert not list(tmp_path.iterdir())


def test_what_fails_while_running_is_1(cli: Cli, tmp_path: Path, model: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "from thinkery.core.records import Card\n"
        "from thinkery.learning.recipe import default\n"
        "from thinkery.learning.rewards import weighted\n"
        "CARD = Card(id='bad', family='objectives', title='Bad', changes=('reward',))\n"
        "def broken(rollouts):\n    return [float('nan') for r in rollouts]\n"
        "def recipe(setting):\n    return default(setting).rl(reward=weighted(broken=broken))\n"
    )
    status, _, err = cli("train", "./bad.py", "--task", "addition", "--model", model, "--out", "run", "--quiet", *QUICK)
    assert status == 1
    assert "the reward part 'broken' gave nan" in err
    assert "Traceback" not in err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
    assert not (tmp_path / "run" / "model").exists()


def test_ctrl_c_is_130_and_resume_goes_on(cli: Cli, tmp_path: Path, model: Path) -> None:
    words = ["train", "grpo", "--task", "addition", "--model", model, "--out", "run", "--json", *QUICK[2:], "--steps", 200]
    command = [sys.executable, "-m", "thinkery", *map(str, words)]
    child = subprocess.Popen(command, cwd=tmp_path, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line)["event"] == "step":
            child.send_signal(signal.SIGINT)
            break
    _, err = child.communicate(timeout=120)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    done = len(metrics_of(tmp_path / "run"))
    assert 0 < done < 200
    status, out, _ = cli(*words, "--resume")
    assert status == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert next(e["text"] for e in events if e["event"] == "note") == f"resumed from step {done} of 200"
    assert len(metrics_of(tmp_path / "run")) == 200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_nobody_can_take_is_no_traceback(tmp_path: Path) -> None:
    code = "import sys, time; time.sleep(0.5); from thinkery.cli.main import main; sys.exit(main(['version']))"
    reader, writer = os.pipe()
    os.close(reader)
    closed = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (closed.returncode, closed.stderr) == (1, "")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("thinkery: the disk is full")


def test_ctrl_c_outside_training_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(query: str) -> list[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr("thinkery.lab.catalogue.find", stop)
    assert cli("show", "grpo") == (130, "", "interrupted\n")


# ---- wrong input


def _no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _larger_tokenizer(folder: Path) -> None:
    character_tokenizer("".join(map(chr, range(0x400, 0x460)))).save(folder, 160)


def _other_shape(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": 48}))


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _other_family(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "mamba"}))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_no_tokenizer, ("has no tokenizer.json", "save the tokenizer beside the weights")),
        (_larger_tokenizer, ("100 tokens", "the embedding only 64", "belongs to another model")),
        (_other_shape, ("embed_tokens.weight", "[64, 32]", "config.json asks for [64, 48]")),
        (_pickle, ("has no model.safetensors", "pickle files are never loaded")),
        (_other_family, ("model_type mamba", "the weights lack")),
    ],
)
def test_a_model_that_does_not_fit(cli: Cli, tmp_path: Path, model: Path, harm: Callable[[Path], None], said: tuple[str, ...]) -> None:
    shutil.copytree(model, tmp_path / "model")
    harm(tmp_path / "model")
    for command in (("eval", "--n", 4), ("train", "grpo", "--out", "run", *QUICK)):
        refused(cli(*command, "--task", "addition", "--model", "model"), *said)
    assert not (tmp_path / "run").exists()


def refused(result: tuple[int, str, str], *said: str) -> None:
    """One message on stderr that says so, status 2, nothing on stdout, no traceback."""
    status, out, err = result
    assert status == 2, err
    assert out == ""
    assert err.startswith("thinkery: ")
    assert err.count("thinkery: ") == 1
    assert "Traceback" not in err
    for words in said:
        assert words in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "grpo", "--task", "aditon"], ("unknown task 'aditon'", "Did you mean addition")),
        (["train", "grop", "--task", "addition"], ("unknown method 'grop'", "Did you mean grpo", "thinkery list methods")),
        (["train", "./none.py", "--task", "addition"], ("./none.py", "no such file")),
        (["train", "grpo"], ("--task NAME", "--data FILE")),
        (["train", "grpo", "--task", "addition", "--data", "x.jsonl"], ("one source of problems",)),
        (["train", "grpo", "--task", "addition", "--set", "lrr=1"], ("unknown setting 'lrr'", "known: ", " lr,")),
        (["train", "grpo", "--task", "addition", "--set", "lr"], ("--set 'lr'", "key=value")),
        (["train", "grpo", "--task", "addition", "--steps", "0"], ("steps is 0", "at least 1")),
        (["train", "grpo", "--task", "addition", "--steps", "many"], ("many", "--steps", "thinkery train --help")),
        (["train", "grpo", "--task", "addition", "--size", "huge"], ("huge", "tiny")),
        (["train", "grpo", "--task", "addition", "--model", "nowhere"], ("unknown model 'nowhere'", "Hugging Face model folder")),
        (["train", "grpo", "--task", "addition", "--config", "none.toml"], ("none.toml", "No such file")),
        (["train", "grpo", "--task", "addition", "--solver", "think"], ("unknown solver 'think'", "single")),
        (["train", "grpo+rloo", "--task", "addition"], ("grpo and rloo both change 'advantage'",)),
        (["train", "grpo", "--data", "none.jsonl", *COLUMNS], ("none.jsonl", "No such file")),
        (["train", "grpo", "--data", "none.jsonl", "--question", "q"], ("also needs --answer, --verifier",)),
        (["eval", "--task", "addition", "--n", "0"], ("n is 0", "at least 1")),
        (["eval", "--task", "addition", "--samples", "4"], ("--temperature",)),
        (["show", "nothing_like_it"], ("unknown method 'nothing_like_it'",)),
        (["run", "report", "nowhere"], ("nowhere", "no run.json", "thinkery list runs")),
        (["new", "method", "objectives", "grpo"], ("'grpo' is taken",)),
        (["model", "build", "huge"], ('"huge"', "tiny")),
        (["trian"], ("trian", "train")),
        (["list", "method"], ("method", "methods")),
    ],
)
def test_wrong_words(cli: Cli, tmp_path: Path, words: list[str], said: tuple[str, ...]) -> None:
    refused(cli(*words), *said)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("broken.jsonl", '{"q": "1+1=", "a": 2}\n{"q": "1+2=", "a": 3\n', ("broken.jsonl, line 2", "broken JSON", "--skip-bad")),
        ("column.jsonl", '{"q": "1+1=", "b": 2}\n', ("column.jsonl, line 1", "no column 'a'", "'q', 'b'")),
        ("gold.jsonl", '{"q": "1+1=", "a": "two"}\n', ("gold.jsonl, line 1", "'two'", "number")),
        ("empty.jsonl", "", ("empty.jsonl", "no usable row")),
        ("few.jsonl", '{"q": "1+1=", "a": 2}\n', ("few", "split")),
        ("problems.parquet", "", ("problems.parquet", ".jsonl or .csv")),
    ],
)
def test_wrong_data(cli: Cli, tmp_path: Path, model: Path, name: str, content: str, said: tuple[str, ...]) -> None:
    (tmp_path / name).write_text(content)
    for split in ("test", "train"):  # the one row of few.jsonl lies in one of them
        status, out, err = cli("eval", "--data", name, *COLUMNS, "--model", model, "--split", split, "--n", 1, "--json")
        if status:
            break
    refused((status, out, err), *said)


def test_a_prompt_longer_than_the_context(cli: Cli, tmp_path: Path, model: Path) -> None:
    data(tmp_path / "long.jsonl", [{"q": r["q"] + "1+" * 100, "a": r["a"]} for r in rows()])
    for command in (("eval",), ("train", "grpo", "--out", "run", "--evaluate", 0, *QUICK[:-4])):
        status, _, err = cli(*command, "--data", "long.jsonl", *COLUMNS, "--model", model)
        assert status == 2
        assert "context" in err
        assert "160" in err
        assert "Traceback" not in err
    assert not (tmp_path / "run" / "model").exists()


def test_a_configuration_file(cli: Cli, tmp_path: Path) -> None:
    for content, said in (("lrr = 1", "unknown setting 'lrr'"), ("lr = = 1", "not valid TOML"), ("steps = 'many'", "'many'")):
        (tmp_path / "c.toml").write_text(content)
        refused(cli("train", "grpo", "--task", "addition", "--out", "run", "--config", "c.toml"), said)
    assert not (tmp_path / "run").exists()


def test_debug_shows_where(cli: Cli) -> None:
    status, _, err = cli("train", "grpo", "--task", "aditon", "--debug")
    assert status == 2
    assert "Traceback" in err
    assert "UnknownName" in err
    assert err.rstrip().splitlines()[-1].startswith("thinkery: unknown task")


@pytest.mark.parametrize(("size", "left"), [("64k", False), ("256k", True)])
def test_a_full_disk_is_one_message_and_leaves_no_half_model(tmp_path: Path, model: Path, size: str, left: bool) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        f'mount -t tmpfs -o size={size} tmpfs "$0" && "$@"; status=$?; find "$0"; exit $status',
        str(disk),
    ]
    if shutil.which("unshare") is None or subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("needs a small disk to fill: this system lets no user mount one")
    words = ["train", "grpo", "--task", "addition", "--model", str(model), "--out", str(disk / "run"), "--quiet", *QUICK]
    done = subprocess.run([*mount, sys.executable, "-m", "thinkery", *words], env=ENV, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot write" in done.stderr
    assert "free some space" in done.stderr
    assert ("run.json" in done.stdout) == left
    assert "safetensors" not in done.stdout


# ---- what works


def test_train_eval_report_and_listings(cli: Cli, tmp_path: Path, model: Path) -> None:
    data(tmp_path / "sums.jsonl")
    status, out, err = cli("train", "grpo", "--data", "sums.jsonl", *COLUMNS, "--model", model, "--out", "runs/one", *QUICK)
    assert (status, err) == (0, "")
    for said in ("run folder: runs/one", "Before the first step", "rl 2/2", "after: accuracy", "grpo on sums: accuracy", "runs/one/model"):
        assert said in out
    assert "\x1b" not in out
    assert all(len(line) < 300 for line in out.splitlines())
    trained = tmp_path / "runs" / "one" / "model"

    status, out, err = cli("eval", "--data", "sums.jsonl", *COLUMNS, "--model", trained, "--n", 8, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out.splitlines()[-1])
    assert found["n"] == 8
    assert found["low"] <= found["accuracy"] <= found["high"]
    assert found["model"] == str(trained)

    assert cli("run", "report", "runs/one") == (0, "runs/one/report.html\n", "")
    (listed,) = json.loads(cli("list", "runs", "--json")[1])
    assert (listed["run"], listed["method"], listed["task"], listed["status"]) == ("runs/one", "grpo", "sums", "done")

    refused(cli("train", "grpo", "--data", "sums.jsonl", *COLUMNS, "--model", model, "--out", "runs/one", *QUICK), "--resume", "--out")


def test_json_is_one_event_a_line(cli: Cli, model: Path) -> None:
    status, out, err = cli("train", "rloo", "--task", "chain", "--model", model, "--out", "run", "--json", *QUICK)
    assert (status, err) == (0, "")
    kinds = [json.loads(line)["event"] for line in out.splitlines()]
    assert kinds.count("step") == 2
    assert kinds.count("evaluation") == 2
    assert kinds[-1] == "done"
    assert out.isascii()


def test_quiet_says_warnings_and_the_end_alone(cli: Cli, model: Path) -> None:
    status, out, _ = cli("train", "grpo", "--task", "addition", "--model", model, "--out", "run", "--quiet", *QUICK)
    assert status == 0
    *warnings, last = out.splitlines()
    assert all(line.startswith(("doctor: ", "warning: ", "  ")) for line in warnings)
    assert "run/model" in last


def test_settings_of_a_file_and_of_the_line(cli: Cli, tmp_path: Path, model: Path) -> None:
    (tmp_path / "c.toml").write_text("lr = 0.5\ntemperature = 0.75\n")
    words = ("train", "grpo", "--task", "addition", "--model", model, "--out", "run", "--quiet", "--config", "c.toml", "--set", "lr=0.25")
    assert cli(*words, *QUICK)[0] == 0
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["lr"], config["temperature"], config["steps"]) == ("0.25", 0.75, 2)


def test_bad_rows_can_be_left_out(cli: Cli, tmp_path: Path, model: Path) -> None:
    path = data(tmp_path / "sums.jsonl")
    path.write_text(path.read_text() + "{broken\n")
    status, out, err = cli("eval", "--data", "sums.jsonl", *COLUMNS, "--skip-bad", "--model", model, "--n", 2, "--json")
    assert status == 0
    assert json.loads(out.splitlines()[-1])["n"] == 2
    assert "skipped sums.jsonl, line 201: broken JSON" in err


def test_listings_as_json_and_for_people(cli: Cli) -> None:
    keys = {"methods": ("id", "grpo"), "tasks": ("task", "addition"), "solvers": ("solver", "single"), "models": ("model", "tiny")}
    for what, (key, name) in keys.items():
        status, out, _ = cli("list", what, "--json")
        assert status == 0
        assert name in [row[key] for row in json.loads(out)]
        assert name in cli("list", what)[1]
    assert json.loads(cli("list", "runs", "--json")[1]) == []
    for query in ("grpo", "2402.03300", "group relative"):
        assert [r["id"] for r in json.loads(cli("show", query, "--json")[1])] == ["grpo"]
    assert "thinkery train grpo --task addition" in cli("show", "grpo")[1]


def test_a_new_method_trains_as_the_command_left_it(cli: Cli, model: Path) -> None:
    status, out, _ = cli("new", "method", "objectives", "my_idea")
    assert status == 0
    assert out.count("wrote ") == 2
    status, out, err = cli("train", "./my_idea.py", "--task", "addition", "--model", model, "--out", "run", "--quiet", *QUICK)
    assert (status, err) == (0, "")


def test_methods_of_ones_own_folder(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINKERY_METHODS", "")  # put back when the test ends
    cli("new", "method", "objectives", "my_idea")
    assert cli("show", "my_idea")[0] == 2
    status, out, _ = cli("--methods", tmp_path, "show", "my_idea", "--json")
    assert status == 0
    assert json.loads(out)[0]["id"] == "my_idea"
    refused(cli("list", "methods", "--methods", "nowhere"), "'nowhere'", "does not exist")


def test_a_run_that_was_killed_is_told_from_one_at_work(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "one" / "run.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"method": "grpo", "status": "running", "stages": [{"name": "rl", "steps": 9}]}')
    assert json.loads(cli("list", "runs", "--json")[1])[0]["now"] == "step 0 of 9"
    os.utime(path, (1e9, 1e9))
    assert "was it killed? --resume goes on" in json.loads(cli("list", "runs", "--json")[1])[0]["now"]


def test_one_broken_run_does_not_hide_the_others(cli: Cli, tmp_path: Path) -> None:
    for name, text in (("good", '{"method": "grpo", "status": "running"}'), ("bad", "{")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(text)
    found = {r["run"]: (r["status"], r["before"]) for r in json.loads(cli("list", "runs", "--json")[1])}
    assert found == {"runs/good": ("running", None), "runs/bad": ("unreadable", None)}


def test_python_m_thinkery_is_the_command(tmp_path: Path) -> None:
    done = process("list", "methods", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert {"grpo", "sft"} <= {row["id"] for row in json.loads(done.stdout)}


def test_the_package_imports_nothing_heavy_until_it_is_used() -> None:
    code = (
        "import sys, thinkery; assert 'train' in dir(thinkery); import thinkery.cli.commands;"
        " sys.exit(sum(m in sys.modules for m in ('torch', 'numpy', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", code], env=ENV).returncode == 0
    import thinkery

    assert callable(thinkery.train)
    with pytest.raises(AttributeError, match="load_model"):
        _ = thinkery.no_such_name
