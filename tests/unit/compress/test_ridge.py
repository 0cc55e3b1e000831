"""The ridge fit: exact where it can be, cautious where texts are few, refusing where it must."""

import numpy as np
import pytest
import torch

from thinfer.compress import ridge
from thinfer.compress.ridge import fit_ridge
from thinfer.errors import DataError


def sample(tokens: int, *, noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(tokens, 8, generator=generator)
    wanted = inputs @ torch.arange(16.0).reshape(8, 2) + torch.tensor([5.0, -1.0])
    return inputs, wanted + noise * torch.randn(tokens, 2, generator=generator)


def every_fifth(tokens: int) -> torch.Tensor:
    return torch.arange(tokens) % 5 == 0


def test_a_linear_map_is_found() -> None:
    inputs, wanted = sample(500, noise=0.0)
    fit = fit_ridge(inputs, wanted, torch.ones(500), every_fifth(500))
    assert fit.choice == "ridge 0.0001"
    assert fit.after < 1e-4 * fit.before
    np.testing.assert_allclose(fit.weight, np.arange(16.0).reshape(8, 2).T, atol=0.02)
    np.testing.assert_allclose(fit.bias, [5.0, -1.0], atol=0.05)


def test_few_noisy_tokens_ask_for_a_strong_ridge() -> None:
    inputs, _ = sample(15, noise=0.0)
    noise = torch.randn(15, 2, generator=torch.Generator().manual_seed(3))
    fit = fit_ridge(inputs, noise, torch.ones(15), every_fifth(15))
    assert fit.choice in ("ridge 1", "bias", "nothing")
    assert fit.after <= fit.before


@pytest.mark.parametrize("noise", [0.0, 1.0, 10.0, 100.0, 1000.0])
@pytest.mark.parametrize("tokens", [12, 20, 60, 500])
def test_the_ridge_found_on_the_way_is_the_best_of_all(
    monkeypatch: pytest.MonkeyPatch, tokens: int, noise: float
) -> None:
    inputs, wanted = sample(tokens, noise=noise)
    inputs = inputs * torch.logspace(0, -2, 8)  # some directions hardly vary
    given = (inputs, wanted, torch.ones(tokens), every_fifth(tokens))
    found, every = fit_ridge(*given), ridge._RIDGES
    alone = []
    for one in every:
        monkeypatch.setattr(ridge, "_RIDGES", (one,))
        alone.append(fit_ridge(*given).after)
    assert found.after == pytest.approx(min(alone))


def test_without_inputs_only_the_bias_is_fitted() -> None:
    fit = fit_ridge(torch.zeros(20, 0), torch.full((20, 2), 3.0), torch.ones(20), every_fifth(20))
    assert (fit.choice, fit.weight.shape) == ("bias", (2, 0))
    np.testing.assert_allclose(fit.bias, 3.0)


def test_tokens_without_weight_do_not_count() -> None:
    inputs, wanted = sample(300, noise=0.0)
    spoilt = wanted.clone()
    spoilt[100:] = 1000.0
    weights = (torch.arange(300) < 100).float()
    fit = fit_ridge(inputs, spoilt, weights, every_fifth(300))
    np.testing.assert_allclose(fit.weight, np.arange(16.0).reshape(8, 2).T, atol=0.05)


def test_nothing_missing_changes_nothing() -> None:
    inputs, wanted = sample(50, noise=0.0)
    fit = fit_ridge(inputs, torch.zeros_like(wanted), torch.ones(50), every_fifth(50))
    assert fit.choice == "nothing"
    assert not fit.weight.any()
    assert not fit.bias.any()


def test_infinite_inputs_are_refused() -> None:
    inputs, wanted = sample(50, noise=0.0)
    inputs[1, 1] = torch.inf
    with pytest.raises(DataError, match="any ridge"):
        fit_ridge(inputs, wanted, torch.ones(50), every_fifth(50))
