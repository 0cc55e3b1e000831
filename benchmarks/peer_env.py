"""Peers run in environments of their own, made once with pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.settings import ROOT, say

__all__ = ["PEERS", "StartError", "call", "make_environment"]

PEERS = ROOT / "benchmarks" / "peers"


class StartError(Exception):
    """A peer cannot be run here; the message says why."""


def make_environment(
    place: Path, peer: str, *, needs: tuple[int, int] | None = None, also: Sequence[str] = ()
) -> Path:
    """Give the interpreter of a peer's environment, made where it is absent.

    Args:
        place: folder of the environment.
        peer: folder below `peers` with a `requirements.txt`.
        needs: the Python version that it wants, if only one will do.
        also: more requirements, for example the versions of this environment.

    Raises:
        StartError: that Python is not here, or an installation fails.
    """
    python = place / "bin" / "python"
    if (place / "ready").is_file():
        return python
    base: str | None = sys.executable
    if needs is not None and sys.version_info[:2] != needs:
        base = shutil.which(f"python{needs[0]}.{needs[1]}")
    if base is None:
        what = f"{peer} needs Python {'.'.join(map(str, needs or ()))}, which is not here"
        raise StartError(what)
    say(f"{peer}: installing into its own environment")
    call([base, "-m", "venv", "--clear", "--without-pip", str(place)])
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    call([*pip, "--requirement", str(PEERS / peer / "requirements.txt"), *also])
    (place / "ready").touch()
    return python


def call(argv: list[str], **environment: str) -> None:
    """Run a command to its end.

    Raises:
        StartError: it failed; the message has its last line.
    """
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        what = f"{' '.join(argv[1:4])} … failed: {last[:300]}"
        raise StartError(what)
