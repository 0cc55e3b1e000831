"""OpenVINO on the CPU: FP32, BF16 and INT8."""

from __future__ import annotations

from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.core.optional import require
from thinfer.engine.base import EngineSpec, Feed
from thinfer.engine.padded import INPUTS, PaddedEngine, Padding
from thinfer.engine.pool import open_pool
from thinfer.errors import EngineError

__all__ = ["OpenVinoEngine"]

# What the products are computed in where they are not INT8. Left to itself the plugin picks
# BF16 wherever the CPU has it, and a model called FP32 would not be one.
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
# What one more call costs here, in tokens of computing: measured, three times ONNX Runtime's.
_OVERHEAD_TOKENS = 96


class OpenVinoEngine(PaddedEngine):
    """Runs an OpenVINO model; a batch is split by length so that little padding is computed.

    Args:
        folder: the bundle's root.
        spec: its first file is the `.xml`; padding options as for `onnxruntime`.
        architecture: the widths.
        pad_id: id of the padding.
        threads: threads of one call.

    Raises:
        EngineError: OpenVINO is missing or cannot load the model.
    """

    def __init__(
        self,
        folder: Path,
        spec: EngineSpec,
        architecture: Architecture,
        *,
        pad_id: int,
        threads: int,
    ) -> None:
        openvino = require("openvino")
        if spec.precision not in _HINTS:
            what = f"the openvino engine has no precision '{spec.precision}'"
            raise EngineError(what, expected=", ".join(_HINTS))
        # For every new shape the plugin compiles its products anew, which costs several runs, and
        # keeps them in a store of limited size.
        padding = Padding.from_options(
            pad_id, spec.options, widths="steps", overhead_tokens=_OVERHEAD_TOKENS
        )
        pool = open_pool(architecture, spec, threads=threads)
        super().__init__(
            spec,
            name="openvino",
            version=openvino.__version__.partition("-")[0],
            architecture=architecture,
            padding=padding,
            threads=threads,
            pool=pool,
        )
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": _HINTS[spec.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1 if pool is None else threads,
            # The service, and not the engine, knows who else runs on these cores.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            core = openvino.Core()
            self._model = core.compile_model(str(folder / spec.files[0]), "CPU", settings)
        except RuntimeError as error:
            what = f"OpenVINO cannot load '{spec.files[0]}'"
            raise EngineError(what, got=str(error)[:300]) from error
        # The conversion leaves out an input that nothing reads: token types, in some families.
        self._inputs = frozenset(name for port in self._model.inputs for name in port.names)
        # An infer request is not to be shared by two threads: idle ones wait here.
        self._idle: SimpleQueue[Any] = SimpleQueue()
        # The library fills tables of its own at the very first inference. Two threads that meet
        # there wait for each other for ever (seen with 2026.4.1: one holds Python's lock, the
        # other the table's), so that inference happens here, on one thread.
        one = np.ones((1, min(4, architecture.max_length)), dtype=np.int64)
        nothing = np.zeros_like(one)
        self._call(dict(zip(INPUTS, (nothing, one, nothing), strict=True)))

    def _call(self, feed: Feed) -> NDArray[np.float32]:
        # `close` may come from another thread while this one runs: hold on to both.
        model, idle = self._model, self._idle
        if model is None:
            what = "the engine is closed"
            raise EngineError(what)
        try:
            request = _take(idle) or model.create_infer_request()
            wanted = {name: value for name, value in feed.items() if name in self._inputs}
            result = request.infer(wanted, share_inputs=True)
            logits: NDArray[np.float32] = np.array(result[0], dtype=np.float32)  # our own copy
        except RuntimeError as error:
            what = "OpenVINO failed to run a batch"
            raise EngineError(what, got=f"{feed['input_ids'].shape} tokens: {error}") from error
        idle.put(request)
        return logits

    def _drop(self) -> None:
        self._idle = SimpleQueue()
        self._model = None


def _take(idle: SimpleQueue[Any]) -> Any:  # noqa: ANN401 - OpenVINO ships no types
    try:
        return idle.get_nowait()
    except Empty:
        return None
