"""One HTTP/1.1 connection of the load generator: opened when it is needed, and kept.

Written on asyncio's protocols and not on its streams, which cost twice the processor time a
request: the generator shares a machine with what it measures.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["BROKEN", "Connection"]

# What a connection can fail with; `post` raises nothing else.
BROKEN = (OSError, EOFError, ValueError, IndexError)
_MOST_HEAD = 64 * 1024
_MOST_BODY = 64 * 1024 * 1024
_HEAD_END = b"\r\n\r\n"


class Connection:
    """Sends one request at a time and gives the status of each answer.

    Args:
        host: name or address.
        port: where the service listens.
        path: of the route; every request is a POST of JSON.
        headers: names and values that go with each request.
        is_tls: whether to encrypt; the certificate is checked as everywhere.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        is_tls: bool = False,
    ) -> None:
        self._address, self._is_tls = (host, port), is_tls
        shown = f"[{host}]" if ":" in host else host
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: {shown}:{port}\r\n"
            f"content-type: application/json\r\n{fields}content-length: "
        ).encode("latin-1")
        self._wire: _Wire | None = None

    async def post(self, body: bytes) -> int:
        """Send one body and read the whole answer.

        Args:
            body: JSON.

        Returns:
            The HTTP status.
        """
        if self._wire is None or not self._wire.is_open:
            context = ssl.create_default_context() if self._is_tls else None
            loop = asyncio.get_running_loop()
            _, self._wire = await loop.create_connection(_Wire, *self._address, ssl=context)
        try:
            return await self._wire.ask(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
        except BaseException:
            self.close()  # whatever still comes belongs to the request that failed
            raise

    def close(self) -> None:
        """Close at once; the next request opens it anew."""
        if self._wire is not None:
            self._wire.drop()
            self._wire = None


class _Wire(asyncio.Protocol):
    """The transport's other end: gathers one answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._buffer = bytearray()
        self._head: _Head | None = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is one
        self.is_open = True

    def ask(self, request: bytes) -> asyncio.Future[int]:
        """Send a request; the future is its status."""
        if self._transport is None:
            raise EOFError
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.drop()  # an answer that nobody asked for
            return
        self._buffer += data
        try:
            status = self._read()
        except (ValueError, IndexError) as error:
            self._fail(error)
            return
        if status is not None:
            answer, self._answer = self._answer, None
            if not answer.done():
                answer.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error if isinstance(error, OSError) else EOFError("the service closed"))

    def drop(self) -> None:
        """Close without waiting for anything."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
        self.drop()

    def _read(self) -> int | None:
        """Give the status once the answer is whole, and forget it."""
        if self._head is None:
            end = self._buffer.find(_HEAD_END)
            if end < 0:
                _refuse_above(len(self._buffer), _MOST_HEAD)
                return None
            self._head = _read_head(bytes(self._buffer[:end]))
            del self._buffer[: end + len(_HEAD_END)]
        _refuse_above(len(self._buffer), _MOST_BODY)
        head = self._head
        length = _chunks_end(self._buffer) if head.is_chunked else head.length
        if length is None or len(self._buffer) < length:
            return None
        del self._buffer[:length]
        self._head = None
        if head.is_last or self._buffer:
            self.drop()
        return head.status


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What the head of an answer says: how its body ends, and whether another may follow."""

    status: int
    length: int
    is_chunked: bool
    is_last: bool


def _read_head(raw: bytes) -> _Head:
    first, *lines = raw.decode("latin-1").split("\r\n")
    version, status = first.split()[:2]
    if not version.startswith("HTTP/1."):
        message = "not an HTTP answer"
        raise ValueError(message)
    pairs = (line.partition(":") for line in lines)
    fields = {key.strip().lower(): value.strip() for key, _, value in pairs}
    kept = fields.get("connection", "close" if version == "HTTP/1.0" else "keep-alive")
    length = int(fields.get("content-length", "0"))
    if length < 0:
        message = "an answer of negative length"
        raise ValueError(message)
    return _Head(
        status=int(status),
        length=length,
        is_chunked=fields.get("transfer-encoding", "").lower() == "chunked",
        is_last=kept.lower() == "close",
    )


def _chunks_end(buffer: bytearray) -> int | None:
    """Give where a chunked body ends; None where it has not ended yet."""
    at = 0
    while (end := buffer.find(b"\r\n", at)) >= 0:
        size = int(buffer[at:end].split(b";")[0], 16)
        at = end + 2 + size + 2  # the chunk and the line end behind it
        if size == 0:
            return at if len(buffer) >= at else None
    return None


def _refuse_above(size: int, most: int) -> None:
    if size > most:
        message = f"more than {most} bytes of an answer"
        raise ValueError(message)
