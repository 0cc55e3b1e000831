"""The names of a bundle: plain ones are allowed, and what decides the answers is content."""

from __future__ import annotations

import pytest

from thinfer.bundle.layout import LAYOUT, check_relative
from thinfer.errors import DataError


@pytest.mark.parametrize("name", ["model.onnx", "engines/openvino/model.xml", "a..b", "模型.bin"])
def test_plain_names_are_allowed(name: str) -> None:
    check_relative(name)


@pytest.mark.parametrize(
    "name", ["/a", "..", "a/..", "a/./b", "a/", "a\\b", "a\0b", "\u202e", "manifest.sha256"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="not allowed"):
        check_relative(name)


def test_reports_are_no_content() -> None:
    assert all(map(LAYOUT.is_content, (LAYOUT.weights, LAYOUT.graph, "engines/a/b")))
    assert not any(map(LAYOUT.is_content, (LAYOUT.report, LAYOUT.card, LAYOUT.golden, "engines")))
