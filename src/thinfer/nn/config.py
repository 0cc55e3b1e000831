"""What a checkpoint's config.json says: widths, labels and problem type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, LayerShape
from thinfer.architecture.shape import Activation
from thinfer.errors import DataError
from thinfer.nn.families import Family

__all__ = [
    "check_widths",
    "flatten_config",
    "pad_id_of",
    "read_architecture",
    "read_labels",
    "read_problem_type",
]

_ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "tanh": "tanh",
    "silu": "silu",
    "swish": "silu",
}

_PROBLEM_TYPES = {
    None: "single_label",
    "single_label_classification": "single_label",
    "multi_label_classification": "multi_label",
}


def flatten_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give a config with all keys on one level, under today's names.

    PaddleNLP before 2.5 wrote the encoder's arguments as a nested `init_args`.

    Args:
        config: what the file holds.
    """
    nested = config.get("init_args")
    if not isinstance(nested, list | tuple):
        return dict(config)
    flat = {key: value for key, value in config.items() if key not in ("init_args", "init_class")}
    for part in nested:
        if isinstance(part, Mapping):
            flat |= {key: value for key, value in part.items() if key != "init_class"}
    return {"architectures": [str(config.get("init_class", ""))], **flat}


def pad_id_of(config: Mapping[str, Any]) -> int:
    """Give the id of the padding token; 0 where the config names none."""
    found = config.get("pad_token_id")
    return 0 if found is None else int(found)


def read_problem_type(config: Mapping[str, Any]) -> str:
    """Give `single_label` or `multi_label`.

    Raises:
        DataError: the model is a regression, or something unknown.
    """
    found = config.get("problem_type")
    if found not in _PROBLEM_TYPES:
        what = f"a model of the problem type '{found}' is not a classifier"
        raise DataError(what, expected="single_label_classification or multi_label_classification")
    return _PROBLEM_TYPES[found]


def read_labels(config: Mapping[str, Any], *, rows: int) -> tuple[str, ...]:
    """Give the labels in the order of the logits.

    Args:
        config: its `id2label`; absent: LABEL_0, LABEL_1 …, which is what the absence means.
        rows: rows of the head.

    Raises:
        DataError: `id2label` does not name each row of the head once.
    """
    named = config.get("id2label")
    if not named:
        return tuple(f"LABEL_{index}" for index in range(rows))
    what = "the labels of the config do not fit the head"
    try:
        by_index = {int(index): str(label) for index, label in dict(named).items()}
    except (TypeError, ValueError) as error:
        raise DataError(what, expected="id2label: index → name", got=repr(named)[:80]) from error
    labels = tuple(by_index[index] for index in sorted(by_index))
    if sorted(by_index) != list(range(rows)) or len(set(labels)) != rows:
        raise DataError(what, expected=f"{rows} different labels, 0 … {rows - 1}", got=str(named))
    return labels


def check_widths(config: Mapping[str, Any]) -> None:
    """Check that the config names every width.

    Args:
        config: the checkpoint's config.json.

    Raises:
        DataError: a width is absent or no positive integer.
    """
    absent = [
        key
        for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        if not isinstance(config.get(key), int) or config[key] < 1
    ]
    if absent:
        what = f"the config lacks {', '.join(absent)}"
        raise DataError(what, expected="positive integers")


def read_architecture(
    config: Mapping[str, Any],
    family: Family,
    weights: Mapping[str, NDArray[np.float32]],
    *,
    classes: int,
) -> Architecture:
    """Give the shape that config and weights agree on.

    Args:
        config: the checkpoint's config.json.
        family: its family.
        weights: canonical weights, for the rows of the tables.
        classes: number of labels.

    Raises:
        DataError: a width is absent or unsupported, or config and weights disagree.
    """
    check_widths(config)
    _check_supported(config, weights)
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    layer = LayerShape(
        heads=heads,
        qk_size=hidden // heads,
        value_size=hidden // heads,
        ffn=config["intermediate_size"],
    )
    offset = pad_id_of(config) + 1 if family.prefix == "roberta." else 0
    return Architecture(
        hidden=hidden,
        layers=(layer,) * config["num_hidden_layers"],
        vocab=len(weights["embeddings.word.weight"]),
        positions=len(weights["embeddings.position.weight"]),
        position_offset=offset,
        type_rows=_rows(weights, "embeddings.type.weight"),
        task_rows=_rows(weights, "embeddings.task.weight"),
        classes=classes,
        activation=_ACTIVATIONS[config.get("hidden_act", "gelu")],
        layer_norm_eps=float(config.get("layer_norm_eps", 1e-12)),
    )


def _rows(weights: Mapping[str, NDArray[np.float32]], name: str) -> int:
    return len(weights[name]) if name in weights else 0


def _check_supported(config: Mapping[str, Any], weights: Mapping[str, NDArray[np.float32]]) -> None:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    has_task = "embeddings.task.weight" in weights
    problems = (
        (hidden % heads != 0, f"{heads} heads do not divide the hidden size {hidden}"),
        (
            config.get("hidden_act", "gelu") not in _ACTIVATIONS,
            f"the activation '{config.get('hidden_act')}' is unknown",
        ),
        (
            config.get("position_embedding_type", "absolute") != "absolute",
            "only absolute position embeddings are supported",
        ),
        (bool(config.get("is_decoder")), "a decoder is not a classifier of this kind"),
        (config.get("task_id", 0) != 0, "only the task type 0 is supported"),
        (
            bool(config.get("use_task_id")) != has_task,
            "use_task_id and the task type embedding contradict each other",
        ),
    )
    for is_bad, problem in problems:
        if is_bad:
            what = f"the config cannot be used: {problem}"
            raise DataError(what, expected="a BERT, ERNIE or RoBERTa encoder")
    read_problem_type(config)
