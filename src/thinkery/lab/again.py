"""The command line, and the one that goes on where it stopped."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def command() -> str:
    """The command line, as one would type it again; empty where Python called."""
    program = Path(sys.argv[0])
    ours = program.stem == "thinkery" or program.parts[-2:] == ("thinkery", "__main__.py")
    return shlex.join(["thinkery", *sys.argv[1:]]) if ours else ""


def resumed(folder: Path) -> str:
    """What goes on with a run: the command line, or in words."""
    words = shlex.split(command())
    if not words:
        return f"call train once more with resume=True and out={str(folder)!r}"
    named = any(w == "--out" or w.startswith("--out=") for w in words)
    return shlex.join([*words, *([] if named else ["--out", str(folder)]), *([] if "--resume" in words else ["--resume"])])


def same() -> str:
    """What goes on with a command that looks what there is: the same one."""
    return command() or "the same call"
