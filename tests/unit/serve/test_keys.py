"""Keys: each role opens its own routes only, and nothing else is ever said about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from thinfer.errors import UserError
from thinfer.serve.errors import AdminOffError, UnauthorizedError
from thinfer.serve.keys import Keys, read_key

SERVE, ADMIN = "serve-key-0123456789", "admin-key-0123456789"


def scope(path: str, value: str | None = None) -> dict[str, object]:
    headers = [] if value is None else [(b"authorization", value.encode())]
    return {"path": path, "headers": headers}


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("/check", None, UnauthorizedError),
        ("/check", f"Bearer {SERVE}", None),
        ("/check", f"bearer {SERVE}", None),
        ("/check", f"Basic {SERVE}", UnauthorizedError),
        ("/check", f"Bearer {SERVE}x", UnauthorizedError),
        ("/check", "Bearer ", UnauthorizedError),
        ("/check", f"Bearer {ADMIN}", UnauthorizedError),
        ("/v2/models/m/infer", None, UnauthorizedError),
        ("/admin/versions", None, UnauthorizedError),
        ("/admin/versions", f"Bearer {SERVE}", UnauthorizedError),
        ("/admin/versions", f"Bearer {ADMIN}", None),
        ("/admin", None, UnauthorizedError),
        ("/livez", None, None),
        ("/metrics", None, None),
        ("/nowhere", None, UnauthorizedError),
    ],
)
def test_each_role_opens_its_own_routes(
    path: str, value: str | None, error: type[Exception] | None
) -> None:
    keys = Keys(serve=SERVE, admin=ADMIN)
    if error is None:
        keys.check(scope(path, value))
    else:
        with pytest.raises(error) as caught:
            keys.check(scope(path, value))
        assert SERVE not in str(caught.value)
        assert ADMIN not in str(caught.value)


def test_without_keys_the_classify_routes_are_open_and_the_admin_routes_closed() -> None:
    keys = Keys(serve=None, admin=None)
    keys.check(scope("/check"))
    with pytest.raises(AdminOffError, match="--admin-key-file"):
        keys.check(scope("/admin/versions", "Bearer anything-at-all-here"))


def test_one_key_for_both_roles_is_refused() -> None:
    with pytest.raises(UserError, match="the same"):
        Keys(serve=SERVE, admin=SERVE)


def test_a_key_file_is_read_without_the_space_around_it(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"  {SERVE}\n")
    assert read_key(file) == SERVE


@pytest.mark.parametrize("text", ["", "short", "two words are no key", "schlüssel-0123456789"])
def test_a_useless_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(UserError, match="cannot be used") as caught:
        read_key(file)
    assert not text or text not in str(caught.value)


def test_a_missing_key_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        Keys.read(serve=None, admin=tmp_path / "none")
