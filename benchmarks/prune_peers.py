"""torch-pruning on the same teacher: its ratios priced by the same table, the widest that fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from benchmarks.peer_env import PEERS, call, make_environment
from benchmarks.prune_case import Case
from benchmarks.settings import RealSet, Settings
from thinfer.compress.state import State
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.families import FAMILIES
from thinfer.nn.weights import to_canonical

__all__ = ["prune_with_torch_pruning"]

_TEXTS = 512


def prune_with_torch_pruning(
    settings: Settings, item: RealSet, case: Case, speedups: Sequence[float], python: Path | None
) -> dict[tuple[str, float, int], State]:
    """Give what the library leaves at each speed-up, by each of its importances."""
    interpreter = python or make_environment(settings.work / "torch-pruning-venv", "torch_pruning")
    folder = settings.work / "torch-pruning" / item.name
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(range(min(_TEXTS, len(case.sets.train))))
    batch = case.sets.train.encode(case.state.tokenizer).batch.select(rows)
    names = ("input_ids", "attention_mask", "token_type_ids")
    padded = dict(zip(names, batch.padded(case.state.pad_id), strict=True))
    np.savez(folder / "calibration.npz", **padded, labels=case.sets.train.truth[rows])
    script = PEERS / "torch_pruning" / "prune.py"
    words = [str(settings.teacher(item)), str(folder / "calibration.npz"), str(folder)]
    call([str(interpreter), str(script), *words])
    family = load_checkpoint(str(settings.teacher(item))).family
    states: dict[tuple[str, float, int], State] = {}
    for importance in ("magnitude", "taylor"):
        wide_first = [
            _load(path, family, case.state) for path in sorted(folder.glob(f"{importance}-*"))
        ]
        for speedup in speedups:
            budget = case.budget(speedup)
            fits = [each for each in wide_first if _price(case, each) <= budget]
            if fits:
                states[f"torch-pruning, {importance}", speedup, 0] = fits[0]
    return states


def _load(path: Path, family: str, like: State) -> State:
    layers = like.architecture.layers
    tensors = load_file(path)
    weights, _ = to_canonical(FAMILIES[family], tensors, layers=len(layers), for_fit=False)
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


def _price(case: Case, state: State) -> float:
    times = case.table.workloads["batch"]
    fixed = times.base + (len(state.architecture.layers) - 1) * times.layer
    return case.table.predict(state.architecture, "batch") - fixed
