"""Moments against numpy, and the choice of texts."""

import numpy as np
import pytest
import torch

from tests.support.toy_models import toy_batch
from thinfer.compress import calibrate
from thinfer.compress.calibrate import measure_moments, merge_moments, sample_rows
from thinfer.errors import UserError
from thinfer.text.batch import Batch


@pytest.mark.parametrize("columns", [1, 3, 768])
def test_moments_equal_numpy_with_weights_over_several_chunks(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(calibrate, "_CHUNK", 7)
    monkeypatch.setattr(calibrate, "_COLUMNS", columns)
    rng = np.random.default_rng(0)
    x, y = rng.normal(3.0, 1.0, size=(50, 4)), rng.normal(-2.0, 1.0, size=(50, 2))
    counts = rng.integers(0, 4, size=50)
    moments = measure_moments(
        torch.from_numpy(x.astype(np.float32)),
        torch.from_numpy(counts.astype(np.float32)),
        torch.from_numpy(y.astype(np.float32)),
    )
    both = np.cov(np.hstack([x, y]).T, fweights=counts, ddof=0)
    assert moments.total == counts.sum()
    np.testing.assert_allclose(moments.mean_x, np.average(x, 0, counts), rtol=1e-5)
    np.testing.assert_allclose(moments.cov_xx, both[:4, :4], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moments.cov_xy, both[:4, 4:], rtol=1e-4, atol=1e-5)
    assert moments.var_y == pytest.approx(np.trace(both[4:, 4:]), rel=1e-4)


def test_merged_moments_equal_those_of_all_tokens() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 3, generator=generator), torch.randn(60, 2, generator=generator)
    weights = torch.rand(60, generator=generator)
    parts = [
        measure_moments(x[rows], weights[rows], y[rows]) for rows in (slice(20), slice(20, 60))
    ]
    merged, whole = merge_moments(*parts), measure_moments(x, weights, y)
    np.testing.assert_allclose(merged.mean_x, whole.mean_x, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(merged.cov_xx, whole.cov_xx, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(merged.cov_xy, whole.cov_xy, rtol=1e-4, atol=1e-6)
    assert merged.var_y == pytest.approx(whole.var_y, rel=1e-4)


def test_no_weight_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="no calibration token"):
        measure_moments(torch.ones(3, 2), torch.zeros(3))


def test_sampled_rows_fit_and_rise_in_length() -> None:
    batch = toy_batch(50)
    rows = sample_rows(batch, 200, np.random.default_rng(0))
    assert len(set(rows.tolist())) == len(rows)
    assert 150 < int(batch.lengths[rows].sum()) <= 200
    assert np.all(np.diff(batch.lengths[rows]) >= 0)
    assert rows.tolist() == sample_rows(batch, 200, np.random.default_rng(0)).tolist()
    assert len(sample_rows(batch, 1, np.random.default_rng(0))) == 1
    assert len(sample_rows(batch, 10_000, np.random.default_rng(0))) == 50


@pytest.mark.parametrize("sequences", [[], [[1, 2], []]])
def test_texts_without_tokens_are_refused(sequences: list[list[int]]) -> None:
    with pytest.raises(UserError, match="calibration batch"):
        sample_rows(Batch.from_sequences(sequences), 10, np.random.default_rng(0))
