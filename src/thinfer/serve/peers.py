"""The other processes of one service: each listens on a loopback port of its own for the others."""

from __future__ import annotations

import asyncio
import hmac
import http.client
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starlette.types import Scope

from thinfer.core.files import write_atomic

__all__ = ["HEADER", "Peers", "Place"]

HEADER = "x-thinfer-peer"
_STATE = "state.json"
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a worker is told by the process that started it.

    Attributes:
        folder: private; ports and the state of the versions lie there.
        index: of this worker, from 0.
        count: of all workers.
        token: known to the workers alone.
        socket: file descriptor of the shared listening socket.
        life: file descriptor that ends when the process which started this one is gone.
    """

    folder: Path
    index: int
    count: int
    token: str
    socket: int
    life: int

    @property
    def end(self) -> Path:
        """A file that is there once all workers are told to stop."""
        return self.folder / "end"

    def encode(self) -> str:
        """Give the text that `decode` reads."""
        return json.dumps({**asdict(self), "folder": str(self.folder)})

    @classmethod
    def decode(cls, text: str) -> Place:
        """Read what `encode` wrote."""
        body = json.loads(text)
        return cls(**{**body, "folder": Path(body["folder"])})


class Peers:
    """Talks to the other workers.

    Args:
        place: of this worker.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def listen(self) -> socket.socket:
        """Open this worker's private port and tell it to the others."""
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        write_atomic(self._place.folder / f"{self._place.index}.port", f"{port} {os.getpid()}")
        return listener

    def announce_ready(self, version: str) -> None:
        """Tell the process that started this one that the first inference has worked."""
        write_atomic(self._place.folder / f"{self._place.index}.ready", version)

    @property
    def lock(self) -> Path:
        """A file that only one change of the versions at a time holds."""
        return self._place.folder / "lock"

    def is_peer(self, scope: Scope) -> bool:
        """Whether a request comes from another worker."""
        given = dict(scope["headers"]).get(HEADER.encode(), b"")
        return hmac.compare_digest(given, self._place.token.encode())

    async def ask_all(
        self, method: str, path: str, body: object = None
    ) -> list[tuple[int, int | None, bytes]]:
        """Ask every other worker; one that does not answer gives None for a status.

        Args:
            method: of the request.
            path: of the route.
            body: sent as JSON.

        Returns:
            `(pid, status, answer)` of each other worker that is known.
        """
        raw = None if body is None else json.dumps(body).encode()
        places = [self._read_port(index) for index in range(self._place.count)]
        found = [place for place in places if place is not None]
        return await asyncio.gather(
            *(asyncio.to_thread(self._ask, port, pid, method, path, raw) for port, pid in found)
        )

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Keep the state of the versions for workers that start later."""
        write_atomic(self._place.folder / _STATE, json.dumps(state))

    def read_state(self) -> dict[str, Any] | None:
        """Give the state that was kept last; None if nothing has changed since the start."""
        try:
            state: dict[str, Any] = json.loads((self._place.folder / _STATE).read_text())
        except FileNotFoundError:
            return None
        return state

    def _read_port(self, index: int) -> tuple[int, int] | None:
        if index == self._place.index:
            return None
        try:
            port, pid = (self._place.folder / f"{index}.port").read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(port), int(pid)

    def _ask(
        self, port: int, pid: int, method: str, path: str, raw: bytes | None
    ) -> tuple[int, int | None, bytes]:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        headers = {HEADER: self._place.token, "content-type": "application/json"}
        try:
            link.request(method, path, raw, headers)
            response = link.getresponse()
            return pid, response.status, response.read()
        except (OSError, http.client.HTTPException):
            return pid, None, b""
        finally:
            link.close()
