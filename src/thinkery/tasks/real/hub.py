"""Data sets of the Hugging Face hub whose columns are those that a data set of ours reads."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import BadData, MissingExtra, UnknownName
from .dataset import Placed, Published
from .table import DATASETS

PREFIX = "hf:"
HUB = {d.hub.partition(":")[0]: d for d in DATASETS.values() if d.hub}


def from_hub(name: str) -> Published:
    """The task of "hf:openai/gsm8k", through the package `datasets`. Raises MissingExtra, UnknownName, or BadData where it cannot be had."""
    address = name.removeprefix(PREFIX)
    if address not in HUB:
        raise UnknownName(
            "data set of the hub", address, HUB, "Save another one as JSONL and name its columns: --data FILE --question COLUMN."
        )
    dataset = HUB[address]
    try:
        from datasets import load_dataset
    except ImportError:
        raise MissingExtra("datasets", "hf", f"the task {name!r}") from None
    _, _, config = dataset.hub.partition(":")
    try:
        published = load_dataset(address, config or None)
        parts = [(Path(name, theirs), ours, published[theirs]) for theirs, ours in dataset.hub_splits.items()]
    except Exception as error:  # the package raises errors of many libraries: network, disk, parsing
        raise BadData(name, f"the hub did not give it ({type(error).__name__}: {error}); or put the files into ./data") from error
    return Published(dataset, (Placed(place, n, split, row) for place, split, rows in parts for n, row in enumerate(rows)))
