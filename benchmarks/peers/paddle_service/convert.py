"""An ERNIE checkpoint → the weights under PaddleNLP's names; runs in thinfer's environment.

python -m benchmarks.peers.paddle_service.convert CHECKPOINT OUT
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from thinfer.errors import DataError
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.families import FAMILIES
from thinfer.nn.weights import to_foreign


def convert(source: Path, target: Path) -> None:
    """Write `weights.npz`, `config.json` and `vocab.txt`, which `server.py` reads."""
    checkpoint = load_checkpoint(source)
    shape = checkpoint.architecture
    if not checkpoint.family.startswith("ernie"):
        what = f"'{source}' cannot be run by PaddleNLP's ERNIE"
        raise DataError(what, expected="an ERNIE checkpoint", got=checkpoint.family)
    weights = to_foreign(FAMILIES["ernie-paddle"], checkpoint.model.weights())
    first = shape.layers[0]
    config = {
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "num_hidden_layers": len(shape.layers),
        "num_attention_heads": first.heads,
        "intermediate_size": first.ffn,
        "hidden_act": shape.activation,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.type_rows,
        "task_type_vocab_size": max(1, shape.task_rows),
        "use_task_id": shape.task_rows > 0,
        "num_labels": shape.classes,
        "pad_token_id": checkpoint.tokenizer.pad_id,
    }
    facts = {
        "config": config,
        "labels": list(checkpoint.labels),
        "max_length": checkpoint.max_length,
        "layer_norm_eps": shape.layer_norm_eps,
    }
    target.mkdir(parents=True, exist_ok=True)
    np.savez(target / "weights.npz", **weights)
    (target / "config.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
    tokens = "\n".join(checkpoint.tokenizer.tokens)
    (target / "vocab.txt").write_text(tokens + "\n", encoding="utf-8")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
