"""Peers from PyTorch: the transformers model in BF16, compiled, or with dynamic INT8."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from thinfer.bench.peers.files import write_transformers
from thinfer.core.optional import require
from thinfer.engine.base import Engine, Precision
from thinfer.engine.transformers import TransformersEngine
from thinfer.errors import EngineError
from thinfer.nn.checkpoint import Checkpoint

__all__ = ["compile_model", "open_altered", "quantise", "to_bf16"]

Alter = Callable[[Any], Any]


class _Altered(TransformersEngine):
    """The transformers model after something was done to it."""

    def alter(self, change: Alter) -> None:
        """Replace the model by what a change makes of it."""
        self._model = change(self._model)


def open_altered(change: Alter, precision: Precision) -> Callable[[Checkpoint, Path, int], Engine]:
    """Give what opens the transformers model and alters it.

    Args:
        change: from the model to what is called in its place.
        precision: of the matrix products after it.
    """

    def open_one(checkpoint: Checkpoint, folder: Path, threads: int) -> Engine:
        spec = write_transformers(checkpoint, folder)
        engine = _Altered(
            folder,
            spec,
            checkpoint.architecture,
            pad_id=checkpoint.tokenizer.pad_id,
            threads=threads,
            runs_in=precision,
        )
        engine.alter(change)
        return engine

    return open_one


def to_bf16(model: Any) -> Any:  # noqa: ANN401 - a transformers model has no type of its own
    """Convert weights and arithmetic to BF16."""
    return model.to(torch.bfloat16)


def compile_model(model: Any) -> Any:  # noqa: ANN401 - as above
    """Compile for shapes that change from call to call; the first call takes seconds."""
    with _without_farewells():  # its back end is imported at the first call
        require("torch._inductor.compile_fx")
    return torch.compile(model, dynamic=True)


def quantise(model: Any) -> Any:  # noqa: ANN401 - as above
    """Quantise every linear layer: INT8 weights, activations rounded as they come.

    Raises:
        EngineError: PyTorch has no INT8 engine here, or no longer this tool.
    """
    try:
        with _without_farewells():
            tool: Any = require("torch.ao.quantization")
            return tool.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    except RuntimeError as error:
        what = "PyTorch cannot quantise here"
        raise EngineError(what, got=str(error)[:300]) from error


@contextmanager
def _without_farewells() -> Iterator[None]:
    """Let PyTorch use its own parts without being told that they will go one day."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*deprecated", category=UserWarning)
        yield
