"""SynLogic's families of logic problems, each at four levels, each with a verifier that checks rules.

The names are those of the folders of MiniMax-AI/SynLogic (arXiv:2505.19641); prompts, levels and all code are our own, in the small alphabet of
the built-in models.
"""

from __future__ import annotations

from typing import Any

from ...core.errors import UnknownName
from ..mixture import Mixture
from .boards import Numbrix, StarPlacement, Survo
from .brackets import DyckErrors, DyckLanguage, DyckReasoning, WordSorting, WordSortingMistake
from .family import PREFIX, Family
from .letters import Wordscapes, ZebraPuzzle
from .parts import ArrowMaze, NumberWall
from .regions import Norinori
from .shaded import Campsite, Kukurasu, Minesweeper
from .squares import Calcudoku, Futoshiki, Skyscraper, Sudoku
from .stories import ObjectProperties, SpaceReasoningTree, TimeSequence
from .sums import Cryptarithm, GameOf24, MathPath
from .tables import BuggyTables
from .worlds import BooleanExpressions, Cipher, GoodsExchange, ObjectCounting, Operation, SpaceReasoning, WebOfLies

__all__ = ["FAMILIES", "PREFIX", "Family", "load_synlogic", "synlogic"]

FAMILIES: dict[str, type[Family]] = {
    family.name.removeprefix(PREFIX): family
    for family in (
        ArrowMaze,
        BooleanExpressions,
        BuggyTables,
        Calcudoku,
        Campsite,
        Cipher,
        Cryptarithm,
        DyckErrors,
        DyckLanguage,
        DyckReasoning,
        Futoshiki,
        GameOf24,
        GoodsExchange,
        Kukurasu,
        MathPath,
        Minesweeper,
        Norinori,
        NumberWall,
        Numbrix,
        ObjectCounting,
        ObjectProperties,
        Operation,
        Skyscraper,
        SpaceReasoning,
        SpaceReasoningTree,
        StarPlacement,
        Sudoku,
        Survo,
        TimeSequence,
        WebOfLies,
        WordSorting,
        WordSortingMistake,
        Wordscapes,
        ZebraPuzzle,
    )
}


def load_synlogic(family: str, **spec: Any) -> Family:
    """A family by name. Raises UnknownName, BadConfig."""
    if family not in FAMILIES:
        raise UnknownName("family of synlogic", family, sorted(FAMILIES))
    return FAMILIES[family](**spec)


def synlogic(without: tuple[str, ...] = (), **spec: Any) -> Mixture:
    """All families in turn, but for some that are held out."""
    return Mixture([load_synlogic(name, **spec) for name in sorted(FAMILIES) if name not in without], "synlogic")
