"""The default engine: ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as _native

from thinfer.architecture import Architecture
from thinfer.engine.base import EngineSpec, Feed
from thinfer.engine.padded import PaddedEngine, Padding
from thinfer.engine.pool import open_pool
from thinfer.errors import EngineError

__all__ = ["OnnxRuntimeEngine"]

# ONNX Runtime's own exceptions have no common root; C++ errors without a class of their own
# arrive as RuntimeError, and a graph with other inputs as ValueError.
_FAILURES: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(
        kind
        for kind in vars(_native).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)


class OnnxRuntimeEngine(PaddedEngine):
    """Runs an ONNX file; a batch is split by length so that little padding is computed.

    Args:
        folder: the bundle's root.
        spec: its first file is the graph; options `grouping` (`length` or `none`) and
            `overhead_tokens` (what one call costs, in tokens) steer the split; `norms` = `plain`
            keeps ONNX Runtime from fusing what was left unfused on purpose.
        architecture: the widths.
        pad_id: id of the padding.
        threads: threads of one call.

    Raises:
        EngineError: ONNX Runtime cannot load the graph.
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
        padding = Padding.from_options(pad_id, spec.options)
        pool = open_pool(architecture, spec, threads=threads)
        super().__init__(
            spec,
            name="onnxruntime",
            version=onnxruntime.__version__,
            architecture=architecture,
            padding=padding,
            threads=threads,
            pool=pool,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads if pool is None else 1
        options.inter_op_num_threads = 1
        # One plan of memory would be kept for every new input shape, and texts come in all
        # lengths. tests/e2e/test_memory.py holds the memory flat, with the arena on.
        options.enable_mem_pattern = False
        # Idle threads wait asleep and not spinning: several engines are open at once where they
        # are compared or served side by side, and each would take the other's cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.log_severity_level = 3
        kept_apart = ["SkipLayerNormFusion"] if spec.options.get("norms") == "plain" else None
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(folder / spec.files[0]),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=kept_apart,
            )
        except _FAILURES as error:
            what = f"ONNX Runtime cannot load '{spec.files[0]}'"
            raise EngineError(what, got=str(error)[:300]) from error

    def _call(self, feed: Feed) -> NDArray[np.float32]:
        # `close` may come from another thread while this one runs: hold on to the session.
        session = self._session
        if session is None:
            what = "the engine is closed"
            raise EngineError(what)
        try:
            logits: NDArray[np.float32] = session.run(["logits"], feed)[0]
        except _FAILURES as error:
            what = "ONNX Runtime failed to run a batch"
            raise EngineError(
                what, got=f"{type(error).__name__} on {feed['input_ids'].shape} tokens"
            ) from error
        return logits

    def _drop(self) -> None:
        self._session = None
