"""A checkpoint directory or hub name → model, tokenizer and labels; valid or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.errors import DataError, UserError, at
from thinfer.nn.config import (
    check_widths,
    flatten_config,
    pad_id_of,
    read_architecture,
    read_labels,
    read_problem_type,
)
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.families import find_family
from thinfer.nn.tensors import find_weight_file, read_tensors
from thinfer.nn.weights import add_fresh_head, to_canonical
from thinfer.text.tokenizer import Tokenizer

__all__ = ["Checkpoint", "load_checkpoint", "peek_labels", "resolve_model"]

_CONFIGS = ("config.json", "model_config.json")
_HUB_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.bin", "*.pdparams")
_HEAD_SEED = 20  # fresh heads are the same in every run


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A classifier as it was brought or trained.

    Attributes:
        model: the encoder, in inference mode.
        tokenizer: its tokenizer, limited to `max_length`.
        labels: one name a class, in the order of the logits.
        architecture: every width.
        family: a name of `families.FAMILIES`.
        leftovers: weights of the file that the model has no use for; all harmless.
        max_length: longest text in tokens, specials included.
        config: the checkpoint's config.json as it was read.
    """

    model: EncoderClassifier
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    architecture: Architecture
    family: str
    leftovers: tuple[str, ...] = ()
    max_length: int
    config: Mapping[str, Any]

    @property
    def problem_type(self) -> str:
        """`single_label` (softmax) or `multi_label` (sigmoid)."""
        return read_problem_type(self.config)

    @property
    def is_multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.problem_type == "multi_label"


def resolve_model(name_or_path: str | Path) -> Path:
    """Give the local directory of a model, fetching it from the hub where it is a hub name.

    Args:
        name_or_path: a directory, or a name like `nghuyong/ernie-3.0-mini-zh`.

    Raises:
        UserError: neither a directory nor a hub name that can be fetched.
    """
    path, name = Path(name_or_path), str(name_or_path)
    if path.is_dir():
        return path
    what = f"there is no model '{name}'"
    do = "give the directory of a checkpoint, a preset, or be online and give a hub name"
    if path.exists() or path.is_absolute() or name.startswith(".") or name.count("/") != 1:
        raise UserError(what, expected="a directory or a hub name", do=do)
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES), etag_timeout=10))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(what, expected="a directory or a hub name", got=line, do=do) from error


def peek_labels(path: str | Path) -> tuple[bool, tuple[str, ...]]:
    """Read from a checkpoint's config alone whether a text may have several labels, and which.

    Args:
        path: a Hugging Face or Paddle directory, or a hub name.

    Returns:
        `is_multi_label`, and the names; none where the config has no `id2label`.

    Raises:
        UserError: `path` names no model.
        DataError: the config cannot be read, or is not a classifier's.
    """
    folder = resolve_model(path)
    with at(model=folder):
        config = _read_config(folder)
        named = config.get("id2label") or {}
        labels = read_labels(config, rows=len(named)) if named else ()
        return read_problem_type(config) == "multi_label", labels


def load_checkpoint(
    path: str | Path,
    *,
    classes: Sequence[str] | None = None,
    max_length: int | None = None,
    is_multi_label: bool | None = None,
) -> Checkpoint:
    """Load a checkpoint directory.

    Args:
        path: a Hugging Face or Paddle directory, or a hub name.
        classes: labels to train for: a model without a head, or with a head for other labels,
            gets a fresh head. A head with the same labels stays, in its own order.
        max_length: longest text in tokens; absent: the tokenizer's, within the position rows.
        is_multi_label: what it is to be trained as; absent: what its config says.

    Returns:
        The checkpoint in FP32.

    Raises:
        UserError: `path` names no model, or `max_length` does not fit its position rows.
        DataError: a file is absent, damaged, or does not fit the others.
    """
    folder = resolve_model(path)
    with at(model=folder):
        config = _read_config(folder)
        check_widths(config)
        file = find_weight_file(folder)
        family = find_family(config, is_paddle=file.name.startswith("model_state."))
        tokenizer = Tokenizer.from_folder(folder)
        weights, leftovers = to_canonical(
            family,
            read_tensors(file),
            layers=config["num_hidden_layers"],
            for_fit=classes is not None,
        )
        if is_multi_label is not None:
            kind = "multi" if is_multi_label else "single"
            config |= {"problem_type": f"{kind}_label_classification"}
        labels, replaced = _choose_labels(config, weights, classes)
        shape = read_architecture(config, family, weights, classes=len(labels))
        add_fresh_head(weights, shape, np.random.default_rng(_HEAD_SEED))
        model = EncoderClassifier.from_weights(shape, weights)
        _check_tokenizer(tokenizer, shape, pad_id_of(config))
        limit = _choose_length(tokenizer, shape, max_length)
    return Checkpoint(
        model=model,
        tokenizer=tokenizer.with_max_length(limit),
        labels=labels,
        architecture=shape,
        family=family.name,
        leftovers=leftovers + replaced,
        max_length=limit,
        config=config,
    )


def _read_config(folder: Path) -> dict[str, Any]:
    for name in _CONFIGS:
        if (folder / name).is_file():
            try:
                config = json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError as error:
                what = f"'{folder / name}' is not JSON"
                raise DataError(what, got=str(error)) from error
            if isinstance(config, dict):
                return flatten_config(config)
    what = f"'{folder}' holds no readable config.json"
    raise DataError(what, expected="the directory of a checkpoint", do="name its directory")


def _choose_labels(
    config: Mapping[str, Any],
    weights: dict[str, NDArray[np.float32]],
    classes: Sequence[str] | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the labels, and the names of head weights that a fit has to replace."""
    head = weights.get("head.weight")
    if classes is None:
        return read_labels(config, rows=0 if head is None else len(head)), ()
    wanted = tuple(classes)
    if head is None:
        return wanted, ()
    own = read_labels(config, rows=len(head))
    if set(own) == set(wanted):
        return own, ()
    if len(own) == len(wanted) and own == tuple(f"LABEL_{i}" for i in range(len(own))):
        return wanted, ()
    del weights["head.weight"], weights["head.bias"]
    return wanted, ("head.weight", "head.bias")


def _check_tokenizer(tokenizer: Tokenizer, shape: Architecture, pad_id: int) -> None:
    if tokenizer.vocab_size > shape.vocab:
        what = "the tokenizer and the word embedding do not belong together"
        raise DataError(
            what,
            expected=f"at most {shape.vocab} tokens, the rows of the embedding",
            got=f"{tokenizer.vocab_size} tokens",
            do="put the tokenizer files of this very model beside it",
        )
    if tokenizer.pad_id != pad_id and shape.position_offset:
        # Positions start at padding id + 1 in this family, so another padding id shifts them all.
        what = "the tokenizer and the config disagree about the padding token"
        raise DataError(what, expected=f"id {pad_id}", got=f"id {tokenizer.pad_id}")


def _choose_length(tokenizer: Tokenizer, shape: Architecture, wanted: int | None) -> int:
    if wanted is not None and not 3 <= wanted <= shape.max_length:
        what = "the maximum length does not fit the model"
        raise UserError(what, expected=f"3 … {shape.max_length} tokens", got=str(wanted))
    return min(tokenizer.max_length if wanted is None else wanted, shape.max_length)
