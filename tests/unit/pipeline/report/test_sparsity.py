"""The section on zeros: figures of the candidates, and plain words on what they are good for."""

from typing import Any

from tests.support.sample_result import sample_result
from thinfer.pipeline.report import render_report
from thinfer.pipeline.report.sparsity import SPARSITY_NOTE, show_sparsity

ZEROS = {
    "zeros": 500,
    "weights": 1000,
    "share": 0.5,
    "kinds": {"query": 0.25, "down": 0.75},
    "pattern": "1x4",
    "method": "second_order",
    "file_zeros": 512,
}


def result(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    whole = dict(sample_result())
    rows = [dict(row) for row in whole["candidates"]]
    rows[-1]["sparsity"] = {**ZEROS, **changes}
    return {**whole, "candidates": rows}


def test_the_section_says_how_many_zeros_where_and_for_what() -> None:
    page = render_report(result())
    for words in ("Zeros inside the matrices", "1x4", "second order", "50.0 %", "25.0 %", "75.0 %"):
        assert words in page
    assert "512 of 1,000" in page
    assert "a zero takes as long as any other number" in page


def test_every_engine_is_named() -> None:
    assert all(name in SPARSITY_NOTE for name in ("native", "ONNX Runtime", "OpenVINO", "PyTorch"))


def test_without_sparse_candidates_there_is_no_section() -> None:
    assert show_sparsity(sample_result()) == ""
    assert "Zeros inside" not in render_report(sample_result())


def test_a_file_that_is_no_onnx_has_no_count() -> None:
    assert "–" in str(show_sparsity(result(file_zeros=None)))
