"""Attention relations of two models, whatever their heads: how alike tokens are to each other.

Queries of all heads are laid side by side and split anew into relation heads of size `d`; their
relation is `softmax(Q Qᵀ / √d)`, a distribution over the text's tokens for each token. Likewise
keys with keys and values with values. Relations have no axis of the original heads, so a student
with fewer or smaller heads can be held against its teacher (MiniLMv2: Wang et al. 2021, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from thinfer.architecture import Architecture
from thinfer.errors import UserError
from thinfer.nn.encoder import EncoderClassifier, Layer

__all__ = ["choose_pair", "compare_relations", "recorded_projections"]

_KINDS = ("query", "key", "value")


def choose_pair(
    student: Architecture, teacher: Architecture, wanted: tuple[int, int] | None = None
) -> tuple[int, int] | None:
    """Give the layers whose relations are compared.

    Args:
        student: shape of the student.
        teacher: shape of the teacher.
        wanted: (layer of the student, layer of the teacher); absent: the last layer of each that
            has attention, or the same layer of both where they are equally deep.

    Returns:
        The pair; None where no layer of one of them has attention.

    Raises:
        UserError: a layer that was asked for does not exist or has no attention.
    """
    if wanted is not None:
        for name, shape, index in zip(
            ("student", "teacher"), (student, teacher), wanted, strict=True
        ):
            able = [at for at, layer in enumerate(shape.layers) if layer.heads]
            if index not in able:
                what = f"layer {index} of the {name} has no attention to compare"
                raise UserError(what, expected=f"one of {able}", got=str(index))
        return wanted
    ours = [at for at, layer in enumerate(student.layers) if layer.heads]
    theirs = [at for at, layer in enumerate(teacher.layers) if layer.heads]
    if len(student.layers) == len(teacher.layers):  # a cut student: layer i came from layer i
        theirs = ours = [at for at in ours if at in theirs]
    return (ours[-1], theirs[-1]) if ours and theirs else None


@contextmanager
def recorded_projections(model: EncoderClassifier, layer: int) -> Iterator[dict[str, torch.Tensor]]:
    """Give a dict that a forward pass inside the block fills with a layer's projections.

    Args:
        model: the encoder.
        layer: a layer with attention.

    Yields:
        `query`, `key`, `value` → float `[batch, length, heads * head]`.
    """
    found: dict[str, torch.Tensor] = {}
    part = model.layers[layer]
    hooks = []
    if isinstance(part, Layer):
        for kind in _KINDS:

            def keep(
                module: nn.Module, arguments: object, output: torch.Tensor, kind: str = kind
            ) -> None:
                del module, arguments
                found[kind] = output

            hooks.append(part.attention.get_submodule(kind).register_forward_hook(keep))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def compare_relations(
    given: Mapping[str, torch.Tensor],
    wanted: Mapping[str, torch.Tensor],
    real: torch.Tensor,
    *,
    most_heads: int,
) -> torch.Tensor:
    """Give the divergence of the student's relations from the teacher's.

    Args:
        given: the student's `query`, `key`, `value`, float `[batch, length, width]`.
        wanted: the teacher's, of widths of its own.
        real: bool `[batch, length]`, False at padding.
        most_heads: most relation heads; taken is the largest number up to it that divides both
            widths.

    Returns:
        Scalar: KL(teacher ‖ student) in nats, mean over real tokens, relation heads and the three
        kinds; padding is neither asked nor attended to.
    """
    total = torch.zeros((), device=real.device)
    for kind in _KINDS:
        mine, goal = given[kind], wanted[kind]
        common = math.gcd(mine.shape[-1], goal.shape[-1])
        heads = max(count for count in range(1, most_heads + 1) if common % count == 0)
        own, aim = _relate(mine, real, heads), _relate(goal, real, heads)
        apart = (aim.exp() * (aim - own)).sum(-1)  # [batch, heads, length]
        total = total + apart.transpose(1, 2)[real].mean()
    return total / len(_KINDS)


def _relate(projected: torch.Tensor, real: torch.Tensor, heads: int) -> torch.Tensor:
    """Give log relations, float32 `[batch, heads, length, length]`."""
    split = projected.float().view(*projected.shape[:2], heads, -1).transpose(1, 2)
    products = split @ split.transpose(2, 3) / math.sqrt(split.shape[-1])
    # A finite bottom, so that exp(a) * (a − b) at padding is 0 and not 0 · ∞.
    bottom = torch.finfo(products.dtype).min
    related: torch.Tensor = products.masked_fill(~real[:, None, None, :], bottom / 2)
    return related.log_softmax(-1)
