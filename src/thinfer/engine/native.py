"""Our own engine: the whole classifier in one compiled call on a packed batch."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import thinfer
from thinfer.architecture import Architecture
from thinfer.engine import _native
from thinfer.engine.base import EngineInfo, EngineSpec, check_batch
from thinfer.errors import EngineError
from thinfer.text.batch import Batch

__all__ = ["NativeEngine"]

_PRECISIONS = ("fp32", "bf16", "int8")


class NativeEngine:
    """Runs a `model.thinfer`, which is mapped and not read: processes share its pages.

    Nothing is padded, and a text's logits have the same bits alone and in any batch, for one set
    of kernels. `THINFER_ISA` forces a set (`amx`, `avx512bf16`, `avx512`,
    `avxvnni`, `avx2`; `i8mm`, `dotprod`; `scalar`).

    Args:
        folder: the bundle's root.
        spec: its first file is the weight file; the option `shared_work` says from how many
            multiply-accumulates on one text is shared out among the threads.
        architecture: the widths.
        pad_id: not used.
        threads: threads of one call.

    Raises:
        EngineError: the file is damaged or does not fit, or this processor lacks what
            `THINFER_ISA` asks for.
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
        del pad_id
        if spec.precision not in _PRECISIONS:
            what = f"the native engine has no precision '{spec.precision}'"
            raise EngineError(what, expected=", ".join(_PRECISIONS))
        self._architecture = architecture
        isa = os.environ.get("THINFER_ISA", "")
        try:
            shared_work = int(spec.options.get("shared_work", _native.SHARED_WORK))
            engine = _native.Engine(str(folder / spec.files[0]), threads, isa, shared_work)
        except (ValueError, RuntimeError, TypeError) as error:
            what = f"the native engine cannot open '{spec.files[0]}'"
            raise EngineError(what, got=str(error)) from error
        found = (engine.positions, engine.vocab, engine.classes)
        wanted = (architecture.max_length, architecture.vocab, architecture.classes)
        if found != wanted:
            what = f"'{spec.files[0]}' belongs to another model"
            raise EngineError(
                what, expected=f"positions, vocabulary, classes {wanted}", got=f"{found}"
            )
        self._engine: _native.Engine | None = engine
        self._info = EngineInfo(
            name="native",
            precision=spec.precision,
            threads=threads,
            version=f"{thinfer.__version__} {engine.isa}{_tell_sparse(engine)}",
            max_length=architecture.max_length,
            vocab=architecture.vocab,
            classes=architecture.classes,
        )

    @property
    def info(self) -> EngineInfo:
        """What this engine is; the version names the kernels and says where zeros are skipped."""
        return self._info

    def run(self, batch: Batch) -> NDArray[np.float32]:
        """Compute the logits; see `Engine.run`.

        Args:
            batch: packed token ids.

        Returns:
            float32 `[sequences, classes]`.

        Raises:
            EngineError: the engine is closed.
        """
        check_batch(batch, self._architecture)
        # `close` may come from another thread while this one runs: hold on to the engine.
        engine = self._engine
        if engine is None:
            what = "the engine is closed"
            raise EngineError(what)
        return engine.run(batch.ids, batch.type_ids, batch.offsets)

    def close(self) -> None:
        """Free what the engine holds; calling it twice is harmless."""
        self._engine = None


def _tell_sparse(engine: _native.Engine) -> str:
    """Say how many matrices are multiplied without their zeros, where any has enough of them."""
    choices = engine.sparse
    taken = sum(is_taken for _, _, _, is_taken in choices)
    return f", skips zeros in {taken} of {len(choices)} sparse matrices" if choices else ""
