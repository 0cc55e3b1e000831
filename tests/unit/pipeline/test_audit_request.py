from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from thinfer.errors import UserError
from thinfer.pipeline.audit_request import AuditRequest

MODELS: dict[str, Any] = {"original": "o", "bundle": Path("b"), "traffic": Path("t.csv")}
OUT = Path("audit")


def test_either_models_and_traffic_or_labels_alone() -> None:
    AuditRequest(out=OUT, **MODELS)
    AuditRequest(out=OUT, labels=Path("l.csv"))
    AuditRequest(out=OUT, labels=Path("l.csv"), **MODELS)
    for left_out in MODELS:
        some = {name: value for name, value in MODELS.items() if name != left_out}
        for labels in (None, Path("l.csv")):
            with pytest.raises(UserError, match="two models and traffic"):
                AuditRequest(out=OUT, labels=labels, **some)
    with pytest.raises(UserError, match="two models and traffic"):
        AuditRequest(out=OUT)


@pytest.mark.parametrize(
    "options",
    [
        {"precision": 0.0},
        {"precision": 1.1},
        {"precision": 0.5, "test": Path("t.csv")},
        {"sample": -1},
        {"most": 0},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        AuditRequest(out=OUT, **MODELS, **options)
