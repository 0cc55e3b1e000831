"""`DIR.work`: what an interrupted run left, so that the next one goes on from there.

Each piece of work is a folder under a name, written whole or not at all; a piece that stands
there is not made again. The request's digest says whether the pieces belong to this run.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from thinfer import __version__
from thinfer.architecture import Architecture
from thinfer.bundle import encode_weights
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.core.codec import from_json, to_json
from thinfer.core.digest import sha256_bytes, sha256_file
from thinfer.core.files import staged_folder, write_atomic
from thinfer.errors import UserError
from thinfer.pipeline.request import CompressRequest
from thinfer.text.tokenizer import Tokenizer

__all__ = ["LATENCY_TABLE", "Workspace", "keep_array", "keep_json"]

LATENCY_TABLE = "latency-table.json"
_REQUEST = "request.json"
_PARTS = ("states", "candidates", "best", "rungs")


class Workspace:
    """The pieces of one run.

    Args:
        request: the run; its `work` folder is locked by the caller.

    Raises:
        UserError: `--resume` was asked for and the pieces belong to another request.
    """

    def __init__(self, request: CompressRequest) -> None:
        self._root = request.work
        digest = _request_digest(request)
        stored = self._root / _REQUEST
        found = json.loads(stored.read_text())["digest"] if stored.exists() else None
        if request.resume and found not in (None, digest):
            what = f"'{self._root}' holds the work of another command"
            raise UserError(
                what,
                expected="the same model, data, floors and options",
                do="repeat the first command, or leave out --resume to begin anew",
            )
        if not request.resume or found is None:
            self._clear()
        self._sweep()
        write_atomic(stored, json.dumps({"digest": digest}))

    def _clear(self) -> None:
        for part in _PARTS:
            shutil.rmtree(self._root / part, ignore_errors=True)
        (self._root / LATENCY_TABLE).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what a killed run was just writing."""
        for place in (self._root, *(self._root / part for part in _PARTS)):
            for half in place.glob(".*.staging-*"):
                shutil.rmtree(half, ignore_errors=True)

    def folder(self, name: str) -> Path:
        """Give the place of a piece, whether or not it stands there."""
        return self._root / name

    def piece(self, name: str, make: Callable[[Path], None]) -> Path:
        """Give the folder of a piece, made now unless it stands there already.

        Args:
            name: path below the work folder.
            make: fills an empty folder.
        """
        place = self._root / name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with staged_folder(place) as staging:
                make(staging)
        return place

    def state(self, name: str, like: State, make: Callable[[], State]) -> State:
        """Give a state, made now unless it was stored by an earlier run.

        Args:
            name: its name.
            like: any state of this run, for what all states share (labels).
            make: computes it.
        """
        made: list[State] = []

        def store(folder: Path) -> None:
            made.append(make())
            _store_state(folder, made[0])

        place = self.piece(f"states/{name}", store)
        return made[0] if made else _load_state(place, like)


def keep_array(path: Path, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Give a stored array, made and stored now unless it is there.

    Args:
        path: the file; its folder exists.
        make: computes it.
    """
    if path.exists():
        stored: NDArray[np.float32] = np.load(path, allow_pickle=False)
        return stored
    array = make()
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_atomic(path, buffer.getvalue())
    return array


def keep_json(path: Path, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
    """Give a stored JSON value, made and stored now unless it is there.

    Args:
        path: the file; its folder exists.
        make: computes it.
    """
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    value = make()
    write_atomic(path, json.dumps(value))
    return value


def _store_state(folder: Path, state: State) -> None:
    (folder / "weights.safetensors").write_bytes(encode_weights(state.weights))
    (folder / "tokenizer.json").write_text(state.tokenizer.to_json(), encoding="utf-8")
    facts = {
        "architecture": to_json(state.architecture),
        "max_length": state.max_length,
        "history": [to_json(report) for report in state.history],
    }
    (folder / "state.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _load_state(folder: Path, like: State) -> State:
    facts: Mapping[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer = Tokenizer.from_json(text, max_length=facts["max_length"])
    return replace(
        like,
        weights=load_file(folder / "weights.safetensors"),
        architecture=from_json(Architecture, facts["architecture"]),
        tokenizer=tokenizer,
        max_length=facts["max_length"],
        pad_id=tokenizer.pad_id,
        history=tuple(from_json(StepReport, report) for report in facts["history"]),
    )


def _request_digest(request: CompressRequest) -> str:
    """Digest of what decides the work: options and the bytes of model and data.

    How long it may take, and whether it resumes, do not change what is computed.
    """
    body = to_json(replace(request, resume=False, minutes=None, command="", require_proof=False))
    text = json.dumps([body, __version__], sort_keys=True, default=str)
    paths = [request.data.train, request.data.dev, request.data.test, request.data.unlabelled]
    files = [path for path in paths if path is not None and path.is_file()]
    model = Path(request.model)
    if model.is_dir():
        files += sorted(path for path in model.iterdir() if path.is_file())
    return sha256_bytes("\n".join([text, *(sha256_file(path) for path in files)]).encode())
