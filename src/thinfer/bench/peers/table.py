"""The peers that a bundle is compared with, by name; a new peer is one function and one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thinfer.architecture import Architecture
from thinfer.bench.contender import Contender
from thinfer.bench.peers.ctranslate import open_ctranslate2
from thinfer.bench.peers.deepsparse import PYTHON, open_deepsparse
from thinfer.bench.peers.eager import compile_model, open_altered, quantise, to_bf16
from thinfer.bench.peers.files import (
    open_files,
    openvino,
    write_dynamic_int8,
    write_onnx,
    write_transformers,
)
from thinfer.bundle import Bundle
from thinfer.engine.base import Engine
from thinfer.errors import UserError
from thinfer.nn.checkpoint import Checkpoint, load_checkpoint
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.tokenizer import Tokenizer

__all__ = ["PEERS", "open_peer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """How a peer is made from a model.

    Attributes:
        help: one line for people.
        open: opens it with an empty folder for its files and the threads of one call.
    """

    help: str
    open: Callable[[Checkpoint, Path, int], Engine]


def open_peer(wish: str, *, bundle: Bundle, folder: Path, threads: int) -> Contender:
    """Open a peer.

    Args:
        wish: a name of `PEERS`, which then runs the bundle's own weights, or `NAME:DIR`, which
            runs the checkpoint in that directory with its own tokenizer.
        bundle: whose weights a bare name runs.
        folder: an empty folder for the files of this peer; needed until it is closed.
        threads: threads of one call.

    Returns:
        The contender, named after the wish.

    Raises:
        UserError: there is no such peer.
        EngineError: its library is not here, or cannot take the model.
        DataError: it wants all layers of one width.
    """
    name, _, place = wish.partition(":")
    peer = PEERS.get(name)
    if peer is None:
        what = f"there is no peer '{wish}'"
        raise UserError(what, expected=", ".join(f"{key} or {key}:DIR" for key in PEERS))
    checkpoint = load_checkpoint(place) if place else _checkpoint_of(bundle)
    tokenizer = checkpoint.tokenizer
    engine = peer.open(checkpoint, folder, threads)

    def run(texts: Sequence[str]) -> object:
        return engine.run(tokenizer.encode(texts).batch)

    return Contender(
        name=wish,
        engine=engine.info.name,
        precision=engine.info.precision,
        threads=threads,
        run=run,
        close=engine.close,
    )


PEERS: Mapping[str, Peer] = {
    "transformers": Peer(help="transformers, eager FP32", open=open_files(write_transformers)),
    "torch-bf16": Peer(help="transformers, eager BF16", open=open_altered(to_bf16, "bf16")),
    "torch-compile": Peer(
        help="transformers FP32 under torch.compile; wants a C++ compiler",
        open=open_altered(compile_model, "fp32"),
    ),
    "torch-int8": Peer(
        help="transformers, linear layers by torch's dynamic INT8",
        open=open_altered(quantise, "int8"),
    ),
    "onnxruntime": Peer(
        help="ONNX Runtime FP32, one call a batch, padded to its longest text",
        open=open_files(write_onnx),
    ),
    "onnxruntime-int8": Peer(
        help="the same graph through ONNX Runtime's quantize_dynamic",
        open=open_files(write_dynamic_int8),
    ),
    "openvino": Peer(help="OpenVINO FP32", open=open_files(openvino("fp32"))),
    "openvino-bf16": Peer(help="OpenVINO BF16", open=open_files(openvino("bf16"))),
    "openvino-int8": Peer(
        help="OpenVINO INT8 by NNCF, calibrated on drawn ids: for time, not for answers",
        open=open_files(openvino("int8")),
    ),
    "ctranslate2": Peer(help="CTranslate2 INT8; wants the extra 'peers'", open=open_ctranslate2),
    "deepsparse": Peer(
        help=f"DeepSparse 1.8 FP32; wants an interpreter of its own in {PYTHON}",
        open=open_deepsparse,
    ),
}


def _checkpoint_of(bundle: Bundle) -> Checkpoint:
    manifest = bundle.manifest
    tokenizer = Tokenizer.from_json(bundle.tokenizer_text(), max_length=manifest.max_length)
    return Checkpoint(
        model=EncoderClassifier.from_weights(manifest.architecture, bundle.weights()),
        tokenizer=tokenizer,
        labels=manifest.labels,
        architecture=manifest.architecture,
        family=_name_family(manifest.architecture),
        max_length=manifest.max_length,
        config={"problem_type": manifest.problem_type},
    )


def _name_family(architecture: Architecture) -> str:
    """A bundle forgets its family; these are the widths by which the families differ."""
    if architecture.position_offset:
        return "roberta"
    return "ernie" if architecture.task_rows else "bert"
