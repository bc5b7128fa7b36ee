"""Things with what is true of them: a list of our own, and those of the Entity-Deduction Arena (Zhang et al. 2024, arXiv:2310.01468)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ..core.errors import BadData
from .real import data_folder

FOLDER = "entity_deduction"
LISTS = {"things": "newlist_things.rmdup.*.txt", "celebs": "newlist_celebs.all.rmdup.*.txt"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TRUE_OF = {
    "alive": "ant bee carrot cat cow dog duck eel fern fish frog hen lion mouse oak owl pine rose snail snake tulip whale worm",
    "animal": "ant bee cat cow dog duck eel fish frog hen lion mouse owl snail snake whale worm",
    "plant": "carrot fern oak pine rose tulip",
    "small": "ant bean bee coin egg frog key mouse needle nut ring snail spoon worm",
    "flies": "bee duck jet kite owl rocket",
    "swims": "boat dog duck eel fish frog ship snake whale",
    "legs": "ant bee cat chair cow dog duck frog hen lion mouse owl sofa stool table",
    "tall": "crane ladder oak pine rocket ship tower",
    "metal": "bell bike coin crane jet key knife ladder needle ring rocket saw ship spoon tower train",
    "wooden": "boat chair drum flute ladder oak pine stool table",
    "edible": "bean bread cake carrot cheese cow duck egg fish hen jam nut pear snail",
    "sweet": "cake jam pear",
    "wheels": "bike bus cart train",
    "carries": "bike boat bus cart jet rocket ship train",
    "sharp": "knife needle rose saw",
    "round": "bell bean coin drum egg nut ring wheel",
    "loud": "bell bus crane cow dog drum duck hen jet lion rocket saw train",
    "music": "bell drum flute",
    "furniture": "chair sofa stool table",
    "soft": "bread cake cat jam mouse pillow scarf sofa worm",
    "worn": "hat ring scarf",
    "long": "eel ladder snake train whale worm",
    "feathers": "duck hen owl pillow",
    "fur": "cat cow dog lion mouse",
}


def entities(kind: str) -> Mapping[str, frozenset[str]]:
    """Each thing with what is true of it, sorted: "house" is our list; of the published ones, "things" and "celebs", the letters of the name.

    Raises BadData where the published lists are not in the data folder.
    """
    return ours() if kind == "house" else published(data_folder() / FOLDER, LISTS[kind])


@lru_cache(maxsize=1)
def ours() -> Mapping[str, frozenset[str]]:
    """Our own list."""
    names = sorted({name for names in TRUE_OF.values() for name in names.split()})
    return {name: frozenset(a for a, those in TRUE_OF.items() if name in those.split()) for name in names}


@lru_cache(maxsize=4)
def published(place: Path, pattern: str) -> Mapping[str, frozenset[str]]:
    """The things of all files of that pattern. Raises BadData where there are none."""
    files = sorted(place.glob(pattern))
    if not files:
        raise BadData(
            place / pattern, "there are no such lists; get them from github.com/apple/ml-entity-deduction-arena, or use kind=house"
        )
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return {name: frozenset(name) & frozenset(LETTERS) for name in sorted({*map(plain, lines)} - {""})}


def plain(name: str) -> str:
    """A name in small letters without accents, its words joined: "J.K. Rowling" is j-k-rowling."""
    bare = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().casefold()
    return "-".join(re.findall("[a-z]+", bare))
