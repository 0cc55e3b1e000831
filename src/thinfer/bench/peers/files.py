"""Peers that write files which an engine of ours opens: ONNX Runtime, OpenVINO, transformers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnxruntime.quantization import quantize_dynamic

from thinfer.engine.base import Engine, EngineSpec, Precision
from thinfer.engine.registry import open_engine_folder
from thinfer.export.graph import build_graph
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.save import save_checkpoint
from thinfer.text.batch import Batch

__all__ = ["open_files", "openvino", "write_dynamic_int8", "write_onnx", "write_transformers"]

_ONE_CALL = {"grouping": "none"}
_CALIBRATION = (64, 32)  # sequences and tokens


def open_files(
    write: Callable[[Checkpoint, Path], EngineSpec],
) -> Callable[[Checkpoint, Path, int], Engine]:
    """Give what opens a peer from what writes its files.

    Args:
        write: into an empty folder; says how an engine opens them.
    """

    def open_one(checkpoint: Checkpoint, folder: Path, threads: int) -> Engine:
        spec = write(checkpoint, folder)
        shape, pad_id = checkpoint.architecture, checkpoint.tokenizer.pad_id
        return open_engine_folder(folder, spec, shape, pad_id=pad_id, threads=threads)

    return open_one


def write_transformers(checkpoint: Checkpoint, folder: Path) -> EngineSpec:
    """Write the Hugging Face directory."""
    save_checkpoint(checkpoint, folder)
    return EngineSpec(name="transformers", precision="fp32", files=("model.safetensors",))


def write_onnx(checkpoint: Checkpoint, folder: Path) -> EngineSpec:
    """The `original` of docs/design.md §3: all of ONNX Runtime's own optimisations, padded."""
    model = build_graph(checkpoint.model.weights(), checkpoint.architecture, fused=False)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return EngineSpec(
        name="onnxruntime", precision="fp32", files=("model.onnx",), options=_ONE_CALL
    )


def write_dynamic_int8(checkpoint: Checkpoint, folder: Path) -> EngineSpec:
    """Let ONNX Runtime's own tool quantise that graph, with nothing set."""
    spec = write_onnx(checkpoint, folder)
    plain = (folder / "model.onnx").rename(folder / "plain.onnx")
    said = logging.getLogger()
    level = said.level
    said.setLevel(logging.ERROR)  # it advises a pre-processing that free shapes forbid
    try:
        quantize_dynamic(plain, folder / "model.onnx")
    finally:
        said.setLevel(level)
    plain.unlink()
    return EngineSpec(name=spec.name, precision="int8", files=spec.files, options=_ONE_CALL)


def openvino(precision: Precision) -> Callable[[Checkpoint, Path], EngineSpec]:
    """Give what writes OpenVINO's form in a precision, every batch one call.

    INT8 is calibrated on drawn token ids: good for its time, not for its answers.

    Args:
        precision: of the matrix products.
    """

    def write(checkpoint: Checkpoint, folder: Path) -> EngineSpec:
        shape = checkpoint.architecture
        rows, length = _CALIBRATION[0], min(_CALIBRATION[1], shape.max_length)
        ids = np.random.default_rng(0).integers(0, shape.vocab, (rows, length)).tolist()
        request = ExportRequest(
            weights=checkpoint.model.weights(),
            architecture=shape,
            folder=folder,
            pad_id=checkpoint.tokenizer.pad_id,
            calibration=Batch.from_sequences(ids, [[0] * length for _ in ids]),
        )
        spec = write_engine("openvino", precision, request)
        options = {**spec.options, **_ONE_CALL}
        return EngineSpec(
            name=spec.name, precision=spec.precision, files=spec.files, options=options
        )

    return write
