"""The peers that a bundle is compared with, by name; a new peer is one function and one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from thinfer.architecture import Architecture
from thinfer.bench.contender import Contender
from thinfer.bundle import Bundle
from thinfer.engine.base import EngineSpec
from thinfer.engine.registry import open_engine_folder
from thinfer.errors import UserError
from thinfer.export.graph import build_graph
from thinfer.nn.checkpoint import Checkpoint, load_checkpoint
from thinfer.nn.encoder import EncoderClassifier
from thinfer.nn.save import save_checkpoint
from thinfer.text.tokenizer import Tokenizer

__all__ = ["PEERS", "open_peer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """How a peer is made from a model.

    Attributes:
        help: one line for people.
        write: writes its files into an empty folder and says how an engine opens them.
    """

    help: str
    write: Callable[[Checkpoint, Path], EngineSpec]


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
    """
    name, _, place = wish.partition(":")
    peer = PEERS.get(name)
    if peer is None:
        what = f"there is no peer '{wish}'"
        raise UserError(what, expected=", ".join(f"{key} or {key}:DIR" for key in PEERS))
    checkpoint = load_checkpoint(place) if place else _checkpoint_of(bundle)
    spec = peer.write(checkpoint, folder)
    tokenizer = checkpoint.tokenizer
    engine = open_engine_folder(
        folder, spec, checkpoint.architecture, pad_id=tokenizer.pad_id, threads=threads
    )

    def run(texts: Sequence[str]) -> object:
        return engine.run(tokenizer.encode(texts).batch)

    return Contender(
        name=wish,
        engine=spec.name,
        precision=spec.precision,
        threads=threads,
        run=run,
        close=engine.close,
    )


def _write_transformers(checkpoint: Checkpoint, folder: Path) -> EngineSpec:
    save_checkpoint(checkpoint, folder)
    return EngineSpec(name="transformers", precision="fp32", files=("model.safetensors",))


def _write_onnx(checkpoint: Checkpoint, folder: Path) -> EngineSpec:
    """The `original` of docs/design.md §3: all of ONNX Runtime's own optimisations, padded."""
    model = build_graph(checkpoint.model.weights(), checkpoint.architecture, fused=False)
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return EngineSpec(
        name="onnxruntime",
        precision="fp32",
        files=("model.onnx",),
        options={"grouping": "none"},
    )


PEERS: Mapping[str, Peer] = {
    "transformers": Peer(help="transformers, eager FP32", write=_write_transformers),
    "onnxruntime": Peer(
        help="ONNX Runtime FP32, one call a batch, padded to its longest text", write=_write_onnx
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
