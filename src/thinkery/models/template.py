"""What chat templates are run in, and how the text that they render becomes tokens.

A control token that somebody typed is text. Messages are guarded before the template sees them, and the template's own control
tokens are told apart from typed ones when its text is encoded; both are done with Unicode's noncharacters, which no text contains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer as Backend

from ..core.context import Ids

TODAY = datetime(2024, 7, 26)  # for every template: tokens must not depend on the clock
NONCHARACTERS = re.compile("[\ufdd0-\ufdef]")
TYPED, MEANT = "\ufdd0{}\ufdd1", "\ufdd2{}\ufdd3"  # a control token that somebody typed; one that the template wrote
START = "\ufdd4"  # what stands before a text inside a conversation


class Generation(Extension):
    """`{% generation %}`: marks what an assistant wrote. Nothing is made of it here."""

    tags = {"generation"}  # noqa: RUF012 (as jinja2 declares it)

    def parse(self, parser: jinja2.parser.Parser) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """What Hugging Face's templates expect, at a fixed date."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(
        x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:  # jinja2's own escapes for HTML
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = TODAY.strftime
    return made


class Controls:
    """The control tokens of a template: the tokenizer's special ones, and those others added to it that the template spells."""

    def __init__(self, backend: Backend, source: str) -> None:
        self.backend = backend
        added = backend.get_added_tokens_decoder()
        self.special = {i for i, t in added.items() if t.special}
        found = {t.content: i for i, t in added.items() if t.special or (t.content.strip() and t.content in source)}
        self.ids = dict(sorted(found.items(), key=lambda x: -len(x[0])))  # of names that begin alike the longest counts
        self.names = list(self.ids)
        self.number = {name: n for n, name in enumerate(self.names)}
        self.pattern = re.compile("|".join(map(re.escape, self.names)) or "(?!)")

    def guard(self, x: Any, but: Sequence[str] = ()) -> Any:
        """The value with every control token in its texts replaced by a stand-in, except those named in `but`."""
        if isinstance(x, str):
            text = NONCHARACTERS.sub("\ufffd", x)
            return self.pattern.sub(lambda m: m[0] if m[0] in but else TYPED.format(self.number[m[0]]), text)
        if isinstance(x, Mapping):
            return {self.guard(k): self.guard(v, but) for k, v in x.items()}
        return [self.guard(v, but) for v in x] if isinstance(x, (list, tuple)) else x

    def shown(self, text: str) -> str:
        """Guarded text as it was typed."""
        return re.sub("\ufdd0([0-9]+)\ufdd1", lambda m: self.names[int(m[1])], text)

    @cached_property
    def reader(self) -> tuple[Backend, dict[int, int]]:
        """The tokenizer with its control tokens renamed as MEANT, START added, and the token that each of its added ids stands for."""
        raw = json.loads(self.backend.to_str())
        names = {}
        for token in raw["added_tokens"]:
            if token["content"] in self.number:
                token["content"] = MEANT.format(self.number[token["content"]])
            names[token["content"]] = token["id"]
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        raw["added_tokens"].append({"id": 1 << 30, "content": START, "special": True, **flags})
        raw["truncation"] = raw["padding"] = None
        made = Backend.from_str(json.dumps(raw))
        ids: dict[int, int] = {made.token_to_id(name): i for name, i in names.items()}  # type: ignore[misc]
        return made, ids

    def encode(self, rendered: str, inside: bool = True) -> Ids:
        """Tokens of rendered text; `inside` a conversation no vocabulary puts a space before it, as some do where a text begins."""
        made, added = self.reader
        meant = self.pattern.sub(lambda m: MEANT.format(self.number[m[0]]), rendered)
        ids = made.encode(START * inside + self.shown(meant), add_special_tokens=False).ids
        return tuple(added.get(i, i) for i in ids[inside:])
