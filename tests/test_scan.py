"""Nothing secret and nothing of one machine stands in the repository; every dependency is named with a licence that lets it be used; SECURITY.md
names tests that exist."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b",
    "a key of OpenAI or Anthropic": r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}\b",
    "a token of Hugging Face": r"\bhf_[A-Za-z0-9]{30,}\b",
    "a token of Slack": r"\bxox[abprs]-[A-Za-z0-9-]{10,}\b",
    "a key of Google": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "a token of PyPI": r"\bpypi-[A-Za-z0-9_-]{50,}\b",
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^/\s:@\"'{}<>]+:[^/\s:@\"'{}<>]{3,}@",
    "a web token": r"\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\b",
}
MACHINES = {
    "a home folder": r"(?<![\w.])/(?:home|Users)/[a-z][\w-]+/",
    "root's home": r"(?<![\w.])/root/(?!\w*\.\.\.)",
    "a package index": r"(?:--(?:extra-)?index-url|find-links)[ =]+(?:file|https?)://(?!download\.pytorch\.org)",
}
ALLOWED = {  # what a test makes up to be caught
    ("tests/test_scan.py", "*"),
}
COPYLEFT = re.compile(r"\b(?:A|L)?GPL|GNU (?:Affero|Lesser|General)|SSPL|Commons Clause|BUSL|CC-BY-NC", re.IGNORECASE)
DIRECT = re.compile(r"[A-Za-z0-9_.-]+")


def tracked() -> list[Path]:
    """The repository's text files; without git, those of the source tree."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("needs a clone: not a git repository")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[str, str]:
    found = {}
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:4096]:
            found[str(path.relative_to(ROOT))] = data.decode("utf-8", "replace")
    return found


@pytest.mark.parametrize("kind", [*SECRETS, *MACHINES])
def test_nothing_secret_and_nothing_of_one_machine(kind: str) -> None:
    form = re.compile((SECRETS | MACHINES)[kind])
    hits = [f"{name}: {m[0][:30]}" for name, text in texts().items() if (name, "*") not in ALLOWED for m in form.finditer(text)]
    assert hits == [], f"{kind} in the repository"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("a private key", "-----BEGIN RSA PRIVATE KEY-----"),
        ("a key of AWS", "AKIA" + "A" * 16),
        ("a token of GitHub", "ghp_" + "a1" * 18),
        ("a key of OpenAI or Anthropic", "sk-proj-" + "a" * 40),
        ("a token of Hugging Face", "hf_" + "a" * 34),
        ("a password in an address", "https://jane:secret@host/"),
        ("a home folder", "open('/home/jane/x')"),
        ("a package index", "pip install x --index-url https://packages.corp/simple"),
    ],
)
def test_the_forms_catch_what_they_are_for(kind: str, text: str) -> None:
    assert re.search((SECRETS | MACHINES)[kind], text)


def dependencies() -> dict[str, set[str]]:
    """Package -> extras, of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, set[str]] = {}
    for extra, needs in [("core", project["dependencies"]), *project["optional-dependencies"].items()]:
        for need in needs:
            match = DIRECT.match(need)
            assert match
            found.setdefault(match[0].lower(), set()).add(extra)
    return found


def table() -> dict[str, tuple[set[str], str]]:
    """Package -> extras and licence, of the page."""
    rows = re.findall(
        r"^\| ([\w.-]+) \| ([\w, ]+) \| (.+?) \| .+ \|$", (ROOT / "docs" / "dependencies.md").read_text("utf-8"), re.MULTILINE
    )
    return {name: (set(extras.split(", ")), licence) for name, extras, licence in rows if name != "package"}


def test_every_dependency_is_named_with_its_extras() -> None:
    assert {name: extras for name, (extras, _) in table().items()} == dependencies()


def test_no_licence_forbids_use() -> None:
    for name, (_, licence) in table().items():
        assert not COPYLEFT.search(licence), name
        try:
            about = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue
        said = " ".join([about.get("License-Expression") or "", *(c for c in about.get_all("Classifier") or [] if c.startswith("License"))])
        assert not COPYLEFT.search(said), f"{name} says {said}"


def test_what_is_installed_for_the_core_brings_no_copyleft() -> None:
    """Whatever the core's dependencies bring with them, as far as it is installed here."""
    seen, todo = set[str](), [name for name, extras in dependencies().items() if "core" in extras]
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        said = " ".join(
            [found.metadata.get("License-Expression") or "", *(c for c in found.metadata.get_all("Classifier") or [] if "License" in c)]
        )
        assert not COPYLEFT.search(said), f"{name} says {said}"
        todo += [m[0] for need in found.requires or [] if "extra ==" not in need and (m := DIRECT.match(need))]
    assert len(seen) > 12


def test_security_names_tests_that_exist() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    named = re.findall(r"`(tests/[\w/.]+)`", text)
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []
