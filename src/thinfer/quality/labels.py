"""`LabelSet`: the names of the classes, in the order of the logits, and which one is normal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError, UserError

__all__ = ["LabelSet"]

_PLACEHOLDER = re.compile(r"LABEL_\d+")


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The classes of a model.

    Attributes:
        names: exact strings, in the order of the logits; no name twice.
        normal: the class that is not flagged; absent where nothing is a flag.
    """

    names: tuple[str, ...]
    normal: str | None = None

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names):
            what = "the labels of a model must be at least one, and no name twice"
            raise DataError(what, got=str(list(self.names))[:200])
        if self.normal is not None and self.normal not in self.names:
            what = f"the normal label {self.normal!r} is not a label of this model"
            raise UserError(what, expected=f"one of {list(self.names)}", do="mend --normal-label")

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

    def align(
        self, file_labels: Sequence[str], *, rows: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        """Give the class of each label of a data file.

        Names match exactly. Where all names of the model are `LABEL_<i>`, which is what a
        checkpoint says that was never told its labels, an integer matches by index.

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
        unknown = sorted({label for label in file_labels if label not in known})
        if unknown:
            place = file_labels.index(unknown[0])
            row = place if rows is None else rows[place]
            what = f"{len(unknown)} labels of the data are not labels of this model"
            raise DataError(
                what,
                expected=f"one of {list(self.names)}",
                got=f"{unknown[:10]}; {unknown[0]!r} is first in data row {row}",
                do="name the right --label-column, or bring data with the model's labels",
            )
        return np.asarray([known[label] for label in file_labels], dtype=np.int64)
