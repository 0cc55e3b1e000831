"""DeepSparse 1.8, whose maker ended it with NumPy 1: in a process of its own interpreter.

It reads operators of ONNX up to about opset 14 and knows attention by the pattern that PyTorch's
traced export has, so that is what it gets, and not our own graph.
"""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from thinfer.bench.peers.files import write_transformers
from thinfer.engine.base import Engine, EngineSpec, Feed
from thinfer.engine.padded import INPUTS, PaddedEngine, Padding
from thinfer.errors import EngineError
from thinfer.nn.checkpoint import Checkpoint

__all__ = ["PYTHON", "open_deepsparse"]

PYTHON = "THINFER_DEEPSPARSE_PYTHON"
_OPSET = 13
# Reads calls from stdin: two little-endian int64 (rows, length), then three int64 arrays
# [rows, length]; answers on stdout with two int64 (rows, classes) and the float32 logits. One model
# is compiled for each shape, as the library wants it. It greets on stdout, which is kept from it.
_WORKER = """
import os, sys
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
import deepsparse, numpy
calls, models = sys.stdin.buffer, {}
path, threads, inputs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
answers.write(deepsparse.__version__.encode().ljust(16)[:16])
answers.flush()
while True:
    head = calls.read(16)
    if len(head) < 16:
        break
    shape = tuple(map(int, numpy.frombuffer(head, "<i8")))
    size = shape[0] * shape[1] * 8
    feeds = [numpy.frombuffer(calls.read(size), "<i8").reshape(shape).copy() for _ in range(3)]
    if shape not in models:
        models[shape] = deepsparse.compile_model(
            path, batch_size=shape[0], num_cores=threads, input_shapes=[list(shape)] * inputs
        )
    logits = numpy.ascontiguousarray(models[shape].run(feeds[:inputs])[0], dtype="<f4")
    answers.write(numpy.array(logits.shape, "<i8").tobytes())
    answers.write(logits.tobytes())
    answers.flush()
"""
_INSTALL = (
    f"make an environment with deepsparse==1.8.0 and numpy<2, and name its Python in {PYTHON}"
)


def open_deepsparse(checkpoint: Checkpoint, folder: Path, threads: int) -> Engine:
    """Open the model's FP32 export in DeepSparse; it uses zeros among the weights.

    Args:
        checkpoint: all layers of one width.
        folder: empty.
        threads: of one call.

    Raises:
        EngineError: its interpreter is not named, or the library does not start there.
        DataError: the layers differ in width.
    """
    python = os.environ.get(PYTHON)
    if not python:
        what = "the peer 'deepsparse' needs an interpreter of its own"
        raise EngineError(what, do=_INSTALL)
    names = [name for name in INPUTS if checkpoint.architecture.type_rows > 1 or name != INPUTS[2]]
    spec = _write_traced(checkpoint, folder, names)
    log = folder / "deepsparse.log"
    path = str(folder / spec.files[0])
    process = _start([python, "-I", "-c", _WORKER, path, str(threads), str(len(names))], log)
    return _DeepSparse(checkpoint, spec, process, log, threads=threads)


def _write_traced(checkpoint: Checkpoint, folder: Path, names: Sequence[str]) -> EngineSpec:
    write_transformers(checkpoint, folder / "traced")
    model = AutoModelForSequenceClassification.from_pretrained(
        str(folder / "traced"), local_files_only=True, attn_implementation="eager"
    )
    example = torch.ones((2, 8), dtype=torch.int64)
    with warnings.catch_warnings():  # about the exporter's age, and about shapes that are traced
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Traced(model.eval(), names),
            tuple(example for _ in names),
            str(folder / "model.onnx"),
            input_names=list(names),
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
            opset_version=_OPSET,
            dynamo=False,
        )
    return EngineSpec(name="deepsparse", precision="fp32", files=("model.onnx",))


class _Traced(torch.nn.Module):
    """Takes the inputs by their places and gives logits alone."""

    def __init__(self, model: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Give the logits `[batch, classes]` of int64 inputs `[batch, length]`."""
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def _start(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    try:
        with log.open("wb") as errors:
            return subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
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
        log: Path,
        *,
        threads: int,
    ) -> None:
        self._process = process
        self._log = log
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
            said = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            got = f"exit status {self._process.returncode}: {' '.join(said)[:200]}"
            what = "DeepSparse has ended"
            raise EngineError(what, got=got, do=_INSTALL)
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
