"""`--recipe FILE.toml`: ordered steps that make one further state, checked before any work.

    [[step]]
    kind = "layer_drop"
    count = 2

    [[step]]
    kind = "sparsify"
    sparsity = 0.8
    epochs = 4

Each kind is one frozen dataclass here; its fields are the keys of the table.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal

from thinfer.core.codec import from_json
from thinfer.errors import DataError, UserError, at

__all__ = [
    "DistillStep",
    "LayerDropStep",
    "MaxLengthStep",
    "PruneStep",
    "Recipe",
    "SparsifyStep",
    "read_recipe",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDropStep:
    """Remove whole layers and refit what is left.

    Attributes:
        layers: indices from 0 of the model as it stands at this step.
        count: so many layers instead, those whose absence moves the answers least.
    """

    NAME: ClassVar[str] = "layer_drop"

    layers: tuple[int, ...] = ()
    count: int = 0

    def __post_init__(self) -> None:
        good = len(set(self.layers)) == len(self.layers) and min((*self.layers, self.count)) >= 0
        if bool(self.layers) == bool(self.count) or not good:
            what = "which layers to drop is not clear"
            expected = "either 'layers', a list of different indices, or 'count' over 0"
            raise UserError(what, expected=expected, got=f"{list(self.layers)}, {self.count}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneStep:
    """Remove heads and neurons and refit what is left.

    Attributes:
        width: part of the encoder's time to keep, `"3/4"` or 0.75.
        speedup: throughput to the unpruned model's in the same engine instead, over 1; only while
            nothing before it has changed the model's widths or depth.
    """

    NAME: ClassVar[str] = "prune"

    width: str | float | None = None
    speedup: float | None = None

    def __post_init__(self) -> None:
        if (self.width is None) == (self.speedup is None) or not 0 < self.part < 1:
            what = "how far to prune is not clear"
            expected = "either 'width' between 0 and 1, or 'speedup' over 1"
            raise UserError(what, expected=expected, got=f"{self.width}, {self.speedup}")

    @property
    def part(self) -> Fraction:
        """The width; of a speed-up, its inverse. 0 where it cannot be read."""
        try:
            if self.speedup is not None:
                return 1 / Fraction(self.speedup)
            return Fraction(self.width or 0).limit_denominator(10_000)
        except (ValueError, ZeroDivisionError, OverflowError):
            return Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SparsifyStep:
    """Set single weights to zero, at once or in the course of a distillation.

    Attributes:
        sparsity: share of zeros, 0 … 1; may be left out with an `N:M` pattern.
        method: `magnitude`, `second_order` or `reconstruction`.
        pattern: `unstructured`, `1x4` or `N:M`.
        allocation: `uniform` or `global`.
        block_size: inputs of a Fisher block.
        epochs: of the gradual schedule; 0 = at once.
        learning_rate: of the gradual schedule.
        ramp: part of the epochs in which the zeros grow.
    """

    NAME: ClassVar[str] = "sparsify"

    sparsity: float | None = None
    method: Literal["magnitude", "second_order", "reconstruction"] = "second_order"
    pattern: str = "unstructured"
    allocation: Literal["uniform", "global"] = "uniform"
    block_size: int = 32
    epochs: int = 0
    learning_rate: float = 1e-4
    ramp: float = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillStep:
    """Learn from the dense state; zeros stay.

    Attributes:
        epochs: passes over the training text.
        learning_rate: its peak.
        batch_size: rows of a step.
        temperature: softens both models' logits.
        alpha: share of the teacher's logits in the class loss, 0 … 1.
        hidden_weight: weight of the hidden states' error.
    """

    NAME: ClassVar[str] = "distill"

    epochs: int = 2
    learning_rate: float = 1e-4
    batch_size: int = 32
    temperature: float = 2.0
    alpha: float = 0.9
    hidden_weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxLengthStep:
    """Read shorter texts: cut position rows.

    Attributes:
        tokens: longest sequence, specials included.
    """

    NAME: ClassVar[str] = "max_length"

    tokens: int


Step = LayerDropStep | PruneStep | SparsifyStep | DistillStep | MaxLengthStep
_KINDS: Mapping[str, type[Step]] = {
    kind.NAME: kind for kind in (LayerDropStep, PruneStep, SparsifyStep, DistillStep, MaxLengthStep)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Steps in order.

    Attributes:
        steps: at least one.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        _check_order(self.steps)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe and check all that can be checked without a model.

    Args:
        path: a TOML file of `[[step]]` tables.

    Raises:
        UserError: the file cannot be read, is no TOML, or holds a name, a value or an order of
            steps that is not known; the message names the step.
    """
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"the recipe '{path}' cannot be read"
        raise UserError(what, got=error.strerror or str(error)) from error
    except ValueError as error:
        what = f"the recipe '{path}' is not TOML"
        raise UserError(what, got=str(error)) from error
    with at(recipe=path):
        tables = body.get("step", [])
        unknown = sorted(set(body) - {"step"})
        if unknown or not isinstance(tables, list) or not tables:
            what = "a recipe is a list of steps"
            raise UserError(what, expected="[[step]] tables alone", got=str(unknown or tables))
        return Recipe(
            steps=tuple(_read_step(place, table) for place, table in enumerate(tables, 1))
        )


def _read_step(place: int, table: Mapping[str, Any]) -> Step:
    with at(step=place):
        rest = dict(table)
        kind = rest.pop("kind", None)
        if kind not in _KINDS:
            what = "the kind of a step is not known"
            raise UserError(what, expected=f"kind = one of {sorted(_KINDS)}", got=repr(kind))
        cls = _KINDS[kind]
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(rest) - set(known))
        if unknown:
            what = f"the step '{kind}' has keys that are not known"
            raise UserError(what, expected=f"some of {known}", got=str(unknown))
        try:
            return from_json(cls, rest)
        except DataError as error:  # a stored file would be at fault; here it is the user's own
            what = f"a value of the step '{kind}' cannot be used"
            raise UserError(
                what, expected=error.expected, got=f"{error.what}: {error.got}"
            ) from error


def _check_order(steps: Sequence[Step]) -> None:
    """Refuse what would fill zeros, or aim at a speed that nothing was measured for.

    Raises:
        UserError: the order is impossible, or there is no step.
    """
    if not steps:
        what = "a recipe needs a step"
        raise UserError(what, expected=f"steps of {sorted(_KINDS)}", got="none")
    is_sparse = is_cut = False
    for place, step in enumerate(steps, 1):
        with at(step=place):
            if is_sparse and isinstance(step, LayerDropStep | PruneStep):
                what = f"the step '{step.NAME}' would fill the zeros of the sparse model"
                raise UserError(what, expected="it before 'sparsify'", do="change the order")
            if is_cut and isinstance(step, PruneStep) and step.speedup is not None:
                what = "'speedup' is measured to the unpruned model, and this one is cut already"
                raise UserError(what, expected="'width', or this step first", got=f"{step.speedup}")
        is_sparse = is_sparse or isinstance(step, SparsifyStep)
        is_cut = is_cut or isinstance(step, LayerDropStep | PruneStep)
