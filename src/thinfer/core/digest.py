"""SHA-256 of bytes, files and named parts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

__all__ = ["digest_parts", "sha256_bytes", "sha256_file"]

_CHUNK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """Give the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Give the SHA-256 of a file's bytes as 64 hex digits.

    Args:
        path: a readable file.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def digest_parts(parts: Mapping[str, str]) -> str:
    """Give one digest for named digests, independent of their order.

    Args:
        parts: name → hex digest.
    """
    lines = [f"{name} {parts[name]}\n" for name in sorted(parts)]
    return sha256_bytes("".join(lines).encode())
