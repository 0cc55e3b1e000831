"""Second-order sparsification with a block-diagonal Fisher matrix: scores and the exact update.

With F the Fisher information of a block of B neighbouring weights w of a row, setting the weights
S to zero and moving the others to their new best costs, to second order,

    ½ w_Sᵀ ([F⁻¹]_SS)⁻¹ w_S,      and leaves      w_K ← F_KK⁻¹ (F w)_K,      K = what stays

(Kurtic et al. 2022, "The optimal BERT surgeon", sections 3.1 and 3.2; there removals of one block
are updated one by one, here jointly). F is the exact expectation over the model's own answers for
two classes, and an unbiased draw for more:

    diag(p) − p pᵀ = Σ_{i<j} p_i p_j (e_i − e_j)(e_i − e_j)ᵀ,

so each text gives the gradient of z_i − z_j of one pair drawn with chance p_i p_j, and no label.
Where each label has a sigmoid, the labels are independent: Σ_i p_i (1 − p_i) e_i e_iᵀ, and each
text gives the gradient of z_i of one label drawn with chance p_i (1 − p_i).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thinfer.compress.sparsify.pattern import Pattern
from thinfer.errors import DataError
from thinfer.nn.encoder import EncoderClassifier
from thinfer.text.batch import Batch

__all__ = ["BlockFisher", "damp_fisher", "measure_fisher", "score_fisher", "update_fisher"]

_ROUNDING = 1e-6  # of a layer's largest gradient: less is what rounding leaves where there is none
_TEXTS = 16  # texts of one pass; their gradients stand side by side
_SOLVED = 8192  # blocks factorised at once
_TEMPERATURE = 2.0  # softens p: else the few undecided texts are all that counts
_STRONGER, _TRIES = 100.0, 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockFisher:
    """The Fisher matrices of one weight matrix, damped.

    Attributes:
        matrices: float32 `[out · blocks, size, size]`, positive definite; the last block of a row
            is filled up where the row is no multiple of `size`.
        size: inputs of a block.
        damping: λ as a part of the mean diagonal, as it was used.
        note: what was weaker than asked; empty where nothing was.
    """

    matrices: Tensor
    size: int
    damping: float
    note: str = ""


def measure_fisher(
    module: EncoderClassifier,
    batch: Batch,
    *,
    pad_id: int,
    size: int,
    rng: np.random.Generator,
    is_multi_label: bool = False,
) -> Iterator[tuple[str, Tensor]]:
    """Give the Fisher blocks of every matrix, one layer after another.

    Args:
        module: the model, in evaluation mode.
        batch: calibration texts; a few hundred are enough. No labels.
        pad_id: token id of the padding.
        size: inputs of a block, ≥ 1.
        rng: draws the pairs of classes, or the labels.
        is_multi_label: a sigmoid for each label.

    Yields:
        Canonical name, and the mean over texts of g gᵀ, float32 `[out · blocks, size, size]`. Each
        layer is one pass over the texts, so that `4 · size` bytes a weight are held for one layer.
    """
    module.requires_grad_(False)
    order = np.argsort(batch.lengths, kind="stable")
    seed = int(rng.integers(2**31))
    for index in range(len(module.layers)):
        linears = _linears(module, index)
        sums = {name: _empty(linear, size) for name, linear in linears.items()}
        draws = np.random.default_rng(seed)  # the same pairs for every layer
        answer = partial(_answer_sets if is_multi_label else _answer, draws=draws)
        for start in range(0, len(order), _TEXTS):
            rows = np.sort(order[start : start + _TEXTS])
            inputs = [torch.from_numpy(part) for part in batch.select(rows).padded(pad_id)]
            for name, gradient in _differentiate(module, linears, inputs, answer):
                _add_products(sums[name], gradient, size)
        largest = max(_mean_square(total) for total in sums.values())
        for name in linears:
            total = sums.pop(name).div_(len(order))
            # Softmax over one token has no gradient, but its FP32 sums may leave a last bit of one.
            is_rounding = _mean_square(total) * len(order) < _ROUNDING**2 * largest
            yield name, total.zero_() if is_rounding else total


def _linears(module: EncoderClassifier, index: int) -> dict[str, nn.Linear]:
    layer = module.get_submodule(f"layers.{index}")
    names = [f"attention.{part}" for part in ("query", "key", "value", "output")]
    found = {}
    for name, part in layer.named_modules():
        if name in (*names, "ffn.up", "ffn.down") and isinstance(part, nn.Linear):
            found[f"layers.{index}.{name}.weight"] = part
    return found


def _mean_square(matrices: Tensor) -> float:
    """Give the mean square of all elements of the gradients."""
    return float(matrices.diagonal(dim1=1, dim2=2).double().mean()) if matrices.numel() else 0.0


def _empty(linear: nn.Linear, size: int) -> Tensor:
    blocks = -(-linear.in_features // size)
    return torch.zeros(linear.out_features * blocks, size, size)


def _differentiate(
    module: EncoderClassifier,
    linears: Mapping[str, nn.Linear],
    inputs: list[Tensor],
    answer: Callable[[Tensor], Tensor],
) -> Iterator[tuple[str, Tensor]]:
    """Give each matrix's gradient of every text, `[texts, out, in]`."""
    seen: dict[str, Tensor] = {}
    made: dict[str, Tensor] = {}
    hooks = []
    for name, linear in linears.items():

        def keep(
            _: nn.Module, given: tuple[Tensor, ...], output: Tensor, name: str = name
        ) -> Tensor:
            seen[name] = given[0].detach()
            made[name] = output if output.requires_grad else output.requires_grad_(True)
            return made[name]

        hooks.append(linear.register_forward_hook(keep))
    try:
        with torch.enable_grad():
            objective = answer(module(*inputs).float())
    finally:
        for hook in hooks:
            hook.remove()
    found = torch.autograd.grad(objective, list(made.values()), allow_unused=True)
    for (name, output), gradient in zip(made.items(), found, strict=True):
        felt = torch.zeros_like(output) if gradient is None else gradient
        yield name, torch.einsum("tlo,tli->toi", felt, seen[name])


def _answer(logits: Tensor, draws: np.random.Generator) -> Tensor:
    """Give a sum over texts whose gradients' outer products are the Fisher matrix in the mean."""
    shares = (logits.detach() / _TEMPERATURE).softmax(1).double()
    if logits.shape[1] == 1:
        chance = (logits.detach() / _TEMPERATURE).sigmoid()
        return ((chance * (1 - chance)).sqrt() * logits / _TEMPERATURE).sum()
    texts, classes = logits.shape
    first, second = np.triu_indices(classes, 1)
    pairs, total = _draw((shares[:, first] * shares[:, second]).numpy(), draws)
    rows = torch.arange(texts)
    gap = (
        logits[rows, torch.from_numpy(first[pairs])] - logits[rows, torch.from_numpy(second[pairs])]
    )
    return (total * gap / _TEMPERATURE).sum()


def _answer_sets(logits: Tensor, draws: np.random.Generator) -> Tensor:
    """Give such a sum for a sigmoid a label."""
    chance = (logits.detach() / _TEMPERATURE).sigmoid().double()
    labels, total = _draw((chance * (1 - chance)).numpy(), draws)
    felt = logits[torch.arange(len(logits)), torch.from_numpy(labels)]
    return (total * felt / _TEMPERATURE).sum()


def _draw(
    chances: NDArray[np.float64], draws: np.random.Generator
) -> tuple[NDArray[np.int64], Tensor]:
    """Draw one column a text by its chance; give it with the root of the row's sum."""
    steps = chances.cumsum(axis=1)
    drawn = draws.random(len(steps))[:, None] * steps[:, -1:]
    columns = np.minimum((steps <= drawn).sum(axis=1), chances.shape[1] - 1)
    return columns, torch.from_numpy(steps[:, -1]).sqrt().float()


def _add_products(total: Tensor, gradient: Tensor, size: int) -> None:
    padded = functional.pad(gradient, (0, -gradient.shape[2] % size))
    blocks = padded.reshape(len(padded), -1, size).transpose(0, 1)  # [blocks, texts, size]
    total.baddbmm_(blocks.transpose(1, 2), blocks)


def damp_fisher(matrices: Tensor, ratio: float) -> BlockFisher:
    """Add λ to the diagonals, so that every block can be factorised.

    Args:
        matrices: float32 `[blocks, size, size]`.
        ratio: λ as a part of the mean diagonal, > 0.

    Returns:
        The damped blocks; `note` says where the damping had to be stronger, or that no gradient
        reached the matrix, which makes its scores plain magnitudes.

    Raises:
        DataError: a gradient is not finite, or no damping tried is enough.
    """
    mean = _mean_square(matrices)
    if not np.isfinite(mean):
        what = "the gradients of the calibration texts are not finite"
        raise DataError(what, expected="finite gradients", do="check the model's weights")
    size, used = matrices.shape[1], ratio
    eye = torch.eye(size)
    if mean == 0.0:
        note = "no gradient reached it: ranked by magnitude"
        return BlockFisher(matrices=matrices + eye, size=size, damping=ratio, note=note)
    for attempt in range(_TRIES):
        damped = matrices + eye * (used * mean)
        parts = torch.split(damped, _SOLVED)
        failed = sum(int(torch.linalg.cholesky_ex(part)[1].count_nonzero()) for part in parts)
        if not failed:
            note = f"damping raised to {used:g}" if attempt else ""
            return BlockFisher(matrices=damped, size=size, damping=used, note=note)
        used *= _STRONGER
    what = "the Fisher blocks cannot be factorised"
    raise DataError(
        what,
        expected=f"positive definite blocks with damping up to {used / _STRONGER:g}",
        got=f"failures in {failed} of {len(matrices)} blocks",
        do="give more, and more varied, calibration texts",
    )


def score_fisher(weight: Tensor, fisher: BlockFisher, pattern: Pattern) -> Tensor:
    """Give what the removal of each weight costs, with the rest of its block at its new best.

    Args:
        weight: float32 `[out, in]`.
        fisher: of this matrix; `size` is a multiple of the pattern's block.
        pattern: single weights, or blocks.

    Returns:
        float32 `[out, in]`; the sum over a pattern's block is the loss of that block.
    """
    rows = _blocks_of(weight, fisher.size)
    unit = pattern.block
    scores = []
    for part, matrix in zip(*_in_parts(rows, fisher.matrices), strict=True):
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
        if unit == 1:
            scores.append(part.square() / (2.0 * inverse.diagonal(dim1=1, dim2=2)))
            continue
        own = inverse.reshape(len(part), fisher.size // unit, unit, fisher.size // unit, unit)
        own = own.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)  # [blocks, units, unit, unit]
        values = part.reshape(len(part), -1, unit)
        solved = torch.linalg.solve(own, values)
        scores.append((0.5 * values * solved).flatten(1))
    return torch.cat(scores).view(len(weight), -1)[:, : weight.shape[1]]


def update_fisher(weight: Tensor, fisher: BlockFisher, stays: Tensor) -> Tensor:
    """Give the matrix with zeros where nothing stays, and the rest at its new best.

    Args:
        weight: float32 `[out, in]`.
        fisher: of this matrix.
        stays: bool `[out, in]`.

    Returns:
        float32 `[out, in]`, exactly 0 where `stays` is False.
    """
    rows, kept = _blocks_of(weight, fisher.size), _blocks_of(stays, fisher.size)
    parts = []
    for part, stay, matrix in zip(*_in_parts(rows, kept, fisher.matrices), strict=True):
        # Rows and columns of what goes are replaced by those of the identity.
        both = stay[:, :, None] & stay[:, None, :]
        system = matrix * both + torch.diag_embed((~stay).float())
        goal = (matrix @ part[:, :, None]) * stay[:, :, None]
        solved = torch.cholesky_solve(goal, torch.linalg.cholesky(system))[:, :, 0]
        # A block that loses nothing stays as it is, to the bit.
        solved = torch.where(stay.all(1, keepdim=True), part, solved)
        parts.append(solved.masked_fill(~stay, 0.0))
    return torch.cat(parts).view(len(weight), -1)[:, : weight.shape[1]]


def _blocks_of(matrix: Tensor, size: int) -> Tensor:
    """Give the rows in blocks, `[out · blocks, size]`, the last of a row filled up with 0."""
    padded = functional.pad(matrix, (0, -matrix.shape[1] % size))
    return padded.reshape(-1, size)


def _in_parts(*arrays: Tensor) -> list[tuple[Tensor, ...]]:
    return [torch.split(array, _SOLVED) for array in arrays]
