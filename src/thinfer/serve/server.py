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
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from thinfer.core.clock import Clock
from thinfer.errors import ThinferError
from thinfer.serve.listening import (
    BACKLOG,
    allow_many_connections,
    open_listener,
    take_listener,
    turn_away,
    url_of,
)
from thinfer.serve.peers import Peers, Place
from thinfer.serve.protocol import build_protocol
from thinfer.serve.service import Service
from thinfer.serve.settings import ServeSettings

__all__ = ["run_server"]

logger = logging.getLogger("thinfer.serve")

SETTLE_S = 0.05  # for handshakes on their way when the door closes
LINGER_S = 0.2  # between the closing of the listening socket and that of its connections
# A query may hold a long text.
MAX_HEAD_BYTES = 256 * 1024


def run_server(
    app: ASGIApp,
    service: Service,
    *,
    clock: Clock,
    announce: Callable[[str], None],
    peers: Peers | None = None,
) -> None:
    """Serve until a signal asks to stop.

    Args:
        app: from `create_app`.
        service: the one inside the application.
        clock: measures the deadline of the stop.
        announce: told the address once a real inference has worked, for example
            `http://127.0.0.1:8000`.
        peers: the other processes of this service, where there are any.

    Raises:
        UserError: the address cannot be listened on.
        NotReadyError: the first inference failed.
    """
    settings = service.settings
    allow_many_connections()
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(contextlib.closing(item)) for item in _open(settings, peers)
        ]
        config = uvicorn.Config(
            app,
            http=build_protocol(settings.head_timeout_s, max_head_bytes=MAX_HEAD_BYTES),
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,  # uvicorn's would write the query, which holds the text
            server_header=False,
            proxy_headers=False,  # nobody asks for the client's address
            backlog=BACKLOG,
            # Declared as whole seconds; it goes into `call_later`, which takes parts of one.
            timeout_keep_alive=settings.keep_alive_s,  # type: ignore[arg-type]
            timeout_graceful_shutdown=math.ceil(settings.drain_timeout_s),
        )

        async def tell_ready() -> None:
            if not service.lifecycle.is_draining:
                state = None if peers is None else peers.read_state()
                if state is not None:  # the others have changed their versions since the start
                    await service.fleet.follow(state)
                await service.check_ready()
                announce(url_of(listeners[0]))
                logger.info("settings %s", settings.describe())

        server = _Server(config, tell_ready)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_serve(server, service, listeners=listeners, clock=clock))


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
    server: _Server, service: Service, *, listeners: list[socket.socket], clock: Clock
) -> None:
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []

    def stop() -> None:
        if stopping:
            server.force_exit = server.should_exit = True
        else:
            work = _drain(server, service, listeners=listeners, clock=clock)
            stopping.append(loop.create_task(work))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if service.settings.place is not None:
        life = Place.decode(service.settings.place).life

        def stop_alone() -> None:
            loop.remove_reader(life)
            logger.warning("the process that started this worker is gone")
            stop()

        loop.add_reader(life, stop_alone)
    await server.serve(sockets=listeners)
    if server.failure is not None:
        raise server.failure


async def _drain(
    server: _Server, service: Service, *, listeners: list[socket.socket], clock: Clock
) -> None:
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
    # A worker that stops alone leaves the shared socket to the others.
    if settings.place is None or Place.decode(settings.place).end.exists():
        with contextlib.suppress(OSError):  # a kernel without it: some connections are reset
            for listener in listeners:
                turn_away(listener)
            await asyncio.sleep(SETTLE_S)
    await _close_listeners(server, listeners)
    # A connection made in the last moment brings its request now: it gets its 503, no reset.
    await asyncio.sleep(LINGER_S)
    left = settings.drain_timeout_s - (clock.monotonic() - started)
    server.config.timeout_graceful_shutdown = max(1, math.ceil(left))
    server.should_exit = True


async def _close_listeners(server: _Server, listeners: list[socket.socket]) -> None:
    """Stop listening, and take over what the kernel has connected but the loop has not seen.

    The kernel resets connections that still wait in a listening socket's queue when it closes;
    a copy keeps it open until the queue is empty, some microseconds before its own close.
    """
    copies = [listener.dup() for listener in listeners if listener.fileno() >= 0]
    for accepting in server.servers:
        accepting.close()
    for listener in listeners:
        listener.close()
    waiting: list[socket.socket] = []
    for copy in copies:
        # An error ends it: the queue is empty, or its client has gone.
        with contextlib.closing(copy), contextlib.suppress(OSError):
            copy.setblocking(False)
            while len(waiting) < BACKLOG:  # no more can have waited
                waiting.append(copy.accept()[0])
    kind: Any = server.config.http_protocol_class  # uvicorn calls it with its own arguments
    make = partial(
        kind,
        config=server.config,
        server_state=server.server_state,
        app_state=server.lifespan.state,
    )
    for connection in waiting:
        connection.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(make, connection)


def _open(settings: ServeSettings, peers: Peers | None) -> list[socket.socket]:
    """Give the sockets to listen on: the public one, and one for the other processes."""
    if peers is None or settings.place is None:
        return [open_listener(settings.host, settings.port)]
    return [take_listener(Place.decode(settings.place).socket), peers.listen()]
