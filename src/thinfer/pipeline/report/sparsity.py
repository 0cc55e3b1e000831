"""The section on zeros inside the matrices: how many, where, and what they are good for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinfer.pipeline.report.markup import Html, element, join
from thinfer.pipeline.report.wording import show_count, show_percent

__all__ = ["SPARSITY_NOTE", "show_sparsity"]

SPARSITY_NOTE = (
    "The native engine leaves out 1x4 blocks of zeros in INT8 matrices where half of them or more "
    "are zero and where that is faster on the machine at hand, which it measures as it opens. "
    "ONNX Runtime, OpenVINO and PyTorch multiply with dense kernels: there a zero takes as long as "
    "any other number. No file is smaller for its zeros until something compresses it, as an "
    "archive or a container image does."
)


def show_sparsity(result: Mapping[str, Any]) -> Html:
    """Give one row for each sparse candidate; nothing where there is none.

    Args:
        result: the JSON of `compress --json`.
    """
    rows = [row for row in result.get("candidates", ()) if row.get("sparsity")]
    if not rows:
        return Html("")
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["sparsity"]["kinds"]))
    heads = ("candidate", "pattern", "chosen by", "zeros", *kinds, "zeros in its ONNX file")
    header = element("tr", {}, *(element("th", {"scope": "col"}, head) for head in heads))
    body = []
    for row in rows:
        zeros = row["sparsity"]
        inside = zeros.get("file_zeros")
        cells = (
            str(zeros["pattern"]),
            str(zeros["method"]).replace("_", " "),
            show_percent(zeros["share"], 1),
            *(show_percent(zeros["kinds"].get(kind), 1) for kind in kinds),
            "–" if inside is None else f"{show_count(inside)} of {show_count(zeros['weights'])}",
        )
        name = element("th", {"scope": "row"}, str(row.get("name", "")))
        body.append(element("tr", {}, name, *(element("td", {}, cell) for cell in cells)))
    table = element("table", {}, element("thead", {}, header), element("tbody", {}, *body))
    return join(element("div", {"class": "scroll", "tabindex": "0"}, table))
