"""Run the application on a socket, and stop it so that no accepted request is lost.

On the first SIGTERM or SIGINT: readiness goes false and new work is refused (503) while the socket
still listens; when the work in flight is answered, the socket closes and the process ends. A
second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
from collections.abc import Awaitable, Callable, Generator

import uvicorn
from starlette.types import ASGIApp

from thinfer.core.clock import Clock
from thinfer.errors import ThinferError, UserError
from thinfer.serve.protocol import build_protocol
from thinfer.serve.service import Service

__all__ = ["run_server"]

logger = logging.getLogger("thinfer.serve")

BACKLOG = 2048
KEEP_ALIVE_S = 5
# A query may hold a long text.
MAX_HEAD_BYTES = 256 * 1024


def run_server(
    app: ASGIApp, service: Service, *, clock: Clock, announce: Callable[[str], None]
) -> None:
    """Serve until a signal asks to stop.

    Args:
        app: from `create_app`.
        service: the one inside the application.
        clock: measures the deadline of the stop.
        announce: told the address once a real inference has worked, for example
            `http://127.0.0.1:8000`.

    Raises:
        UserError: the address cannot be listened on.
        NotReadyError: the first inference failed.
    """
    settings = service.settings
    listener = _listen(settings.host, settings.port)
    with contextlib.closing(listener):
        config = uvicorn.Config(
            app,
            http=build_protocol(settings.head_timeout_s, max_head_bytes=MAX_HEAD_BYTES),
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,  # uvicorn's would write the query, which holds the text
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(settings.drain_timeout_s),
        )

        async def tell_ready() -> None:
            if not service.lifecycle.is_draining:
                await service.check_ready()
                announce(_url_of(listener))
                logger.info("settings %s", settings.describe())

        server = _Server(config, tell_ready)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_serve(server, service, listener=listener, clock=clock))


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process by the signal itself."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._on_started = on_started
        self.failure: ThinferError | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to `_serve`."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell so; where telling fails, stop again in the ordinary way."""
        await super().startup(sockets)
        try:
            await self._on_started()
        except ThinferError as error:
            self.failure = error
            self.should_exit = True


async def _serve(
    server: _Server, service: Service, *, listener: socket.socket, clock: Clock
) -> None:
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []

    def stop() -> None:
        if stopping:
            server.force_exit = server.should_exit = True
        else:
            stopping.append(loop.create_task(_drain(server, service, clock=clock)))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.serve(sockets=[listener])
    if server.failure is not None:
        raise server.failure


async def _drain(server: _Server, service: Service, *, clock: Clock) -> None:
    """Refuse new work, wait for the work in flight, then let uvicorn close."""
    settings, lifecycle = service.settings, service.lifecycle
    started = clock.monotonic()
    lifecycle.start_draining()
    logger.info("stopping; %d requests in flight", lifecycle.in_flight)
    try:
        async with asyncio.timeout(settings.drain_timeout_s):
            # Probers must be able to see the service not ready before it stops listening.
            await asyncio.sleep(settings.drain_notice_s)
            await lifecycle.wait_idle()
    except TimeoutError:
        logger.warning("the time to stop is over; %d requests are lost", lifecycle.in_flight)
    left = settings.drain_timeout_s - (clock.monotonic() - started)
    server.config.timeout_graceful_shutdown = max(1, math.ceil(left))
    server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    """Give a listening socket.

    Raises:
        UserError: the address is taken, unknown, or not allowed.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        what = f"cannot listen on {host} port {port}"
        do = "name another --port, or 0 for a free one"
        raise UserError(what, got=error.strerror or str(error), do=do) from error
    # asyncio sets this on the sockets that it opens itself, not on those it is given; without
    # it a kept connection waits some 40 ms for the client's acknowledgement between head and body.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
