"""Files that are whole or absent: atomic writes, staged folders, and a lock that dies with us."""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thinfer.errors import InternalError, UserError

__all__ = ["lock_folder", "staged_folder", "write_atomic"]


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part.

    Args:
        path: the file; its folder exists.
        data: bytes, or text written as UTF-8.

    Raises:
        InternalError: the disk is full or the folder cannot be written; the old file stays.
    """
    raw = data.encode() if isinstance(data, str) else data
    # Not `mkstemp`, whose files are for their owner alone: here the umask decides, as for `open`.
    part = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        with part.open("xb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise _write_failed(path, error) from error


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Build a folder beside its place and rename it there when the block ends well.

    An older folder at `target` is replaced only then, and removed last. When the block fails,
    the older folder stays as it was and the half-built one is removed.

    Args:
        target: where the folder shall stand.

    Yields:
        The empty staging folder, on the same file system.

    Raises:
        InternalError: the disk is full or the parent cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.staging-"))
        staging.chmod(0o755)
    except OSError as error:
        raise _write_failed(target, error) from error
    try:
        yield staging
        _swap_in(staging, target)
    except OSError as error:
        if not _is_about(error, staging):
            raise  # the block failed to read something else, which is no fault of the target
        raise _write_failed(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _is_about(error: OSError, staging: Path) -> bool:
    """Say whether an error is about the staging folder; a full disk names no file at all."""
    named = error.filename
    return not isinstance(named, str | os.PathLike) or staging in (
        Path(named),
        *Path(named).parents,
    )


def _swap_in(staging: Path, target: Path) -> None:
    if target.exists() and _exchange(staging, target):
        return  # the older folder now has the staging folder's name, and goes with it
    old = None
    if target.exists():
        old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old-"))
        target.rename(old / "old")
    try:
        staging.rename(target)
    except OSError:
        if old is not None:
            (old / "old").rename(target)
        raise
    finally:
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step, so that a kill finds both in place; False where we cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)  # Linux
    if rename is None:
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), swap) == 0)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for one process; the system frees the lock even after a kill.

    Args:
        folder: made if absent; the lock file in it is named `lock`.

    Raises:
        UserError: another process holds it.
        InternalError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "lock").open("a+")
    except OSError as error:
        raise _write_failed(folder, error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            stream.seek(0)
            holder = stream.read().strip() or "unknown"
            what = f"'{folder}' is in use by another run"
            raise UserError(
                what, got=f"process {holder}", do="wait for it, or name another --out"
            ) from error
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _write_failed(path: Path, error: OSError) -> InternalError:
    what = f"'{path}' cannot be written"
    return InternalError(
        what, got=error.strerror or str(error), do="free space or mend the rights, then run again"
    )
