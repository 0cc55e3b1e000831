"""Hugging Face transformers, eager FP32: the reference that every speed is compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification
from transformers import __version__ as transformers_version
from transformers.utils import logging as transformers_logging

from thinfer.architecture import Architecture
from thinfer.engine.base import EngineSpec, Feed, Precision
from thinfer.engine.padded import PaddedEngine, Padding
from thinfer.engine.torch_threads import TorchThreads
from thinfer.errors import EngineError

__all__ = ["TransformersEngine"]


class TransformersEngine(PaddedEngine):
    """Runs a Hugging Face directory as its users do: eager, FP32, padded to the longest text.

    Args:
        folder: the Hugging Face directory.
        spec: precision `fp32`; its files are not looked at.
        architecture: the widths.
        pad_id: id of the padding.
        threads: threads of one call; the setting is the whole process's.
        runs_in: what it says of its matrix products, where a subclass alters the model.

    Raises:
        EngineError: transformers cannot load the directory.
    """

    def __init__(
        self,
        folder: Path,
        spec: EngineSpec,
        architecture: Architecture,
        *,
        pad_id: int,
        threads: int,
        runs_in: Precision = "fp32",
    ) -> None:
        padding = Padding.from_options(pad_id, {"grouping": "none", **spec.options})
        super().__init__(
            replace(spec, precision=runs_in),
            name="transformers",
            version=transformers_version,
            architecture=architecture,
            padding=padding,
            threads=threads,
        )
        transformers_logging.disable_progress_bar()  # how far it is, the caller tells
        try:
            model = AutoModelForSequenceClassification.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False, dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            what = "transformers cannot load the directory"
            raise EngineError(what, got=str(error)[:300]) from error
        self._threads = TorchThreads(threads)
        self._model: Any = model.eval()

    def _call(self, feed: Feed) -> NDArray[np.float32]:
        model = self._model
        if model is None:
            what = "the engine is closed"
            raise EngineError(what)
        self._threads.take()
        inputs = {name: torch.from_numpy(value) for name, value in feed.items()}
        if self._architecture.type_rows < 2:
            inputs.pop("token_type_ids")
        with torch.inference_mode():
            logits: NDArray[np.float32] = model(**inputs).logits.float().numpy()
        return logits

    def _drop(self) -> None:
        self._model = None
        self._threads.give_back()
