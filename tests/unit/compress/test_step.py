"""A report that is not plain success must say why."""

import pytest

from thinfer.compress.step import StepReport
from thinfer.errors import InternalError


@pytest.mark.parametrize("outcome", ["refused", "degraded"])
def test_a_reason_is_asked_for(outcome: str) -> None:
    with pytest.raises(InternalError, match="without a reason"):
        StepReport(step="x", outcome=outcome)  # type: ignore[arg-type]
    assert StepReport(step="x", outcome=outcome, reason="so").reason == "so"  # type: ignore[arg-type]
