"""Tables that must be repaired before they are read."""

from __future__ import annotations

import re
from itertools import accumulate

from ...core.rng import Stream
from .family import Made, Only

COLUMNS = "abcd"
KINDS = ("v", ">", "+r", "+c")
Table = tuple[str, ...]  # row after row, each a string of digits


class BuggyTables(Only):
    """Prompt `731/482/905;>1;a:b<4?`, reply `317/824/059#11`: what went wrong with a table is told, and what to read from the right one.

    3 rows of 3 and 1 bug at level 1, 1 row and 1 bug more with each level, and 4 columns from level 3.
    """

    name = "synlogic:buggy_tables"
    instruction = (
        "A table of digits was spoilt, in the order told: v2 moved its rows down by 2, those below to the top; >1 moved its columns to the right by 1, "
        "the last to the front; +r added a last row and +c a last column of no meaning. Undo this, the last first. a:b>4 then asks for the sum of "
        'column a over the rows whose column b is greater than 4; the columns are a, b, c, d. End with "#" and the sum.'
    )
    form = re.compile("[0-9]{1,3}")
    what = "sum"

    def room(self, level: int) -> int:
        """See Family: a table after each bug that is undone."""
        return level * (level + 3) * 6 + 4

    def make(self, level: int, stream: Stream) -> Made | None:
        """See Family. The condition holds for some rows and not for others."""
        height, width = level + 2, 3 + level // 3
        table = tuple("".join(str(stream.below(10)) for _ in range(width)) for _ in range(height))
        bugs = [kind if kind[0] == "+" else f"{kind}{stream.between(1, 2)}" for kind in stream.sample(KINDS, level)]
        *worse, shown = accumulate(bugs, lambda rows, bug: spoilt(rows, bug, stream), initial=table)
        wanted, tested = stream.sample(range(width), 2)
        sign, bound = stream.choice("<>"), stream.between(2, 7)
        chosen = [row for row in table if (int(row[tested]) > bound if sign == ">" else int(row[tested]) < bound)]
        if not 0 < len(chosen) < height:
            return None
        query = f"{COLUMNS[wanted]}:{COLUMNS[tested]}{sign}{bound}"
        answer = str(sum(int(row[wanted]) for row in chosen))
        work = tuple("/".join(rows) for rows in reversed(worse))
        return Made(f"{'/'.join(shown)};{' '.join(bugs)};{query}?", answer, f"{'/'.join(sorted(table))};{query}", answer, work)


def spoilt(table: Table, bug: str, stream: Stream) -> Table:
    """The table after a bug."""
    if bug == "+r":
        return (*table, "".join(str(stream.below(10)) for _ in table[0]))
    if bug == "+c":
        return tuple(row + str(stream.below(10)) for row in table)
    by = int(bug[1:])
    return table[-by:] + table[:-by] if bug[0] == "v" else tuple(row[-by:] + row[:-by] for row in table)
