"""Who may look: this machine's user, who was given the token; and what a page may do, which is to show what was sent and to ask a run to stop.

A page of another site that this browser visits can send requests here; it knows no token, and its own host name, pointed at this
machine, is refused. A cookie does not tell ports of this machine apart, so what asks for something must say that it comes from here. What
a model wrote is escaped wherever it stands, and the policy lets no script run that is not our file.
"""

from __future__ import annotations

import secrets

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "thinkery"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without one a browser does not say where a form stands
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses requests to another host (421), not in ASCII (400), without the token (401), or from a page elsewhere (403); the token in an address becomes a cookie."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str]) -> None:
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await (self._refusal(Request(scope)) or self.app)(scope, receive, sealed)

    def _refusal(self, request: Request) -> ASGIApp | None:
        """The answer to a request that goes no further."""
        if request.headers.get("host", "") not in self.hosts:
            return PlainTextResponse(f"This is not {request.headers.get('host', '')!r}; open the address that was printed.", 421)
        if not request.scope["query_string"].isascii():  # no browser sends that, and it cannot be read
            return PlainTextResponse("That is no address.", 400)
        if request.method == "POST":
            return self._refused_post(request)
        given = request.query_params.get("token")
        if given is not None and self._is_token(given):
            to = RedirectResponse(str(request.url.remove_query_params("token")), 303)
            to.set_cookie(COOKIE, self.token, httponly=True, samesite="strict", path="/")
            return to
        if not self._is_token(request.cookies.get(COOKIE, "")):
            return PlainTextResponse("Open the address that was printed when the dashboard started: it holds the token.", 401)
        return None if request.method in ("GET", "HEAD") else PlainTextResponse("That cannot be asked here.", 405)

    def _refused_post(self, request: Request) -> ASGIApp | None:
        """The answer to what asks for something without the cookie, or from a page that is not ours."""
        if not self._is_token(request.cookies.get(COOKIE, "")):
            return PlainTextResponse("Open the address that was printed when the dashboard started: it holds the token.", 401)
        here = f"http://{request.headers['host']}"
        if request.headers.get("origin") != here or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return PlainTextResponse(f"Only a page of {here} can ask for this.", 403)
        return None

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())
