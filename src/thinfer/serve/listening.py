"""The listening socket: made here, or taken over from the process that started this one."""

from __future__ import annotations

import socket

from thinfer.errors import UserError

__all__ = ["BACKLOG", "open_listener", "take_listener", "url_of"]

BACKLOG = 2048


def open_listener(host: str, port: int) -> socket.socket:
    """Give a listening socket.

    Args:
        host: address to listen on.
        port: 0 takes a free one.

    Raises:
        UserError: the address is taken, unknown, or not allowed.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        what = f"cannot listen on {host} port {port}"
        do = "name another --port, or 0 for a free one"
        raise UserError(what, got=error.strerror or str(error), do=do) from error
    # asyncio sets this on the sockets that it opens itself, not on those it is given; without
    # it a kept connection waits some 40 ms for the client's acknowledgement between head and body.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def take_listener(number: int) -> socket.socket:
    """Take over a listening socket by its file descriptor."""
    return socket.socket(fileno=number)


def url_of(listener: socket.socket) -> str:
    """Give the address of a listening socket, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
