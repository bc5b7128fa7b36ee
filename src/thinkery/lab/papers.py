"""The 84 papers behind the project as a feed: found by words, told by date, sent by e-mail; with what stands here of each."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from email.message import EmailMessage
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from jinja2 import Environment, StrictUndefined

from ..core.errors import InputError, RunError, UnknownName
from . import catalogue, verdicts
from .meaning import Index

FACTS = Path(__file__).with_name("papers.json")
ATOM = "http://www.w3.org/2005/Atom"
ABSENT = "not here yet"
TIMEOUT_S = 30.0
LEAST = 0.05  # of likeness, below which a paper has nothing to do with what is asked

TEXT = """{{ papers | length }} paper{{ "" if papers | length == 1 else "s" }} since {{ since }}
{% for p in papers %}
{{ p.title }}
  {{ p.facts }}
{% if p.idea %}
  {{ p.idea }}
{% endif %}
  {% if p.here %}{{ p.family }} · claim: {{ p.verdict or "none" }} · thinkery train {{ p.id }} --task addition{% else %}{{ p.family }} · not here yet{% endif %}

{% endfor %}
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ subject }}</title></head>
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 44em; margin: 1em auto; padding: 0 1em">
<h1 style="font-size: 1.3em">{{ subject }}</h1>
{% for p in papers %}
<h2 style="font-size: 1.05em; margin-bottom: 0">{{ p.title }}</h2>
<p style="color: #666; margin: 0">{{ p.facts }}</p>
<p style="margin-top: .3em">{{ p.idea }}
{% if p.here %}<br>{{ p.family }} · claim: {{ p.verdict or "none" }} · <code>thinkery train {{ p.id }} --task addition</code>
{% else %}<i>Not here yet.</i>{% endif %}</p>
{% endfor %}
</body></html>
"""


@dataclass(frozen=True)
class Paper:
    """A paper as a listing had it, and its method here.

    date, organisation, authors, discussions   None where the listing had none
    family, needs, idea, topics               where the novelty sits, what it works on, what is new in our words, in the field's terms
    here, verdict                             whether the method can be run; what came of its claim, "" where nothing is claimed
    """

    number: int
    id: str
    title: str
    date: str | None
    organisation: str | None
    authors: int | None
    discussions: int | None
    family: str = ""
    needs: str = ""
    idea: str = ""
    topics: Sequence[str] = ()
    here: bool = False
    verdict: str = ""

    @property
    def facts(self) -> str:
        """Date, organisation, authors and discussions in a line."""
        count = lambda n, what: f"{n} {what}{'' if n == 1 else 's'}"
        said = [self.date or "undated", self.organisation, self.authors is not None and count(self.authors, "author")]
        return " · ".join(str(x) for x in (*said, self.discussions is not None and count(self.discussions, "discussion")) if x)

    @property
    def said(self) -> str:
        """All its words, in lower case."""
        return " ".join(
            map(str, (self.number, self.id, self.title, self.organisation or "", self.family, self.idea, *self.topics, self.verdict))
        ).lower()


@cache
def papers() -> tuple[Paper, ...]:
    """All papers, newest first, undated ones last."""
    here = {e.card.number: e for e in catalogue.methods().values() if e.card.number is not None}
    found = []
    for facts in json.loads(FACTS.read_text("utf-8")):
        entry = here.get(facts["number"])
        if entry is not None:
            verdict = verdicts.verdict_of(entry.card.id) if catalogue.claims(entry.path) else ""
            facts |= {"family": entry.card.family, "here": True, "verdict": verdict or ""}
        found.append(Paper(**facts))
    return tuple(sorted(found, key=lambda p: (p.date or "", -p.number), reverse=True))


def search(words: str = "", family: str = "", verdict: str = "", since: str = "", needs: str = "", about: str = "") -> list[Paper]:
    """Papers that say all the words, of a family, with a verdict ("not here yet" is one), on what they work, dated on a day or later.

    Newest first; with `about` those whose meaning is nearest to it come first, and those that have nothing to do with it are left out.
    Raises UnknownName, InputError.
    """
    everything = papers()
    for what, name, known in (
        ("family", family, {p.family for p in everything}),
        ("verdict", verdict, {stand(p) for p in everything}),
        ("need", needs, {p.needs for p in everything}),
    ):
        if name and name not in known:
            raise UnknownName(what, name, sorted(known))
    after = day(since) if since else ""
    found = [
        p
        for p in everything
        if all(w in p.said for w in words.lower().split())
        and family in ("", p.family)
        and verdict in ("", stand(p))
        and needs in ("", p.needs)
        and (not after or (p.date or "") >= after)
    ]
    if not about:
        return found
    near = dict(zip((p.number for p in everything), index().scores(about)))
    return sorted((p for p in found if near[p.number] > LEAST), key=lambda p: -near[p.number])


@cache
def index() -> Index:
    """All papers by what they mean, in the order of `papers`."""
    return Index([_told(p) for p in papers()])


def _told(p: Paper) -> str:
    """What a paper is about: what is said twice counts more."""
    return f"{p.title} {p.title} {p.idea} {' '.join(p.topics)} {' '.join(p.topics)} {p.family} {p.needs}"


def stand(paper: Paper) -> str:
    """The verdict on a paper's claim, or that there is none."""
    return (paper.verdict or "no claim") if paper.here else ABSENT


def day(text: str) -> str:
    """A date as YYYY-MM-DD. Raises InputError."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise InputError(f"{text!r} is no date; write it as 2025-06-30") from None


def similar(number: int, n: int = 3) -> list[Paper]:
    """The papers nearest to one in what they mean. Raises UnknownName."""
    everything = {p.number: p for p in papers()}
    if number not in everything:
        raise UnknownName("paper", str(number), map(str, sorted(everything)))
    near = dict(zip(everything, index().scores(_told(everything[number]))))
    return [everything[i] for i in sorted((i for i in everything if i != number), key=lambda i: (-near[i], i))[:n]]


# ---- what is new


def digest(since: str, only: Sequence[Paper] | None = None) -> EmailMessage:
    """What is new since a day, as a message in plain text and HTML, without sender and receiver."""
    shown = list(search(since=since) if only is None else only)
    subject = f"{len(shown)} paper{'' if len(shown) == 1 else 's'} on learning to reason since {day(since)}"
    plain = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=False)  # noqa: S701 (this one is no HTML)
    page = Environment(undefined=StrictUndefined, trim_blocks=True, autoescape=True)
    message = EmailMessage()
    message["Subject"] = subject
    message.set_content(plain.from_string(TEXT).render(papers=shown, since=day(since)))
    message.add_alternative(page.from_string(PAGE).render(papers=shown, subject=subject), subtype="html")
    return message


def send(message: EmailMessage, to: Iterable[str], server: str, sender: str = "thinkery@localhost") -> list[str]:
    """Send a message to each address by itself, so that none learns the others'; returns those it went to. `server`: HOST or HOST:PORT.

    Raises InputError for what is no address, RunError where the server does not take it.
    """
    receivers = list(to)
    for address in (*receivers, sender):
        if parseaddr(address)[1] != address or "@" not in address or any(c.isspace() for c in address):
            raise InputError(f"{address!r} is no e-mail address")
    host, _, port = server.partition(":")
    if port and not port.isdecimal():
        raise InputError(f"the server {server!r}: write HOST or HOST:PORT")
    try:
        with smtplib.SMTP(host, int(port or 25), timeout=TIMEOUT_S) as connection:
            for address in receivers:
                del message["From"], message["To"]
                message["From"], message["To"] = sender, address
                connection.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise RunError(f"the mail server {server} did not take the message: {error}") from error
    return receivers


def feed(shown: Sequence[Paper]) -> str:
    """The papers as an Atom feed; undated ones are left out, for an entry needs a date."""
    ElementTree.register_namespace("", ATOM)
    add = lambda parent, name, text="", **attributes: _sub(parent, name, text, attributes)
    top = ElementTree.Element(f"{{{ATOM}}}feed")
    dated = [p for p in shown if p.date]
    add(top, "id", "urn:thinkery:papers")
    add(top, "title", "Learning to reason")
    add(top, "updated", _moment(dated[0].date if dated else None))
    add(add(top, "author"), "name", "Thinkery")
    for p in dated:
        entry = add(top, "entry")
        add(entry, "id", f"urn:thinkery:paper:{p.number}")
        add(entry, "title", p.title)
        add(entry, "updated", _moment(p.date))
        add(entry, "summary", f"{p.facts}. {p.idea} {stand(p)}.".replace("  ", " "))
        if p.here:
            add(entry, "category", term=p.family)
    return ElementTree.tostring(top, "unicode", xml_declaration=True) + "\n"


def _sub(parent: ElementTree.Element, name: str, text: str, attributes: dict[str, str]) -> ElementTree.Element:
    made = ElementTree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    made.text = text or None
    return made


def _moment(on: str | None) -> str:
    """Midnight of a day, as Atom writes it; the first day of 1970 for none."""
    return datetime.fromisoformat(on or "1970-01-01").replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")


def row(paper: Paper) -> dict[str, Any]:
    """A paper as a line of a listing."""
    kept = {k: v for k, v in asdict(paper).items() if k not in ("idea", "verdict")}
    return kept | {"stands": stand(paper)}
