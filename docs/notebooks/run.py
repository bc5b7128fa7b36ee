"""Executes the notebooks of this folder from a clean kernel; a failed cell, or a claim of the text that is not what came out, stops it.

`python docs/notebooks/run.py` writes them anew with their outputs; `--reduced` takes the small sizes and writes nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"  # of this clone, not of what may be installed
NOTEBOOKS = sorted(HERE.glob("*.ipynb"))
PATIENCE = 600  # seconds for a cell


def sized(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with the small sizes in its cell of parameters: `reduced` in that cell's metadata."""
    (cell,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    cell.source = cell.metadata["reduced"]
    return notebook


def executed(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with what its cells gave, run in an empty folder. Raises CellExecutionError."""
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(notebook, kernel_name="python3", timeout=PATIENCE, resources={"metadata": {"path": folder}})
        client.execute(env=os.environ | {"PYTHONPATH": str(SOURCE), "THINKERY_CACHE": folder})
    for cell in notebook.cells:  # when a cell ran is of no interest, and would be in every diff
        cell.metadata.pop("execution", None)
    notebook.metadata = {k: notebook.metadata[k] for k in ("kernelspec",)} | {"language_info": {"name": "python"}}
    return notebook


def main() -> None:
    """Execute all of them, or those named."""
    reduced, names = "--reduced" in sys.argv, [a for a in sys.argv[1:] if not a.startswith("-")]
    for path in NOTEBOOKS:
        if names and path.stem not in names:
            continue
        notebook = nbformat.read(path, as_version=4)
        found = executed(sized(notebook) if reduced else notebook)
        if not reduced:
            nbformat.write(found, path)
        print(f"{path.name}: {len(found.cells)} cells")


if __name__ == "__main__":
    main()
