"""The model as it was brought: the state that all starts from, and its ONNX Runtime form."""

from __future__ import annotations

from pathlib import Path

from thinfer.compress.state import State
from thinfer.engine.base import EngineSpec
from thinfer.export.graph import build_graph
from thinfer.nn.checkpoint import Checkpoint
from thinfer.nn.save import save_checkpoint
from thinfer.pipeline.candidate import Candidate, Form, describe_candidate
from thinfer.pipeline.workspace import Workspace

__all__ = ["build_baseline", "build_original", "build_plain", "state_of"]


def state_of(checkpoint: Checkpoint) -> State:
    """Give a checkpoint as the first state of a compression.

    Args:
        checkpoint: as it was loaded.
    """
    weights = {
        name: value.detach().cpu().numpy() for name, value in checkpoint.model.state_dict().items()
    }
    return State(
        weights=weights,
        architecture=checkpoint.architecture,
        tokenizer=checkpoint.tokenizer.with_max_length(checkpoint.max_length),
        labels=checkpoint.labels,
        max_length=checkpoint.max_length,
        pad_id=checkpoint.tokenizer.pad_id,
        is_multi_label=checkpoint.is_multi_label,
    )


def build_original(workspace: Workspace, state: State) -> Candidate:
    """Write what every ratio is taken to: ONNX Runtime FP32, padded to the longest of a batch.

    The graph is the standard-operator one, optimised by ONNX Runtime itself with everything it
    has; on the machines measured so far that form is the faster FP32 one, so the ratios are
    never flattered by the choice (docs/why/09-plain-and-fused.md).

    Args:
        workspace: where it goes.
        state: the model as it was brought.
    """
    return build_plain(workspace, "original", state, grouping="none")


def build_plain(workspace: Workspace, name: str, state: State, *, grouping: str) -> Candidate:
    """Write a standard-operator FP32 graph for ONNX Runtime.

    Args:
        workspace: where it goes.
        name: of the candidate's state.
        state: the model.
        grouping: `none` pads a batch to its longest text, `length` splits it by length.
    """
    spec = EngineSpec(
        name="onnxruntime",
        precision="fp32",
        files=("model.onnx",),
        options={"grouping": grouping},
    )

    def make(folder: Path) -> None:
        # Every token to the end: that is what a plain export of this model computes.
        model = build_graph(state.weights, state.architecture, fused=False, first_token_only=False)
        (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
        describe_candidate(folder, spec, state)

    folder = workspace.piece(f"candidates/{name}", make)
    form = Form(state=name, engine="onnxruntime", precision="fp32", label=f"{name}-fp32")
    return Candidate(form=form, state=state, spec=spec, folder=folder)


def build_baseline(workspace: Workspace, checkpoint: Checkpoint, state: State) -> Candidate:
    """Write the directory that `transformers` runs eagerly in FP32, as most services do today.

    Args:
        workspace: where it goes.
        checkpoint: the model as it was brought.
        state: the same as a state.
    """
    spec = EngineSpec(name="transformers", precision="fp32", files=("model.safetensors",))

    def make(folder: Path) -> None:
        save_checkpoint(checkpoint, folder)
        describe_candidate(folder, spec, state)

    folder = workspace.piece("candidates/transformers", make)
    form = Form(
        state="original", engine="transformers", precision="fp32", label="transformers-fp32"
    )
    return Candidate(form=form, state=state, spec=spec, folder=folder)
