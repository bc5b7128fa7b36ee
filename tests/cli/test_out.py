"""What is shown of a model comes from the model, token by token: it may be hostile, half a character, or out of order. Scripts rely on the
reply standing alone where nobody watches."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.engines.test_openai import CHAT, Adder
from tests.models.families import write
from tests.support import model_of
from thinkery.cli.main import main
from thinkery.cli.out import Typewriter, safe
from thinkery.core.context import Context, Turn
from thinkery.lab import environment
from thinkery.lab.text import clean
from thinkery.models.tokenizer import Tokenizer, character_tokenizer, load_tokenizer, train_tokenizer

Cli = Callable[..., tuple[int, str, str]]


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


@pytest.mark.parametrize("command", ["ask", "model export", "model push", "doctor", "doctor env"])
def test_help_teaches_by_example(command: str, cli: Cli) -> None:
    status, out, _ = cli(*command.split(), "--help")
    assert status == 0 and f"thinkery {command}" in out.replace("Usage: ", "", 1).split("\n", 1)[1]


# ---- ask


def test_where_nobody_watches_the_reply_stands_alone(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, err = cli("ask", "3+4=", "--model", model, "--max-tokens", 6)
    assert status == 0 and out.count("\n") == 1 and ("cut off" in err) == (len(out) == 7)
    monkeypatch.setattr("sys.stdin", io.StringIO("3+4=\n"))
    assert cli("ask", "-", "--model", model, "--max-tokens", 6) == (0, out, err)
    assert cli("ask", "-3+4=", "--model", model, "--max-tokens", 6)[0] == 0
    found = json.loads(cli("ask", "3+4=", "--model", model, "--max-tokens", 6, "--solver", "best_of_n", "--json")[1])
    assert len(found["turns"]) == 8 and found["tokens"] == sum(t["tokens"] for t in found["turns"])
    assert {"reply", "turns", "seconds", "tokens"} <= set(found)


def test_a_run_is_asked_by_its_folder(cli: Cli, model: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    status, _, err = cli("ask", "3+4=", "--model", "run")
    assert status == 2 and "no model yet" in err
    model_of().save(tmp_path / "run" / "model")
    assert cli("ask", "3+4=", "--model", "run", "--max-tokens", 4)[1] == cli("ask", "3+4=", "--model", model, "--max-tokens", 4)[1]


def test_a_server_is_asked_by_its_address(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    adder = Adder()
    try:
        assert cli("ask", "3+4=", "--model", f"{adder.url}/v1") == (0, "7\n", "")
        found = json.loads(cli("ask", "3+4=", "--model", adder.url, "--system", "Add.", "--json")[1])
        assert found["reply"] == "7" and found["tokens"] > 0 and found["turns"][0]["ended"] == "stop"
        assert adder.bodies(CHAT)[-1]["messages"][0] == {"role": "system", "content": "Add."}
    finally:
        adder.close()
    status, _, err = cli("ask", "3+4=", "--model", "tiny", "--served", "x")
    assert status == 2 and "--served" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("",), "empty"),
        (("3+4=", "--model", "nowhere"), "nowhere"),
        (("3+4=", "--solver", "nothing"), "nothing"),
        (("3+4=", "--max-tokens", 0), "max_tokens"),
        (("3+4=", "--temperature", -1), "temperature"),
        ((), "QUESTION"),
    ],
)
def test_wrong_input_is_said_in_one_message(arguments: tuple[Any, ...], says: str, cli: Cli, model: Path) -> None:
    status, out, err = cli("ask", *arguments, *(() if "--model" in arguments else ("--model", model)))
    assert (status, out) == (2, "") and (says in err or "--question" in err) and "Traceback" not in err


# ---- what is shown while it is written


class Later:
    """An answer that is given when the test says so."""

    over = False

    def done(self) -> bool:
        return self.over


def shown(tokenizer: Tokenizer, style: bool = False) -> tuple[Typewriter, io.StringIO]:
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=style, color_system="standard" if style else None, width=10, soft_wrap=True, highlight=False
    )
    return Typewriter(console, tokenizer), file


def turn(context: Context, text: str) -> Turn:
    return Turn(context, "policy", ("m", 0), 1.0, "", context.codec.encode(text))


def test_asks_that_run_together_are_shown_in_order() -> None:
    tokenizer = character_tokenizer()
    view, file = shown(tokenizer)
    context = Context.of("q", tokenizer)
    first, second = Later(), Later()
    view([(first, turn(context, "a")), (second, turn(context, "x"))])
    assert file.getvalue() == "a"
    second.over = True
    view([(first, turn(context, "ab")), (second, turn(context, "xyz"))])
    assert file.getvalue() == "ab", "the second is over and waits for the first"
    first.over = True
    view([(first, turn(context, "abc"))])
    assert file.getvalue() == "abc\nxyz"
    view.end([], "xyz")
    assert file.getvalue() == "abc\nxyz\nreply: xyz\n"


def test_what_a_tool_said_stands_between() -> None:
    tokenizer = character_tokenizer()
    view, file = shown(tokenizer, style=True)
    context = Context.of("q", tokenizer)
    first, second = Later(), Later()
    one = turn(context, "3*4=")
    first.over = second.over = True
    view([(first, one)])
    view([(second, turn(context + one + "12;", "so 12"))])
    view.end([], "3*4=12;so 12")
    assert file.getvalue() == "3*4=\x1b[36m12;\x1b[0mso 12\n", "the reply is what was shown, so it is not said again"


def test_a_thought_is_dimmed(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write("qwen3", tmp_path), {})
    view, file = shown(tokenizer, style=True)
    assert tokenizer.chat is not None
    context = Context.root(tokenizer) + tokenizer.chat.question("hello")
    text, answer = "<think>\nthe user says hello\n</think>\n\nhello world", Later()
    ids = tokenizer.backend.encode(text).ids
    for n in range(1, len(ids) + 1):
        answer.over = n == len(ids)
        view([(answer, Turn(context, "policy", ("m", 0), 1.0, "", tuple(ids[:n])))])  # type: ignore[list-item]
    view.end([], "hello world")
    said = file.getvalue()
    plain = said.replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert plain == "the user says hello\n\nhello world\n" and said.index("\x1b[2m") == 0
    assert "\x1b" not in said[said.index("\n\n") :]


def test_half_a_character_waits_for_its_other_half() -> None:
    tokenizer = train_tokenizer(["a"], 300)
    view, file = shown(tokenizer)
    context, answer = Context.of("q", tokenizer), Later()
    ids = tokenizer.encode("a😀b")
    assert len(ids) == 6
    seen = []
    for n in range(1, 7):
        view([(answer, Turn(context, "policy", ("m", 0), 1.0, "", ids[:n]))])  # type: ignore[list-item]
        seen.append(file.getvalue())
    assert seen == ["a", "a", "a", "a", "a😀", "a😀b"]
    answer.over, later, one = True, Later(), turn(context, "a😀b")
    for n in range(1, 5):
        view([(later, Turn(context + one + "; ", "policy", ("m", 0), 1.0, "", tokenizer.encode("😀")[:n]))])  # type: ignore[list-item]
    assert file.getvalue() == "a😀b; 😀", "what stands between is said once"


def test_engines_that_cannot_be_watched_are_shown_at_the_end() -> None:
    tokenizer = character_tokenizer()
    view, file = shown(tokenizer)
    context = Context.of("q", tokenizer)
    view.end([turn(context, "ab"), turn(context, "cd")], "cd")
    assert file.getvalue() == "ab\ncd\nreply: cd\n"


@given(st.text(alphabet=st.sampled_from("ab\x1b[]31m;\x07\x9b\r\n\u202e\u2028é"), max_size=12), st.integers(0, 12))
def test_hostile_text_is_harmless_and_grows_only_at_its_end(text: str, n: int) -> None:
    whole = safe(text)
    assert whole.startswith(safe(text[:n])) and clean(whole) == whole and "\x1b" not in whole and "\x9b" not in whole


# ---- export, push, doctor


def test_an_export_ends_with_what_serves_it(cli: Cli, model: Path, tmp_path: Path) -> None:
    status, out, _ = cli("model", "export", model, "--out", "whole", "--dtype", "bfloat16")
    assert (
        status == 0
        and (tmp_path / "whole" / "model.safetensors").is_file()
        and "  vllm serve whole\n  transformers serve whole\n" in out
        and "llama-server -m" in out
    )
    status, _, err = cli("model", "export", model, "--out", "whole")
    assert status == 2 and "exists" in err
    pytest.importorskip("gguf")
    status, _, err = cli("model", "export", model, "--to", "gguf")
    assert status == 2 and "cannot hold this vocabulary" in err and not list(tmp_path.glob("*.gguf"))


def test_a_dry_run_shows_files_and_card(cli: Cli, model: Path) -> None:
    status, out, _ = cli("model", "push", model, "jane/adder", "--license", "mit", "--dry-run")
    assert status == 0 and "model.safetensors" in out and "license: mit" in out and "# adder" in out
    status, _, err = cli("model", "push", model, "adder", "--dry-run")
    assert status == 2 and "OWNER/NAME" in err


def test_an_interrupted_push_says_so(cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(hub.HfApi, "create_repo", lambda *_, **__: None)
    monkeypatch.setattr(hub.HfApi, "create_commit", interrupt)
    status, out, err = cli("model", "push", model, "jane/adder")
    assert (status, out, err.strip()) == (130, "", "interrupted")


def test_doctor_env_says_what_is_broken(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "installed", {name: "99" if name == "gguf" else "2.13" for name in ("torch", "gguf")}.get)
    status, out, _ = cli("doctor", "env")
    assert status == 1 and "MISSING numba: not installed -> pip install 'numba>=" in out and "OK      gguf: 99" in out
    status, out, _ = cli("doctor", "env", "--json")
    found = json.loads(out)
    assert status == 1 and found["broken"] and found["machine"]["cpu"]["cores"] >= 1
    monkeypatch.undo()
    assert cli("doctor", "env")[0] == 0


def test_the_doctor_of_methods_is_still_there(cli: Cli, model: Path) -> None:
    status, _, err = cli("doctor", "grop", "--task", "addition", "--model", model)
    assert status == 2 and "grpo" in err
