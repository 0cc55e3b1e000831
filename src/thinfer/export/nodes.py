"""The growing parts of an ONNX graph: nodes with counted names, constants written once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.core.optional import require

__all__ = ["CONTRIB", "GraphParts"]

CONTRIB = "com.microsoft"  # domain of ONNX Runtime's own operators


class GraphParts:
    """Collects nodes and constants; names are counted, so the bytes are deterministic."""

    def __init__(self) -> None:
        onnx = require("onnx")
        self._make_node = onnx.helper.make_node
        self._to_tensor = onnx.numpy_helper.from_array
        self._names: set[str] = set()
        self.nodes: list[Any] = []
        self.scope = ""  # before the names of the nodes that are added from now on
        self.initializers: list[Any] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant once and give its name.

        Args:
            name: unique name; a second call with the same name gives the first constant.
            value: the array.
        """
        if name not in self._names:
            self._names.add(name)
            self.initializers.append(self._to_tensor(value, name))
        return name

    def scalar_int(self, name: str, value: int) -> str:
        """Add an int64 scalar once and give its name."""
        return self.constant(name, np.array(value, dtype=np.int64))

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        *,
        output: str | None = None,
        domain: str = "",
        **attributes: object,
    ) -> str:
        """Add a node with one output and give that output's name."""
        name = output or f"{kind}_{len(self.nodes)}"
        node = self._make_node(
            kind, list(inputs), [name], name=f"{self.scope}node_{name}", domain=domain, **attributes
        )
        self.nodes.append(node)
        return name

    def add_many(
        self, kind: str, inputs: Sequence[str], outputs: int, **attributes: object
    ) -> list[str]:
        """Add a node with several outputs and give their names."""
        names = [f"{kind}_{len(self.nodes)}_{index}" for index in range(outputs)]
        label = f"{self.scope}node_{names[0]}"
        node = self._make_node(kind, list(inputs), names, name=label, **attributes)
        self.nodes.append(node)
        return names
