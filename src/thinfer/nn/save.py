"""A checkpoint → a Hugging Face directory that `AutoModelForSequenceClassification` loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.numpy

from thinfer.architecture import Architecture
from thinfer.core.files import staged_folder
from thinfer.errors import DataError
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.families import FAMILIES
from thinfer.nn.weights import to_foreign

__all__ = ["WRITTEN", "save_checkpoint"]

WRITTEN = frozenset(  # the files of a directory that this module wrote
    (
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    )
)

_ACTIVATIONS = {"gelu_tanh": "gelu_pytorch_tanh"}


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the directory; an older one at the same place is replaced when all is written.

    Args:
        checkpoint: what to write; all layers of one width.
        folder: where.

    Raises:
        DataError: layers differ in width or heads were resized, which that format cannot say.
        InternalError: the disk is full or the folder cannot be written.
    """
    config = _make_config(checkpoint)
    # Paddle's own format is read, never written: the model goes out as its transformers twin.
    name = "ernie" if checkpoint.family == "ernie-paddle" else checkpoint.family
    tensors = to_foreign(FAMILIES[name], checkpoint.model.weights())
    with staged_folder(folder) as staging:
        # Our own write: a full disk is an OSError then, which the staging folder understands.
        raw = safetensors.numpy.save(tensors, metadata={"format": "pt"})
        (staging / "model.safetensors").write_bytes(raw)
        (staging / "tokenizer.json").write_text(checkpoint.tokenizer.to_json(), encoding="utf-8")
        specials = dict(checkpoint.tokenizer.special_tokens)
        for file, body in (
            ("config.json", config),
            ("special_tokens_map.json", specials),
            ("tokenizer_config.json", _make_tokenizer_config(checkpoint, specials)),
        ):
            text = json.dumps(body, ensure_ascii=False, indent=2) + "\n"
            (staging / file).write_text(text, encoding="utf-8")


def _make_config(checkpoint: Checkpoint) -> dict[str, Any]:
    shape = checkpoint.architecture
    name = "ernie" if checkpoint.family == "ernie-paddle" else checkpoint.family
    heads, ffn = _uniform_widths(shape)
    many = checkpoint.problem_type == "multi_label"
    config: dict[str, Any] = {
        "architectures": [FAMILIES[name].architecture],
        "model_type": name,
        "hidden_size": shape.hidden,
        "num_hidden_layers": len(shape.layers),
        "num_attention_heads": heads,
        "intermediate_size": ffn,
        "hidden_act": _ACTIVATIONS.get(shape.activation, shape.activation),
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.type_rows,
        "layer_norm_eps": shape.layer_norm_eps,
        "hidden_dropout_prob": checkpoint.config.get("hidden_dropout_prob", 0.1),
        "attention_probs_dropout_prob": checkpoint.config.get("attention_probs_dropout_prob", 0.1),
        "initializer_range": checkpoint.config.get("initializer_range", 0.02),
        "pad_token_id": shape.position_offset - 1
        if shape.position_offset
        else checkpoint.tokenizer.pad_id,
        "problem_type": f"{'multi' if many else 'single'}_label_classification",
        "id2label": {str(index): label for index, label in enumerate(checkpoint.labels)},
        "label2id": {label: index for index, label in enumerate(checkpoint.labels)},
    }
    if shape.task_rows:
        config |= {"use_task_id": True, "task_type_vocab_size": shape.task_rows}
    return config


def _uniform_widths(shape: Architecture) -> tuple[int, int]:
    widths = set(shape.layers)
    first = shape.layers[0] if shape.layers else None
    fits = first is not None and (
        first.heads * first.qk_size == shape.hidden
        and first.qk_size == first.value_size
        and first.ffn > 0
        and shape.type_rows > 0
    )
    if first is None or len(widths) != 1 or not fits:
        what = "this model cannot be written as a Hugging Face directory"
        raise DataError(
            what,
            expected="one width for all layers, heads that fill the hidden size",
            got=f"{len(shape.layers)} layers of {len(widths)} different shapes",
            do="pack it as a bundle, which keeps a width per layer",
        )
    return first.heads, first.ffn


def _make_tokenizer_config(checkpoint: Checkpoint, specials: dict[str, str]) -> dict[str, Any]:
    inputs = ["input_ids", "attention_mask"]
    if FAMILIES[checkpoint.family].prefix != "roberta.":
        inputs.insert(1, "token_type_ids")
    return {
        **specials,
        "model_input_names": inputs,
        "model_max_length": checkpoint.max_length,
        # The class that takes tokenizer.json as it is; a family's own class would rebuild it.
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
