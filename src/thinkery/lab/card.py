"""A model's card and its way to the Hugging Face Hub. The card says what the run's folder says; what was not measured is said to be so."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import BadModel, InputError, MissingExtra, RunError, ThinkeryError
from ..core.reading import loads
from ..models.adapters import FILES, read_adapter
from . import catalogue
from .export import export, model_folder
from .report import parts, read_run
from .store import metrics_of
from .text import duration, markdown_table, one_line, percent

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # as the Hub spells them: apache-2.0, mit, other
KINDS = {".json", ".safetensors", ".jinja", ".model", ".txt"}  # what belongs to a model
EVIDENCE = Path("evidence")
COLUMNS = ("reward", "accuracy", "length", "entropy", "loss/sft")
ROWS = 8  # of the curve
LIMITS = """It was trained for the task above and measured on that alone: expect nothing of it elsewhere, and check it on your own problems.
What such a run teaches is often when to use what the model could do already, rather than new skill; the two were not told apart.
The interval covers the choice of problems, not the choice of the training seed: this is one run."""


@dataclass(frozen=True)
class Push:
    """What is sent, or would be: bytes by the files' names in the repository, and the card. `url` is empty for a dry run."""

    repository: str
    files: dict[str, int]
    card: str
    url: str = ""


def push(path: str | Path, repository: str, private: bool = False, license: str = "", dry_run: bool = False) -> Push:
    """Send a run's model or a model folder to OWNER/NAME on the Hub, as one commit: all of it arrives or nothing does.

    An adapter whose base the Hub does not have is merged into it. A README.md that stands in the model's folder is sent as it is; else
    the card is. The token is the one of `hf auth login` or HF_TOKEN. Raises InputError, BadModel, MissingExtra, and RunError where the
    Hub refuses.
    """
    if not REPOSITORY.fullmatch(repository):
        raise InputError(f"{repository!r} is no repository of the Hub: write OWNER/NAME, as in jane/my-model")
    if license and not LICENSE.fullmatch(license):
        raise InputError(f"license {license!r}: write it as the Hub does, as in apache-2.0, mit or other")
    folder = model_folder(path)
    with tempfile.TemporaryDirectory() as scratch:
        alone = (folder / FILES[0]).is_file() and not _on_hub(read_adapter(folder)[0].base)
        sent = export(folder, out=Path(scratch) / "whole") if alone else folder
        files = {p.name: p for p in sorted(sent.iterdir()) if p.is_file() and p.suffix in KINDS and not p.name.startswith(".")}
        if not ({"config.json", FILES[0]} & set(files) and any(name.endswith(".safetensors") for name in files)):
            raise BadModel(f"{folder} is no model: it needs config.json (or {FILES[0]}) and weights in safetensors")
        own = folder / "README.md"
        text = own.read_text("utf-8") if own.is_file() else card(folder, repository, license, merged=alone)
        url = "" if dry_run else _send(repository, files, text, private)
        return Push(repository, {name: p.stat().st_size for name, p in files.items()}, text, url)


def _send(repository: str, files: Mapping[str, Path], text: str, private: bool) -> str:
    """Make the repository if need be and commit; returns where it is."""
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "hf", "pushing a model") from error
    if hub.get_token() is None:
        raise InputError("no token of the Hub: log in with 'hf auth login', or set HF_TOKEN (a token that may write)")
    operations = [hub.CommitOperationAdd(name, str(path)) for name, path in files.items()]
    operations.append(hub.CommitOperationAdd("README.md", text.encode()))
    try:
        api = hub.HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        api.create_commit(repository, operations, commit_message=f"Upload {len(operations)} files with thinkery")
    except Exception as error:  # the client's own errors, and those of the network below it
        reason = f"{type(error).__name__}: {one_line(str(error), 300)}"
        raise RunError(f"the Hub did not take {repository} ({reason}); check its name, your token's rights and the network") from error
    return f"{api.endpoint}/{repository}"


def _on_hub(name: str) -> bool:
    """Whether a name is one of the Hub's, as far as its form tells."""
    return REPOSITORY.fullmatch(name) is not None and not Path(name).exists()


# ---- the card


def card(folder: Path, repository: str, license: str = "", merged: bool = False) -> str:
    """The card of a model's folder, as Markdown with its front matter; of a run's model it tells what the run was.

    merged: an adapter is sent as a whole model
    """
    run = folder.resolve().parent
    about = read_run(run) if (run / "run.json").is_file() else {}
    adapter = (folder / FILES[0]).is_file() and not merged
    parts = [_front(folder, about, license, adapter), f"# {repository.rpartition('/')[2]}", _opening(about, folder if adapter else None)]
    if about:
        parts += [_method(about), _settings(about), _accuracy(about), _curve(run), _claims(about)]
    parts += ["## Limits", LIMITS if about else "What it can do was not measured here.", _loading(repository, adapter)]
    if about.get("command"):
        parts += ["## The command", f"```sh\n{one_line(about['command'], 2000).replace('```', '')}\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(folder: Path, about: Mapping[str, Any], license: str, adapter: bool) -> str:
    """What the Hub reads."""
    base = _base(folder, about, adapter)
    tags = ["thinkery", "reasoning", *([] if not about else [one_line(m) for m in str(about["method"]).split("+")])]
    task = str(about.get("task", ""))
    lines = [f"license: {license}"] if license else []
    lines += [f"library_name: {'peft' if adapter else 'transformers'}", "pipeline_tag: text-generation"]
    lines += [f"base_model: {base}"] if base else []
    lines += ["tags:", *(f"- {json.dumps(t)}" for t in tags)]
    lines += ["datasets:", f"- {task}"] if REPOSITORY.fullmatch(task) else []
    return "\n".join(["---", *lines, "---"])


def _base(folder: Path, about: Mapping[str, Any], adapter: bool) -> str:
    """The repository that the model started from; nothing where it is not known."""
    named = [str(about.get("model", ""))]
    for path, key in ((folder / FILES[0], "base_model_name_or_path"), (Path(named[0]) / "config.json", "_name_or_path")):
        if path.is_file():
            named.append(str(loads(path.read_text("utf-8")).get(key, "")))
    return next((name for name in named if _on_hub(name)), "")


def _opening(about: Mapping[str, Any], adapter: Path | None) -> str:
    kind = "A language model"
    if adapter is not None:
        kind = f"A LoRA adapter of the base {_cell(read_adapter(adapter)[0].base)}, which it needs,"
    if not about:
        return f"{kind.rstrip(',')}, sent by Thinkery."
    count = f" ({about['parameters']:,} parameters)" if about.get("parameters") else ""
    done = "" if about.get("status") == "done" else f" **The run's status is {_cell(about.get('status'))}: it has not ended.**"
    return f"{kind}{count} trained on the task {_cell(about['task'])} from {_cell(about['model'])} with Thinkery.{done}"


def _method(about: Mapping[str, Any]) -> str:
    """Each method with its paper."""
    lines = ["## Method", ""]
    for name in str(about["method"]).split("+"):
        try:
            found = catalogue.entry(name).card
        except ThinkeryError:  # a file of one's own that is no longer there
            lines.append(f"- {_cell(name)}")
            continue
        paper = f", {found.year or ''} {_linked(found.paper)}".rstrip() if found.paper else ""
        lines.append(f"- **{_cell(found.id)}**: {_cell(found.title)}{paper}. It changes: {', '.join(found.changes) or 'nothing'}.")
    return "\n".join(lines)


def _linked(paper: str) -> str:
    arxiv = catalogue.ARXIV.search(paper)
    return f"([arXiv:{arxiv[1]}](https://arxiv.org/abs/{arxiv[1]}))" if arxiv else f"({_cell(paper)})"


def _settings(about: Mapping[str, Any]) -> str:
    stages = ", ".join(f"{s['name']} {s['steps']} steps" for s in about.get("stages", []))
    rows = {
        "stages": stages,
        "size": about.get("size"),
        "seed": about.get("seed"),
        "solver": about.get("solver") or "the method's own",
        **about.get("config", {}),
        "steps done": about.get("steps"),
        "tokens sampled": about.get("tokens"),
        "time": duration(about["wall_s"]) if about.get("wall_s") else None,
        "versions": ", ".join(f"{k} {v}" for k, v in about.get("versions", {}).items()),
    }
    return "## Settings\n\n" + _table(("setting", "value"), [(k, v) for k, v in rows.items() if v not in (None, "")])


def _accuracy(about: Mapping[str, Any]) -> str:
    """Before and after, with what was asked how."""
    found = about.get("evaluations", {})
    if not found:
        return "## Accuracy\n\nNot measured."
    rows = []
    for when in ("before", "after"):
        e = found.get(when)
        interval = f"{percent(e['low'])} to {percent(e['high'])}" if e else "not measured"
        rows.append((when, percent(e["accuracy"]) if e else "not measured", interval, e["n"] if e else "—"))
    e = next(iter(found.values()))
    how = (
        f"The same {e['n']} problems of the split {_cell(e['split'])} of {_cell(e['task'])}, answered by the solver {_cell(e['solver'])} at "
        f"temperature {e['temperature']:g}{' (greedy)' if e['temperature'] == 0 else ''}, {e['samples_per_problem']} to each; "
        "the interval is Wilson's, over problems. Test problems are never trained on."
    )
    return "## Accuracy\n\n" + _table(("", "accuracy", "95 % interval", "n"), rows) + "\n\n" + how


def _curve(run: Path) -> str:
    """Means over parts of the training, a few rows."""
    head, *rows = parts(metrics_of(run), COLUMNS, ROWS) or [[]]
    return "## Curve\n\nMeans over the steps.\n\n" + _table(head, rows) if rows else ""


def _claims(about: Mapping[str, Any]) -> str:
    """What was found of each method's published claim, from the files of evidence."""
    lines = ["## The method's claim", ""]
    for name in str(about["method"]).split("+"):
        path = EVIDENCE / f"{Path(name).stem}.json"
        verdict = "not measured"
        if path.is_file():
            found = loads(path.read_text("utf-8"))
            scale = f" (scale: {_cell(found['scale'])})" if found.get("scale") else ""
            verdict = f"{_cell(found.get('verdict', 'not measured'))}{scale}"
        lines.append(f"- {_cell(name)}: {verdict}")
    return "\n".join(lines)


def _loading(repository: str, adapter: bool) -> str:
    kind = "AutoPeftModelForCausalLM" if adapter else "AutoModelForCausalLM"
    names = f"AutoTokenizer\nfrom peft import {kind}" if adapter else f"{kind}, AutoTokenizer"
    served = "" if adapter else f"\nvllm serve {repository}"
    return f"""## Loading it

```python
from transformers import {names}

model = {kind}.from_pretrained("{repository}")
tokenizer = AutoTokenizer.from_pretrained("{repository}")
```

```sh
hf download {repository} --local-dir model{served}
thinkery ask "…" --model model
```"""


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return "\n".join(markdown_table(head, [[_cell(x) for x in row] for row in rows]))


def _cell(x: Any) -> str:
    """A value on one line of Markdown, none of it read as markup."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", one_line(str(x), 300))
