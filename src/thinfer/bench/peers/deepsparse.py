"""DeepSparse 1.8, whose maker ended it with NumPy 1: in a process of its own interpreter."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from thinfer.bench.peers.files import write_onnx
from thinfer.engine.base import Engine, EngineSpec, Feed
from thinfer.engine.padded import INPUTS, PaddedEngine, Padding
from thinfer.errors import EngineError
from thinfer.nn.checkpoint import Checkpoint

__all__ = ["PYTHON", "open_deepsparse"]

PYTHON = "THINFER_DEEPSPARSE_PYTHON"
_WORKER = Path(__file__).with_name("deepsparse_worker.py")
_INSTALL = (
    f"make an environment with deepsparse==1.8.0 and numpy<2, and name its Python in {PYTHON}"
)


def open_deepsparse(checkpoint: Checkpoint, folder: Path, threads: int) -> Engine:
    """Open the model's FP32 export in DeepSparse; it uses zeros among the weights.

    Args:
        checkpoint: any.
        folder: empty.
        threads: of one call.

    Raises:
        EngineError: its interpreter is not named, or the library does not start there.
    """
    python = os.environ.get(PYTHON)
    if not python:
        what = "the peer 'deepsparse' needs an interpreter of its own"
        raise EngineError(what, do=_INSTALL)
    spec = write_onnx(checkpoint, folder)
    process = _start([python, str(_WORKER), str(folder / spec.files[0]), str(threads)])
    return _DeepSparse(checkpoint, spec, process, threads=threads)


def _start(argv: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        what = f"the interpreter of {PYTHON} does not start"
        raise EngineError(what, got=str(error), do=_INSTALL) from error


class _DeepSparse(PaddedEngine):
    """One call a batch, padded in steps: it compiles a model for every shape it meets."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        spec: EngineSpec,
        process: subprocess.Popen[bytes],
        *,
        threads: int,
    ) -> None:
        self._process = process
        version = self._read(16).decode().strip()
        super().__init__(
            spec,
            name="deepsparse",
            version=version,
            architecture=checkpoint.architecture,
            padding=Padding.from_options(
                checkpoint.tokenizer.pad_id, {"grouping": "none", "widths": "steps"}
            ),
            threads=threads,
        )

    def _call(self, feed: Feed) -> NDArray[np.float32]:
        parts = [np.asarray(feed[name], dtype="<i8") for name in INPUTS]
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            what = "the engine is closed"
            raise EngineError(what)
        try:
            pipe.write(np.array(parts[0].shape, "<i8").tobytes())
            for part in parts:
                pipe.write(part.tobytes())
            pipe.flush()
        except BrokenPipeError as error:
            what = "DeepSparse has ended"
            raise EngineError(what) from error
        rows, classes = map(int, np.frombuffer(self._read(16), "<i8"))
        logits = np.frombuffer(self._read(4 * rows * classes), "<f4")
        return logits.reshape(rows, classes).astype(np.float32)

    def _read(self, size: int) -> bytes:
        pipe: IO[bytes] | None = self._process.stdout
        raw = pipe.read(size) if pipe else b""
        if len(raw) < size:
            self._drop()
            what = "DeepSparse has ended"
            raise EngineError(what, got=f"exit status {self._process.returncode}", do=_INSTALL)
        return raw

    def _drop(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=5)  # it ends where its input does
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
