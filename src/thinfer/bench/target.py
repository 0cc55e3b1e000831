"""Whom the load goes to: this machine unless more is allowed; and headers that stay secret."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from thinfer.errors import UserError

__all__ = ["Target", "is_loopback", "parse_target", "read_header"]

_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
_SECRET = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)
_OURS = ("host", "content-length", "content-type", "transfer-encoding", "connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A service's address.

    Attributes:
        host: name or address, without brackets.
        port: where it listens.
        path: begins with `/`; `/` where the URL had none.
        is_tls: whether the connection is encrypted.
    """

    host: str
    port: int
    path: str
    is_tls: bool

    @property
    def url(self) -> str:
        """The address as one writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.is_tls else ''}://{host}:{self.port}{self.path}"

    def at(self, path: str) -> Target:
        """Give the same service with another path.

        Args:
            path: begins with `/`.
        """
        return replace(self, path=path)


def parse_target(url: str, *, allow_remote: bool) -> Target:
    """Read a URL; `localhost` becomes 127.0.0.1, and no name is looked up.

    Args:
        url: `http://HOST[:PORT][/PATH]`, or `https`.
        allow_remote: whether other machines may be loaded.

    Raises:
        UserError: it is no such URL, or not of this machine although that is not allowed.
    """
    what = f"'{url}' is not the address of a service"
    expected = "http://HOST:PORT, without user, query and fragment"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(what, expected=expected, got=str(error)) from error
    if parts.scheme not in _PORTS or not host or parts.query or parts.fragment or parts.username:
        raise UserError(what, expected=expected)
    host = "127.0.0.1" if host == "localhost" else host
    if not allow_remote and not is_loopback(host):
        what = "load goes to this machine only"
        do = "give --allow-remote if that service is yours to load"
        raise UserError(what, expected="a loopback address", got=host, do=do)
    is_tls = parts.scheme == "https"
    return Target(
        host=host, port=port or _PORTS[parts.scheme], path=parts.path or "/", is_tls=is_tls
    )


def is_loopback(host: str) -> bool:
    """Say whether a host is an address of this machine by itself; a name never is.

    Args:
        host: an address without brackets.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_header(wish: str) -> tuple[str, str]:
    """Read one `--header`: `NAME: VALUE`, where `@FILE` at the end stands for a file's content.

    No message holds a value. What may be secret by its name is read from a file only: the words
    of a command are there for every user of the machine to see.

    Args:
        wish: for example `authorization: Bearer @key.txt`.

    Returns:
        Name in lower case, and value.

    Raises:
        UserError: it has another form, the name is one that the generator sets itself, the file
            cannot be read, or a secret stands in the command.
    """
    name, colon, rest = wish.partition(":")
    name, rest = name.strip().lower(), rest.strip()
    if not colon or not _NAME.fullmatch(name) or name in _OURS:
        what = "a header cannot be read"
        raise UserError(what, expected="'NAME: VALUE' or 'NAME: Bearer @FILE'", got=name[:40])
    before, at, file = rest.rpartition("@")
    is_file = bool(at) and (not before or before.endswith(" "))
    if is_file:
        try:
            value = before + Path(file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            what = f"the file of the header '{name}' cannot be read"
            raise UserError(what, got=f"{file}: {type(error).__name__}") from error
    elif _SECRET.search(name):
        what = f"the header '{name}' may be secret, and its value stands in the command"
        raise UserError(what, expected=f"'{name}: @FILE'")
    else:
        value = rest
    if not value or not _VALUE.fullmatch(value):
        what = f"the value of the header '{name}' is empty or no header value"
        raise UserError(what, expected="one line of printable characters")
    return name, value
