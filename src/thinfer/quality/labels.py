"""`LabelSet`: the names of the classes, in the order of the logits, and which one is normal.

An answer is one int64, a *code*. Where a text has one label it is the class; where it may have
several it is the set of them as bits (bit i = label i; 0 = none). Equal codes = same answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError, UserError

__all__ = ["LabelSet"]

_PLACEHOLDER = re.compile(r"LABEL_\d+")
_MOST_BITS = 62  # of a code; stays below the sign and one sum of two codes too


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The classes of a model.

    Attributes:
        names: exact strings, in the order of the logits; no name twice.
        normal: the class that is not flagged; absent where nothing is a flag.
        is_multi_label: whether a text may have several labels, or none; at most 62 of them.
    """

    names: tuple[str, ...]
    normal: str | None = None
    is_multi_label: bool = False

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names):
            what = "the labels of a model must be at least one, and no name twice"
            raise DataError(what, got=str(list(self.names))[:200])
        if self.normal is not None and self.normal not in self.names:
            what = f"the normal label {self.normal!r} is not a label of this model"
            raise UserError(what, expected=f"one of {list(self.names)}", do="mend --normal-label")
        if self.is_multi_label and len(self.names) > _MOST_BITS:
            what = "a multi-label model has too many labels"
            do = "split the labels over two models"
            raise DataError(what, expected=f"at most {_MOST_BITS}", got=str(len(self.names)), do=do)

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Give the place of a label in the logits.

        Args:
            name: an exact label.

        Raises:
            DataError: the model has no such label.
        """
        if name not in self.names:
            what = f"the label {name!r} is not a label of this model"
            raise DataError(what, expected=f"one of {list(self.names)}")
        return self.names.index(name)

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which classes are flags, bool `[classes]`: all but the normal one, none without it."""
        if self.normal is None:
            return np.zeros(len(self.names), dtype=np.bool_)
        return np.asarray([name != self.normal for name in self.names], dtype=np.bool_)

    def members(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Give the labels that answers hold.

        Args:
            codes: int64 `[...]`: classes, or sets of labels as bits.

        Returns:
            bool `[..., classes]`; of a single-label answer exactly one is true.
        """
        places = np.arange(len(self.names), dtype=np.int64)
        wide = np.asarray(codes, dtype=np.int64)[..., None]
        found = (wide >> places) & 1 == 1 if self.is_multi_label else wide == places
        return np.asarray(found, dtype=np.bool_)

    def encode_members(self, members: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Give answers that hold these labels: the inverse of `members`.

        Args:
            members: bool `[..., classes]`; of a single-label answer exactly one is true.

        Returns:
            int64 `[...]`.

        Raises:
            DataError: the last axis is not the classes, or a single-label answer holds none or
                several.
        """
        held = np.asarray(members, dtype=np.bool_)
        if held.shape[-1:] != (len(self.names),):
            what = "these are not members of this label set"
            raise DataError(what, expected=f"{len(self.names)} columns", got=str(held.shape))
        if self.is_multi_label:
            bits = np.int64(1) << np.arange(len(self.names), dtype=np.int64)
            return np.asarray((held * bits).sum(axis=-1), dtype=np.int64)
        if not (held.sum(axis=-1) == 1).all():
            what = "an answer of a single-label model holds exactly one label"
            raise DataError(what, got="a row with none or several")
        return np.asarray(held.argmax(axis=-1), dtype=np.int64)

    def is_flagged(self, codes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Give which answers are flags: they hold a label, and not the normal one alone.

        Args:
            codes: int64 `[...]`.

        Returns:
            bool `[...]`; all false without a normal label.
        """
        return np.asarray((self.members(codes) & self.flagged).any(axis=-1), dtype=np.bool_)

    def align(
        self, file_labels: Sequence[str], *, rows: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        """Give the code of each label of a data file.

        Names match exactly. Of a multi-label model each string is a set: a JSON list of names,
        one name, or nothing (no label at all, which is an answer). Where all names of the model
        are `LABEL_<i>`, which is what a checkpoint says that was never told its labels, an
        integer matches by index.

        Args:
            file_labels: the strings of the file `[rows]`.
            rows: their row numbers in the file, for the message; 0, 1 … when absent.

        Returns:
            int64 `[rows]`.

        Raises:
            DataError: a label is not one of the model's; the first such row is named.
        """
        known = {name: place for place, name in enumerate(self.names)}
        if all(_PLACEHOLDER.fullmatch(name) for name in self.names):
            known |= {str(place): place for place in range(len(self.names))}
        held = [self._names_of(label, known) for label in file_labels]
        unknown = sorted({name for names in held for name in names if name not in known})
        if unknown:
            place = next(at for at, names in enumerate(held) if unknown[0] in names)
            row = place if rows is None else rows[place]
            what = f"{len(unknown)} labels of the data are not labels of this model"
            raise DataError(
                what,
                expected=f"one of {list(self.names)}",
                got=f"{unknown[:10]}; {unknown[0]!r} is first in data row {row}",
                do="name the right --label-column, or bring data with the model's labels",
            )
        if not self.is_multi_label:
            return np.asarray([known[names[0]] for names in held], dtype=np.int64)
        sets = [sum(1 << place for place in {known[name] for name in names}) for names in held]
        return np.asarray(sets, dtype=np.int64)

    def _names_of(self, label: str, known: Mapping[str, int]) -> tuple[str, ...]:
        if not self.is_multi_label or label in known:
            return (label,)
        if label.startswith("["):
            try:
                found = json.loads(label)
            except ValueError:
                return (label,)
            return tuple(name if isinstance(name, str) else json.dumps(name) for name in found)
        return (label,) if label else ()
