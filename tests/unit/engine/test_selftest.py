"""The self-test: agreement is measured, anything else is refused with its row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.bundles import make_fake_bundle
from thinfer.bundle import Bundle, update_manifest
from thinfer.engine import Engine, check_golden, open_engine
from thinfer.errors import EngineError
from thinfer.text.batch import Batch

Logits = NDArray[np.float32]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_fake_bundle(tmp_path / "bundle")


def strayed(bundle: Bundle, change: Callable[[Logits], Logits]) -> Engine:
    """The bundle's engine with its answers changed."""
    engine = open_engine(bundle, threads=1)
    run = engine.run

    def wrong(batch: Batch) -> Logits:
        return change(run(batch))

    engine.run = wrong  # type: ignore[method-assign]  # that is the double
    return engine


def put(row: int, value: float) -> Callable[[Logits], Logits]:
    def change(logits: Logits) -> Logits:
        logits[row, 0] += np.float32(value)
        return logits

    return change


def test_the_difference_is_measured(bundle: Bundle) -> None:
    assert check_golden(bundle, open_engine(bundle, threads=1)) == 0
    near = check_golden(bundle, strayed(bundle, put(1, 0.0005)))
    assert near == pytest.approx(0.0005, rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put(3, 0.002), r"golden row 3.*difference of 0\.00"),
        (put(2, np.nan), "golden row 2.*nan"),
        (put(5, np.inf), "golden row 5.*inf"),
        (put(0, 50.0), "golden row 0.*label"),
        (lambda logits: logits[:, :1], r"got \(6, 1\)"),
        (lambda logits: logits[:-1], r"got \(5, 3\)"),
    ],
)
def test_a_straying_engine_is_refused(
    bundle: Bundle, change: Callable[[Logits], Logits], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        check_golden(bundle, strayed(bundle, change))


def test_of_several_labels_every_sign_must_be_the_references(bundle: Bundle) -> None:
    """The largest logit stays the largest here, and yet a label is lost."""
    manifest = dataclasses.replace(bundle.manifest, problem_type="multi_label_classification")
    many = update_manifest(bundle, manifest, files={})
    _, expected = many.golden()
    row = int(np.abs(expected).min(axis=1).argmax())
    least = int(expected[row].argmin())

    def turn(logits: Logits) -> Logits:
        logits[row, least] *= -1e-6
        return logits

    assert check_golden(many, open_engine(many, threads=1)) == 0
    with pytest.raises(EngineError, match=f"golden row {row}.*labels"):
        check_golden(many, strayed(many, turn))
