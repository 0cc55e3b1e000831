"""A smaller model to distil into, begun with what of the teacher fits its shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture
from thinfer.compress.state import State, Weights
from thinfer.compress.step import StepReport
from thinfer.errors import UserError
from thinfer.nn.presets import draw_encoder

__all__ = ["begin_student"]

_TABLES = ("word", "position", "type", "task")


def begin_student(
    teacher: State, shape: Architecture, *, rng: np.random.Generator
) -> tuple[State, StepReport]:
    """Give a student of another shape, not trained yet.

    Args:
        teacher: the model to learn from; its tokenizer and labels are the student's.
        shape: with the teacher's embedding rows and classes, and at most its hidden size.
        rng: draws what the teacher has no part for.

    Returns:
        The student. Of equal hidden size: the teacher's embeddings, pooler and head, and evenly
        spaced layers of it (as DistilBERT, Sanh et al. 2019) wherever their widths are equal.
        Of a smaller one: its embedding tables, turned onto the directions in which its word
        rows vary most; the rest is drawn. The report says what was taken.

    Raises:
        UserError: the shape does not fit the teacher.
    """
    whole = teacher.architecture
    rows = [(each.vocab, each.positions, each.classes) for each in (whole, shape)]
    if rows[0] != rows[1] or shape.hidden > whole.hidden:
        what = "the student does not fit its teacher"
        expected = f"vocabulary, positions, classes {rows[0]}; hidden ≤ {whole.hidden}"
        raise UserError(what, expected=expected, got=f"{rows[1]}; {shape.hidden}")
    weights: dict[str, NDArray[np.float32]] = dict(draw_encoder(shape, rng).weights())
    details: dict[str, object] = {"layers": len(shape.layers), "hidden": shape.hidden}
    if shape.hidden == whole.hidden:
        shared = {k: v for k, v in teacher.weights.items() if not k.startswith("layers.")}
        weights.update({name: value for name, value in shared.items() if name in weights})
        taken = _take_layers(teacher, shape)
        weights.update(taken)
        details["layers_taken"] = len({name.split(".")[1] for name in taken})
    else:
        tables, share = _turn_tables(teacher.weights, shape.hidden)
        weights.update({name: value for name, value in tables.items() if name in weights})
        details |= {"layers_taken": 0, "embedding_share": share}
    report = StepReport(step="student", outcome="applied", details=details)
    return teacher.replace(report, weights=weights, architecture=shape), report


def _take_layers(teacher: State, shape: Architecture) -> Weights:
    whole = teacher.architecture.layers
    places = np.linspace(0, len(whole) - 1, len(shape.layers)).round().astype(int)
    found: dict[str, NDArray[np.float32]] = {}
    for new, old in enumerate(places):
        if whole[old] == shape.layers[new]:
            prefix = f"layers.{old}."
            for name, value in teacher.weights.items():
                if name.startswith(prefix):
                    found[f"layers.{new}.{name.removeprefix(prefix)}"] = value
    return found


def _turn_tables(weights: Weights, hidden: int) -> tuple[Weights, float]:
    """Give the tables in the leading directions of the word rows, and the share that they keep."""
    word = weights["embeddings.word.weight"].astype(np.float64)
    values, vectors = np.linalg.eigh(word.T @ word)  # rising
    basis = vectors[:, -hidden:]  # [teacher's hidden, hidden]
    names = [f"embeddings.{table}.weight" for table in _TABLES]
    tables = {
        name: (weights[name].astype(np.float64) @ basis).astype(np.float32)
        for name in names
        if name in weights
    }
    return tables, float(values[-hidden:].sum() / values.sum())
