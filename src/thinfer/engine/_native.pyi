"""The compiled module: `native/src/bindings.cpp`."""

import numpy as np
from numpy.typing import NDArray

SHARED_WORK: int
"""Multiply-accumulates from which a call of one chunk is shared out inside its products."""

class FormatError(ValueError): ...
class BatchError(ValueError): ...

class Engine:
    def __init__(
        self, path: str, threads: int, isa: str, shared_work: int = SHARED_WORK
    ) -> None: ...
    def run(
        self,
        ids: NDArray[np.int64],
        type_ids: NDArray[np.int64],
        offsets: NDArray[np.int64],
    ) -> NDArray[np.float32]: ...
    def time_steps(
        self,
        ids: NDArray[np.int64],
        type_ids: NDArray[np.int64],
        offsets: NDArray[np.int64],
    ) -> dict[str, float]:
        """Seconds of each step of one call on the caller's thread alone, summed over the layers."""
    def measure_peak(self) -> float:
        """INT8 multiply-accumulates in a second on one thread, in registers; 0: not known."""
    @property
    def sparse(self) -> list[tuple[str, float, float, bool]]:
        """Matrices with many zeros: name, share of zero blocks, dense over sparse time, taken."""
    @property
    def isa(self) -> str: ...
    @property
    def positions(self) -> int: ...
    @property
    def vocab(self) -> int: ...
    @property
    def classes(self) -> int: ...

def usable_isas() -> list[str]: ...
