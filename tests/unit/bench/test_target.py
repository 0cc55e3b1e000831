"""Addresses of this machine and no other, and headers whose values no message tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from thinfer.bench.target import parse_target, read_header
from thinfer.errors import UserError


def test_an_address_is_read() -> None:
    target = parse_target("http://127.0.0.1:8000", allow_remote=False)
    assert (target.host, target.port, target.path, target.is_tls) == ("127.0.0.1", 8000, "/", False)
    assert target.at("/check").url == "http://127.0.0.1:8000/check"
    assert parse_target("http://[::1]:9/v1/x", allow_remote=False).url == "http://[::1]:9/v1/x"
    assert parse_target("https://127.0.0.1", allow_remote=False).port == 443


def test_localhost_is_this_machine_whoever_else_says_so() -> None:
    assert parse_target("http://localhost:80", allow_remote=False).host == "127.0.0.1"


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "0.0.0.0", "localhost.example.org"])
def test_other_machines_want_a_word(host: str) -> None:
    with pytest.raises(UserError, match="--allow-remote"):
        parse_target(f"http://{host}:8000", allow_remote=False)
    assert parse_target(f"http://{host}:8000", allow_remote=True).host == host


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://127.0.0.1:port", "http://[::1"),
        *("http://127.0.0.1/?a=b", "http://127.0.0.1/#a", "http://me:pw@127.0.0.1/"),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="not the address"):
        parse_target(url, allow_remote=True)


def test_a_secret_comes_out_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key.txt"
    file.write_text("s3cret\n")
    assert read_header(f"X-Api-Key: @{file}") == ("x-api-key", "s3cret")
    assert read_header(f"authorization: Bearer @{file}") == ("authorization", "Bearer s3cret")
    assert read_header("x-priority: low") == ("x-priority", "low")
    assert read_header("x-mail: me@home") == ("x-mail", "me@home")  # no file: nothing before it


@pytest.mark.parametrize(
    "wish",
    [
        *("authorization: Bearer s3cret", "x-api-key: s3cret", "Cookie: s3cret"),
        *("s3cret", "host: s3cret", "content-length: 3", "bad name: s3cret", "x: ", "x: @nowhere"),
        *("x-y: s3cret\r\nz: 1", "x-y: s3cret\n"),
    ],
)
def test_a_bad_header_is_refused_without_its_value(wish: str) -> None:
    if wish == "x-y: s3cret\n":
        assert read_header(wish) == ("x-y", "s3cret")
        return
    with pytest.raises(UserError) as caught:
        read_header(wish)
    assert "s3cret" not in str(caught.value) or wish == "s3cret"


def test_a_file_that_would_smuggle_a_header_in_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key.txt"
    for content in ("s3cret\r\nx: 1", "", "s3cret\x00", "s3crét\u4f60"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(UserError) as caught:
            read_header(f"x-key: @{file}")
        assert "s3cr" not in str(caught.value)
