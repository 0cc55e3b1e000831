"""The socket that the service listens on."""

from __future__ import annotations

import resource
import socket
import sys

import pytest

from thinfer.errors import UserError
from thinfer.serve.listening import allow_many_connections, open_listener, turn_away


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters at a listening socket")
def test_turned_away_is_who_comes_later_and_not_who_waits() -> None:
    with open_listener("127.0.0.1", 0) as listener:
        address = listener.getsockname()[:2]
        with socket.create_connection(address) as early:
            turn_away(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            listener.settimeout(10)
            accepted, _ = listener.accept()
            with accepted:
                early.sendall(b"asked")
                assert accepted.recv(5) == b"asked"
                accepted.sendall(b"told")
                assert early.recv(4) == b"told"
            listener.settimeout(0)
            with pytest.raises(BlockingIOError):
                listener.accept()


def test_the_limit_of_open_files_is_raised_as_far_as_it_may() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] // 2, before[1]))
        allow_many_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
