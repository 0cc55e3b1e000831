"""Answers in pieces, without end, too long or broken, on a connection that is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tests.support.http_double import CHUNKED, OK
from thinfer.bench.connection import BROKEN, Connection


class Scripted:
    """Sends the pieces of one answer after each request; None closes."""

    def __init__(self, *pieces: bytes | None) -> None:
        self.pieces = pieces
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r")[0]))
                for piece in self.pieces:
                    if piece is None:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.002)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()


def ask(
    server: Scripted, act: Callable[[Connection], Awaitable[object]], **options: object
) -> object:
    async def run() -> object:
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        link = Connection("127.0.0.1", port, path="/check")
        try:
            return await act(link)
        finally:
            link.close()
            listener.close()
            await asyncio.sleep(0.01)

    return asyncio.run(run())


async def twice(link: Connection) -> list[int]:
    return [await link.post(b"{}"), await link.post(b"{}")]


@pytest.mark.parametrize("whole", [OK, CHUNKED])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_answer_may_come_in_any_pieces(whole: bytes, size: int) -> None:
    server = Scripted(*(whole[at : at + size] for at in range(0, len(whole), size)))
    assert ask(server, twice) == [200, 200]
    assert server.connections == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 503 no\r\nConnection: close\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.0 503 no\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
def test_a_service_that_ends_the_connection_is_asked_on_a_new_one(head: bytes) -> None:
    server = Scripted(head)
    assert ask(server, twice) == [503, 503]
    assert server.connections == 2


def test_a_connection_that_was_closed_while_idle_is_opened_anew() -> None:
    server = Scripted(OK, None)

    async def act(link: Connection) -> list[int]:
        first = await link.post(b"{}")
        await asyncio.sleep(0.05)
        return [first, await link.post(b"{}")]

    assert ask(server, act) == [200, 200]
    assert server.connections == 2


BAD: Sequence[tuple[bytes | None, ...]] = (
    (None,),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}", None),
    (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",),
    (b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",),
    (b"nonsense\r\n\r\n",),
    (b"SMTP 200 OK\r\n\r\n",),
    (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000,),
)


@pytest.mark.parametrize("pieces", BAD)
def test_a_broken_answer_is_an_error_and_the_next_request_starts_afresh(
    pieces: tuple[bytes | None, ...],
) -> None:
    server = Scripted(*pieces)

    async def act(link: Connection) -> None:
        for _ in range(2):
            with pytest.raises(BROKEN):
                await link.post(b"{}")

    ask(server, act)
    assert server.connections == 2


def test_bytes_behind_an_answer_belong_to_no_later_one() -> None:
    server = Scripted(OK + b"HTTP/1.1 500 stray\r\ncontent-length: 0\r\n\r\n")
    assert ask(server, twice) == [200, 200]
    assert server.connections == 2


def test_a_request_that_is_given_up_takes_its_connection_along() -> None:
    server = Scripted(b"HTTP/1.1 200 OK\r\n")

    async def act(link: Connection) -> int:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await link.post(b"{}")
        return server.connections

    assert ask(server, act) == 2


def test_nobody_listening_is_an_os_error() -> None:
    async def run() -> None:
        with pytest.raises(OSError, match=r"."):
            await Connection("127.0.0.1", 1, path="/check").post(b"{}")

    asyncio.run(run())
