"""Small HTTP servers that stand for inference servers: routes are functions, and faults can be ordered."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 0  # any that is free
Route = Callable[[Any], Any]  # body (None of a GET) -> what is answered as JSON


class Fault(Exception):
    """An answer that is an error, or none at all: status 0 closes the connection, "hang" waits."""

    def __init__(self, status: int, body: Any = "", headers: dict[str, str] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or {}


class Stub:
    """A server on a free port of this machine.

    faults    answered first, one a request
    seen      (path, body, headers) of every request; `at_once` is the most that were under way together
    """

    def __init__(self, routes: dict[str, Route]) -> None:
        self.routes, self.faults, self.seen = routes, list[Fault](), list[tuple[str, Any, dict[str, str]]]()
        self.lock, self.live, self.at_once = threading.Lock(), 0, 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                stub.handle(self, None)

            def do_POST(self) -> None:
                stub.handle(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                pass

        self.http = Server(("127.0.0.1", PORT), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def handle(self, request: BaseHTTPRequestHandler, body: Any) -> None:
        with self.lock:
            self.seen.append((request.path, body, dict(request.headers)))
            self.live += 1
            self.at_once = max(self.at_once, self.live)
            fault = self.faults.pop(0) if self.faults else None
        headers: dict[str, str] = {}
        try:
            if fault is not None:
                raise fault
            if request.path not in self.routes:
                raise Fault(404, {"detail": "Not Found"})
            status, found = 200, self.routes[request.path](body)
        except Fault as f:
            if f.status == 0:
                request.close_connection = True
                return
            if f.body == "hang":
                time.sleep(f.status)
                request.close_connection = True
                return
            status, found, headers = f.status, f.body, f.headers
        finally:
            with self.lock:
                self.live -= 1
        data = (found if isinstance(found, str) else json.dumps(found)).encode()
        request.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    def bodies(self, path: str) -> list[Any]:
        return [body for at, body, _ in self.seen if at == path]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        for _ in range(1000):  # a thread that is inside torch when the interpreter ends takes it down
            if not self.live:
                return
            time.sleep(0.01)
