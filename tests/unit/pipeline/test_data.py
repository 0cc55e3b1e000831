from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from thinfer.errors import DataError
from thinfer.pipeline.data import DataSets, head, load_sets
from thinfer.pipeline.request import DataRequest
from thinfer.quality.labels import LabelSet

LABELS = LabelSet(("bad", "good"))
Rows = Sequence[tuple[str, str]]
TRAIN = [(f"train {i}", "good" if i % 2 else "bad") for i in range(6)]
DEV = [(f"dev {i}", "good" if i % 2 else "bad") for i in range(4)]
TEST = [(f"test {i}", "good" if i % 2 else "bad") for i in range(4)]


def load(folder: Path, *, train: Rows = TRAIN, dev: Rows = DEV, test: Rows = TEST) -> DataSets:
    for name, rows in (("train", train), ("dev", dev), ("test", test)):
        lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return load_sets(request(folder), LABELS)


def request(folder: Path, unlabelled: Path | None = None) -> DataRequest:
    train, dev, test = (folder / f"{name}.csv" for name in ("train", "dev", "test"))
    return DataRequest(train=train, dev=dev, test=test, unlabelled=unlabelled)


def test_clean_sets_are_taken_whole(tmp_path: Path) -> None:
    sets = load(tmp_path)
    assert (len(sets.train), len(sets.dev), len(sets.test)) == (6, 4, 4)
    assert sets.warnings == ()
    assert sets.facts["leaked"] == 0
    np.testing.assert_array_equal(sets.train.truth, [0, 1, 0, 1, 0, 1])


def test_leaked_rows_are_left_out_of_test_and_reported(tmp_path: Path) -> None:
    leaks = [("TRAIN  0", "bad"), ("dev 1", "bad")]  # alike but for case and blanks; other label
    sets = load(tmp_path, test=[leaks[0], *TEST, leaks[1]])
    assert sets.test.corpus.texts == tuple(text for text, _ in TEST)
    assert sets.test.corpus.rows == (1, 2, 3, 4)
    assert sets.facts["leaked"] == 2
    assert sets.facts["test"] == 4
    assert "2 test rows" in sets.warnings[0]
    assert "(1 with another label)" in sets.warnings[0]


def test_dev_rows_that_stand_in_train_are_told_and_kept(tmp_path: Path) -> None:
    sets = load(tmp_path, dev=[*DEV, TRAIN[0]])
    assert len(sets.dev) == 5
    assert sets.facts["dev_in_train"] == 1
    assert "1 dev rows also stand in train" in sets.warnings[0]


def test_rows_without_a_text_are_dropped_and_reported(tmp_path: Path) -> None:
    sets = load(tmp_path, train=[*TRAIN, ("", "bad"), ("  ", "good")])
    assert len(sets.train) == 6
    assert sets.facts["dropped"] == 2
    assert "2 rows without a text" in sets.warnings[0]


@pytest.mark.parametrize("name", ["train", "dev", "test"])
def test_one_class_only_is_refused(tmp_path: Path, name: str) -> None:
    alone = [("just", "good"), ("the same", "good")]
    with pytest.raises(DataError, match=rf"{name}\.csv' holds one class only.*rows of 'good'"):
        load(tmp_path, **{name: alone})


def test_a_test_set_that_leaked_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="every row of the test set"):
        load(tmp_path, test=DEV)


def test_an_unknown_label_names_file_and_row_even_where_the_row_leaked(tmp_path: Path) -> None:
    rows = [*TEST, ("", "bad"), ("train 0", "ugly")]
    with pytest.raises(DataError, match=r"file test\.csv.*'ugly' is first in data row 5"):
        load(tmp_path, test=rows)


def test_unlabelled_text_is_read_without_labels(tmp_path: Path) -> None:
    load(tmp_path)
    (tmp_path / "more.txt").write_text("one\ntwo\n")
    sets = load_sets(request(tmp_path, tmp_path / "more.txt"), LABELS)
    assert sets.unlabelled is not None
    assert sets.unlabelled.texts == ("one", "two")
    assert sets.facts["unlabelled"] == 2


def test_unlabelled_text_that_stands_in_dev_or_test_is_left_out(tmp_path: Path) -> None:
    load(tmp_path)
    (tmp_path / "more.txt").write_text(f"one\n{DEV[0][0]}\n{TEST[0][0]}\ntrain 0\n")
    sets = load_sets(request(tmp_path, tmp_path / "more.txt"), LABELS)
    assert sets.unlabelled is not None
    assert sets.unlabelled.texts == ("one", "train 0")


def test_unlabelled_pairs_beside_single_texts_are_refused(tmp_path: Path) -> None:
    load(tmp_path)
    (tmp_path / "more.csv").write_text("text,text_pair\none,two\n")
    with pytest.raises(DataError, match="same text columns"):
        load_sets(request(tmp_path, tmp_path / "more.csv"), LABELS)


def test_the_head_of_a_set_keeps_texts_and_truth_together(tmp_path: Path) -> None:
    part = head(load(tmp_path).train, 3)
    assert part.corpus.texts == ("train 0", "train 1", "train 2")
    np.testing.assert_array_equal(part.truth, [0, 1, 0])
    assert len(head(part, 99)) == 3
