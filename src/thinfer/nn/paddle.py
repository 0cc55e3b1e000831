"""Paddle's `model_state.pdparams` without Paddle, and without running what is pickled in it.

The file is a pickled dict: name → array, beside a table of Paddle's inner names. Two forms of
an array are written: a plain numpy array, or a pair (inner name, numpy array). An unpickler
that looks up nothing but numpy's own array builders reads both; a pickle that asks for anything
else (os.system, a class of some package) is refused at the lookup, before it can be called.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError

__all__ = ["read_pdparams"]

# Kept by Paddle beside the weights: structured name → inner name.
_NAME_TABLE = "StructuredToParameterName@@"
_BFLOAT16_AS_UINT16 = np.dtype(np.uint16)


def _rebuild_array(kind: object, shape: object, marker: object) -> NDArray[Any]:
    """Stand in for numpy's `_reconstruct`: an empty array that the pickled state then fills."""
    del kind, shape, marker
    return np.ndarray.__new__(np.ndarray, (0,), np.dtype("b"))


def _encode_latin(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for `_codecs.encode`, which old protocols use to carry bytes."""
    return text.encode(encoding)


def _rebuild_from_buffer(
    buffer: object,
    kind: np.dtype[Any],
    shape: tuple[int, ...],
    order: Any,  # noqa: ANN401
) -> NDArray[Any]:
    """Stand in for numpy's `_frombuffer`, used by pickle protocol 5."""
    return np.frombuffer(buffer, dtype=kind).reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]  # bytes by protocol


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dicts, lists, tuples, numbers, strings and numeric arrays; nothing else."""

    allowed: ClassVar[Mapping[tuple[str, str], Callable[..., object]]] = {
        ("numpy.core.multiarray", "_reconstruct"): _rebuild_array,
        ("numpy._core.multiarray", "_reconstruct"): _rebuild_array,
        ("numpy.core.numeric", "_frombuffer"): _rebuild_from_buffer,
        ("numpy._core.numeric", "_frombuffer"): _rebuild_from_buffer,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode_latin,
        ("collections", "OrderedDict"): dict,
    }

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        """Give an allowed builder.

        Raises:
            DataError: anything that is not on the list.
        """
        found = self.allowed.get((module, name))
        if found is None:
            what = f"the file asks to run '{module}.{name}', which was refused"
            raise DataError(
                what,
                expected="numpy arrays only",
                do="do not trust this file; save the weights again with PaddleNLP",
            )
        return found


def read_pdparams(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the tensors of a `.pdparams` file.

    Args:
        path: the file.

    Returns:
        Paddle's structured name → float32; linear weights are `[in, out]` as Paddle keeps them.

    Raises:
        DataError: the file is damaged, asks for code, or holds something else than arrays.
    """
    try:
        with path.open("rb") as stream:
            loaded = _ArrayUnpickler(stream, encoding="latin1").load()
    except DataError as error:
        error.where.insert(0, ("file", str(path)))
        raise
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        KeyError,
        UnicodeError,
        MemoryError,
        ImportError,
    ) as error:
        what = f"'{path}' is damaged or cut short"
        raise DataError(what, got=str(error)[:120], do="copy or download it again") from error
    if not isinstance(loaded, dict):
        what = f"'{path}' is not a state dict"
        raise DataError(what, expected="names → arrays", got=type(loaded).__name__)
    loaded.pop(_NAME_TABLE, None)
    return {str(name): _as_float(value, str(name), path) for name, value in loaded.items()}


def _as_float(value: object, name: str, path: Path) -> NDArray[np.float32]:
    if isinstance(value, tuple) and len(value) == 2:
        value = value[1]  # (inner name, array)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        what = f"'{path}' holds something else than an array under '{name}'"
        raise DataError(what, expected="a numeric array", got=type(value).__name__)
    if value.dtype == _BFLOAT16_AS_UINT16:
        return (value.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.ascontiguousarray(value, dtype=np.float32)
