"""The socket that the service listens on."""

from __future__ import annotations

import socket

import pytest

from thinfer.errors import UserError
from thinfer.serve.listening import open_listener


def test_an_accepted_connection_never_waits_to_fill_a_packet() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        with socket.create_connection(listener.getsockname()[:2]):
            accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_is_told() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=str(port)):
            open_listener("127.0.0.1", port)
