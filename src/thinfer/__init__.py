"""Make ERNIE/BERT-class text classifiers cheap to run, with proof that the quality floor holds."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thinfer.classifier import Classifier

__version__ = "0.1.0"
__all__ = ["Classifier", "__version__"]

# Names are looked up on first use, so that `import thinfer` loads no engine and no torch.
_LAZY_NAMES = {"Classifier": "thinfer.classifier"}


def __getattr__(name: str) -> object:
    if name in _LAZY_NAMES:
        return getattr(import_module(_LAZY_NAMES[name]), name)
    message = f"module 'thinfer' has no attribute {name!r}"
    raise AttributeError(message)
