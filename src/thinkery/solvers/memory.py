"""Reading something long with a memory of bounded length: after every piece the memory is written anew, and all else is forgotten.

Yu et al. 2025, "MemAgent" (arXiv:2507.02259). A turn's context is the question, the memory and one piece, whatever the length of the whole.
`windowed` is the same for a text that has no question apart.
"""

from __future__ import annotations

from typing import Any

from ..core.records import Question, Reply
from ..engines.session import Session
from ..tasks.generated import whole
from ..tasks.noted import END, pieces
from .scored import begun
from .thinking import reply_of
from .windowed import JOIN

MOST = 1 << 30  # characters, tokens
NOTHING = "nothing yet"
READ = "Question: {question}\n\nMemory:\n{memory}\n\nWhat follows in the text:\n{piece}"
LAST = "Question: {question}\n\nMemory:\n{memory}"
KEEP = "Write the memory anew: all of it, and of the text, that helps to answer the question, in few words. Write nothing else."


async def memory(model: Session, question: Question, tools: Any = None, piece: int = 2000, room: int = 256, shots: str = "") -> Reply:
    """The reply is written from the question and the memory alone; `data["memory"]` is what was kept at the end.

    piece   characters that are read at a time
    room    tokens of a memory; what does not fit is cut off
    shots   as in `scored`

    What is read is the prompt up to its last line, which is the question. A model with a chat template is told what to do; one without reads
    `memory|piece|question`, and `memory|question` in the end.
    """
    whole("piece", piece, 1, MOST)
    whole("room", room, 1, MOST)
    document, _, asked = question.prompt.rstrip("\n").rpartition("\n")
    chat, kept = model.chat() is not None, ""
    for part in pieces(document, piece):
        if chat:
            prompt = READ.format(question=asked, memory=kept or NOTHING, piece=part)
            said = await model.ask(Question(prompt, instruction=KEEP), room)
        else:
            said = await model.ask(begun(model, Question(f"{kept}{JOIN}{part}{JOIN}{asked}"), shots), room, stop=(END,))
        kept = reply_of(model, said).text.removesuffix(END)
    prompt = LAST.format(question=asked, memory=kept or NOTHING) if chat else f"{kept}{JOIN}{asked}"
    answer = reply_of(model, await model.ask(begun(model, Question(prompt, instruction=question.instruction), shots)))
    return Reply(answer.text, answer.truncated, {**answer.data, "memory": kept})
