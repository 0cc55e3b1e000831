"""uvicorn's HTTP protocol with a deadline for a request's head, which uvicorn itself has not.

Without it a client that sends one byte now and then holds its connection for ever.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.auto import AutoHTTPProtocol

__all__ = ["build_protocol"]


def build_protocol(head_timeout_s: float) -> type[asyncio.Protocol]:
    """Give a protocol class that closes a connection whose next head is not complete in time.

    The deadline runs from the connection, or from the first byte after an answer, and no byte
    prolongs it. So it also ends an upload that goes on after its refusal.

    Args:
        head_timeout_s: seconds for request line and headers.
    """

    class PunctualProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen by uvicorn
        """Counts the time while no request is being answered but bytes come, or none ever came."""

        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self.forget()
            super().connection_lost(exc)

        def watch(self) -> None:
            """Start the deadline between requests, drop it while one is being answered."""
            is_between = self.cycle is None or self.cycle.response_complete
            if not is_between:
                self.forget()
            elif self.deadline is None:
                loop = asyncio.get_running_loop()
                self.deadline = loop.call_later(head_timeout_s, self.transport.close)

        def forget(self) -> None:
            """Drop the deadline."""
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None

    return PunctualProtocol
