"""Which weights may become zero together, and which of them do.

Blocks and groups lie along the input axis, the last one of a matrix `[out, in]`: the integer dot
product of a CPU (VNNI) multiplies four consecutive inputs with four consecutive weights of one
output row in one 32-bit lane. A `1x4` block is what one lane reads, so a block of zeros is work
that a kernel can leave out whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from thinfer.errors import UserError

__all__ = ["Pattern", "choose_stays", "parse_pattern", "score_units"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """How zeros may lie in a row of a matrix.

    Attributes:
        block: consecutive inputs that become zero together, ≥ 1.
        group: consecutive inputs of which at least `keep` are kept, ≥ 1.
        keep: 0 … `group`; with `group` 1 it is 0, and every weight may go.
    """

    block: int = 1
    group: int = 1
    keep: int = 0

    def __post_init__(self) -> None:
        is_grouped = self.group > 1
        if self.block < 1 or not 0 <= self.keep <= self.group or (is_grouped and self.block > 1):
            what = "the pattern of zeros is impossible"
            raise UserError(
                what, expected="'unstructured', '1x4', or 'N:M' with N ≤ M", got=str(self)
            )

    @property
    def name(self) -> str:
        """The name that `parse_pattern` reads."""
        if self.group > 1:
            return f"{self.keep}:{self.group}"
        return "unstructured" if self.block == 1 else f"1x{self.block}"

    @property
    def step(self) -> int:
        """Inputs of which a row must have a multiple."""
        return max(self.block, self.group)

    @property
    def most(self) -> float:
        """The largest share of zeros that the pattern allows, 0 … 1."""
        return 1.0 - self.keep / self.group


def parse_pattern(text: str) -> Pattern:
    """Read `unstructured`, `1x4` (any block `1xB`) or `2:4` (any `N:M`).

    Args:
        text: the name of the pattern.

    Raises:
        UserError: it is none of these.
    """
    if text == "unstructured":
        return Pattern()
    block, group = re.fullmatch(r"1x(\d{1,2})", text), re.fullmatch(r"(\d{1,2}):(\d{1,2})", text)
    if block and int(block[1]) > 1:
        return Pattern(block=int(block[1]))
    if group and int(group[2]) > 1:
        return Pattern(keep=int(group[1]), group=int(group[2]))
    what = "a pattern of zeros cannot be read"
    raise UserError(what, expected="'unstructured', '1x4', or 'N:M' like '2:4'", got=repr(text))


def choose_stays(
    scores: Mapping[str, Tensor], pattern: Pattern, sparsity: float, *, is_global: bool
) -> dict[str, Tensor]:
    """Choose which weights stay: those whose units cost most.

    Args:
        scores: name → loss of each weight's removal, float `[out, in]`; the loss of a block is the
            sum over it. `in` must be a multiple of the pattern's step.
        pattern: how zeros may lie.
        sparsity: share of zeros, 0 … 1; more than the pattern allows gives what it allows.
        is_global: one ranking for all matrices; else each has the same share of zeros.

    Returns:
        name → bool `[out, in]`. The number of zeros is the share rounded to whole units; where
        scores are equal, the earlier unit goes.
    """
    units = {name: score_units(score, pattern) for name, score in scores.items()}
    if is_global and len(units) > 1:
        gone = _lowest(torch.cat([unit.flatten() for unit in units.values()]), sparsity)
        sizes = [unit.numel() for unit in units.values()]
        parts = dict(zip(units, torch.split(gone, sizes), strict=True))
    else:
        parts = {name: _lowest(unit.flatten(), sparsity) for name, unit in units.items()}
    return {
        name: ~parts[name].view(unit.shape).repeat_interleave(pattern.block, dim=1)
        for name, unit in units.items()
    }


def score_units(scores: Tensor, pattern: Pattern) -> Tensor:
    """Give the loss of each unit, `[out, in / block]`; infinite where the unit has to stay."""
    if pattern.group > 1:
        groups = scores.reshape(len(scores), -1, pattern.group)  # [out, groups, group]
        rank = groups.argsort(dim=2, stable=True).argsort(dim=2)
        must_stay = rank >= pattern.group - pattern.keep
        return groups.masked_fill(must_stay, torch.inf).flatten(1)
    return scores.reshape(len(scores), -1, pattern.block).sum(2)


def _lowest(units: Tensor, sparsity: float) -> Tensor:
    """Mark the share of units with the lowest loss, bool as `units`."""
    may_go = int(torch.isfinite(units).sum())
    count = min(may_go, round(sparsity * len(units)))
    gone = torch.zeros(len(units), dtype=torch.bool, device=units.device)
    gone[units.argsort(stable=True)[:count]] = True
    return gone
