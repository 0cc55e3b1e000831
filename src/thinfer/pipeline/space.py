"""The space that `--minutes` searches: depth, width, token rows and text length together.

Engine and precision are not drawn: whatever leaves the last rung is made in all of them.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

__all__ = ["Configuration", "Space", "draw_configurations"]

# Finer than the ladder of a run without a time limit; the ladder's own widths are among them.
WIDTHS = tuple(
    Fraction(text)
    for text in ("1", "7/8", "3/4", "5/8", "1/2", "7/16", "3/8", "5/16", "1/4", "1/5", "1/6", "1/8")
)
_LADDER = tuple(map(Fraction, ("3/4", "1/2", "3/8", "1/4", "1/6")))
_TRIES = 50  # draws without a new configuration after which the space counts as used up


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One point of the space.

    Attributes:
        drop_layers: whole layers left out.
        width: part of the cost of the layers that stay that is kept, in (0, 1].
        min_count: token rows that training text uses less often are cut; 1 = none of them.
        max_length: tokens of a text at most; None = as many as the model reads.
    """

    drop_layers: int = 0
    width: Fraction = Fraction(1)
    min_count: int = 1
    max_length: int | None = None

    @property
    def name(self) -> str:
        """Its name in every table; plain widths are named as in a run without a time limit."""
        parts = [
            f"drop-{self.drop_layers}" if self.drop_layers else "",
            f"width-{self.width.numerator}-{self.width.denominator}" if self.width < 1 else "",
            f"seen-{self.min_count}" if self.min_count > 1 else "",
            f"length-{self.max_length}" if self.max_length else "",
        ]
        return "-".join(part for part in parts if part) or "dense"


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What may be drawn.

    Attributes:
        layers: of the dense model; at most half of them are left out.
        min_counts: values of `min_count`, 1 first.
        lengths: limits on a text's tokens that may pay; None for no limit is always there.
    """

    layers: int
    min_counts: tuple[int, ...] = (1, 2, 5)
    lengths: tuple[int, ...] = ()


def draw_configurations(
    space: Space, count: int, *, rng: np.random.Generator, known: Container[Configuration] = ()
) -> tuple[Configuration, ...]:
    """Draw configurations, each once.

    Args:
        space: where from.
        count: how many, at most.
        rng: draws.
        known: configurations that are not wanted again.

    Returns:
        The ladder of plain widths and of plain layer drops first, then mixtures of all
        dimensions; never the dense model itself; fewer than `count` where the space is used up.
    """
    most = space.layers // 2
    plain = [Configuration(width=width) for width in _LADDER]
    plain += [Configuration(drop_layers=drop) for drop in range(1, most + 1)]
    found = dict.fromkeys(each for each in plain if each not in known)
    misses = 0
    while len(found) < count and misses < _TRIES:
        drawn = _draw(space, most, rng)
        is_new = drawn != Configuration() and drawn not in known and drawn not in found
        misses = 0 if is_new else misses + 1
        if is_new:
            found[drawn] = None
    return tuple(found)[:count]


def _draw(space: Space, most: int, rng: np.random.Generator) -> Configuration:
    # Half of the draws leave every layer in: what a search over widths leaves out block by block
    # is mostly the better way down, and whole layers are the exception.
    drop = int(rng.integers(0, most + 1)) if rng.random() < 0.5 else 0
    lengths = (None, *space.lengths)
    return Configuration(
        drop_layers=drop,
        width=WIDTHS[int(rng.integers(len(WIDTHS)))],
        min_count=space.min_counts[int(rng.integers(len(space.min_counts)))],
        max_length=lengths[int(rng.integers(len(lengths)))],
    )
