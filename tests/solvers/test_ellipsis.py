"""What is given is context and never trained, and what counts as thinking is what the model itself wrote before its answer."""

from __future__ import annotations

import pytest

from tests.solvers.test_thinking import Scripted, model_of, replied
from tests.support import model_of as plain_model
from thinkery.core.errors import InputError
from thinkery.solvers.ellipsis import ellipsis


@pytest.mark.parametrize(
    ("text", "ended", "think"),
    [
        ("#46", "stop", False),
        ("46", "stop", False),
        ("2+4:6,1+3:4#46", "stop", True),
        ("#4#46", "stop", True),
        ("#46", "length", None),
        ("2+4:6", "length", None),
    ],
)
def test_behind_the_mark(text: str, ended: str, think: bool | None) -> None:
    session = Scripted(plain_model(), (text, ended))
    reply = replied(session, ellipsis)
    assert (reply.text, reply.truncated, reply.data) == (text, ended == "length", {"think": think})
    (turn,) = session.close()
    assert turn.context.text.endswith("12+34=~") and "~" not in turn.text


@pytest.mark.parametrize(("family", "before"), [("qwen3", "<think>\n...\n"), ("qwen35", "<think>\n...\n")])
@pytest.mark.parametrize(
    ("text", "ended", "want"),
    [
        ("</think>\n\n46", "stop", ("46", False, False)),
        ("4 and 6\n</think>\n\n46", "stop", ("46", False, True)),
        ("4 and 6", "stop", ("", True, None)),
        ("4 and 6", "length", ("", True, None)),
        ("</think>46", "length", ("46", True, None)),
    ],
)
def test_with_a_template(family: str, before: str, text: str, ended: str, want: tuple[str, bool, bool | None]) -> None:
    session = Scripted(model_of(family), (text, ended))
    reply = replied(session, ellipsis)
    assert (reply.text, reply.truncated, reply.data["think"]) == want
    (turn,) = session.close()
    chat = session.chat()
    assert chat is not None
    assert chat._tagged(turn.context.ids).endswith(before)


def test_a_template_without_thoughts_is_refused() -> None:
    with pytest.raises(InputError, match="knows thoughts"):
        replied(Scripted(model_of("llama3"), ("46", "stop")), ellipsis)
