"""Who may ask what: one key for the classify routes, another for the admin routes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from thinfer.errors import ThinferError, UserError
from thinfer.serve.errors import AdminOffError, UnauthorizedError

__all__ = ["AskKey", "Keys", "read_key"]

_SHORTEST = 16
# Probes, scrapers and the console's own files come without a key; none of them shows a text.
_OPEN = frozenset({"/", "/livez", "/readyz", "/health", "/metrics", "/info", "/openapi.json"})
_OPEN_BELOW = ("/console/", "/v2/health/")


class Keys:
    """Checks the Bearer token of a request; compares in constant time, keeps digests only.

    Args:
        serve: the key of the classify routes; None leaves them open.
        admin: the key of the admin routes; None closes them to everyone.
    """

    def __init__(self, *, serve: str | None, admin: str | None) -> None:
        if serve is not None and serve == admin:
            what = "the serve key and the admin key are the same"
            raise UserError(what, do="give each role a key of its own")
        self._serve = None if serve is None else _digest(serve.encode())
        self._admin = None if admin is None else _digest(admin.encode())

    @classmethod
    def read(cls, *, serve: Path | None, admin: Path | None) -> Keys:
        """Read the keys from files; white space around them does not count.

        Args:
            serve: file of the serve key.
            admin: file of the admin key.

        Raises:
            UserError: a file cannot be read, or its key is too short.
        """
        return cls(
            serve=None if serve is None else read_key(serve),
            admin=None if admin is None else read_key(admin),
        )

    def check(self, scope: Scope) -> None:
        """Let pass who may; the path decides which key it takes.

        Raises:
            UnauthorizedError: the key is missing or wrong.
            AdminOffError: an admin route, and the service has no admin key.
        """
        path = scope["path"]
        if path == "/admin" or path.startswith("/admin/"):
            if self._admin is None:
                what = "the admin routes are off"
                raise AdminOffError(what, do="start the service with --admin-key-file")
            self._compare(scope, self._admin, role="admin")
        elif self._serve is not None and not (path in _OPEN or path.startswith(_OPEN_BELOW)):
            self._compare(scope, self._serve, role="serve")

    def _compare(self, scope: Scope, wanted: bytes, *, role: str) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        is_right = hmac.compare_digest(_digest(token.strip()), wanted)
        if not (is_right and scheme.lower() == b"bearer"):
            what = f"the {role} key is missing or wrong"
            raise UnauthorizedError(what, expected="Authorization: Bearer KEY")


class AskKey:
    """Lets only those requests in that bring the key of their route.

    Args:
        app: what is inside.
        keys: of the service.
        answer: gives the answer to an error of ours.
    """

    def __init__(
        self, app: ASGIApp, keys: Keys, *, answer: Callable[[Scope, ThinferError], Response]
    ) -> None:
        self._app, self._keys, self._answer = app, keys, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI event stream."""
        if scope["type"] == "http":
            try:
                self._keys.check(scope)
            except ThinferError as error:
                await self._answer(scope, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def read_key(file: Path) -> str:
    """Read one key.

    Args:
        file: its first line is the key.

    Raises:
        UserError: it cannot be read, or the key is too short.
    """
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = f"the key file {file} cannot be read"
        raise UserError(what, got=type(error).__name__) from error
    if len(key) < _SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
        what = f"the key in {file} cannot be used"
        expected = f"at least {_SHORTEST} printable ASCII characters without spaces"
        do = "write a long random one, for example from `openssl rand -hex 32`"
        raise UserError(what, expected=expected, got=f"{len(key)} characters", do=do)
    return key


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()
