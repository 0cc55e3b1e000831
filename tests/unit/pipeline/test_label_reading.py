"""The user, the file or the model says whether a text may have several labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.small_forms import small_sets
from tests.support.small_task import small_task
from thinfer.errors import DataError, UserError
from thinfer.pipeline.label_reading import FoundLabels, read_training_text, separator_of_model
from thinfer.text.label_sets import choose_separator

LISTS = '{"text": "one", "label": ["spam", "abuse"]}\n{"text": "two", "label": []}\n'
CELLS = "text,label\none,spam|abuse\ntwo,\n"
PLAIN = "text,label\none,spam|abuse\ntwo,spam\n"


def read(
    folder: Path,
    body: str,
    *,
    model: str | None = None,
    is_multi_label: bool = False,
    separator: str | None = None,
) -> tuple[FoundLabels, tuple[str, ...] | None]:
    path = folder / ("a.jsonl" if body.startswith("{") else "a.csv")
    path.write_text(body)
    train, dev, found = read_training_text(
        path,
        path,
        model=model,
        columns=(None, None),
        is_multi_label=is_multi_label,
        separator=separator,
    )
    assert train.labels == dev.labels
    return found, train.labels


def test_lists_are_sets_by_themselves(tmp_path: Path) -> None:
    found, labels = read(tmp_path, LISTS)
    assert found == FoundLabels(names=("abuse", "spam"), is_multi_label=True)
    assert labels == ('["abuse", "spam"]', "[]")


def test_cells_are_sets_where_the_user_says_so(tmp_path: Path) -> None:
    assert read(tmp_path, CELLS, is_multi_label=True)[0].names == ("abuse", "spam")
    other = CELLS.replace("|", ";")
    assert read(tmp_path, other, separator=";")[0].names == ("abuse", "spam")
    found, labels = read(tmp_path, PLAIN)
    assert found == FoundLabels(names=("spam", "spam|abuse"), is_multi_label=False)
    assert labels == ("spam|abuse", "spam")


def test_cells_are_sets_where_the_model_says_so(tmp_path: Path) -> None:
    model = str(small_sets().model)
    found, labels = read(tmp_path, CELLS, model=model)
    assert found.is_multi_label
    assert len(found.names) == 6  # the model's: its head stays
    assert labels == ('["abuse", "spam"]', "[]")
    # Labels that it does not know make a new task of one label a text.
    assert not read(tmp_path, PLAIN.replace("spam", "ham"), model=model)[0].is_multi_label
    assert not read(tmp_path, PLAIN, model=str(small_task().model))[0].is_multi_label


@pytest.mark.parametrize("body", ["text,label\na,spam\nb,spam\n", "text,label\na,\nb,\n"])
def test_one_set_only_is_nothing_to_learn(tmp_path: Path, body: str) -> None:
    with pytest.raises(DataError, match="one class only"):
        read(tmp_path, body, is_multi_label=True)


def test_the_separator_goes_with_the_model(tmp_path: Path) -> None:
    assert separator_of_model(small_sets().model, None) == "|"
    assert separator_of_model(small_sets().model, ";") == ";"
    assert separator_of_model(small_task().model, None) is None
    with pytest.raises(UserError, match="several labels"):
        separator_of_model(small_task().model, ";")
    with pytest.raises(UserError, match="no model"):
        separator_of_model(tmp_path / "none", None)
    assert choose_separator(None, is_multi_label=True) == "|"
