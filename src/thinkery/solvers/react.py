"""A tool loop: the model thinks, calls a tool, reads what came of it, and goes on until it answers.

Yao et al. 2023, "ReAct" (arXiv:2210.03629). A call is `<call>NAME ARGUMENTS</call>`; the arguments are a JSON object, or, for a tool that
needs one, that one's text. What many chat models were taught, `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, is a call as well.
"""

from __future__ import annotations

import json
from typing import Any

from ..core.errors import InputError
from ..core.records import CALLS, Question, Reply
from ..engines.session import Session
from ..tools.tool import Tool, Toolbox
from .thinking import reply_of

MOST = 8  # calls in one reply
CALL, TAUGHT = ("<call>", "</call>"), ("<tool_call>", "</tool_call>")
RESULT, BACK = "<result>", "</result>"
ABOUT = "\n\nTools:\n{tools}\nTo use one write {call}NAME ARGUMENTS{end}, with the arguments as a JSON object. What it gives follows. Then go on, and answer.\n"


async def react(model: Session, question: Question, tools: Any = None) -> Reply:
    """The reply is what was written after the last result; `data["calls"]` has the calls. What tools say is context, never trained.

    After MOST calls the model is asked once more and must answer. Raises InputError where there are no tools.
    """
    if not isinstance(tools, Toolbox) or not tools:
        raise InputError("the solver 'react' needs tools: give them with --tools or --mcp, or use the solver 'single'")
    told = ABOUT.format(tools=tools.text(), call=CALL[0], end=CALL[1])
    context = model.context(Question(question.prompt + writable(model, told), question.shown, question.instruction))
    for _ in range(MOST):
        turn = await model.ask(context, stop=(CALL[1], TAUGHT[1]))
        found = called(turn.text)
        if turn.ended == "length" or found is None:
            break
        name, arguments = found
        given = await tools.call(name, bound(tools.get(name), arguments))
        result = f"{RESULT}{given.text.replace(BACK, '< /result>')}{BACK}"
        context = model.follow(context + turn, writable(model, result))
    else:
        turn = await model.ask(context)
    said = reply_of(model, turn)
    return Reply(said.text, said.truncated, {**said.data, CALLS: tools.record()})


def called(text: str) -> tuple[str, str] | None:
    """The name and the arguments of the call that ends a text; None where none does."""
    for begin, end in (CALL, TAUGHT):
        _, begun, inner = text.removesuffix(end).rpartition(begin)
        if begun and text.endswith(end):
            if begin == TAUGHT[0]:
                return taught(inner)
            name, _, arguments = inner.strip().partition(" ")
            return name.strip(), arguments.strip()
    return None


def taught(text: str) -> tuple[str, str]:
    """A call as chat models write it; what is no JSON object names no tool, which the model is told."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text.strip(), "{}"
    if not isinstance(found, dict):
        return text.strip(), "{}"
    arguments = found.get("arguments", {})
    return str(found.get("name", "")), arguments if isinstance(arguments, str) else json.dumps(arguments)


def bound(tool: Tool | None, arguments: str) -> str:
    """Arguments as a JSON object: as they are, or as the text of the one that the tool needs."""
    needed: list[str] = tool.parameters.get("required", []) if tool is not None else []
    if not arguments or arguments.startswith("{") or len(needed) != 1:
        return arguments or "{}"
    return json.dumps({needed[0]: arguments})


def writable(model: Session, text: str) -> str:
    """The text with a question mark for every character that the model's vocabulary lacks."""
    codec = model.context("").codec
    try:
        codec.encode(text)
    except InputError:
        return "".join(c if _known(codec, c) else "?" for c in text)
    return text


def _known(codec: Any, character: str) -> bool:
    try:
        codec.encode(character)
    except InputError:
        return False
    return True
