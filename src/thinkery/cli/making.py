"""Models made from nothing, and files of methods to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..core.errors import BadConfig
from .commands import Size


def model_build(
    size: Size, *, out: Path | None = None, seed: int = 0, steps: int | None = None, workers: str = "auto", device: str = "auto"
) -> int:
    """Make a built-in model from nothing, as the shipped one was made. Example: thinkery model build tiny --out my-tiny

    Ctrl-C checkpoints; the same command goes on.

    Args:
        size: tiny (0.6 M parameters, minutes on a CPU), small (7.4 M) or medium (32 M); the latter two want a GPU, or days
        out: the model's folder; by default ./SIZE
        seed: the same seed gives the same model
        steps: fewer steps give a worse model sooner
        workers: processes; auto is one for each core
        device: cpu, cuda or auto
    """
    from ..lab.build import build
    from .live import View

    folder = out or Path(size)
    if folder.exists():
        raise BadConfig(f"{folder} exists; choose another --out")
    with View() as view:
        build(size, folder, seed, steps, workers, view, device)
    return 0


def model_new(
    folder: Path,
    *,
    texts: Annotated[list[Path], Parameter(consume_multiple=True)],
    column: str = "question",
    vocabulary: int = 1000,
    width: int = 128,
    layers: int = 4,
    context: int = 256,
    seed: int = 0,
) -> int:
    """Make a model with random weights and a vocabulary learnt from JSONL files, to train from scratch.

    Example: thinkery model new base --texts problems.jsonl --column question --vocabulary 1000

    Args:
        folder: where the model goes
        texts: JSONL files whose column is read
        column: which column holds text
        vocabulary: tokens, at least 300
        width: numbers that stand for a token inside, a multiple of 32
        layers: how many
        context: tokens of prompt and reply together, at most
        seed: of the random weights
    """
    from ..lab.build import from_texts

    if folder.exists():
        raise BadConfig(f"{folder} exists; choose another name")
    model = from_texts(folder, texts, column, vocabulary, width, layers, context, seed)
    print(f"{folder}: {sum(p.numel() for p in model.decoder.parameters()):,} parameters, {model.tokenizer.size} tokens")
    return 0


def model_merge(first: str, second: str, *, share: float = 0.5, out: Path) -> int:
    """Make one model between two of one origin: a weighted mean of their weights. Example: thinkery model merge brief wordy --share 0.3 --out between

    Args:
        first: a Hugging Face model folder, or a built-in size
        second: one with the same sizes and tokenizer
        share: of the second, from 0 to 1
        out: the model's folder
    """
    from ..models.merging import merged
    from ..models.model import find, load_model

    if out.exists():
        raise BadConfig(f"{out} exists; choose another --out")
    merged(load_model(find(first)), load_model(find(second)), share).save(out)
    print(f"{out}: {1 - share:.0%} of {first}, {share:.0%} of {second}")
    return 0


def new_method(family: str, id: str) -> int:
    """Start a method: one file and its test, working at once. Example: thinkery new method objectives my_idea

    Args:
        family: where its novelty sits: objectives, tasks, agents, … (thinkery list methods has them)
        id: its name, in small letters, as in my_idea
    """
    from ..lab.scaffold import new_method as write

    for path in write(family, id):
        print(f"wrote {path}")
    return 0
