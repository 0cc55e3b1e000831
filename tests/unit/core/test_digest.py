from __future__ import annotations

from pathlib import Path

import pytest

from thinfer.core.digest import digest_parts, sha256_bytes, sha256_file

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_bytes(b"abc") == sha256_file(tmp_path / "a") == ABC


def test_a_large_file_is_read_to_its_end(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "a").write_bytes(data)
    assert sha256_file(tmp_path / "a") == sha256_bytes(data)
    with pytest.raises(OSError, match="absent"):
        sha256_file(tmp_path / "absent")


def test_parts_count_by_name_and_not_by_order() -> None:
    one = digest_parts({"a": "1", "b": "2"})
    assert one == digest_parts({"b": "2", "a": "1"})
    assert len({one, digest_parts({"a": "2", "b": "1"}), digest_parts({"a": "1"})}) == 3
