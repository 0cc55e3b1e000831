"""A TCP proxy that goes wrong on demand: late, silent, cut off, or answering for the target."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Fault = Literal["pass", "late", "black_hole", "reset", "half_close"] | bytes
LATE_S = 30.0


class FaultProxy:
    """Stands before a port of this machine; a new fault ends the connections that are open.

    Bytes as a fault are sent in answer to each request, in place of the target's.
    """

    def __init__(self, target: int) -> None:
        self.port = self.connections = 0
        self._target = target
        self._fault: Fault = "pass"
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def set_fault(self, fault: Fault) -> None:
        asyncio.run_coroutine_threadsafe(self._change(fault), self._loop).result(10)

    async def _change(self, fault: Fault) -> None:
        self._fault = fault
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._act(self._fault, reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _act(
        self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)  # close by RST, without a goodbye
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return
        if fault in ("pass", "late"):
            await asyncio.sleep(LATE_S if fault == "late" else 0)
            await self._pass_on(reader, writer)
            return
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            if fault == "half_close":
                writer.write_eof()
            elif isinstance(fault, bytes):
                writer.write(fault)
                await writer.drain()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(_pump(reader, forth), _pump(back, writer))
        finally:
            forth.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._meet, "127.0.0.1", 0)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(65536):
        writer.write(part)
        await writer.drain()
    writer.close()


@contextmanager
def fault_proxy(target: int) -> Iterator[FaultProxy]:
    """Run a proxy in a thread of its own."""
    proxy = FaultProxy(target)
    loop = proxy._loop
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(proxy._listen(), loop).result(10)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(server.close)
        proxy.set_fault("reset")
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
