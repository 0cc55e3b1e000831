"""The model families that can be brought: their parameter names and their config keys.

One table row per parameter; a family is a table, not a piece of code. `weights.py` walks the
tables in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thinfer.errors import DataError

__all__ = ["FAMILIES", "Family", "find_family", "list_parameters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How one family names its parameters.

    Attributes:
        name: our name for it; also the `model_type` it is saved under, Paddle aside.
        prefix: of every name of the encoder; a base model may come without it.
        shared: our module → theirs, once a model; encoder's own, without the prefix.
        layer: our module in a layer → theirs, `{i}` is the layer.
        head: our module → theirs, classification head, no prefix.
        harmless: left-over names that are always accepted.
        harmless_in_base: left-over names accepted only while a base model gets a head.
        linear_is_transposed: linear weights are stored `[in, out]`.
        architecture: class name of the classifier, in its config.
    """

    name: str
    prefix: str
    shared: Mapping[str, str]
    layer: Mapping[str, str]
    head: Mapping[str, str]
    architecture: str
    harmless: tuple[str, ...] = (r"(.*\.)?position_ids", r"cls\..*")
    harmless_in_base: tuple[str, ...] = ()
    linear_is_transposed: bool = False


_EMBEDDINGS = {
    "embeddings.word": "embeddings.word_embeddings",
    "embeddings.position": "embeddings.position_embeddings",
    "embeddings.type": "embeddings.token_type_embeddings",
    "embeddings.task": "embeddings.task_type_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
}

_LAYER = {
    "attention.query": "encoder.layer.{i}.attention.self.query",
    "attention.key": "encoder.layer.{i}.attention.self.key",
    "attention.value": "encoder.layer.{i}.attention.self.value",
    "attention.output": "encoder.layer.{i}.attention.output.dense",
    "attention.norm": "encoder.layer.{i}.attention.output.LayerNorm",
    "ffn.up": "encoder.layer.{i}.intermediate.dense",
    "ffn.down": "encoder.layer.{i}.output.dense",
    "ffn.norm": "encoder.layer.{i}.output.LayerNorm",
}

_PADDLE_LAYER = {
    "attention.query": "encoder.layers.{i}.self_attn.q_proj",
    "attention.key": "encoder.layers.{i}.self_attn.k_proj",
    "attention.value": "encoder.layers.{i}.self_attn.v_proj",
    "attention.output": "encoder.layers.{i}.self_attn.out_proj",
    "attention.norm": "encoder.layers.{i}.norm1",
    "ffn.up": "encoder.layers.{i}.linear1",
    "ffn.down": "encoder.layers.{i}.linear2",
    "ffn.norm": "encoder.layers.{i}.norm2",
}


def _bert_like(name: str, architecture: str) -> Family:
    return Family(
        name=name,
        prefix=f"{name}.",
        shared={**_EMBEDDINGS, "pooler": "pooler.dense"},
        layer=_LAYER,
        head={"head": "classifier"},
        architecture=architecture,
    )


def _roberta_like(name: str, architecture: str) -> Family:
    return Family(
        name=name,
        prefix="roberta.",
        shared=_EMBEDDINGS,
        layer=_LAYER,
        head={"pooler": "classifier.dense", "head": "classifier.out_proj"},
        architecture=architecture,
        # A base model's own pooler is not the one that the classifier uses.
        harmless_in_base=(r"lm_head\..*", r"(roberta\.)?pooler\..*"),
    )


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        _bert_like("bert", "BertForSequenceClassification"),
        _bert_like("ernie", "ErnieForSequenceClassification"),
        _roberta_like("roberta", "RobertaForSequenceClassification"),
        _roberta_like("xlm-roberta", "XLMRobertaForSequenceClassification"),
        Family(
            name="ernie-paddle",
            prefix="ernie.",
            shared={
                **_EMBEDDINGS,
                "embeddings.norm": "embeddings.layer_norm",
                "pooler": "pooler.dense",
            },
            layer=_PADDLE_LAYER,
            head={"head": "classifier"},
            architecture="ErnieForSequenceClassification",
            linear_is_transposed=True,
        ),
    )
}


def find_family(config: Mapping[str, Any], *, is_paddle: bool) -> Family:
    """Find the family of a checkpoint.

    Args:
        config: its config.json.
        is_paddle: its weights are in Paddle's format.

    Raises:
        DataError: the family is not one of ours.
    """
    named = str(config.get("model_type", "")).lower()
    architectures = [str(name) for name in config.get("architectures") or []]
    if not named and architectures:
        named = re.sub(r"(Model|For[A-Z].*)$", "", architectures[0]).lower()
    if is_paddle and named in ("ernie", ""):
        return FAMILIES["ernie-paddle"]
    if named not in FAMILIES or is_paddle:
        what = f"models of the type '{named or 'unknown'}' cannot be read"
        kind = "ernie with Paddle weights" if is_paddle else ", ".join(sorted(FAMILIES))
        raise DataError(what, expected=kind, got=str(architectures or named))
    return FAMILIES[named]


def list_parameters(
    family: Family, layers: int, *, has_task: bool, has_type: bool
) -> dict[str, str]:
    """Give our parameter name → theirs, for a model of so many full layers.

    Args:
        family: whose names.
        layers: number of layers.
        has_task: the model has task type rows.
        has_type: the model has token type rows.
    """
    absent = set() if has_task else {"embeddings.task"}
    absent |= set() if has_type else {"embeddings.type"}
    modules = {ours: family.prefix + theirs for ours, theirs in family.shared.items()}
    for i in range(layers):
        for ours, theirs in family.layer.items():
            modules[f"layers.{i}.{ours}"] = family.prefix + theirs.format(i=i)
    modules.update(family.head)
    names = {}
    for ours, theirs in modules.items():
        if ours in absent:
            continue
        names[f"{ours}.weight"] = f"{theirs}.weight"
        if not ours.startswith("embeddings.") or ours == "embeddings.norm":
            names[f"{ours}.bias"] = f"{theirs}.bias"
    return names
