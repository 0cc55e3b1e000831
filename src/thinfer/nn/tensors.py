"""Reading the weight files of a checkpoint; no pickled code ever runs."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from thinfer.errors import DataError
from thinfer.nn.paddle import read_pdparams

__all__ = ["find_weight_file", "read_tensors"]

_SAFETENSORS = "model.safetensors"
_BIN = "pytorch_model.bin"
_PADDLE = "model_state.pdparams"
# First found wins: the safe formats before the old ones.
_FILES = (
    _SAFETENSORS,
    f"{_SAFETENSORS}.index.json",
    "model_state.safetensors",
    _PADDLE,
    _BIN,
    f"{_BIN}.index.json",
)


def find_weight_file(folder: Path) -> Path:
    """Give the weight file (or shard index) of a checkpoint directory.

    Args:
        folder: the directory.

    Raises:
        DataError: there is none.
    """
    for name in _FILES:
        if (folder / name).is_file():
            return folder / name
    what = f"'{folder}' holds no weights"
    raise DataError(what, expected=" or ".join((_SAFETENSORS, _BIN, _PADDLE)))


def read_tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read all tensors of a weight file, or of every shard that an index names.

    Args:
        path: what `find_weight_file` gave.

    Returns:
        Name → float32, as stored: Paddle's linear weights are `[in, out]`.

    Raises:
        DataError: the file is damaged, carries code, or holds NaN or infinite values.
    """
    if path.name.endswith(".index.json"):
        tensors: dict[str, NDArray[np.float32]] = {}
        for shard in sorted(set(_read_index(path).values())):
            if Path(shard).name != shard:
                what = f"'{path}' names a shard outside its directory"
                raise DataError(what, expected="plain file names", got=repr(shard))
            tensors.update(read_tensors(path.parent / shard))
        return tensors
    readers: dict[str, Callable[[Path], Mapping[str, NDArray[np.float32]]]] = {
        ".safetensors": _read_safetensors,
        ".pdparams": read_pdparams,
        ".bin": _read_bin,
    }
    tensors = dict(readers[path.suffix](path))
    spoilt = sorted(name for name, value in tensors.items() if not np.isfinite(value).all())
    if spoilt:
        what = f"'{path}' holds NaN or infinite values in {', '.join(spoilt[:6])}"
        raise DataError(what, expected="finite weights", do="export the model again")
    return tensors


def _read_index(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        what = f"'{path}' is not an index of weight shards"
        raise DataError(what, expected="JSON with a weight_map", got=str(error)) from error


def _read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        return _as_arrays(load_file(path), path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _read_bin(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = f"'{path}' holds something else than tensors, and was not run"
        raise DataError(
            what,
            expected="a state dict of tensors",
            got=str(error).splitlines()[0],
            do="save the model as safetensors",
        ) from error
    except (RuntimeError, OSError, EOFError, zipfile.BadZipFile, ValueError, KeyError) as error:
        raise _damaged(path, error) from error
    return _as_arrays(loaded, path)


def _as_arrays(loaded: object, path: Path) -> dict[str, NDArray[np.float32]]:
    if not isinstance(loaded, Mapping):
        what = f"'{path}' is not a state dict"
        raise DataError(what, expected="names → tensors", got=type(loaded).__name__)
    strange = [str(name) for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if strange:
        what = f"'{path}' holds something else than tensors under {', '.join(strange[:6])}"
        raise DataError(what, expected="a state dict of tensors")
    return {str(name): value.to(torch.float32).numpy() for name, value in loaded.items()}


def _damaged(path: Path, error: Exception) -> DataError:
    what = f"'{path}' is damaged or cut short"
    lines = str(error).splitlines() or [type(error).__name__]
    return DataError(what, got=lines[0], do="copy or download it again")
