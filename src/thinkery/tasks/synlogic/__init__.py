"""SynLogic's families of logic problems, each at four levels, each with a verifier that checks rules.

The names are those of the folders of MiniMax-AI/SynLogic (arXiv:2505.19641); prompts, levels and all code are our own, in the small alphabet of
the built-in models. 16 of them stand. Not here yet: arrow_maze, buggy_tables, campsite, cryptarithm, game_of_24, kukurasu, math_path, minesweeper,
norinori, number_wall, numbrix, object_properties, space_reasoning_tree, star_placement_puzzle, survo, time_sequence, wordscapes, zebra_puzzle.
"""

from __future__ import annotations

from typing import Any

from ...core.errors import UnknownName
from ..mixture import Mixture
from .brackets import DyckErrors, DyckLanguage, DyckReasoning, WordSorting, WordSortingMistake
from .family import PREFIX, Family
from .squares import Calcudoku, Futoshiki, Skyscraper, Sudoku
from .worlds import BooleanExpressions, Cipher, GoodsExchange, ObjectCounting, Operation, SpaceReasoning, WebOfLies

__all__ = ["FAMILIES", "PREFIX", "Family", "load_synlogic", "synlogic"]

FAMILIES: dict[str, type[Family]] = {
    family.name.removeprefix(PREFIX): family
    for family in (
        BooleanExpressions,
        Calcudoku,
        Cipher,
        DyckErrors,
        DyckLanguage,
        DyckReasoning,
        Futoshiki,
        GoodsExchange,
        ObjectCounting,
        Operation,
        Skyscraper,
        SpaceReasoning,
        Sudoku,
        WebOfLies,
        WordSorting,
        WordSortingMistake,
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
