"""What checks by more than reading have in common: a gold text that says how to check, which need not be an answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ...core.errors import VerifierError
from ...core.records import Reply, Verdict

LONGEST = 20_000  # characters of a reply that are read, from its end
SHOWN = 200  # characters of an answer in a verdict
FENCE = re.compile(r"```[ \t]*([A-Za-z0-9+]*)[ \t]*\n(.*?)(?:\n[ \t]*```|```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Judge:
    """Called with (gold, reply) gives the Verdict, as a `Verifier` does.

    what      a gold text is called in messages
    gold      the gold text as it is kept, or None where it cannot be read
    judge     the verdict on a reply's text that was not cut off. Raises VerifierError when it fails by itself
    asks      for an answer that can be read, in words
    recites   whether the gold text is itself an answer
    """

    what: str
    gold: Callable[[str], str | None]
    judge: Callable[[str, str], Verdict]
    asks: str
    recites: bool = False

    def same(self, a: str, b: str) -> bool:
        """Whether two gold texts say the same."""
        return a == b

    def __call__(self, gold: str, reply: Reply) -> Verdict:
        expected = self.gold(gold)
        if expected is None:
            raise VerifierError(f"the gold answer {gold[:SHOWN]!r} is not a {self.what}; mend it or choose another verifier")
        if reply.truncated:
            return Verdict(0.0, reason="cut off at the token limit")
        return self.judge(expected, reply.text[-LONGEST:])


def fenced(text: str, languages: tuple[str, ...]) -> str:
    """The last fenced block in one of the languages, or without one; all of the text where there is none."""
    blocks = [body for language, body in FENCE.findall(text) if language.lower() in ("", *languages)]
    return str(blocks[-1]) if blocks else text
