"""Chat: a model folder's template, and how messages become tokens by it.

Contexts only grow. What the model wrote stands verbatim, and `follow` gives what the template puts after it; where the template,
given the whole history, would rewrite the past (thoughts dropped, arguments sorted, text trimmed), `rewrites` says so.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer as Backend

from ..core.context import Ids
from ..core.errors import BadModel, InputError
from .template import Controls, environment

TAGS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<|channel>thought", "<channel|>"), ("<seed:think>", "</seed:think>"))
SWITCHES = ("enable_thinking", "thinking")  # names by which templates turn thinking on and off
REASONING = ("reasoning_content", "thinking", "reasoning")  # names under which messages carry a thought; templates read the first
WRITTEN, THOUGHT, CALL = "\ufdd5", "\ufdd6", "\ufdd7"  # stand for texts, to see where a template puts them: no message contains them
KEPT = 4096  # questions whose tokens are remembered

Message = Mapping[str, Any]
ASKED: Message = {"role": "user", "content": "?"}
SAID: Message = {"role": "assistant", "content": WRITTEN}


class Split(NamedTuple):
    """A reply in two: the thought (None: there was none), the answer, and whether the thought came to its end."""

    thought: str | None
    answer: str
    closed: bool


def split_thought(text: str, opened: bool = False, tags: tuple[str, str] = TAGS[0]) -> Split:
    """Thought and answer of what a model wrote; `opened`: the context had opened the thought already.

    The answer stands behind the last closing tag, which is where templates look for it. A thought that is never closed has no answer.
    """
    opener, closer = tags
    head, closed, answer = text.rpartition(closer)
    body = (head if closed else text).lstrip()
    if not closed and not opened and not body.startswith(opener):
        return Split(None, text, True)
    thought = body.removeprefix(opener).strip()
    return Split(thought, answer.strip() if closed else "", bool(closed))


@dataclass(frozen=True)
class Thinking:
    """What a template knows of thoughts.

    tags      what opens and what closes one
    switch    the template's variable that turns thinking on and off; None: it cannot be turned off
    default   whether it is on when nothing is said
    """

    tags: tuple[str, str]
    switch: str | None
    default: bool


def load_chat(folder: Path, settings: Mapping[str, Any], backend: Backend) -> Chat | None:
    """The chat of a model folder, None if it has no template; `settings` is its tokenizer_config.json. Raises BadModel."""
    file = folder / "chat_template.jinja"
    found = _text(file) if file.is_file() else settings.get("chat_template")
    if found is None:
        return None
    others = {p.stem: _text(p) for p in sorted((folder / "additional_chat_templates").glob("*.jinja"))}
    try:
        named = {"default": found} if isinstance(found, str) else {t["name"]: t["template"] for t in found}
    except (TypeError, KeyError) as error:
        raise BadModel(f"{folder}: chat_template is neither a text nor a list of {{name, template}}") from error
    words = {k: v.get("content") if isinstance(v, dict) else v for k, v in settings.items() if k.endswith("_token")}
    try:
        return Chat(backend, named | others, {k: v for k, v in words.items() if isinstance(v, str)})
    except BadModel as error:
        raise BadModel(f"{folder}: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadModel(f"{path} cannot be read as a chat template: {error}") from error


class Chat:
    """How messages become tokens. A message is a mapping with `role` and `content`, as Hugging Face's templates take them.

    templates   by name: "default", and maybe "tool_use"
    words       the tokenizer's bos_token, eos_token, …, which templates print
    thinks      None: the template knows no thoughts
    thinking    as `start` takes it; None: as the template does by itself
    system      a system message for every question
    """

    def __init__(self, backend: Backend, templates: Mapping[str, str], words: Mapping[str, str]) -> None:
        if "default" not in templates:
            raise BadModel(f"the chat templates are named {', '.join(templates)}; one must be named default")
        self.templates, self.words = dict(templates), dict(words)
        self.source = "\n".join(templates.values())
        self.controls = Controls(backend, self.source)
        made = environment()
        try:
            self.compiled = {name: made.from_string(source) for name, source in templates.items()}
        except Exception as error:  # it becomes a Python program, which can be too deep or too long as well as wrong
            raise BadModel(f"the chat template cannot be compiled: {error}") from error
        self.thinks = self._thinking()
        self.thinking: bool | None = None
        self.system = ""
        self._questions: dict[tuple[str, str], Ids] = {}

    # ---- rendering

    def _render(self, messages: Sequence[Message], tools: Any = None, prompt: bool = True, **switch: bool) -> str:
        """Guarded messages by the template, with the generation prompt. Raises BadModel with what the template says."""
        template = self.compiled["tool_use" if tools and "tool_use" in self.compiled else "default"]
        try:
            return template.render(messages=messages, tools=tools, documents=None, add_generation_prompt=prompt, **self.words, **switch)
        except Exception as error:  # a template is a program of its own and raises anything
            raise BadModel(f"the chat template refuses these messages: {error}") from error

    def _guarded(self, message: Message) -> Message:
        """The message as a template takes it."""
        found = {k: v for k, v in message.items() if v is not None}
        thought = next((found[k] for k in REASONING if k in found), None)
        if thought is not None:
            found = {"thinking": thought, **found, "reasoning_content": thought}
        own = found.get("role") == "assistant" and self.thinks is not None
        return self.controls.guard(found, self._tag_tokens if own else ())  # type: ignore[no-any-return]

    def _switch(self, thinking: bool | None) -> dict[str, bool]:
        """The template's variables for that. Raises InputError for what it cannot do."""
        if thinking is None:
            return {}
        if self.thinks is None or self.thinks.switch is None:
            if thinking is (self.thinks is not None):
                return {}
            can = "knows no thoughts" if thinking else "has no switch for thinking"
            raise InputError(f"thinking cannot be turned {'on' if thinking else 'off'}: the model's chat template {can}; leave it on auto")
        return {self.thinks.switch: thinking}

    def _rendered(self, messages: Sequence[Message], tools: Any = None, thinking: bool | None = None) -> str:
        switch = self._switch(self.thinking if thinking is None else thinking)
        return self._render([self._guarded(m) for m in messages], self.controls.guard(tools), **switch)

    def text(self, messages: Sequence[Message], tools: Any = None, thinking: bool | None = None) -> str:
        """What `start` encodes, for people: typed control tokens look like real ones."""
        return self.controls.shown(self._rendered(messages, tools, thinking))

    def start(self, messages: Sequence[Message], tools: Any = None, thinking: bool | None = None) -> Ids:
        """Tokens of a conversation up to where the assistant is to write, what the template writes in its name included.

        They equal Hugging Face's `apply_chat_template(…, add_generation_prompt=True)`. Raises BadModel where the template refuses the
        messages, InputError where `thinking` is not to be had.
        """
        return self.controls.encode(self._rendered(messages, tools, thinking), inside=False)

    def question(self, prompt: str, instruction: str = "") -> Ids:
        """Tokens of one question, with the system message if there is one. Remembered."""
        key = (prompt, instruction)
        found = self._questions.get(key)
        if found is None:
            if len(self._questions) >= KEPT:
                self._questions.clear()
            user = {"role": "user", "content": f"{prompt}\n\n{instruction}" if instruction else prompt}
            found = self._questions[key] = self.start([{"role": "system", "content": self.system}, user] if self.system else [user])
        return found

    def asked(self, thinking: bool | None = None, system: str = "") -> Chat:
        """This chat with thinking turned on or off and a system message. Raises InputError for what the template cannot do."""
        other = copy.copy(self)
        other.thinking, other.system, other._questions = thinking, system, {}
        other._switch(thinking)
        if system and THOUGHT not in self._render([{"role": "system", "content": THOUGHT}, ASKED]):
            raise InputError("the model's chat template leaves out the system message; put it into the questions instead")
        return other

    # ---- what comes after a turn

    def follow(self, before: Ids, messages: Sequence[Message]) -> Ids:
        """Tokens after `before`, which ends in an assistant's turn: the turn's end unless it was written, the messages, the prompt.

        A thought that was cut off is closed first. Raises InputError for tool results where the template has no place for them.
        """
        after, own, end = self._after(messages)
        written = [i + 1 for i in range(own) if after[i] == before[-1] and after[i] in self._control_ids] if before else []
        if written:
            return after[written[-1] :]
        return (self.thought_end if self.thought_open(before) else ()) + after[end:]

    def _after(self, messages: Sequence[Message]) -> tuple[Ids, int, int]:
        """What the template puts after an assistant's text or calls, found with a text that stands for them.

        Of its tokens the first `own` are the assistant's, and its turn ends from token `end` on: before that a call is completed.
        """
        n = 0
        while n < len(messages) and messages[n].get("role") == "tool":
            n += 1
        mark, turn, guarded = WRITTEN, SAID, [self._guarded(m) for m in messages]
        if n and self._calls is not None:
            guarded[:n] = [{"tool_call_id": f"call0000{i}", "name": "tool", **m} for i, m in enumerate(guarded[:n])]
            mark, turn = CALL, called([(m["tool_call_id"], m["name"]) for m in guarded[:n]], self._calls)
        elif n and not self._results([SAID]):
            raise InputError("the model's chat template has no place for tool results; give them as a user's message")
        after = self.controls.encode(self._behind(mark, [ASKED, turn, *guarded], **self._switch(self.thinking)))
        own = self._own(after, self._behind(mark, [ASKED, turn], prompt=False))
        if mark == WRITTEN:
            return after, own, 0
        control = [i for i in range(own) if after[i] in self._control_ids]
        closed = [i for i in control if after[i] in self.closing]
        begun = own < len(after) and after[own] in self._control_ids  # models may end a call by the token that begins its results
        return after, own + begun, (closed or control[-1:] or [own])[0]

    def _own(self, after: Ids, alone: str) -> int:
        """How many of the tokens after an assistant's text stand there too when nothing follows; one control token in any case."""
        same = self.controls.encode(alone)
        common = next((i for i, (a, b) in enumerate(zip(after, same)) if a != b), min(len(after), len(same)))
        first = next((i for i, token in enumerate(after) if token in self._control_ids), len(after))
        space = first < len(after) and not self.controls.backend.decode(list(after[:first])).strip()
        return max(common, first + 1) if space else common

    def _behind(self, mark: str, messages: Sequence[Message], prompt: bool = True, **switch: bool) -> str:
        _, found, after = self._render(messages, prompt=prompt, **switch).rpartition(mark)
        if not found:
            raise BadModel("the chat template leaves out what the assistant wrote, so nothing can follow it")
        return after

    def _results(self, before: Sequence[Message]) -> bool:
        """Whether the template shows a tool's result after those messages."""
        result = {"role": "tool", "tool_call_id": "call00000", "name": "tool", "content": THOUGHT}
        try:
            return THOUGHT in self._render([ASKED, *before, result])
        except BadModel:
            return False

    @cached_property
    def _calls(self) -> Any:
        """Arguments of a call as the template takes them, a mapping or JSON; None if it does not show calls and their results."""
        for arguments in ({"x": CALL}, json.dumps({"x": CALL}, ensure_ascii=False)):
            call = called([("call00000", "tool")], arguments)
            if self._results([call]) and CALL in self._render([ASKED, call], prompt=False):
                return arguments
        return None

    @cached_property
    def closing(self) -> Ids:
        """The control tokens that end an assistant's turn; none where the template ends it by plain text or takes one question only."""
        try:
            after = self.controls.encode(self._behind(WRITTEN, [ASKED, SAID, ASKED]))
            own = self._own(after, self._behind(WRITTEN, [ASKED, SAID], prompt=False))
        except BadModel:
            return ()
        return tuple(i for i in after[:own] if i in self._control_ids)

    # ---- thoughts

    def _thinking(self) -> Thinking | None:
        """What the template knows, found by its text and by what the known switches change."""
        tags = next((t for t in TAGS if t[1] in self.source), None)
        if tags is None:
            return None
        bare = self._render([ASKED])
        for switch in SWITCHES:
            on, off = (self._render([ASKED], **{switch: x}) for x in (True, False))
            if on != off:
                return Thinking(tags, switch, bare == on)
        return Thinking(tags, None, True)

    @cached_property
    def _control_ids(self) -> set[int]:
        return set(self.controls.ids.values())

    @cached_property
    def _tag_tokens(self) -> tuple[str, ...]:
        """Control tokens that are tags of thoughts or parts of them."""
        return () if self.thinks is None else tuple(n for n in self.controls.names if any(n in tag for tag in self.thinks.tags))

    @cached_property
    def _prompt(self) -> int | None:
        """The last control token before an assistant writes, tags apart."""
        tags = {self.controls.ids[n] for n in self._tag_tokens}
        return next((t for t in reversed(self.start([ASKED])) if t in self._control_ids and t not in tags), None)

    def _tagged(self, ids: Ids) -> str:
        """Text of the ids with the tags of thoughts, without other special tokens."""
        dropped = self.controls.special - {self.controls.ids[n] for n in self._tag_tokens}
        return self.controls.backend.decode([i for i in ids if i not in dropped], skip_special_tokens=False)  # type: ignore[no-any-return]

    def thought_open(self, before: Ids) -> bool:
        """Whether what is written next belongs to a thought."""
        if self.thinks is None:
            return False
        own = before[len(before) - before[::-1].index(self._prompt) :] if self._prompt in before else before
        text = self._tagged(own)
        return text.rfind(self.thinks.tags[0]) > text.rfind(self.thinks.tags[1])

    @cached_property
    def thought_end(self) -> Ids:
        """Tokens that close a thought, with the white space that the template puts around the tag. Raises InputError if it knows none."""
        if self.thinks is None:
            raise InputError("the model's chat template knows no thoughts, so none can be closed")
        closer, switch = self.thinks.tags[1], self.thinks.switch
        said = {"role": "assistant", "content": WRITTEN, "reasoning_content": THOUGHT, "thinking": THOUGHT}
        between = self._render([ASKED, said], prompt=False).rpartition(THOUGHT)[2].partition(WRITTEN)[0]
        if closer not in between:  # it shows no thoughts of the past: then as it closes the empty one of a prompt without thinking
            empty = self._render([ASKED], **{switch: False}).rpartition(closer) if switch else ("", "", "")
            after = empty[2] if empty[1] else "\n\n"
            between = after[:1] + closer + after
        return self.controls.encode(between)

    def split(self, before: Ids, written: Ids) -> Split:
        """Thought and answer of what was written after `before`."""
        if self.thinks is None:
            return Split(None, self._tagged(written), True)
        return split_thought(self._tagged(written), self.thought_open(before), self.thinks.tags)

    # ---- the past

    def rewrites(self, messages: Sequence[Message], tools: Any = None) -> list[bool]:
        """For each assistant's turn that something follows: whether the template, given all, would not extend what was written.

        `content` is what the model wrote, or, where calls or thoughts are apart from it, a message's `written`.
        """
        turns = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        history, out = list(messages), []
        for i, after in zip(turns, [*turns[1:], len(messages)]):
            before = self.text(history[:i], tools)
            m = messages[i]
            if "written" not in m and self.thinks is not None and self.thought_open(self.start(history[:i], tools)):
                history[i] = {**m, "content": before[before.rindex(self.thinks.tags[0]) :] + m["content"]}
            if after > i + 1:
                out.append(not self.text(history[:after], tools).startswith(before + m.get("written", m["content"])))
        return out


def called(calls: Iterable[tuple[str, str]], arguments: Any) -> Message:
    """An assistant's message that calls tools: (id, name) of each."""
    function = lambda name: {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": i, "type": "function", "function": function(n)} for i, n in calls]}
