"""Of the reliability list: a bigger model that is away, silent, full or wrong."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.ground import Ground, ask
from benchmarks.launch import start_thinfer
from benchmarks.settings import SETS, Settings


def has_cascade(settings: Settings) -> bool:
    """Say whether `benchmarks.cascade` has left its small bundle and its policy."""
    return (settings.work / "cascade" / "cold" / "small.json").is_file()


def measure_cloud(ground: Ground, *, requests: int) -> dict[str, Any]:
    """Let the bigger model be away, silent, full or wrong, and ask on; nothing may be a 5xx."""
    folder = ground.settings.work / "cascade" / "cold"  # of `benchmarks.cascade`
    texts = ground.settings.corpus(SETS["cold"], "test", most=requests).texts
    found = {}
    for kind, serve in _CLOUDS.items():
        with serve() as port:
            policy = ("--cascade", str(folder / "small.json"))
            options = (*policy, "--cascade-to", f"http://127.0.0.1:{port}")
            statuses: Counter[str] = Counter()
            slowest, degraded = 0.0, 0
            with start_thinfer(
                folder / "small", threads=ground.settings.threads, options=options
            ) as service:
                for text in texts:
                    started = time.perf_counter()
                    status, body = ask(service, "POST", "/check", {"content": text})
                    slowest = max(slowest, time.perf_counter() - started)
                    statuses[str(status)] += 1
                    degraded += bool(body.get("degraded"))
            found[kind] = {"statuses": statuses, "degraded": degraded, "slowest_s": slowest}
    return {"requests": requests, "timeout_s": 1.0, "kinds": found}


@contextmanager
def _nobody() -> Iterator[int]:
    """Give a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    yield int(port)


@contextmanager
def _silence() -> Iterator[int]:
    """Take connections, and never say a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        yield int(listener.getsockname()[1])


def _saying(status: int, body: bytes) -> Callable[[], Any]:
    """Give a cloud that always answers the same."""

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    @contextmanager
    def serve() -> Iterator[int]:
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_port
            server.shutdown()

    return serve


_CLOUDS: dict[str, Callable[[], Any]] = {
    "nobody listens": _nobody,
    "never answers": _silence,
    "429": _saying(429, b"{}"),
    "500": _saying(500, b"oops"),
    "wrong form": _saying(200, b'{"result": "spam"}'),
}
