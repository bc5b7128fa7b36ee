"""The dashboard, from the command line."""

from __future__ import annotations

from pathlib import Path

from .commands import Flag


def dashboard_(folder: Path = Path("runs"), *, port: int = 0, no_open: Flag = False) -> int:
    """Look at runs in the browser, also while they go on. Example: thinkery dashboard runs

    Only this machine is served, and only who has the address that is printed. A run that learns
    can be asked from there for a checkpoint or to stop; nothing else can be changed.

    Args:
        folder: the folder of runs
        port: where to serve; by default any that is free
        no_open: print the address, and open no browser
    """
    from ..lab.dashboard import serve

    serve(folder, port, not no_open)
    return 0
