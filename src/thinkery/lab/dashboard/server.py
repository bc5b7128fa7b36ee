"""The pages and their addresses."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ...core.errors import BadConfig, InputError
from ...core.reading import UNREADABLE
from .. import catalogue, control, pages, papers, verdicts
from ..text import clean, percent
from . import compared, data, rollouts, sides, steps
from .guard import Guard

HERE = Path(__file__).parent
LOOK_S = 1.0  # between two looks for what is new


def application(folder: Path, token: str, port: int) -> Guard:
    """The dashboard over a folder of runs, as an ASGI application."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.globals.update(
        percent=percent, outcomes=list(rollouts.OUTCOMES), shadings=rollouts.SHADINGS, ends=rollouts.ENDS, signs=rollouts.SIGNS
    )

    def page(template: str, shown: Callable[[Request], dict[str, Any]]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                values = await run_in_threadpool(shown, request)
                return HTMLResponse(templates.get_template(template).render(path=request.url.path, **values))
            except (*UNREADABLE, TemplateError) as error:
                own = isinstance(error, InputError)
                text = str(error) if own else f"What this page is made from cannot be read: {type(error).__name__} {error}"
                return HTMLResponse(
                    templates.get_template("wrong.html").render(path=request.url.path, text=clean(text)), 404 if own else 500
                )

        return answer

    async def changes(request: Request) -> Response:
        return StreamingResponse(news(folder), media_type="text/event-stream")

    async def asked(request: Request) -> Response:
        try:
            name, kind = request.path_params["run"], request.path_params["kind"]
            await run_in_threadpool(lambda: control.ask(data.found(folder, name), kind))
            return RedirectResponse(f"/run/{quote(name)}", 303)
        except InputError as error:
            return HTMLResponse(templates.get_template("wrong.html").render(path=request.url.path, text=clean(str(error))), 409)

    run_of = lambda request: data.found(folder, request.path_params["run"])
    of = lambda request, *names: (request.path_params[n] for n in names)
    routes = [
        Route("/", page("runs.html", lambda q: _runs(folder, q))),
        Route("/beside", page("beside.html", lambda q: sides.beside(folder, *(q.query_params.get(k, "") for k in ("a", "b", "only"))))),
        Route("/compare", page("comparisons.html", lambda q: {"comparisons": compared.comparisons(folder)})),
        Route("/compare/{name:path}", page("comparison.html", lambda q: compared.comparison(folder, *of(q, "name")))),
        Route("/map/{name:path}", page("map.html", lambda q: compared.interactions(folder, *of(q, "name")))),
        Route("/run/{run:path}/ask/{kind:str}", asked, methods=["POST"]),
        Route("/run/{run:path}/rollouts", page("rollouts.html", lambda q: _rollouts(run_of(q), q))),
        Route("/run/{run:path}/steps", page("steps.html", lambda q: _named(steps.steps(run_of(q), q.query_params), q))),
        Route("/run/{run:path}/step/{step:int}/problem/{number:int}", page("group.html", lambda q: _group(run_of(q), q))),
        Route("/run/{run:path}/problem/{number:int}", page("problem.html", lambda q: _problem(run_of(q), q))),
        Route("/run/{run:path}", page("run.html", lambda q: data.overview(run_of(q), *of(q, "run")))),
        Route("/papers", page("papers.html", _papers)),
        Route("/paper/{number:int}", page("paper.html", lambda q: _paper(*of(q, "number")))),
        Route("/papers.xml", atom),
        Route("/news", changes),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    return Guard(Starlette(routes=routes), token, frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}))


def _runs(folder: Path, request: Request) -> dict[str, Any]:
    words = request.query_params.get("q", "")
    found = data.runs(folder, words)
    return {"runs": found, "now": [] if words else data.now(folder), "q": words}


def _named(values: dict[str, Any], request: Request) -> dict[str, Any]:
    return values | {"name": request.path_params["run"]}


def _rollouts(run: Path, request: Request) -> dict[str, Any]:
    asked = {k: v for k, v in request.query_params.items() if v}
    older = {k: v for k, v in asked.items() if k != "before"}
    return _named(rollouts.rollouts(run, asked) | {"asked": asked, "kept": older}, request)


def _group(run: Path, request: Request) -> dict[str, Any]:
    by = request.query_params.get("by", rollouts.SHADINGS[0])
    return _named(rollouts.group(run, request.path_params["step"], request.path_params["number"], by), request)


def _problem(run: Path, request: Request) -> dict[str, Any]:
    return _named(rollouts.problem(run, request.path_params["number"]), request)


def _papers(request: Request) -> dict[str, Any]:
    """The papers that are asked for, newest first."""
    asked = {k: request.query_params.get(k, "") for k in ("words", "about", "family", "needs", "verdict", "since")}
    everything = papers.papers()
    return {
        "papers": papers.search(**asked),
        "asked": asked,
        "families": sorted({p.family for p in everything}),
        "needs": sorted({p.needs for p in everything}),
        "verdicts": sorted({papers.stand(p) for p in everything}),
        "stand": papers.stand,
    }


def _paper(number: int) -> dict[str, Any]:
    """One paper, what its method says and what was measured of it, and those most like it. Raises UnknownName."""
    alike = papers.similar(number)
    paper = next(p for p in papers.papers() if p.number == number)
    doc = next((e.doc for e in catalogue.methods().values() if e.card.number == number), "")
    told = {name: [clean(line) for line in lines] for name, lines in pages.sections(doc).items() if name != "Setup"}
    return {"paper": paper, "told": told, "alike": alike, "stand": papers.stand, "figure": None} | _evidence(paper)


def _evidence(paper: papers.Paper) -> dict[str, Any]:
    """The line, the rows and the curves of a paper's claim; nothing where it was not run."""
    path = verdicts.evidence_folder() / f"{paper.id}.json"
    if not path.is_file():
        return {}
    found = verdicts.read(path)
    rows = [pages.cells(row) for row in found["comparisons"]]
    caption = "share right of the replies sampled in training, the mean over seeds"
    figure = data.drawn(pages.curves_of(found), caption, unit="share right", bounds=(0.0, 1.0), over="% of training")
    return {"line": clean(found["line"]), "rows": [[clean(x) for x in row] for row in rows], "figure": figure}


async def atom(request: Request) -> Response:
    """The papers as a feed."""
    text = await run_in_threadpool(lambda: papers.feed(papers.papers()))
    return Response(text, media_type="application/atom+xml")


async def news(folder: Path) -> AsyncIterator[str]:
    """Server-sent events: the name of each run as its record changes."""
    seen: dict[str, float] | None = None
    while True:
        now = await run_in_threadpool(lambda: {data.name_of(folder, run): data.changed(run) for run in data.everywhere(folder)})
        for name, at in now.items():
            if seen is not None and at != seen.get(name):
                yield f"data: {json.dumps(name)}\n\n"
        yield ": \n\n"
        seen = now
        await asyncio.sleep(LOOK_S)


def serve(folder: Path, port: int = 0, opens: bool = True, tell: Callable[[str], None] = print) -> None:
    """Serve until interrupted. port 0: any that is free. Raises BadConfig for a folder that is not there or a port that is taken."""
    if not folder.is_dir():
        raise BadConfig(f"{folder} is no folder; name the one that holds your runs")
    token = secrets.token_urlsafe(24)
    with closing(socket.socket()) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadConfig(f"port {port} cannot be had ({error.strerror}); choose another --port, or none") from error
        port = place.getsockname()[1]
        address = f"http://127.0.0.1:{port}/?token={token}"
        tell(f"dashboard of {folder}: {address}\nCtrl-C ends it.")
        threading.Thread(target=papers.papers, daemon=True).start()  # it is there when it is asked for
        if opens:
            threading.Timer(0.5, webbrowser.open, (address,)).start()
        config = uvicorn.Config(
            application(folder.resolve(), token, port), log_level="warning", access_log=False, timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[place])
