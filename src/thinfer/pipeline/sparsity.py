"""What a candidate's facts say of zeros inside its matrices."""

from __future__ import annotations

from typing import Any

from thinfer.compress.zeros import count_zeros, is_sparse
from thinfer.export.zeros import count_file_zeros, require_zeros
from thinfer.pipeline.candidate import Candidate

__all__ = ["describe_sparsity"]


def describe_sparsity(candidate: Candidate) -> dict[str, Any] | None:
    """Give the share of zeros of a candidate, in its state and in the file that its engine reads.

    Args:
        candidate: its files may be absent, where it could not be made.

    Returns:
        None where no step made it sparse; else `zeros`, `weights`, `share`, `kinds`, `pattern`,
        `method`, and `file_zeros` of an ONNX file (None in other formats).
    """
    state = candidate.state
    if not is_sparse(state):
        return None
    last = [step for step in state.history if step.step == "sparsify" and step.details][-1]
    counted = count_zeros(state.weights)
    file_zeros = None
    if candidate.spec.name == "onnxruntime" and candidate.spec.files:
        found = count_file_zeros(candidate.folder / candidate.spec.files[0])
        sizes = {key: int(counted[key]) for key in ("zeros", "weights")}
        require_zeros(found, **sizes, name=candidate.name)
        file_zeros = found.zeros
    return {
        **counted,
        "pattern": last.details["pattern"],
        "method": last.details["method"],
        "file_zeros": file_zeros,
    }
