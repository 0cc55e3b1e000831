"""The one gate for optional libraries: the message names the extra that brings the library."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from thinfer.errors import EngineError

__all__ = ["EXTRAS", "is_available", "require"]

# Which extra of ours brings a library; a contract test holds this against pyproject.toml.
EXTRAS = {
    "ctranslate2": "peers",
    "httpx2": "cascade",
    "nncf": "openvino",
    "onnx": "compress",
    "opentelemetry": "otel",
    "openvino": "openvino",
    "pyarrow": "compress",
    "scipy": "compress",
    "sklearn": "compress",
    "torch": "compress",
    "transformers": "compress",
}

# OpenVINO and NNCF report their use to their maker unless somebody said no beforehand. They do
# without where this module is missing; ours is a tool for people's private texts, so it is.
_TELEMETRY = "openvino_telemetry"


def is_available(name: str) -> bool:
    """Say whether an optional library is installed, without importing it.

    Args:
        name: top-level module name, a key of `EXTRAS`.
    """
    return find_spec(name) is not None


def require(name: str) -> ModuleType:
    """Import an optional library, or say which extra brings it.

    Args:
        name: module name; its first part is a key of `EXTRAS`.

    Returns:
        The imported module.

    Raises:
        EngineError: the library is not installed, or fails to import.
    """
    top = name.partition(".")[0]
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # None: cannot be imported
    try:
        return import_module(name)
    except ImportError as error:
        what = f"the optional library '{top}' cannot be imported"
        extra = EXTRAS[top]
        raise EngineError(what, got=str(error), do=f"pip install 'thinfer[{extra}]'") from error
