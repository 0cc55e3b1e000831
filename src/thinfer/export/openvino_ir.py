"""OpenVINO's intermediate representation: FP32, FP16-stored for BF16, and INT8 through NNCF."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import get_console

from thinfer.core.optional import require
from thinfer.errors import InternalError
from thinfer.text.batch import Batch

__all__ = ["write_ir"]

_CALIBRATION_TEXTS = 300


def write_ir(
    graph: bytes,
    target: Path,
    *,
    precision: str,
    pad_id: int,
    calibration: Batch | None,
    smooth: float | None = None,
    kept_scope: str | None = None,
) -> None:
    """Convert a plain ONNX graph and write `target` (.xml) and its `.bin` beside it.

    Args:
        graph: the serialised standard-operator graph.
        target: the `.xml` file; its folder exists.
        precision: `fp32`; `bf16` (weights stored as FP16, half the bytes); `int8` (products
            quantised after training, weights per channel, activations per tensor, calibrated).
        pad_id: id of the padding.
        calibration: token ids of the user's own text; needed for `int8`.
        smooth: SmoothQuant's alpha for `int8` (Xiao et al. 2022); None takes NNCF's own.
        kept_scope: `int8` leaves nodes in FP32 whose names begin so; None: there are none.

    Raises:
        InternalError: the disk is full, or the folder cannot be written.
    """
    openvino = require("openvino")
    model = openvino.Core().read_model(graph)
    if precision == "int8" and calibration is not None:
        model = _quantise(model, calibration, pad_id, smooth, kept_scope)
    _number_names(model)
    try:
        openvino.save_model(model, str(target), compress_to_fp16=precision == "bf16")
    except RuntimeError as error:  # its own way to say that the system refused a write
        what = f"OpenVINO cannot write '{target.name}'"
        do = "free space or mend the rights, then run again"
        raise InternalError(what, got=str(error)[:300], do=do) from error


def _quantise(
    model: Any,  # noqa: ANN401 - OpenVINO ships no types
    calibration: Batch,
    pad_id: int,
    smooth: float | None,
    kept_scope: str | None,
) -> Any:  # noqa: ANN401 - as above
    nncf = require("nncf")
    nncf.set_log_level(logging.ERROR)
    rows = range(min(len(calibration), _CALIBRATION_TEXTS))
    # The conversion leaves out an input that nothing reads: token types, in some families.
    read = {name for port in model.inputs for name in port.names}
    samples = [_inputs(calibration.select([row]), pad_id, read) for row in rows]
    advanced = None
    if smooth is not None:
        alphas = nncf.AdvancedSmoothQuantParameters(matmul=smooth)
        advanced = nncf.AdvancedQuantizationParameters(smooth_quant_alphas=alphas)
    kept = None
    if kept_scope is not None:
        kept = nncf.IgnoredScope(patterns=[f"^{re.escape(kept_scope)}.*"])
    with _silent_bars():
        return nncf.quantize(
            model,
            nncf.Dataset(samples),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(samples),
            ignored_scope=kept,
            advanced_parameters=advanced,
        )


@contextmanager
def _silent_bars() -> Iterator[None]:
    """Keep NNCF's bars out of stdout, where our result goes: it draws on rich's own console."""
    console = get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def _number_names(model: Any) -> None:  # noqa: ANN401 - OpenVINO ships no types
    """Number the nodes that nobody named by their place.

    OpenVINO numbers them by a count that the whole process shares, so that the same model would
    give another file each time it is written.
    """
    for place, node in enumerate(model.get_ordered_ops()):
        kind = node.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{kind}_at_{place}")


def _inputs(batch: Batch, pad_id: int, read: set[str]) -> dict[str, Any]:
    names = ("input_ids", "attention_mask", "token_type_ids")
    parts = zip(names, batch.padded(pad_id), strict=True)
    return {name: part for name, part in parts if name in read}
