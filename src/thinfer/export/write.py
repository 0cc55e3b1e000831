"""Which files an engine reads, and how they are made from a model's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.bundle import LAYOUT, encode_weights
from thinfer.engine.base import EngineSpec, Precision
from thinfer.errors import EngineError, UserError
from thinfer.export.blocks import check_kept
from thinfer.export.fusion import check_fusion
from thinfer.export.graph import KEPT_SCOPE, GraphPrecision, build_graph
from thinfer.export.native import encode_native
from thinfer.export.openvino_ir import write_ir
from thinfer.export.ranges import InputRange, measure_ranges
from thinfer.export.smoothing import measure_smoothings
from thinfer.text.batch import Batch

__all__ = ["EXPORTERS", "ExportRequest", "write_engine"]

_LEAVES_BLOCKS = (
    "native",
    "onnxruntime",
    "openvino",
)  # whose INT8 form may keep some of them in FP32
_BOUNDS = {"fp32": 1e-3, "bf16": 0.5, "int8": 2.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What is to be written, and where.

    Attributes:
        weights: canonical names → float32 arrays.
        architecture: the widths.
        folder: the bundle's root; files are written below it.
        pad_id: id of the padding.
        calibration: token ids of the user's own text; needed by `openvino` INT8, and fixes the
            input ranges of `onnxruntime` INT8.
        kept_fp32: blocks that INT8 leaves in FP32, as `list_blocks_to_round` names them.
    """

    weights: Mapping[str, NDArray[np.float32]]
    architecture: Architecture
    folder: Path
    pad_id: int
    calibration: Batch | None = None
    kept_fp32: tuple[str, ...] = ()


def write_engine(name: str, precision: Precision, request: ExportRequest) -> EngineSpec:
    """Write the files that one engine reads.

    Args:
        name: an engine of `EXPORTERS`.
        precision: a precision of that engine.
        request: the model and the place.

    Returns:
        What the manifest stores about it.

    Raises:
        UserError: the engine cannot run that precision, calibration text is missing, or a block
            that shall stay in FP32 is not there.
        EngineError: the engine's INT8 form cannot leave blocks in FP32.
    """
    exporter = EXPORTERS.get((name, precision))
    if exporter is None:
        what = f"engine '{name}' has no precision '{precision}'"
        pairs = ", ".join(f"{engine} {kind}" for engine, kind in EXPORTERS)
        raise UserError(what, expected=pairs, got=f"{name} {precision}")
    if (name, precision) == ("openvino", "int8") and not request.calibration:
        what = "OpenVINO INT8 needs text to calibrate on"
        raise UserError(what, expected="--calibrate FILE", got="nothing")
    check_kept(request.kept_fp32, request.architecture)
    is_mixed = precision == "int8" and bool(request.kept_fp32)
    if is_mixed and name not in _LEAVES_BLOCKS:
        what = f"'{name}' cannot leave blocks in FP32"
        raise EngineError(what, expected=f"one of {', '.join(_LEAVES_BLOCKS)}", got=name)
    spec = exporter(request, precision)
    if not is_mixed:
        return spec
    return replace(spec, options={**spec.options, "kept_fp32": ",".join(request.kept_fp32)})


def _write_onnx(request: ExportRequest, precision: Precision) -> EngineSpec:
    _write_portable(request, "fp32")
    return _spec("onnxruntime", precision, (LAYOUT.graph,))


def _write_onnx_int8(request: ExportRequest, precision: Precision) -> EngineSpec:
    """Write the portable INT8 graph, and the form of it that the engine runs faster."""
    ranges = None
    if request.calibration:
        ranges = measure_ranges(request.weights, request.architecture, request.calibration)
    _write_portable(request, "int8", ranges)
    name = f"{LAYOUT.engines}/onnxruntime/{LAYOUT.graph}"
    (request.folder / name).parent.mkdir(parents=True, exist_ok=True)
    model = build_graph(
        request.weights,
        request.architecture,
        fused=True,
        precision="int8",
        fused_norms=False,
        ranges=ranges,
        kept=request.kept_fp32,
    )
    (request.folder / name).write_bytes(model.SerializeToString(deterministic=True))
    return replace(_spec("onnxruntime", precision, (name,)), options={"norms": "plain"})


def _write_portable(
    request: ExportRequest,
    precision: GraphPrecision,
    ranges: Mapping[str, InputRange] | None = None,
) -> None:
    """Write `model.onnx`, fused and gated, which ONNX Runtime alone loads."""
    model = build_graph(
        request.weights,
        request.architecture,
        fused=True,
        precision=precision,
        ranges=ranges,
        kept=request.kept_fp32,
    )
    target = request.folder / LAYOUT.graph
    target.write_bytes(model.SerializeToString(deterministic=True))
    check_fusion(target, request.architecture)


def _write_openvino(request: ExportRequest, precision: Precision) -> EngineSpec:
    model = build_graph(
        request.weights,
        request.architecture,
        fused=False,
        precision="int8" if precision == "int8" else "fp32",
        kept=request.kept_fp32,
    )
    files = tuple(f"engines/openvino/model.{ending}" for ending in ("xml", "bin"))
    target = request.folder / files[0]
    target.parent.mkdir(parents=True, exist_ok=True)
    write_ir(
        model.SerializeToString(deterministic=True),
        target,
        precision=precision,
        pad_id=request.pad_id,
        calibration=request.calibration,
        kept_scope=KEPT_SCOPE if request.kept_fp32 else None,
    )
    return _spec("openvino", precision, files)


def _write_native(request: ExportRequest, precision: Precision) -> EngineSpec:
    """Write the panels that the native engine reads in place."""
    smoothings = None
    if precision == "int8" and request.calibration:
        smoothings = measure_smoothings(request.weights, request.architecture, request.calibration)
    name = f"{LAYOUT.engines}/native/model.thinfer"
    (request.folder / name).parent.mkdir(parents=True, exist_ok=True)
    data = encode_native(
        request.weights,
        request.architecture,
        precision=precision,
        smoothings=smoothings,
        kept=request.kept_fp32,
    )
    (request.folder / name).write_bytes(data)
    return _spec("native", precision, (name,))


def _use_weights(request: ExportRequest, precision: Precision) -> EngineSpec:
    """Torch runs the bundle's own weights."""
    (request.folder / LAYOUT.weights).write_bytes(encode_weights(request.weights))
    return _spec("torch", precision, (LAYOUT.weights,))


def _spec(name: str, precision: Precision, files: tuple[str, ...]) -> EngineSpec:
    return EngineSpec(name=name, precision=precision, files=files, logits_bound=_BOUNDS[precision])


EXPORTERS: Mapping[tuple[str, Precision], Callable[[ExportRequest, Precision], EngineSpec]] = {
    ("onnxruntime", "fp32"): _write_onnx,
    ("onnxruntime", "int8"): _write_onnx_int8,
    ("native", "fp32"): _write_native,
    ("native", "bf16"): _write_native,
    ("native", "int8"): _write_native,
    ("openvino", "fp32"): _write_openvino,
    ("openvino", "bf16"): _write_openvino,
    ("openvino", "int8"): _write_openvino,
    ("torch", "fp32"): _use_weights,
    ("torch", "bf16"): _use_weights,
}
