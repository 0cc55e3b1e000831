"""One ridge fit with an intercept whose strength is chosen on tokens that the fit does not see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.compress.calibrate import Moments, measure_moments, merge_moments
from thinfer.errors import DataError

__all__ = ["RidgeFit", "fit_ridge"]

# As parts of the inputs' mean variance. Beside them stand two choices that need no factorisation:
# change the bias alone, and change nothing.
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RidgeFit:
    """What to add to a linear layer.

    Attributes:
        weight: float64 `[m, n]`.
        bias: float64 `[m]`.
        choice: `ridge 0.01`, `bias` or `nothing`.
        before: error on the unseen tokens with nothing added.
        after: error on the unseen tokens with the choice, as fitted without them.
        failed: ridges that could not be factorised.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    choice: str
    before: float
    after: float
    failed: tuple[float, ...] = ()

    def summary(self) -> dict[str, str | float]:
        """Give the JSON-ready choice and errors."""
        return {"choice": self.choice, "before": self.before, "after": self.after}


def fit_ridge(
    inputs: torch.Tensor, missing: torch.Tensor, weights: torch.Tensor, check: torch.Tensor
) -> RidgeFit:
    """Fit what is missing from a layer's output on the layer's inputs.

    Args:
        inputs: float32 `[tokens, n]`; n may be 0.
        missing: float32 `[tokens, m]`, wanted output minus present output.
        weights: float32 `[tokens]`, how much each token counts.
        check: bool `[tokens]`, tokens that choose the ridge; where one side of it is empty, the
            fit is checked on its own tokens.

    Returns:
        The fit on all tokens with the ridge that was best on the unseen ones.

    Raises:
        DataError: no ridge could be factorised, or the inputs are not finite.
    """
    alone = bool(check.all()) or not bool(check.any())
    fold = torch.zeros_like(check) if alone else check
    seen = _measure(inputs, missing, weights, ~fold)
    unseen = seen if alone else _measure(inputs, missing, weights, fold)
    none, still = np.zeros((missing.shape[1], inputs.shape[1])), np.zeros(missing.shape[1])
    before = _error(unseen, none, still)
    tried, failed = _try_ridges(seen, unseen)
    if failed and not tried:
        what = "the moments of a refit cannot be factorised with any ridge"
        raise DataError(what, expected="finite, varied inputs", do="give more calibration texts")
    tried.append((_error(unseen, none, seen.mean_y), None))
    after, chosen = min(tried, key=lambda pair: pair[0])
    weight, bias, choice = none, still, "nothing"
    if after < before:
        whole = seen if alone else merge_moments(seen, unseen)
        solved = none if chosen is None else _solve(whole, chosen)
        if solved is None:
            what = f"a refit can be factorised with ridge {chosen} on four fifths of the texts only"
            raise DataError(what, do="give more calibration texts")
        weight, bias = solved, whole.mean_y - solved @ whole.mean_x
        choice = "bias" if chosen is None else f"ridge {chosen:g}"
    return RidgeFit(
        weight=weight,
        bias=bias,
        choice=choice,
        before=before,
        after=min(before, after),
        failed=tuple(failed),
    )


def _try_ridges(
    seen: Moments, unseen: Moments
) -> tuple[list[tuple[float, float | None]], list[float]]:
    """Give `(error on the unseen, ridge)` of fits on the seen, and the ridges that failed.

    From the middle one it goes to weaker ones while the error falls, or else to stronger ones:
    too weak a ridge fits noise and too strong a one fits nothing, with one valley in between.
    """
    errors: dict[int, float] = {}

    def look(place: int) -> float:
        if place not in errors:
            weight = _solve(seen, _RIDGES[place])
            errors[place] = np.inf
            if weight is not None:
                errors[place] = _error(unseen, weight, seen.mean_y - weight @ seen.mean_x)
        return errors[place]

    if len(seen.cov_xx):
        at = middle = len(_RIDGES) // 2
        look(middle)
        while at > 0 and look(at - 1) < look(at):
            at -= 1
        while at >= middle and at + 1 < len(_RIDGES) and not look(at) < look(at + 1):
            at += 1
    tried: list[tuple[float, float | None]] = [
        (errors[place], _RIDGES[place]) for place in sorted(errors) if np.isfinite(errors[place])
    ]
    return tried, [_RIDGES[place] for place in sorted(errors) if np.isinf(errors[place])]


def _measure(
    inputs: torch.Tensor, missing: torch.Tensor, weights: torch.Tensor, which: torch.Tensor
) -> Moments:
    return measure_moments(inputs[which], weights[which], missing[which])


def _solve(moments: Moments, ridge: float) -> NDArray[np.float64] | None:
    scale = float(np.trace(moments.cov_xx)) / len(moments.cov_xx)
    matrix = torch.from_numpy(moments.cov_xx).clone()
    matrix.diagonal().add_(ridge * scale if scale > 0.0 else ridge)
    factor, info = torch.linalg.cholesky_ex(matrix)
    if int(info) != 0:
        return None
    solved: NDArray[np.float64] = (
        torch.cholesky_solve(torch.from_numpy(moments.cov_xy), factor).numpy().T
    )
    return solved


def _error(moments: Moments, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> float:
    """E ‖y − W x − b‖² from moments: spread plus shift."""
    spread = moments.var_y - 2.0 * float(np.sum(weight.T * moments.cov_xy))
    spread += float(np.sum((weight @ moments.cov_xx) * weight))
    shift = moments.mean_y - weight @ moments.mean_x - bias
    return max(0.0, spread) + float(shift @ shift)
