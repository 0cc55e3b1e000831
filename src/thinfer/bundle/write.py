"""Write a bundle: built beside its place, checked by opening it, then renamed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from thinfer.bundle.layout import LAYOUT, check_relative
from thinfer.bundle.manifest import Manifest
from thinfer.bundle.store import Bundle, open_bundle, seal_of
from thinfer.core.digest import sha256_file
from thinfer.core.files import staged_folder
from thinfer.errors import UserError

__all__ = ["check_place", "update_manifest", "write_bundle"]

_CHUNK_BYTES = 1 << 20


def write_bundle(
    target: str | Path, manifest: Manifest, *, files: Mapping[str, bytes | Path]
) -> Bundle:
    """Write a bundle; an older one at the place stays until the new one is whole.

    Args:
        target: the bundle's folder; absent, empty, or an older bundle.
        manifest: what it says of itself; `content_digest` and `files` are filled in here.
        files: name inside the bundle → its bytes, or a file to copy.

    Returns:
        The bundle at its place.

    Raises:
        UserError: something that is not a bundle stands at the place.
        DataError: a file name is not allowed, or files and manifest contradict each other.
        InternalError: the disk is full, or the place cannot be written.
    """
    place = Path(target).resolve()
    check_place(place)
    for name in files:
        check_relative(name)
    with staged_folder(place) as staging:
        for name, source in files.items():
            _write_file(staging / name, source)
        digests = {name: sha256_file(staging / name) for name in sorted(files)}
        listed = replace(manifest, files=digests)
        sealed = replace(listed, content_digest=listed.compute_content_digest())
        raw = sealed.encode()
        _write_file(staging / LAYOUT.manifest, raw)
        _write_file(staging / LAYOUT.seal, seal_of(raw))
        _sync_folders(staging)
        open_bundle(staging)
    return Bundle(path=place, manifest=sealed)


def update_manifest(
    bundle: Bundle, manifest: Manifest, *, files: Mapping[str, bytes | Path] | None = None
) -> Bundle:
    """Rewrite a bundle with another manifest, whole or not at all.

    Args:
        bundle: the bundle as it was opened.
        manifest: `bundle.manifest` with some fields replaced.
        files: files to add or replace; the others are kept.

    Returns:
        The rewritten bundle, at the same place.

    Raises:
        DataError: files and manifest contradict each other.
        InternalError: the disk is full, or the place cannot be written.
    """
    kept: dict[str, bytes | Path] = {name: bundle.path / name for name in bundle.manifest.files}
    return write_bundle(bundle.path, manifest, files={**kept, **(files or {})})


def check_place(place: Path) -> None:
    """Refuse a place where something else stands: `--out .` must not cost somebody a folder.

    Args:
        place: where a bundle shall stand; absent, empty, or an older bundle.

    Raises:
        UserError: something that is not a bundle stands there.
    """
    if not place.exists():
        return
    is_free = place.is_dir() and (
        ((place / LAYOUT.manifest).is_file() and (place / LAYOUT.seal).is_file())
        or not any(place.iterdir())
    )
    if not is_free:
        what = f"'{place}' exists and is not a bundle"
        raise UserError(
            what, expected="a new folder, an empty one or an older bundle", do="name another --out"
        )


def _write_file(path: Path, source: bytes | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        if isinstance(source, bytes):
            stream.write(source)
        else:
            with source.open("rb") as reader:
                while chunk := reader.read(_CHUNK_BYTES):
                    stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folders(root: Path) -> None:
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
