from __future__ import annotations

import numpy as np
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


MANY = LabelSet(("normal", "spam", "ad"), "normal", is_multi_label=True)


def test_the_code_of_one_label_is_its_class() -> None:
    labels = LabelSet(("normal", "spam", "ad"), "normal")
    codes = np.asarray([[0, 2], [1, 1]])
    members = labels.members(codes)
    assert members.shape == (2, 2, 3)
    assert members[0, 1].tolist() == [False, False, True]
    assert np.array_equal(labels.encode_members(members), codes)
    assert labels.is_flagged(codes).tolist() == [[False, True], [True, True]]


def test_the_code_of_a_set_is_its_bits() -> None:
    codes = np.arange(8)
    members = MANY.members(codes)
    assert members[6].tolist() == [False, True, True]
    assert not members[0].any()
    assert members[7].all()
    assert np.array_equal(MANY.encode_members(members), codes)
    assert MANY.is_flagged(codes).tolist() == [False, False, *[True] * 6]
    assert not LabelSet(MANY.names, is_multi_label=True).is_flagged(codes).any()


def test_sets_are_read_from_lists_one_name_or_nothing() -> None:
    found = MANY.align(['["ad", "spam"]', "spam", "", "[]", '["ad", "ad"]'])
    assert found.tolist() == [6, 2, 0, 0, 4]
    numbered = LabelSet(("LABEL_0", "LABEL_1"), is_multi_label=True)
    assert numbered.align(["[0, 1]", '["LABEL_1"]', "1"]).tolist() == [3, 2, 2]
    listed = LabelSet(("[a]", "b"), is_multi_label=True)
    assert listed.align(["[a]", '["[a]", "b"]']).tolist() == [1, 3]


@pytest.mark.parametrize("cell", ['["spam", "Ad"]', "Ad", "[Ad", "spam|ad"])
def test_an_unknown_member_of_a_set_is_named_with_its_row(cell: str) -> None:
    with pytest.raises(DataError, match="first in data row 9"):
        MANY.align(["spam", cell], rows=[5, 9])


def test_sixty_two_labels_fit_into_a_code_and_one_more_does_not() -> None:
    names = tuple(f"c{place}" for place in range(63))
    most = LabelSet(names[:62], is_multi_label=True)
    every = most.encode_members(np.ones(62, dtype=np.bool_))
    assert int(every) == (1 << 62) - 1
    assert most.members(every).all()
    with pytest.raises(DataError, match="too many labels"):
        LabelSet(names, is_multi_label=True)
    assert len(LabelSet(names)) == 63


def test_members_that_no_answer_can_hold_are_refused() -> None:
    with pytest.raises(DataError, match="exactly one label"):
        LabelSet(("a", "b")).encode_members(np.asarray([[True, True]]))
    with pytest.raises(DataError, match="not members"):
        MANY.encode_members(np.asarray([True, False]))
