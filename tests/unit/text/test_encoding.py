"""What belongs to one text is added up over its windows."""

from __future__ import annotations

import numpy as np

from thinfer.text.encoding import sum_windows


def test_values_of_windows_are_added_up_text_by_text() -> None:
    values, windows = np.array([1, 2, 3, 4, 5, 6]), np.array([1, 3, 2])
    assert sum_windows(values, windows).tolist() == [1, 9, 11]


def test_one_window_each_and_no_text_at_all() -> None:
    assert sum_windows(np.array([7, 8]), np.array([1, 1])).tolist() == [7, 8]
    empty = np.array([], dtype=np.int64)
    assert sum_windows(empty, empty).tolist() == []
