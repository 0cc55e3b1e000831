"""One service in several processes: a change in one reaches all, and their counters are one page.

Whoever receives a change applies it, writes the state of its versions down, and asks the others
to follow. One that cannot follow is killed; its successor starts from the state written down.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thinfer.errors import ThinferError
from thinfer.serve.fleet import Fleet
from thinfer.serve.merging import merge_pages
from thinfer.serve.observe import METRICS_TYPE, Metrics
from thinfer.serve.peers import Peers

__all__ = ["Spread"]

logger = logging.getLogger("thinfer.serve")

STATE_PATH = "/admin/state"  # only other workers know it


class Spread:
    """The outermost layer of a worker that has others beside it.

    Args:
        app: the whole application of this worker.
        fleet: its versions.
        metrics: its counters.
        peers: the others.
    """

    def __init__(self, app: ASGIApp, *, fleet: Fleet, metrics: Metrics, peers: Peers) -> None:
        self._app, self._fleet, self._metrics, self._peers = app, fleet, metrics, peers
        self._tasks: set[asyncio.Task[None]] = set()
        fleet.on_own_change = self._tell_later

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event stream."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._peers.is_peer(scope):
            response = await self._answer_peer(scope, receive)
            await response(scope, receive, send)
        elif scope["path"].startswith("/admin/") and scope["method"] in ("POST", "DELETE"):
            await self._change(scope, receive, send)
        elif scope["path"] == "/metrics":
            await self._merge(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer_peer(self, scope: Scope, receive: Receive) -> Response:
        if scope["path"] == "/metrics":
            return Response(self._metrics.render(), media_type=METRICS_TYPE)
        if (scope["method"], scope["path"]) != ("POST", STATE_PATH):
            return JSONResponse({"error": "no such path"}, status_code=404)
        try:
            await self._fleet.follow(json.loads(await Request(scope, receive).body()))
        except ThinferError as error:
            logger.error("this worker cannot follow the others: %s", error)
            return JSONResponse({"error": str(error)}, status_code=500)
        return JSONResponse({})

    async def _change(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let this worker decide; where it agrees, the others follow before the answer goes out."""
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        with _try_lock(self._peers.lock) as is_mine:
            if not is_mine:
                body = {"error": "another change is under way", "error_type": "swap_running"}
                await JSONResponse(body, status_code=409)(scope, receive, send)
                return
            await self._app(scope, receive, hold)
            if held and held[0].get("status") == 200:
                await self._tell()
        for message in held:
            await send(message)

    async def _merge(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the counters of all workers; a worker that does not answer is left out."""
        status: list[int] = [200]
        named: list[tuple[bytes, bytes]] = []

        async def drop(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                named.extend(h for h in message["headers"] if h[0].startswith(b"x-thinfer-"))

        await self._app(scope, receive, drop)  # so that this scrape is counted as any other
        if status[0] != 200:
            await Response(status_code=status[0])(scope, receive, send)
            return
        found = await self._peers.ask_all("GET", "/metrics")
        pages = [self._metrics.render().decode()]
        pages += [page.decode() for _, code, page in found if code == 200]
        response = Response(merge_pages(pages), media_type=METRICS_TYPE)
        response.raw_headers.extend(named)  # every answer names the version
        await response(scope, receive, send)

    async def _tell(self) -> None:
        state = self._fleet.state()
        self._peers.write_state(state)
        for pid, status, _ in await self._peers.ask_all("POST", STATE_PATH, state):
            if status is not None and status != 200:
                logger.error("worker %d could not follow and is started anew", pid)
                os.kill(pid, signal.SIGKILL)

    def _tell_later(self) -> None:
        """Spread a change that this worker has made by itself: a rollback, a stopped arm."""

        async def tell() -> None:
            while True:
                with _try_lock(self._peers.lock) as is_mine:
                    if is_mine:
                        await self._tell()
                        return
                await asyncio.sleep(0.05)

        task = asyncio.get_running_loop().create_task(tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    """Hold a file lock while the block runs; False where another process or task has it."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
