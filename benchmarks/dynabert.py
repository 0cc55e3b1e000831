"""PaddleNLP's DynaBERT on the same teacher, run in its own environment and read back as states."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer_env import PEERS, StartError, call, make_environment
from benchmarks.prune_case import Case
from benchmarks.settings import RealSet, Settings, say
from thinfer.compress.state import State
from thinfer.nn.families import FAMILIES
from thinfer.nn.predict import compute_logits
from thinfer.nn.weights import to_canonical, to_foreign

__all__ = ["WIDTHS", "compress_with_paddle", "record_newest"]

WIDTHS = tuple(map(Fraction, ("3/4", "2/3", "1/2")))
_FAMILY = FAMILIES["ernie-paddle"]
_SCRIPT = PEERS / "paddle_dynabert" / "compress.py"


def compress_with_paddle(
    settings: Settings, item: RealSet, case: Case, *, epochs: int, rate: float, python: Path | None
) -> tuple[dict[Fraction, State], dict[str, Any]]:
    """Run `Trainer.compress` on the training rows.

    Gives the states by width, none where the library fails, and what happened: versions, errors
    with tracebacks, repairs, seconds, and how far our forward pass is from Paddle's own.

    Raises:
        StartError: the environment cannot be made, or the script itself fails.
    """
    interpreter = python or make_environment(
        settings.work / "paddle-dynabert-venv", "paddle_dynabert", needs=(3, 11)
    )
    folder = settings.work / "paddle-dynabert" / item.name
    _write_inputs(case, folder)
    widths = ",".join(map(str, WIDTHS))
    words = ["--widths", widths, "--epochs", str(epochs), "--learning-rate", str(rate)]
    outcome = _run(settings, interpreter, folder, [*words, "--seed", str(settings.seed)])
    states: dict[Fraction, State] = {}
    if (outcome.get("repaired") or outcome["as_published"])["error"]:
        return states, outcome
    outcome["max_abs_to_paddle"] = 0.0
    test = case.sets.test.encode(case.state.tokenizer).batch
    for width in WIDTHS:
        name = f"width-{float(width):.4f}"
        states[width] = _read(folder / f"{name}.npz", case.state)
        wanted = np.load(folder / f"{name}-logits.npy")
        found = compute_logits(states[width].module(), test, pad_id=case.state.pad_id)
        distance = float(np.abs(found - wanted).max())
        outcome["max_abs_to_paddle"] = max(outcome["max_abs_to_paddle"], distance)
    return states, outcome


def record_newest(settings: Settings, item: RealSet, case: Case, python: Path) -> dict[str, Any]:
    """Give what becomes of it with the newest Paddle that PaddleNLP imports with."""
    folder = settings.work / "paddle-dynabert-newest" / item.name
    _write_inputs(case, folder)
    return _run(settings, python, folder, ["--epochs", "1", "--as-published-only"])


def _run(settings: Settings, python: Path, folder: Path, words: list[str]) -> dict[str, Any]:
    home = settings.work / "paddle-home"
    home.mkdir(parents=True, exist_ok=True)
    say(f"paddle: {' '.join(words)}")
    threads = str(settings.threads)
    call([str(python), str(_SCRIPT), str(folder), *words], HOME=str(home), OMP_NUM_THREADS=threads)
    outcome: dict[str, Any] = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    outcome["command"] = " ".join(["python", "compress.py", "FOLDER", *words])
    return outcome


def _write_inputs(case: Case, folder: Path) -> None:
    """Write the teacher as PaddleNLP's ERNIE, and the rows as our tokenizer's ids.

    A BERT is an ERNIE without task types: the arithmetic is the same.
    """
    state, shape = case.state, case.state.architecture
    if shape.position_offset or not shape.type_rows:
        what = "PaddleNLP's ERNIE has token types and counts positions from 0"
        raise StartError(what)
    folder.mkdir(parents=True, exist_ok=True)
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
        "pad_token_id": state.pad_id,
    }
    facts = {"config": config, "layer_norm_eps": shape.layer_norm_eps}
    (folder / "config.json").write_text(json.dumps(facts), encoding="utf-8")
    np.savez(folder / "weights.npz", **to_foreign(_FAMILY, state.weights))
    for name in ("train", "dev", "test"):
        part = getattr(case.sets, name)
        ids, _, types = part.encode(state.tokenizer).batch.padded(state.pad_id)
        np.savez(folder / f"{name}.npz", ids=ids, types=types, labels=part.truth)


def _read(path: Path, like: State) -> State:
    tensors = {name: value.astype(np.float32) for name, value in np.load(path).items()}
    layers = like.architecture.layers
    weights, _ = to_canonical(_FAMILY, tensors, layers=len(layers), for_fit=False)
    cut = tuple(
        dataclasses.replace(
            layer,
            heads=len(weights[f"layers.{index}.attention.query.weight"]) // layer.qk_size,
            ffn=len(weights[f"layers.{index}.ffn.up.weight"]),
        )
        for index, layer in enumerate(layers)
    )
    architecture = dataclasses.replace(like.architecture, layers=cut)
    return dataclasses.replace(like, weights=weights, architecture=architecture)
