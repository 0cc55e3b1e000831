"""Open a bundle: every byte is checked before the first one is used."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle.golden import GoldenSet
from thinfer.bundle.layout import LAYOUT
from thinfer.bundle.manifest import EngineEntry, Manifest
from thinfer.bundle.weights import check_weight_file, load_weights
from thinfer.core.codec import from_json
from thinfer.core.digest import sha256_bytes, sha256_file
from thinfer.errors import DataError, EngineError, at
from thinfer.quality.drift import Profile
from thinfer.text.batch import Batch

__all__ = ["Bundle", "list_files", "open_bundle", "seal_of"]

VERSION_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that was opened and found whole.

    Attributes:
        path: its folder, absolute, links resolved.
        manifest: what it says of itself.
    """

    path: Path
    manifest: Manifest

    @property
    def version(self) -> str:
        """The first 12 digits of the content digest; every answer of the service names it."""
        return self.manifest.content_digest[:VERSION_DIGITS]

    def engine(self, name: str | None = None) -> EngineEntry:
        """Give what the manifest says of an engine.

        Args:
            name: the engine; the chosen one when absent.

        Raises:
            EngineError: the bundle has no such engine.
        """
        if name is None:
            return self.manifest.chosen
        for entry in self.manifest.engines:
            if entry.name == name:
                return entry
        what = f"the bundle has nothing for the engine '{name}'"
        names = [entry.name for entry in self.manifest.engines]
        raise EngineError(what, expected=f"one of {names}", do="pack the bundle with --engine")

    def size_bytes(self, name: str | None = None) -> int:
        """Give the bytes that an engine reads to run: its files and the tokenizer.

        Args:
            name: the engine; the chosen one when absent.
        """
        names = {*self.engine(name).files, LAYOUT.tokenizer}
        return sum((self.path / item).stat().st_size for item in names)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Read the canonical weights: name → float32 array."""
        return load_weights(self.path / LAYOUT.weights)

    def tokenizer_text(self) -> str:
        """Read `tokenizer.json`, checked against its digest once more.

        Raises:
            DataError: the file changed since the bundle was opened, or is not UTF-8.
        """
        try:
            return self._read(LAYOUT.tokenizer).decode()
        except UnicodeDecodeError as error:
            what = f"{LAYOUT.tokenizer} is not UTF-8"
            raise DataError(what, got=str(error)) from error

    def golden(self) -> tuple[Batch, NDArray[np.float32]]:
        """Read the golden set: sequences, and float32 logits `[sequences, classes]`.

        Raises:
            DataError: the set does not fit the architecture.
        """
        golden = GoldenSet.decode(self._read(LAYOUT.golden))
        classes = self.manifest.architecture.classes
        if golden.logits.shape[1] != classes:
            what = f"{LAYOUT.golden} does not fit the architecture"
            raise DataError(what, expected=f"{classes} logits", got=str(golden.logits.shape[1]))
        return golden.batch, golden.logits

    def profile(self) -> Profile | None:
        """Read the histograms of the texts that the bundle was measured on; None without them.

        Raises:
            DataError: the file changed since the bundle was opened, or is no profile.
        """
        if LAYOUT.profile not in self.manifest.files:
            return None
        with at(file=LAYOUT.profile):
            try:
                body = json.loads(self._read(LAYOUT.profile))
            except (ValueError, RecursionError) as error:
                what = "the profile is not JSON"
                raise DataError(what, got=str(error)) from error
            return from_json(Profile, body)

    def _read(self, name: str) -> bytes:
        raw = _read_bytes(self.path, name)
        _check_digest(name, sha256_bytes(raw), self.manifest.files[name])
        return raw


def open_bundle(path: str | Path, *, verify: bool = True) -> Bundle:
    """Open a bundle, or say what is wrong with it.

    Args:
        path: the folder; it may be a link, nothing inside may be one.
        verify: False skips the digests of the listed files, not the other checks.

    Returns:
        The bundle. The golden set is run by `Classifier.open`, which has an engine.

    Raises:
        DataError: there is no bundle, or a file is damaged, missing, left over or not allowed.
    """
    given = Path(path)
    with at(bundle=given):
        root = _find_folder(given)
        found = list_files(root)
        manifest = _read_manifest(root, found)
        manifest.check_files()
        _check_listing(found, set(manifest.files))
        if verify:
            for name, digest in manifest.files.items():
                _check_digest(name, _digest_file(root, name), digest)
        check_weight_file(root / LAYOUT.weights, manifest.architecture)
        bundle = Bundle(path=root, manifest=manifest)
        bundle.golden()
        return bundle


def _find_folder(given: Path) -> Path:
    """Give the folder that a path leads to.

    Raises:
        DataError: it leads to none, or the system knows no such name.
    """
    what = f"there is no bundle at '{given}'"
    expected = f"a folder with {LAYOUT.manifest}"
    try:
        root = given.resolve()
        if root.is_dir():
            return root
    # Too long, a NUL inside, links in a circle.
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(what, expected=expected, got=getattr(error, "strerror", None)) from error
    raise DataError(what, expected=expected)


def list_files(root: Path) -> set[str]:
    """List all files below a folder, without following anything.

    Args:
        root: the folder.

    Returns:
        Names relative to the folder, with `/` between folders.

    Raises:
        DataError: there is a link, a device, a pipe or an empty folder, or a folder is unreadable.
    """
    found: set[str] = set()
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            what = f"the folder '{folder.relative_to(root)}' cannot be read"
            raise DataError(what, got=error.strerror) from error
        if not entries and folder != root:
            what = f"the folder '{folder.relative_to(root)}' is empty"
            raise DataError(what, do="remove it; a bundle holds listed files only")
        for entry in entries:
            mode = os.lstat(entry).st_mode
            if stat.S_ISDIR(mode):
                pending.append(entry)
            elif stat.S_ISREG(mode):
                found.add(entry.relative_to(root).as_posix())
            else:
                what = f"'{entry.relative_to(root)}' is neither a file nor a folder"
                raise DataError(what, expected="no links, pipes or devices in a bundle")
    return found


def seal_of(manifest: bytes) -> bytes:
    """Give the bytes of `manifest.sha256`, which `sha256sum -c` understands.

    Args:
        manifest: the raw bytes of `manifest.json`.
    """
    return f"{sha256_bytes(manifest)}  {LAYOUT.manifest}\n".encode()


def _read_manifest(root: Path, found: set[str]) -> Manifest:
    for name in (LAYOUT.manifest, LAYOUT.seal):
        if name not in found:
            what = f"{name} is missing"
            raise DataError(what, do="name the folder of a bundle, or make it anew")
    raw, seal = _read_bytes(root, LAYOUT.manifest), _read_bytes(root, LAYOUT.seal)
    if seal != seal_of(raw):
        what = f"{LAYOUT.manifest} or {LAYOUT.seal} is damaged"
        raise DataError(what, expected=seal_of(raw).decode().strip(), got=repr(seal[:100]))
    return Manifest.decode(raw)


def _check_listing(found: set[str], listed: set[str]) -> None:
    missing = sorted(listed - found)
    if missing:
        what = f"{missing[0]} is missing"
        raise DataError(what, expected=f"the {len(listed)} files that {LAYOUT.manifest} lists")
    extra = sorted(found - listed - {LAYOUT.manifest, LAYOUT.seal})
    if extra:
        what = f"{extra[0]} does not belong to the bundle"
        raise DataError(what, expected=f"only files that {LAYOUT.manifest} lists")


def _check_digest(name: str, got: str, expected: str) -> None:
    if got != expected:
        what = f"{name} is damaged"
        raise DataError(
            what, expected=f"SHA-256 {expected}", got=got, do="copy or make the bundle again"
        )


def _read_bytes(root: Path, name: str) -> bytes:
    try:
        return (root / name).read_bytes()
    except OSError as error:
        what = f"{name} cannot be read"
        raise DataError(what, got=error.strerror) from error


def _digest_file(root: Path, name: str) -> str:
    try:
        return sha256_file(root / name)
    except OSError as error:
        what = f"{name} cannot be read"
        raise DataError(what, got=error.strerror) from error
