"""Published data sets as tasks, read from where the user keeps them: the folder of THINKERY_DATA, else ./data; or from the hub."""

from __future__ import annotations

import os
from pathlib import Path

from ...core.errors import BadData
from .dataset import Dataset, Published, from_files
from .hub import HUB, from_hub
from .table import DATASETS

__all__ = ["DATASETS", "HUB", "VARIABLE", "Dataset", "Published", "data_folder", "found", "from_hub", "load_dataset"]

VARIABLE = "THINKERY_DATA"


def data_folder() -> Path:
    """Where data sets are looked for."""
    return Path(os.environ.get(VARIABLE) or "data")


def found() -> list[str]:
    """Names of the data sets all of whose kinds of files are there, in the table's order. Looks at names alone."""
    data = data_folder()
    return [d.name for d in DATASETS.values() if present(d, data)]


def present(dataset: Dataset, data: Path) -> bool:
    """Whether the folder has files of each kind that the data set names."""
    return all(any((data / dataset.folder).glob(f.pattern)) for f in dataset.files)


def load_dataset(name: str) -> Published:
    """The task of a data set by its name in DATASETS, or a part of it: "babi:qa19". Raises UnknownName, or BadData where it is not there."""
    dataset, part = DATASETS[name.partition(":")[0]], name.partition(":")[2]
    data = data_folder()
    if not present(dataset, data):
        missing = next(f.pattern for f in dataset.files if not any((data / dataset.folder).glob(f.pattern)))
        where = f"{VARIABLE} is {os.environ[VARIABLE]!r}" if os.environ.get(VARIABLE) else f"{VARIABLE} is not set, so ./data was looked at"
        hub = f", or use hf:{dataset.hub}" if dataset.hub else ""
        raise BadData(
            data / dataset.folder / missing,
            f"{dataset.title} is not there ({where}); get it from {dataset.source}, put it there as docs/data.md says{hub}",
        )
    return from_files(dataset, data, part)
