"""The papers behind the project, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..core.errors import BadConfig
from .commands import Flag
from .listings import _show

SHOWN = 12  # papers found by meaning


def catalogue_papers(
    words: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    *,
    about: str = "",
    family: str = "",
    needs: str = "",
    verdict: str = "",
    since: str = "",
    like: int | None = None,
    json: Flag = False,
) -> int:
    """The 84 papers, newest first, and what stands here of each.

    thinkery catalogue papers length reward --since 2025-05-01

    thinkery catalogue papers --about "shorter answers that stay right"

    Args:
        words: all of them stand in title, idea, topics, organisation or id
        about: what you look for, in your words; the nearest in meaning first
        family: where the novelty sits: objectives, tasks, agents, retrieval, strategies, supervision, vision, memory, fields
        needs: what it works on: text, tools, retrieval, graph, environment, images, video, sound
        verdict: on the method's claim: supported, inconclusive, not run, no claim, not here yet, …
        since: a day, as in 2025-06-30
        like: the number of a paper; those most like it
        json: as JSON, for programs
    """
    from ..lab import papers

    found = papers.search(" ".join(words or ()), family, verdict, since, needs, about) if like is None else papers.similar(like, 10)
    rows = [papers.row(p) for p in found]
    rows = rows[:SHOWN] if about and not json else rows
    _show(rows if json else [{k: r[k] for k in ("number", "id", "title", "date", "stands")} for r in rows], json)
    return 0


def catalogue_digest(
    *,
    since: str,
    to: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    smtp: str | None = None,
    sender: str = "thinkery@localhost",
    out: Path | None = None,
) -> int:
    """What is new since a day: printed, written as a page, or sent by e-mail.

    thinkery catalogue digest --since 2025-05-01

    thinkery catalogue digest --since 2025-05-01 --to jane@example.org --smtp mail.example.org:25

    Args:
        since: a day, as in 2025-06-30
        to: addresses, each of which gets a message of its own
        smtp: the mail server, HOST or HOST:PORT
        sender: the address that it comes from
        out: write an HTML page there
    """
    from ..lab import papers

    if (to is None) != (smtp is None):
        raise BadConfig("to send it, say both --to ADDRESS and --smtp HOST")
    message = papers.digest(since)
    if out is not None:
        page = message.get_body(("html",))
        assert page is not None
        out.write_text(page.get_content(), "utf-8")
        print(f"wrote {out}")
    if to is not None and smtp is not None:
        print(f"sent “{message['Subject']}” to {', '.join(papers.send(message, to, smtp, sender))}")
    if out is None and to is None:
        plain = message.get_body(("plain",))
        assert plain is not None
        print(plain.get_content().strip())
    return 0


def catalogue_feed(*, out: Path, since: str = "") -> int:
    """Write the papers as an Atom feed. Example: thinkery catalogue feed --out papers.xml

    Args:
        out: the feed's file
        since: only papers since a day, as in 2025-06-30
    """
    from ..lab import papers

    out.write_text(papers.feed(papers.search(since=since)), "utf-8")
    print(f"wrote {out}")
    return 0


def catalogue_grid(
    *,
    run: Flag = False,
    task: str = "chain",
    model: str = "tiny",
    n: int = 200,
    steps: int = 30,
    seed: int = 0,
    json: Flag = False,
) -> int:
    """Where methods and ways of thinking belong: more thought or learning, alone or as agents, by input or output; with --run, what each is worth.

    thinkery catalogue grid

    thinkery catalogue grid --run --task chain --n 200 --steps 30

    Args:
        run: measure the first entry of each place on one task, from one model, with one account of tokens
        task: a built-in task whose problems need no tools (see: thinkery list tasks)
        model: a Hugging Face model folder, or a built-in size
        n: test problems
        steps: steps of those that learn
        seed: of problems and samples
        json: as JSON, for programs
    """
    from ..lab import taxonomy
    from ..tasks import load_task

    if not run:
        found = taxonomy.traits(load_task(task), model)
        if json:
            _show([t.to_dict() for t in found], True)
            return 0
        cells = {place: [t for t in found if t.place == place] for place in taxonomy.PLACES}
        _show([{"place": str(p), "entries": ", ".join(t.entry for t in ts)} for p, ts in cells.items()], False)
        print("\n@NAME is a way of thinking (--solver NAME), the others are methods; the first of each place is measured by --run")
        return 0
    rows = []
    for done in taxonomy.bench(load_task(task), model, n, steps, seed):
        rows.append(done.to_dict())
        if not json:
            print(done, flush=True)
    if json:
        _show(rows, True)
    return 0
