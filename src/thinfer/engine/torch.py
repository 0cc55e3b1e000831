"""PyTorch: our own encoder on the CPU or a CUDA device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from thinfer.architecture import Architecture
from thinfer.engine.base import EngineSpec, Feed
from thinfer.engine.padded import INPUTS, PaddedEngine, Padding
from thinfer.engine.torch_threads import TorchThreads
from thinfer.errors import EngineError
from thinfer.nn.encoder import EncoderClassifier

__all__ = ["TorchEngine"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine(PaddedEngine):
    """Runs the bundle's own weights in PyTorch.

    Args:
        folder: the bundle's root.
        spec: its first file is the safetensors file; option `device` is `cpu` (default) or a
            CUDA device; padding options as for `onnxruntime`.
        architecture: the widths.
        pad_id: id of the padding.
        threads: threads of one call; the setting is the whole process's.

    Raises:
        EngineError: the weights or the device cannot be used.
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
        if spec.precision not in _DTYPES:
            what = f"the torch engine has no precision '{spec.precision}'"
            raise EngineError(what, expected=", ".join(_DTYPES))
        self._device = torch.device(str(spec.options.get("device", "cpu")))
        if self._device.type == "cuda" and not torch.cuda.is_available():
            what = "the torch engine was asked for a CUDA device and there is none"
            raise EngineError(what, do="use --engine onnxruntime, or run where CUDA is")
        padding = Padding.from_options(pad_id, spec.options)
        super().__init__(
            spec,
            name="torch",
            version=torch.__version__,
            architecture=architecture,
            padding=padding,
            threads=threads,
        )
        model = EncoderClassifier(architecture)
        try:
            model.load_state_dict(load_file(str(folder / spec.files[0])))
        except (OSError, RuntimeError, SafetensorError) as error:
            what = f"PyTorch cannot load '{spec.files[0]}'"
            raise EngineError(what, got=str(error)[:300]) from error
        self._threads = TorchThreads(threads)
        self._model: EncoderClassifier | None = model.to(
            self._device, _DTYPES[spec.precision]
        ).eval()

    def _call(self, feed: Feed) -> NDArray[np.float32]:
        model = self._model
        if model is None:
            what = "the engine is closed"
            raise EngineError(what)
        self._threads.take()
        inputs = [torch.from_numpy(feed[name]).to(self._device) for name in INPUTS]
        with torch.inference_mode():
            logits: NDArray[np.float32] = model(*inputs).float().cpu().numpy()
        return logits

    def _drop(self) -> None:
        self._model = None
        self._threads.give_back()
