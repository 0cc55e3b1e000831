"""uvicorn's HTTP protocol, with two limits for a request's head and one packet for an answer.

Without the first limit a client that sends one byte now and then holds its connection for ever;
without the second one that sends headers without end fills the memory. uvicorn writes an answer's
head and body apart: two system calls here, and a client that wakes up twice.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["build_protocol"]

_BODY = b'{"error": "the head of the request is too large", "error_type": "head_too_large"}'
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_BODY), _BODY)
)


class Gathering:
    """A transport that sends together what is written in one turn of the event loop.

    Args:
        transport: the connection's own; everything but writing and closing is its affair.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        """Send with the next turn of the loop."""
        if not self._parts:
            self._call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """Send what was written, then close."""
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))


class PunctualProtocol(HttpToolsProtocol):
    """Counts time and bytes while no request is being answered, but one is on its way."""

    head_timeout_s: ClassVar[float]
    max_head_bytes: ClassVar[int]
    deadline: asyncio.TimerHandle | None = None
    head_bytes: int | None = None  # None outside a head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Start the deadline of the first head."""
        super().connection_made(Gathering(transport))  # type: ignore[arg-type]  # it is like one
        self._watch()

    def on_message_begin(self) -> None:
        """Count from the first byte of a head."""
        super().on_message_begin()
        self.head_bytes = 0

    def on_headers_complete(self) -> None:
        """Count no more."""
        self.head_bytes = None
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then see whether the head has grown too large."""
        super().data_received(data)
        if self.head_bytes is not None:
            self.head_bytes += len(data)
            if self.head_bytes > self.max_head_bytes:
                self.head_bytes = None
                self.transport.write(_TOO_LARGE)
                self.transport.close()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the deadline."""
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Start the deadline between requests, drop it while one is being answered."""
        is_between = self.cycle is None or self.cycle.response_complete
        if not is_between:
            self._forget()
        elif self.deadline is None:
            loop = asyncio.get_running_loop()
            self.deadline = loop.call_later(self.head_timeout_s, self.transport.close)

    def _forget(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None


def build_protocol(head_timeout_s: float, *, max_head_bytes: int) -> type[asyncio.Protocol]:
    """Give a protocol class that closes a connection whose next head is too slow or too large.

    The deadline runs from the connection, or from the first byte after an answer, and no byte
    prolongs it. So it also ends an upload that goes on after its refusal.

    Args:
        head_timeout_s: seconds for request line and headers.
        max_head_bytes: of request line and headers; more is answered with 431.
    """

    class Limited(PunctualProtocol):
        """With the limits of one service."""

    Limited.head_timeout_s, Limited.max_head_bytes = head_timeout_s, max_head_bytes
    return Limited
