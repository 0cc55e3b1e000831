"""Low-rank heads: exact at full rank, and the best of what was tried below it."""

import numpy as np
import pytest

from thinfer.compress.lowrank import Matrix, factor_scores, factor_values
from thinfer.compress.surgeon import damp
from thinfer.errors import DataError

HIDDEN, SIZE, TOKENS = 20, 8, 400
RANKS = [1, 3, 6, 7]


def inputs(seed: int = 0) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Queries and keys with biases, `[tokens, size]`, of inputs that vary unevenly."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(TOKENS, HIDDEN)) * np.geomspace(5.0, 0.01, HIDDEN) + rng.normal(size=20)
    weights = rng.normal(size=(2, HIDDEN, SIZE))
    biases = rng.normal(size=(2, SIZE))
    return x @ weights[0] + biases[0], x @ weights[1] + biases[1], x, weights


def moments(query: Matrix, key: Matrix) -> tuple[Matrix, Matrix]:
    return query.T @ query / len(query), np.cov(key.T, bias=True)


def shares(query: Matrix, key: Matrix) -> Matrix:
    """Softmax over keys, as the encoder divides: by the root of the size."""
    scores = query @ key.T / query.shape[1] ** 0.5
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def test_all_dimensions_leave_every_share_as_it_is() -> None:
    query, key, _, _ = inputs()
    found = factor_scores(*moments(query, key), SIZE)
    small = shares(query @ found.query.T, key @ found.key.T)
    np.testing.assert_allclose(small, shares(query, key), atol=1e-9)
    assert found.loss == 0.0


def test_a_head_that_uses_few_directions_loses_nothing_without_the_others() -> None:
    query, key, _, _ = inputs()
    key[:, 3:] = 0.5  # the same for every token: softmax does not see them
    found = factor_scores(*moments(query, key), 3)
    small = shares(query @ found.query.T, key @ found.key.T)
    np.testing.assert_allclose(small, shares(query, key), atol=1e-6)
    assert found.loss == pytest.approx(0.0, abs=1e-9)


def score_loss(query: Matrix, key: Matrix, maps: tuple[Matrix, Matrix]) -> float:
    """E over all pairs of the squared change of the scores, less what all keys share."""
    key = key - key.mean(0)
    change = query @ key.T - (query @ maps[0].T) @ (key @ maps[1].T).T
    return float((change**2).mean())


@pytest.mark.parametrize("rank", RANKS)
def test_scores_are_the_best_of_all_tried(rank: int) -> None:
    query, key, _, weights = inputs()
    found = factor_scores(*moments(query, key), rank)
    scaled = found.query / (rank / SIZE) ** 0.5
    loss = score_loss(query, key, (scaled, found.key))
    assert loss == pytest.approx(found.loss, rel=1e-6)
    # Plain: the truncated SVD of W_q W_kᵀ, written as maps of queries and keys.
    left, values, right = np.linalg.svd(weights[0] @ weights[1].T)
    onto = [np.linalg.pinv(weights[0]), np.linalg.pinv(weights[1])]
    plain = (
        (onto[0] @ left[:, :rank] * values[:rank]).T,
        (onto[1] @ right[:rank].T).T,
    )
    tried = [plain]
    strongest = np.argsort(-(query**2).mean(0) * key.var(0))[:rank]
    tried.append((np.eye(SIZE)[strongest], np.eye(SIZE)[strongest]))
    rng = np.random.default_rng(1)
    for step in (0.01, 0.1):
        near = (scaled + step * rng.normal(size=scaled.shape), found.key)
        tried.append(near)
    assert loss <= min(score_loss(query, key, maps) for maps in tried) + 1e-9


def test_it_is_the_truncated_svd_of_the_whitened_bilinear_form() -> None:
    query, key, x, weights = inputs()
    wide = np.column_stack([x, np.ones(TOKENS)])
    bias = np.linalg.lstsq(np.ones((TOKENS, 1)), query - x @ weights[0], rcond=None)[0]
    form = np.vstack([weights[0], bias]) @ weights[1].T  # [hidden + 1, hidden]
    roots = []
    for second in (wide.T @ wide / TOKENS, np.cov(x.T, bias=True)):
        values, vectors = np.linalg.eigh(second)
        roots.append((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
    singular = np.linalg.svd(roots[0] @ form @ roots[1], compute_uv=False)
    for rank in RANKS:
        found = factor_scores(*moments(query, key), rank)
        assert found.loss == pytest.approx(float(np.sum(singular[rank:] ** 2)), rel=1e-6)


@pytest.mark.parametrize("rank", [1, SIZE])
def test_a_head_that_never_varies_gives_zeros_and_no_noise(rank: int) -> None:
    found = factor_scores(np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE)), rank)
    assert not found.query.any()
    assert not found.key.any()


def contexts(heads: int, seed: int = 0) -> tuple[Matrix, Matrix]:
    """A weighed projection and the damped covariance of contexts that repeat each other."""
    rng = np.random.default_rng(seed)
    width = heads * SIZE
    mixing = rng.normal(size=(width, width)) * np.geomspace(1.0, 0.05, width) + 0.1 * np.eye(width)
    return rng.normal(size=(12, width)), damp(mixing.T @ mixing, 0.01).matrix


def inverse_of(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def refit_loss(weight: Matrix, matrix: Matrix, maps: Matrix) -> float:
    """What the best projection of the mapped contexts still loses."""
    heads, rank, size = maps.shape
    spread = np.zeros((heads * rank, heads * size))
    for head in range(heads):
        spread[head * rank : (head + 1) * rank, head * size : (head + 1) * size] = maps[head]
    wanted = spread @ matrix @ weight.T
    explained = np.sum(wanted * np.linalg.solve(spread @ matrix @ spread.T, wanted))
    return float(np.sum((weight @ matrix) * weight) - explained)


@pytest.mark.parametrize("rank", RANKS)
def test_the_loss_of_values_is_that_of_a_refit(rank: int) -> None:
    weight, matrix = contexts(3)
    found = factor_values(weight, inverse_of(matrix), SIZE, rank)
    assert found.maps.shape == (3, rank, SIZE)
    for each in found.maps:
        np.testing.assert_allclose(each @ each.T, np.eye(rank), atol=1e-10)
    assert found.loss == pytest.approx(refit_loss(weight, matrix, found.maps), rel=1e-6)


@pytest.mark.parametrize("rank", RANKS)
def test_values_of_one_head_are_the_best_of_all_tried(rank: int) -> None:
    weight, matrix = contexts(1)
    found = factor_values(weight, inverse_of(matrix), SIZE, rank)
    root = np.linalg.cholesky(matrix)
    singular = np.linalg.svd(weight @ root, compute_uv=False)
    assert found.loss == pytest.approx(float(np.sum(singular[rank:] ** 2)), rel=1e-6)
    rng = np.random.default_rng(2)
    plain = np.linalg.svd(weight)[2][:rank]
    strongest = np.eye(SIZE)[np.argsort(-matrix.diagonal())[:rank]]
    near = found.maps[0] + 0.1 * rng.normal(size=(rank, SIZE))
    for tried in (plain, strongest, near):
        assert found.loss <= refit_loss(weight, matrix, tried[None]) + 1e-9


def test_values_beat_plain_svd_and_dropped_dimensions_over_several_heads() -> None:
    weight, matrix = contexts(4)
    found = factor_values(weight, inverse_of(matrix), SIZE, 4)
    heads = np.split(weight, 4, axis=1)
    plain = np.stack([np.linalg.svd(each)[2][:4] for each in heads])
    fixed = np.stack([np.eye(SIZE)[:4]] * 4)
    assert found.loss < refit_loss(weight, matrix, plain)
    assert found.loss < refit_loss(weight, matrix, fixed)


def test_all_value_dimensions_are_left_as_they_are() -> None:
    weight, matrix = contexts(2)
    found = factor_values(weight, inverse_of(matrix), SIZE, SIZE)
    assert found.loss == 0.0
    np.testing.assert_array_equal(found.maps, np.stack([np.eye(SIZE)] * 2))


@pytest.mark.parametrize("rank", [0, SIZE + 1])
def test_an_impossible_rank_is_refused(rank: int) -> None:
    eye = np.eye(SIZE)
    with pytest.raises(DataError, match="no such rank"):
        factor_scores(eye, eye, rank)
    with pytest.raises(DataError, match="no such rank"):
        factor_values(eye, eye, SIZE, rank)


def test_values_that_are_not_finite_are_refused() -> None:
    broken = np.full((SIZE, SIZE), np.nan)
    with pytest.raises(DataError, match="not finite"):
        factor_scores(broken, np.eye(SIZE), 2)
    with pytest.raises(DataError, match="not finite"):
        factor_values(np.eye(SIZE), broken, SIZE, 2)


def test_contexts_that_cannot_be_factorised_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be factorised"):
        factor_values(np.eye(SIZE), -np.eye(SIZE), SIZE, 2)
