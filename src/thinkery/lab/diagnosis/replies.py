"""How prompts and replies begin and end, and whether samples are samples."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np

from ..finding import ENOUGH, Finding, fatal, warning
from ..text import one_line
from .seen import LONG, Check, Seen

# A chat template's marks, of Llama, Qwen, Mistral, Gemma, Phi, DeepSeek, and as they stand where special tokens were left out.
CHAT = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|\[INST\]|<start_of_turn>|<\|(?:user|assistant)\|>|<\|?[|｜](?:User|Assistant)|\n?(?:user|assistant)\n"
)
OPENS = re.compile(r"(?:assistant(?:<\|end_header_id\|>)?|model|Assistant[|｜]?>?|<\|assistant\|>|\[/INST\]|<think>)\s*:?\s*$")
ON = re.compile(
    r"\n\s*(?:(?:User|Human|Question|Q|Problem|Instruction|Student|USER)\s*:|###\s*(?:Instruction|Question|Input)|user\n)|<\|im_start\|>|<\|start_header_id\|>|\[INST\]"
)
ENDS = re.compile(r"<\|im_end\|>|<\|eot_id\|>|<\|endoftext\|>|</s>|<\|end\|>|<end_of_turn>|<[|｜]end[▁_]of[▁_]sentence[|｜]>")
BEGINS = re.compile(r"^\s*(<\|begin_of_text\|>|<s>|<bos>|<[|｜]begin[▁_]of[▁_]sentence[|｜]>)\s*\1")
LOOP = re.compile(r"(.{8,120}?)\1{5,}", re.S)


def untemplated(s: Seen) -> Finding | None:
    """Plain prompts, and replies that go on to invent the next question."""
    on = np.array([bool(ON.search(x.text[:LONG])) for x in s.samples])
    if on.mean() < 0.25 or s.n < ENOUGH:
        return None
    plain = s.share(lambda x: not CHAT.search(x.prompt)) > 0.9
    seen = f"{on.mean():.0%} of the replies go on with another turn, as {s.example(int(np.argmax(on)))}"
    if plain:
        return fatal(
            "template",
            seen + "; no prompt bears a chat template's marks",
            "put prompts as messages, so that the chat template is applied, or add a stop string",
        )
    return warning("template", seen, "the end-of-turn token is not among the stop tokens: set eos_token_id and stop to the template's")


def no_generation_prompt(s: Seen) -> Finding | None:
    """Prompts in a chat template that do not open the assistant's turn."""
    chat = [x for x in s.samples if re.search(r"<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>", x.prompt)]
    if len(chat) < ENOUGH or sum(1 for x in chat if OPENS.search(x.prompt)) > len(chat) / 2:
        return None
    seen = f"prompts end in {chat[0].prompt[-40:]!r} ({chat[0].where}), which does not open the assistant's turn"
    return fatal("generation prompt", seen, "apply the chat template with add_generation_prompt=True")


def end_tokens(s: Seen) -> Finding | None:
    """An end token in the middle of a reply: it was not taken as the end."""
    after = [(i, m) for i, x in enumerate(s.samples) if (m := ENDS.search(x.text[:LONG])) and len(x.text[m.end() :].strip()) > 3]
    if len(after) < max(3, 0.1 * s.n):
        return None
    i, m = after[0]
    seen = f"{len(after)} of {s.n} replies go on behind {m[0]!r}, as {s.example(i)}"
    return fatal("end token", seen, f"{m[0]!r} is no stop token of the sampler: add it to eos_token_id or stop_token_ids")


def doubled_begin(s: Seen) -> Finding | None:
    """Two begin tokens."""
    share = s.share(lambda x: BEGINS.search(x.prompt))
    if share < 0.5:
        return None
    return warning(
        "begin token",
        f"{share:.0%} of the prompts begin with two begin tokens",
        "the template writes one already: tokenize with add_special_tokens=False",
    )


def truncated(s: Seen) -> Finding | None:
    """Replies cut off at the limit."""
    share = float(s.cut.mean())
    if share < 0.3:
        return None
    thinking = sum("<think>" in x.text and "</think>" not in x.text for x in s.samples) / s.n
    seen = f"{share:.0%} of the replies are cut off (at {s.length.max():.0f})"
    if thinking > 0.3:
        seen += f"; {thinking:.0%} are still thinking"
    unpaid = np.isfinite(s.reward) & (s.reward <= s.least + 1e-9)
    level = "fatal" if share > 0.8 or (unpaid[s.cut].mean() > 0.9 and share > 0.6) else "warning"
    return Finding("truncation", level, seen, "raise the limit of tokens for a reply; leave cut-off replies out of the loss until then")


def empty(s: Seen) -> Finding | None:
    """Replies without text."""
    share = s.share(lambda x: not x.text.strip() and not isinstance(x.sampler, np.ndarray))
    if share < 0.2:
        return None
    return Finding(
        "empty replies",
        "fatal" if share > 0.8 else "warning",
        f"{share:.0%} of the replies are empty",
        "the first token is a stop token, or the reply was stripped: look at the raw tokens",
    )


def garbled(s: Seen) -> Finding | None:
    """Text that a tokenizer did not come from."""
    share = s.share(lambda x: x.text.count("\ufffd") > 0.02 * max(20, len(x.text)))
    if share < 0.2:
        return None
    return fatal(
        "tokenizer",
        f"{share:.0%} of the replies are full of replacement characters",
        "ids were decoded by another tokenizer than the model's, or in pieces that cut characters",
    )


def loops(s: Seen) -> Finding | None:
    """Replies that say one thing again and again."""
    share = s.share(lambda x: LOOP.search(x.text[-4000:]))
    if share < 0.3:
        return None
    at = next(i for i, x in enumerate(s.samples) if LOOP.search(x.text[-4000:]))
    return warning(
        "repetition",
        f"{share:.0%} of the replies loop, as {s.example(at)}",
        "lower the learning rate, penalise repetition, or start from a model that can end",
    )


def same_samples(s: Seen) -> Finding | None:
    """Samples of a group that are one text."""
    counted = [g for g in s.groups if np.mean([len(s.text(i)) for i in g]) > 20]
    if len(counted) < 4:
        return None
    same = np.array([1 - (len({s.text(i) for i in g}) - 1) / (len(g) - 1) for g in counted])
    if same.mean() < 0.8:
        return None
    return fatal(
        "same samples",
        f"the samples of a problem are nearly always one text, as {s.example(counted[0][0])}",
        "temperature 0, or one seed for all samples of a request (n=1 sent several times with a fixed seed)",
    )


def blind(s: Seen) -> Finding | None:
    """One reply for many different problems."""
    early = s.halves()  # what only comes later is a collapse: `over_time`
    samples = s.samples if early is None else [x for x, first in zip(s.samples, early[0]) if first]
    prompts: dict[str, set[str]] = defaultdict(set)
    for x in samples:
        if len(x.text) > 20:
            prompts[x.text].add(x.prompt)
    most = max(prompts.values(), key=len, default=set())
    of = len({x.prompt for x in samples})
    if of < 8 or len(most) < 0.5 * of:
        return None
    return warning(
        "blind replies",
        f"one reply stands for {len(most)} of {of} prompts",
        "the prompt is not in the model's context, or the policy has collapsed",
    )


def one_prompt(s: Seen) -> Finding | None:
    """Different gold answers to one and the same prompt."""
    golds: dict[str, set[str]] = defaultdict(set)
    for x in s.samples:
        if x.gold and x.prompt:
            golds[x.prompt].add(x.gold)
    worst = max(golds.items(), key=lambda kv: len(kv[1]), default=("", set()))
    if len(worst[1]) < 4 or len(worst[1]) < 0.5 * len({x.gold for x in s.samples if x.gold}):
        return None
    return fatal(
        "same prompts",
        f"one prompt has {len(worst[1])} different gold answers: {one_line(worst[0], 80)!r}",
        "the question is not in the prompt: check the column, and prompts cut at max_prompt_length",
    )


def leak(s: Seen) -> Finding | None:
    """The answer in the prompt."""
    tail = lambda x: x.prompt[-400:]
    said = [
        x
        for x in s.samples
        if x.gold
        and len(x.gold) < 200
        and re.search(r"(?:answer|solution|label|####)\s*(?:is|:|=)?\s*" + re.escape(x.gold.strip()) + r"(?!\w)", tail(x), re.I)
    ]
    told = sum(bool(x.gold) for x in s.samples)
    if len(said) < max(ENOUGH, 0.3 * told):
        return None
    return fatal(
        "leak",
        f"{len(said)} of {told} prompts hold their answer, as {one_line(tail(said[0])[-80:], 80)!r} ({said[0].where})",
        "leave the answer's column out of the prompt; drop the last, worked message",
    )


CHECKS: tuple[Check, ...] = (
    untemplated, no_generation_prompt, end_tokens, doubled_begin, truncated, empty, garbled, loops, same_samples, blind, one_prompt, leak,
)  # fmt: skip
