"""The engines by name, each imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from thinfer.architecture import Architecture
from thinfer.bundle import Bundle, EngineEntry, open_bundle
from thinfer.core.cores import usable_cores
from thinfer.core.optional import EXTRAS, is_available
from thinfer.engine.base import Engine, EngineSpec
from thinfer.errors import EngineError, UserError, at

__all__ = ["ENGINES", "available_engines", "open_engine", "open_engine_folder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    module: str
    cls: str
    needs: tuple[str, ...] = ()  # modules


_COMPILED = "thinfer.engine._native"

ENGINES: Mapping[str, _Entry] = {
    "onnxruntime": _Entry(
        module="thinfer.engine.onnxruntime", cls="OnnxRuntimeEngine", needs=("onnxruntime",)
    ),
    "native": _Entry(module="thinfer.engine.native", cls="NativeEngine", needs=(_COMPILED,)),
    "openvino": _Entry(module="thinfer.engine.openvino", cls="OpenVinoEngine", needs=("openvino",)),
    "torch": _Entry(module="thinfer.engine.torch", cls="TorchEngine", needs=("torch",)),
    "transformers": _Entry(
        module="thinfer.engine.transformers",
        cls="TransformersEngine",
        needs=("torch", "transformers"),
    ),
    "fake": _Entry(module="thinfer.engine.fake", cls="FakeEngine"),
}


def open_engine(
    source: Bundle | str | Path, name: str | None = None, threads: int | None = None
) -> Engine:
    """Open an engine of a bundle.

    Args:
        source: a bundle, or the path of one, which is then verified.
        name: an engine that the manifest lists; the chosen one when absent.
        threads: threads of one call; the usable cores when absent.

    Returns:
        The engine, ready to run; the golden set is run by `Classifier.open`.
    """
    bundle = source if isinstance(source, Bundle) else open_bundle(source)
    if name is not None:
        _find(name)
    manifest = bundle.manifest
    return open_engine_folder(
        bundle.path,
        _to_spec(bundle.engine(name)),
        manifest.architecture,
        pad_id=manifest.pad_id,
        threads=threads,
    )


def open_engine_folder(
    folder: Path,
    spec: EngineSpec,
    architecture: Architecture,
    *,
    pad_id: int,
    threads: int | None = None,
) -> Engine:
    """Open an engine on a folder that is not yet a bundle (a candidate).

    Args:
        folder: where the files of the spec are.
        spec: engine, precision and files.
        architecture: the shape of the model.
        pad_id: token id of the padding.
        threads: threads of one call; the usable cores when absent.

    Returns:
        The engine, ready to run.

    Raises:
        UserError: the number of threads is impossible.
        EngineError: a library that the engine needs is not installed.
    """
    entry = _find(spec.name)
    if threads is not None and threads < 1:
        what = "the number of threads is impossible"
        raise UserError(what, expected="1 or more", got=str(threads))
    reason = _missing(entry)
    if reason is not None:
        what = f"the engine '{spec.name}' is not available here"
        raise EngineError(what, got=reason)
    with at(engine=spec.name):
        cls = getattr(import_module(entry.module), entry.cls)
        engine = cls(folder, spec, architecture, pad_id=pad_id, threads=threads or usable_cores())
    return cast("Engine", engine)


def available_engines() -> dict[str, str | None]:
    """Give all engines: name → None where it is usable here, else the reason why not.

    Note:
        Looks for the libraries and imports none of them.
    """
    return {name: _missing(entry) for name, entry in ENGINES.items()}


def _find(name: str) -> _Entry:
    entry = ENGINES.get(name)
    if entry is None:
        what = f"there is no engine '{name}'"
        raise UserError(what, expected=f"one of {list(ENGINES)}")
    return entry


def _missing(entry: _Entry) -> str | None:
    for library in entry.needs:
        if not is_available(library):
            if library == _COMPILED:
                return (
                    "this installation was built without a C++ compiler; install one, then thinfer"
                )
            extra = EXTRAS.get(library)
            wish = f"thinfer[{extra}]" if extra else library
            return f"'{library}' is not installed; pip install '{wish}'"
    return None


def _to_spec(entry: EngineEntry) -> EngineSpec:
    return EngineSpec(
        name=entry.name,
        precision=entry.precision,
        files=entry.files,
        logits_bound=entry.logits_bound,
        options=entry.options,
    )
