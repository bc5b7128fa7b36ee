"""Where a reply's thought stands among its tokens, and the steps that it is made of."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ..core.context import Ids, Turn
from .ellipsis import ANSWER

MARKERS = re.compile(r"(?=\b(?:Wait|Alternatively|Hmm|So|Then)\b)")  # begin a step of text
SEPARATORS = re.compile(r"(?<=;)")  # end a passage through the work of a house task


def tags(tokenizer: Any) -> tuple[Ids, Ids]:
    """The tokens that open and that close a thought. Without a chat template that knows thoughts nothing opens one, and "#" closes it."""
    chat = tokenizer.chat
    if chat is None or chat.thinks is None:
        return (), tokenizer.encode(ANSWER)
    opener, closer = (chat.controls.encode(tag) for tag in chat.thinks.tags)
    return opener, closer


def places(ids: Ids, part: Ids) -> list[int]:
    """Where the part, of at least one token, begins in the tokens."""
    return [i for i in range(len(ids) - len(part) + 1) if ids[i] == part[0] and ids[i : i + len(part)] == part]


def thought(turn: Turn) -> tuple[int, int] | None:
    """From where to where a turn is a thought, tags apart; None where that is not closed exactly once, or empty."""
    opener, closer = tags(turn.context.codec)
    begun, ends = places(turn.ids, opener) if opener else [], places(turn.ids, closer)
    begin = begun[0] + len(opener) if begun else 0
    return (begin, ends[0]) if len(ends) == 1 and begin < ends[0] else None


def cut(ids: Ids, pieces: Sequence[str], marks: re.Pattern[str]) -> list[Ids]:
    """The tokens of each step; a token in which a mark lies begins one. `pieces`: what each token adds to a text (Tokenizer.pieces)."""
    starts = list(accumulate((len(pieces[i]) for i in ids), initial=0))
    text = "".join(pieces[i] for i in ids)
    begin = sorted({0, *(bisect_right(starts, m.start()) - 1 for m in marks.finditer(text) if m.start() < len(text))})
    return [ids[a:b] for a, b in zip(begin, [*begin[1:], len(ids)])]
