"""What the services of this folder share: a tokenizer and an ONNX Runtime session.

`FOLDER` holds `model.onnx`, `tokenizer.json` and `facts.json` (labels, max_length, pad_id).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer


class Model:
    """Tokenises and runs; the session takes calls from several threads."""

    def __init__(self, folder: Path, threads: int) -> None:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        self._labels, self._pad_id = facts["labels"], facts["pad_id"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(facts["max_length"])
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, text: str) -> Encoding:
        """Give the tokens of a text."""
        return self._tokenizer.encode(text)

    def run(self, texts: Sequence[str], encoded: Sequence[Encoding]) -> list[dict[str, Any]]:
        """Answer texts in one call, padded to the longest."""
        shape = (len(encoded), max(len(item.ids) for item in encoded))
        ids = np.full(shape, self._pad_id, dtype=np.int64)
        mask, types = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, item in enumerate(encoded):
            length = len(item.ids)
            ids[row, :length] = item.ids
            types[row, :length] = item.type_ids
            mask[row, :length] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        logits = self._session.run(["logits"], feed)[0]
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = shifted / shifted.sum(axis=1, keepdims=True)
        best = scores.argmax(axis=1)
        return [
            {"content": text, "result": self._labels[label], "probability": float(row[label])}
            for text, row, label in zip(texts, scores, best, strict=True)
        ]
