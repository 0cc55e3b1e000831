"""Weights of 4 bits: what answers they cost, before any kernel is written for them.

One short text reads every weight once, so half the bytes could be half the time. Weights alone are
rounded here, and products stay in FP32: an engine could only lose more. The nearest of 15 levels
around zero, with a scale of each output channel or of each run of inputs of a channel, which is the
one that leaves the least squared error among ten clippings of the largest weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings
from thinfer.compress.zeros import list_matrices
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.data import label_corpus
from thinfer.pipeline.original import state_of
from thinfer.quality.labels import LabelSet

FORMS = {
    "8 bits, a scale a channel": (8, None, ""),
    "4 bits, a scale a channel": (4, None, ""),
    "4 bits, a scale for 64 inputs": (4, 64, ""),
    "4 bits, a scale for 32 inputs": (4, 32, ""),
    "4 bits, a scale for 32 inputs, FFN alone": (4, 32, "ffn"),
}
_CLIPPINGS = np.linspace(0.55, 1.0, 10)


def measure(settings: Settings, item: RealSet, *, most: int) -> dict[str, Any]:
    """Judge every form of one teacher on test texts.

    Args:
        settings: where the teacher and the texts lie.
        item: the set.
        most: test texts, spread over the file.
    """
    checkpoint = load_checkpoint(settings.teacher(item))
    state = state_of(checkpoint)
    corpus = settings.corpus(item, "test", most=most)
    batch = state.tokenizer.encode(corpus.texts).batch
    truth = label_corpus(corpus, LabelSet(state.labels)).truth
    module = state.module()
    reference = compute_logits(module, batch, pad_id=state.pad_id).argmax(axis=1)
    found: dict[str, Any] = {}
    for name, (bits, run, part) in FORMS.items():
        chosen = [matrix for matrix in list_matrices(state.weights) if part in matrix]
        changed = {matrix: round_weights(state.weights[matrix], bits, run) for matrix in chosen}
        form = EncoderClassifier.from_weights(state.architecture, {**state.weights, **changed})
        answers = compute_logits(form, batch, pad_id=state.pad_id).argmax(axis=1)
        found[name] = {
            "accuracy": float(np.mean(answers == truth)),
            "agreement": float(np.mean(answers == reference)),
            "share_of_weights": sum(w.size for w in changed.values()) / _count(state.weights),
        }
        say(f"{item.name}: {name}: {found[name]}")
    accuracy = float(np.mean(reference == truth))
    return {"rows": len(batch), "accuracy": accuracy, "forms": found}


def round_weights(weight: NDArray[np.float32], bits: int, run: int | None) -> NDArray[np.float32]:
    """Give what is left of a matrix in so many bits.

    Args:
        weight: float32 `[out, in]`.
        bits: of each weight, sign included; the levels are symmetric.
        run: inputs that share a scale, or a whole channel.
    """
    outputs, inputs = weight.shape
    size = inputs if run is None else run
    padded = np.pad(weight, ((0, 0), (0, -inputs % size))).reshape(outputs, -1, size)
    levels = 2 ** (bits - 1) - 1
    largest = np.abs(padded).max(axis=2, keepdims=True)
    best, least = padded, np.full(largest.shape, np.inf)
    for clipping in _CLIPPINGS:
        scale = np.maximum(largest * clipping / levels, np.finfo(np.float32).tiny)
        rounded = np.clip(np.rint(padded / scale), -levels, levels) * scale
        error = np.square(rounded - padded).sum(axis=2, keepdims=True)
        best = np.where(error < least, rounded, best)
        least = np.minimum(error, least)
    found: NDArray[np.float32] = best.reshape(outputs, -1)[:, :inputs].astype(np.float32)
    return found


def _count(weights: Mapping[str, NDArray[np.float32]]) -> int:
    return sum(weights[name].size for name in list_matrices(weights))


def main() -> None:
    """Judge the sets that are here."""
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, default=3000, help="test texts of a set, at most")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        save(settings, "fourbit", {item.name: measure(settings, item, most=arguments.rows)})


if __name__ == "__main__":
    main()
