"""The listening socket: made here, or taken over from the process that started this one."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

from thinfer.errors import UserError

if sys.platform != "win32":  # which has neither the module nor the limit
    import resource

__all__ = [
    "BACKLOG",
    "allow_many_connections",
    "open_listener",
    "take_listener",
    "turn_away",
    "url_of",
]

BACKLOG = 2048

_SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>; Python does not name it
# Classic BPF (<linux/filter.h>: code, jump if true, jump if false, operand) on a TCP segment: drop
# it where of SYN and ACK only SYN is set.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # only SYN?
    (0x06, 0, 0, 0),  # yes: nothing of it is passed on
    (0x06, 0, 0, 0xFFFFFFFF),  # no: all of it
)


def allow_many_connections() -> None:
    """Raise this process's limit of open files as far as it may.

    Many systems start a process with 1,024 for the sake of `select`, and each connection is one.
    """
    if sys.platform == "win32":
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses what it names as unlimited
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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


def turn_away(listener: socket.socket) -> None:
    """Let no further connection begin; those that have begun are accepted as before.

    Closing a listening socket resets whatever connected since it was last looked at. With nothing
    new coming in, its queue can be emptied first. Who asks in between is not answered, asks again
    after a second (RFC 6298) and finds the port closed. It holds for every process that shares the
    socket. Only Linux can do it; elsewhere nothing happens.

    Args:
        listener: a listening TCP socket.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def url_of(listener: socket.socket) -> str:
    """Give the address of a listening socket, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
