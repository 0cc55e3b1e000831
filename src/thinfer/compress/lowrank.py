"""Fewer dimensions inside a head: the best low-rank query-key and value-output forms.

**Query and key.** A head scores token j for token i by `q_i·k_j / √size`, biases included. What
does not depend on j drops out of the softmax, so keys count by what they differ in. With
`C_q = E q qᵀ` and `C_k = cov(k)`, the best maps `P, R` `[rank, size]` are those of

    min over P, R of  E (q·k − P q·R k)²  =  ‖ C_q^½ (I − Pᵀ R) C_k^½ ‖²,

for queries and keys drawn apart; that is the truncated SVD `C_q^½ C_k^½ = U Σ Vᵀ` with
`P = Σ_r^-½ V_rᵀ C_k^½` and `R = Σ_r^-½ U_rᵀ C_q^½` (the square-root method of balanced truncation;
no covariance is inverted). It is the truncated SVD of `S_q^½ [W_q b_q]ᵀ W_k S_k^½`, with `S` the
second moments of the block's inputs, written in the `size` dimensions of the head.

**Value and output.** A head adds `W c` with its context c. Given all that the other heads'
contexts cannot say about c, of covariance `K = (P_hh)⁻¹` with `P = C⁻¹`, the best map `L`
`[rank, size]` is the row space of `V_rᵀ K^-½` where `M W K^½ = U Σ Vᵀ`, and costs `Σ_{i>r} σ_i²`
after the exact update of everything that stays: the surgeon's removal, of directions instead of
coordinates.

All arithmetic here is float64 and knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError

__all__ = ["ScoreFactors", "ValueFactors", "factor_scores", "factor_values"]

Matrix = NDArray[np.float64]

# Directions in which queries or keys vary less than this part of the widest do not count.
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFactors:
    """The maps of one head's queries and keys.

    Attributes:
        query: float64 `[rank, size]`; holds the factor √(rank / size) that keeps the scale of the
            scores when they are divided by √rank instead of √size.
        key: float64 `[rank, size]`.
        loss: expected squared change of `q·k`, ≥ 0.
    """

    query: Matrix
    key: Matrix
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFactors:
    """The maps of all heads' values, and what goes with them.

    Attributes:
        maps: float64 `[heads, rank, size]`; the rows of each are orthonormal.
        loss: what the output loses after the best update of everything that stays, ≥ 0.
    """

    maps: Matrix
    loss: float


def factor_scores(queries: Matrix, keys: Matrix, rank: int) -> ScoreFactors:
    """Give the best maps of one head's queries and keys to fewer dimensions.

    Args:
        queries: second moments of the queries, biases included, float64 `[size, size]`.
        keys: covariance of the keys, float64 `[size, size]`.
        rank: dimensions to keep, 1 … size.

    Returns:
        The maps. All dimensions leave every score as it is, up to a term per query.

    Raises:
        DataError: the rank is impossible, or a moment is not finite.
    """
    size = len(queries)
    _check(rank, size, queries, keys)
    roots = _root(queries), _root(keys)
    left, values, right = np.linalg.svd(roots[0] @ roots[1])
    # A direction that never occurs gets a row of zeros: dividing by its noise would blow it up.
    counts = values[:rank] > _NOTHING * max(float(values[0]), np.finfo(np.float64).tiny)
    scale = np.where(counts, 1.0 / np.sqrt(np.where(counts, values[:rank], 1.0)), 0.0)
    even = _even_out(rank)
    return ScoreFactors(
        query=(rank / size) ** 0.5 * even @ (scale[:, None] * (right[:rank] @ roots[1])),
        key=even @ (scale[:, None] * (left[:, :rank].T @ roots[0])),
        loss=float(np.sum(values[rank:] ** 2)),
    )


def factor_values(weight: Matrix, inverse: Matrix, size: int, rank: int) -> ValueFactors:
    """Give the maps of all heads' values to fewer dimensions, one head after another.

    Args:
        weight: `M W`, float64 `[rows, heads * size]`.
        inverse: `C⁻¹` of the contexts, float64 `[heads * size, heads * size]`.
        size: value size of a head.
        rank: dimensions to keep of each, 1 … size.

    Returns:
        The maps and the loss. Each head is the best given those before it; the loss is exact:
        that of a least-squares refit on the mapped contexts.

    Raises:
        DataError: the rank is impossible, or a matrix is not finite or not positive definite.
    """
    _check(rank, size, weight, inverse)
    heads = weight.shape[1] // size
    if rank == size:
        return ValueFactors(maps=np.tile(np.eye(size), (heads, 1, 1)), loss=0.0)
    maps, loss = np.zeros((heads, rank, size)), 0.0
    scaled, rest = weight.copy(), inverse.copy()
    for head in range(heads):
        # Heads done before are `rank` wide by now.
        chosen = slice(head * rank, head * rank + size)
        turn = _turn(scaled[:, chosen], rest[chosen, chosen], rank)  # [size, size], orthonormal
        turn[:rank] = _even_out(rank) @ turn[:rank]
        maps[head] = turn[:rank]
        scaled[:, chosen] = scaled[:, chosen] @ turn.T
        rest[chosen] = turn @ rest[chosen]
        rest[:, chosen] = rest[:, chosen] @ turn.T
        gone = np.zeros(len(rest), dtype=np.bool_)
        gone[head * rank + rank : head * rank + size] = True
        gain = np.linalg.solve(rest[np.ix_(gone, gone)], rest[gone])  # [removed, n]
        lost = np.linalg.solve(rest[np.ix_(gone, gone)], scaled[:, gone].T)
        loss += max(0.0, float(np.sum(scaled[:, gone].T * lost)))
        scaled = (scaled - scaled[:, gone] @ gain)[:, ~gone]
        rest = (rest - rest[:, gone] @ gain)[np.ix_(~gone, ~gone)]
    return ValueFactors(maps=maps, loss=loss)


def _turn(weight: Matrix, precision: Matrix, rank: int) -> Matrix:
    """Give an orthonormal basis of a head's context whose first rows are the ones to keep."""
    try:
        # K = (F F ᵀ)⁻¹ with precision = F Fᵀ, so K^½ may be F⁻ᵀ.
        factor = np.linalg.cholesky(precision)
    except np.linalg.LinAlgError as error:
        what = "the moments of a head's context cannot be factorised"
        raise DataError(what, got=str(error), do="raise the damping") from error
    _, _, right = np.linalg.svd(np.linalg.solve(factor, weight.T).T, full_matrices=True)
    # V_rᵀ K^-½ = V_rᵀ Fᵀ; its row space, and then the rest of the head.
    basis, _ = np.linalg.qr((right[:rank] @ factor.T).T, mode="complete")
    return np.asarray(basis.T, dtype=np.float64)


def _even_out(rank: int) -> Matrix:
    """Give an orthonormal matrix, float64 `[rank, rank]`, that mixes all dimensions (a DCT).

    The dimensions come out sorted from strong to weak. An engine that rounds queries, keys and
    values with one step for all of them would lose the weak ones.
    """
    places = np.arange(rank)
    cosines = np.cos(np.pi / rank * (places[None, :] + 0.5) * places[:, None])
    cosines[0] *= 0.5**0.5
    return np.asarray((2.0 / rank) ** 0.5 * cosines, dtype=np.float64)


def _root(matrix: Matrix) -> Matrix:
    """Give the symmetric root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T, dtype=np.float64)


def _check(rank: int, size: int, *matrices: Matrix) -> None:
    if not 1 <= rank <= size:
        what = "no such rank in a head"
        raise DataError(what, expected=f"1 … {size}", got=str(rank))
    if not all(np.isfinite(matrix).all() for matrix in matrices):
        what = "the moments of a head hold values that are not finite"
        raise DataError(what, expected="finite activations", do="check the model's weights")
