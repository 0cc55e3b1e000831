"""Zeros among the weights: the native engine with and without skipping them, DeepSparse beside.

The weights of 6 × 768 are drawn, 90 % of every encoder matrix is zero in `1x4` blocks, or 75 % of
it in whole tiles where the machine has a tile unit; only time is quoted. All engines get the same
weights and take turns. DeepSparse runs in an interpreter of its own (`THINFER_DEEPSPARSE_PYTHON`);
where none is named its row is absent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.engines import draw_batches, draw_model, time_engines
from benchmarks.record import save
from benchmarks.settings import ROOT, Settings, make_parser, say, to_settings
from thinfer.bench.peers.deepsparse import PYTHON, open_deepsparse
from thinfer.compress.sparsify.pattern import choose_stays, parse_pattern
from thinfer.compress.zeros import list_matrices
from thinfer.engine.base import Engine
from thinfer.engine.registry import open_engine_folder
from thinfer.export.write import ExportRequest, write_engine
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.encoder import EncoderClassifier

SHAPE = "6 × 768"
SPARSITY = 0.9
PATTERN = "1x4"
LEVELS: Mapping[str, str] = {"own": "", "avxvnni": "avxvnni", "avx2": "avx2", "amx": "amx"}
_USUAL = "own,avxvnni,avx2"
_TILE, _TILES_ZERO = (16, 64), 0.75  # output channels by inputs, as the unit loads them
_SKIPS = "THINFER_SPARSE"


def measure(settings: Settings, rounds: int, *, has_peer: bool, has_tiles: bool) -> dict[str, Any]:
    """Time dense and sparse weights on every shape, with the threads of the settings."""
    dense = draw_model(settings, SHAPE)
    sparse = set_zero_tiles(dense, settings.seed) if has_tiles else set_zeros(dense)
    work = draw_batches(settings, sparse.architecture.vocab)
    with tempfile.TemporaryDirectory(prefix="thinfer-") as root, ExitStack() as stack:
        engines: dict[str, Engine] = {
            "native int8": _open_native(sparse, Path(root) / "skips", settings, skips="always"),
            "native int8, zeros multiplied": _open_native(
                sparse, Path(root) / "multiplies", settings, skips="never"
            ),
        }
        if has_peer:
            for name, checkpoint in (("zeros", sparse), ("dense", dense)):
                folder = Path(root) / name
                folder.mkdir()
                engines[f"DeepSparse FP32, {name}"] = open_deepsparse(
                    checkpoint, folder, settings.threads
                )
        for engine in engines.values():
            stack.enter_context(closing(engine))
        versions = {name: engine.info.version for name, engine in engines.items()}
        rows = {name: time_engines(engines, each, settings, rounds) for name, each in work.items()}
    zeros = (
        f"{_TILES_ZERO:.0%} of the tiles" if has_tiles else f"{SPARSITY:.0%} in {PATTERN} blocks"
    )
    return {"shape": SHAPE, "zeros": zeros, "engines": versions, "workloads": rows}


def set_zero_tiles(checkpoint: Checkpoint, seed: int) -> Checkpoint:
    """Give a model of which most tiles, drawn, are zero."""
    rng = np.random.default_rng(seed)
    weights = checkpoint.model.weights()
    for name in list_matrices(weights):
        values = weights[name]
        tiles = [-(-size // step) for size, step in zip(values.shape, _TILE, strict=True)]
        stays = np.kron(rng.random(tiles) >= _TILES_ZERO, np.ones(_TILE, dtype=bool))
        weights[name] = values * stays[: values.shape[0], : values.shape[1]]
    model = EncoderClassifier.from_weights(checkpoint.architecture, weights)
    return replace(checkpoint, model=model)


def set_zeros(checkpoint: Checkpoint) -> Checkpoint:
    """Give a model whose smallest blocks are zero, the same share in every matrix."""
    weights = checkpoint.model.weights()
    scores = {name: torch.from_numpy(weights[name]).square() for name in list_matrices(weights)}
    stays = choose_stays(scores, parse_pattern(PATTERN), SPARSITY, is_global=False)
    for name, mask in stays.items():
        weights[name] = np.where(mask.numpy(), weights[name], np.float32(0.0))
    model = EncoderClassifier.from_weights(checkpoint.architecture, weights)
    return replace(checkpoint, model=model)


def _open_native(checkpoint: Checkpoint, folder: Path, settings: Settings, *, skips: str) -> Engine:
    folder.mkdir()
    request = ExportRequest(
        weights=checkpoint.model.weights(),
        architecture=checkpoint.architecture,
        folder=folder,
        pad_id=checkpoint.tokenizer.pad_id,
    )
    spec = write_engine("native", "int8", request)
    os.environ[_SKIPS] = skips  # read as the engine opens
    try:
        return open_engine_folder(
            folder,
            spec,
            checkpoint.architecture,
            pad_id=request.pad_id,
            threads=settings.threads,
        )
    finally:
        del os.environ[_SKIPS]


def main() -> None:
    """Run each level and number of threads in a process of its own."""
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--level", choices=list(LEVELS), help="one, in this process; to stdout")
    parser.add_argument("--levels", default=_USUAL, help=f"some of {', '.join(LEVELS)}")
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    if arguments.level:
        # The peer has no switch for its instructions: it stands beside the machine's own alone.
        has_peer = arguments.level == "own" and PYTHON in os.environ
        has_tiles = arguments.level == "amx"
        found = measure(settings, arguments.rounds, has_peer=has_peer, has_tiles=has_tiles)
        print(json.dumps(found))
        return
    for level in arguments.levels.split(","):
        isa = LEVELS[level]
        for threads in range(1, settings.threads + 1):
            argv = [sys.executable, "-m", "benchmarks.sparse", *sys.argv[1:]]
            argv += ["--level", level, "--threads", str(threads)]
            environment = {**os.environ, **({"THINFER_ISA": isa} if isa else {})}
            done = subprocess.run(
                argv, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, env=environment
            )
            found = json.loads(done.stdout)
            key = f"{level}, {threads}"
            save(settings, "sparse", {key: {**found, "level": level, "ran_with": threads}})
            say(key)


if __name__ == "__main__":
    main()
