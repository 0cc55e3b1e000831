"""A candidate: one state of the model in one engine and precision, on disk and measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.compress.state import State
from thinfer.core.codec import from_json, to_json
from thinfer.engine.base import Engine, EngineSpec, Precision
from thinfer.engine.registry import open_engine_folder
from thinfer.export.write import ExportRequest, write_engine
from thinfer.pipeline.data import LabelledSet
from thinfer.pipeline.workspace import Workspace
from thinfer.text.batch import Batch
from thinfer.text.tokenizer import Tokenizer

__all__ = ["Candidate", "Form", "Runner", "build_candidate"]

Logits = NDArray[np.float32]

BATCH_TEXTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a candidate is made of.

    Attributes:
        state: name of the state, for example `width-3-4`.
        engine: name of the engine.
        precision: of its matrix products.
        kept_fp32: blocks that INT8 leaves in FP32, the most sensitive first.
        label: a name of its own, for what is no candidate: the original, `transformers`.
    """

    state: str
    engine: str
    precision: Precision
    kept_fp32: tuple[str, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """A name that a user can read in the table."""
        kept = f"-keeps-{len(self.kept_fp32)}-fp32" if self.kept_fp32 else ""
        return self.label or f"{self.state}-{self.engine}-{self.precision}{kept}"


class Runner:
    """A tokenizer and an open engine: texts to logits.

    Args:
        tokenizer: whose ids the engine reads.
        engine: open; closed with the runner.
    """

    def __init__(self, tokenizer: Tokenizer, engine: Engine) -> None:
        self._tokenizer = tokenizer
        self._engine = engine

    def run(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Logits:
        """Tokenise and run texts as one batch.

        Args:
            texts: first texts.
            pairs: second texts, if any.

        Returns:
            float32 `[sequences, classes]`.
        """
        return self._engine.run(self._tokenizer.encode(texts, pairs).batch)

    def run_set(self, part: LabelledSet) -> Logits:
        """Run a set in batches of 32, in arrival order, as a service would.

        Args:
            part: the set.

        Returns:
            float32 `[rows, classes]`.
        """
        pairs = part.corpus.pairs
        return np.concatenate(
            [
                self.run(
                    part.corpus.texts[start : start + BATCH_TEXTS],
                    None if pairs is None else pairs[start : start + BATCH_TEXTS],
                )
                for start in range(0, len(part), BATCH_TEXTS)
            ]
        )

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A candidate on disk.

    Attributes:
        form: what it is made of.
        state: the model.
        spec: how its folder is opened.
        folder: where its files are.
        facts: what is known of it so far, as the result's JSON says it.
    """

    form: Form
    state: State
    spec: EngineSpec
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in every table."""
        return self.form.name

    def open(self, threads: int) -> Runner:
        """Open the engine.

        Args:
            threads: threads of one call.
        """
        engine = open_engine_folder(
            self.folder,
            self.spec,
            self.state.architecture,
            pad_id=self.state.pad_id,
            threads=threads,
        )
        return Runner(self.state.tokenizer, engine)

    @property
    def size_bytes(self) -> int:
        """What the engine reads to run: weights, graph and tokenizer."""
        files = [*self.spec.files, "tokenizer.json"]
        return sum((self.folder / name).stat().st_size for name in files)


def build_candidate(
    workspace: Workspace, form: Form, state: State, calibration: Batch
) -> Candidate:
    """Write the files of a candidate, unless an earlier run left them.

    Args:
        workspace: where they go.
        form: engine and precision.
        state: the model.
        calibration: token ids of the state's own tokenizer.

    Returns:
        The candidate.
    """

    def make(folder: Path) -> None:
        request = ExportRequest(
            weights=state.weights,
            architecture=state.architecture,
            folder=folder,
            pad_id=state.pad_id,
            calibration=calibration,
            kept_fp32=form.kept_fp32,
        )
        spec = write_engine(form.engine, form.precision, request)
        describe_candidate(folder, spec, state)

    folder = workspace.piece(f"candidates/{form.name}", make)
    spec = from_json(EngineSpec, json.loads((folder / "spec.json").read_text()))
    return Candidate(form=form, state=state, spec=spec, folder=folder)


def describe_candidate(folder: Path, spec: EngineSpec, state: State) -> None:
    """Write beside the engine's files what another process needs to open them.

    Args:
        folder: of the candidate.
        spec: its engine.
        state: its model.
    """
    (folder / "tokenizer.json").write_text(state.tokenizer.to_json(), encoding="utf-8")
    (folder / "architecture.json").write_text(json.dumps(to_json(state.architecture)))
    (folder / "spec.json").write_text(json.dumps(to_json(spec)))
