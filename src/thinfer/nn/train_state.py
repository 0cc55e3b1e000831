"""The state of a training on disk: written whole after each epoch, read without pickled code."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thinfer.core.codec import to_json
from thinfer.core.digest import digest_parts, sha256_bytes
from thinfer.core.files import write_atomic
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.schedule import TrainSettings
from thinfer.text.batch import Batch

__all__ = ["TrainState", "describe_training", "read_state", "write_state"]

_FILE = "train_state.pt"


@dataclass(slots=True, kw_only=True, eq=False)
class TrainState:
    """Where a training stands after an epoch.

    Attributes:
        identity: digest of everything that decides the result.
        epoch: epochs done.
        model: the weights now.
        optimizer: AdamW's state now.
        best: the weights of the best epoch.
        best_epoch: from 1; 0 = none yet.
        losses: mean loss of each epoch.
        scores: what epochs are chosen by, on dev after each epoch, 0 … 1.
        seconds: time spent.
        stopped: why it ended; empty while it goes on.
    """

    identity: str
    epoch: int = 0
    model: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = ""


def describe_training(
    model: EncoderClassifier,
    batch: Batch,
    *,
    targets: NDArray[np.int64],
    settings: TrainSettings,
    is_multi_label: bool = False,
) -> str:
    """Give one digest of first weights, data and settings; equal digests train to equal weights.

    Args:
        model: the model before training.
        batch: training rows.
        targets: what they should be answered.
        settings: how; the time limit is left out, a longer one may go on.
        is_multi_label: targets are sets of labels.
    """
    weights = hashlib.sha256()
    for name, value in sorted(model.weights().items()):
        weights.update(name.encode() + value.tobytes())
    shown = {key: str(value) for key, value in asdict(settings).items() if key != "max_minutes"}
    if is_multi_label:
        shown["is_multi_label"] = "True"
    arrays = (batch.ids, batch.type_ids, batch.offsets, targets)
    return digest_parts(
        {
            "weights": weights.hexdigest(),
            "architecture": sha256_bytes(json.dumps(to_json(model.architecture)).encode()),
            "data": sha256_bytes(b"".join(array.tobytes() for array in arrays)),
            "settings": sha256_bytes(json.dumps(shown, sort_keys=True).encode()),
        }
    )


def write_state(folder: Path, state: TrainState) -> None:
    """Write the state so that a killed process leaves the old one or the new one.

    Args:
        folder: made if absent.
        state: what to keep.

    Raises:
        InternalError: the disk is full or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    body = {name: getattr(state, name) for name in TrainState.__dataclass_fields__}
    torch.save(body, stream)
    write_atomic(folder / _FILE, stream.getvalue())


def read_state(folder: Path, identity: str) -> TrainState | None:
    """Read the state of this very training.

    Args:
        folder: where `write_state` wrote.
        identity: what `describe_training` gave.

    Returns:
        The state; None where there is none, it cannot be read, or it belongs to another training.
    """
    if not (folder / _FILE).is_file():
        return None
    try:
        body = torch.load(folder / _FILE, map_location="cpu", weights_only=True)
        state = TrainState(**body)
    except (RuntimeError, pickle.UnpicklingError, OSError, EOFError, TypeError, zipfile.BadZipFile):
        return None
    return state if state.identity == identity else None
