from __future__ import annotations

import pytest

from thinfer.errors import DataError, UserError
from thinfer.quality import LabelSet


def test_exact_strings_match() -> None:
    labels = LabelSet(("normal", "spam", " spam"), "normal")
    assert labels.align([" spam", "normal", "spam"]).tolist() == [2, 0, 1]
    assert labels.flagged.tolist() == [False, True, True]
    assert labels.index("spam") == 1


def test_placeholder_labels_match_integers_by_index() -> None:
    labels = LabelSet(("LABEL_0", "LABEL_1"))
    assert labels.align(["1", "0", "LABEL_1"]).tolist() == [1, 0, 1]


def test_integers_do_not_match_named_labels() -> None:
    with pytest.raises(DataError, match="first in data row 1"):
        LabelSet(("ham", "LABEL_1")).align(["ham", "1"])


def test_without_a_normal_label_nothing_is_flagged() -> None:
    assert not LabelSet(("a", "b")).flagged.any()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(DataError):
        LabelSet(("a",)).index("b")
    with pytest.raises(UserError, match="normal-label"):
        LabelSet(("a",), "b")
    with pytest.raises(DataError):
        LabelSet(("a", "a"))
    with pytest.raises(DataError):
        LabelSet(())
