"""A small HTTP service for load: keeps what it was asked, and answers as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


class Server:
    """Answers every request with the same bytes, once its gate is open if it has one."""

    def __init__(self, answer: bytes = OK, *, gate: asyncio.Event | None = None) -> None:
        self.answer, self.gate = answer, gate
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.connections = 0
        self.at_once = self.most_at_once = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = head.lower().split("content-length: ")[1:]
                length = int(fields[0].split("\r\n")[0]) if fields else 0
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(length))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                if self.gate is not None:
                    await self.gate.wait()
                self.at_once -= 1
                writer.write(self.answer)
                await writer.drain()
                if b"connection: close" in self.answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()


@contextmanager
def in_thread(server: Server) -> Iterator[int]:
    """Run it beside the test; gives its port."""
    started, ports = threading.Event(), []
    loop = asyncio.new_event_loop()

    async def run() -> None:
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        ports.append(listener.sockets[0].getsockname()[1])
        started.set()
        async with listener:
            await ended.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.01)

    ended = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    started.wait(30)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
        loop.close()
