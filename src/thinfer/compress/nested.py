"""The best weights on nested sets of columns, all from one factorisation.

A ladder's widths are nested: what stays at one stays at every larger one. With the columns in that
order, the Cholesky factor of a set is the leading part of the whole one's, and so is the forward
substitution, so that each further width costs one back substitution.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from thinfer.errors import DataError

__all__ = ["NestedFit"]

Matrix = NDArray[np.float64]


class NestedFit:
    """Gives what `fit_columns` gives, for the first columns of one order.

    Args:
        weight: float64 `[rows, n]`.
        matrix: the damped covariance `C`, float64 `[n, n]`.
        order: columns, those that stay longest first, int64 `[n]`.

    Raises:
        DataError: the covariance is not positive definite.
    """

    def __init__(self, weight: Matrix, matrix: Matrix, order: NDArray[np.int64]) -> None:
        factor, info = torch.linalg.cholesky_ex(torch.from_numpy(matrix[np.ix_(order, order)]))
        if int(info) != 0:
            what = "the moments of a block cannot be factorised"
            raise DataError(what, got=f"failure at row {int(info)}", do="raise the damping")
        target = torch.from_numpy(matrix[order] @ weight.T)  # [n, rows]
        self._order, self._factor = order, factor
        self._forward = torch.linalg.solve_triangular(factor, target, upper=False)

    def fit(self, count: int) -> Matrix:
        """Give the best weights on the first columns.

        Args:
            count: of them, 0 … n.

        Returns:
            float64 `[rows, count]`, columns rising as in the weight.
        """
        leading = self._factor[:count, :count]
        solved = torch.linalg.solve_triangular(leading.T, self._forward[:count], upper=True)
        rising: Matrix = solved.numpy().T[:, np.argsort(self._order[:count])]
        return rising
