"""Same ids as Paddle's ErnieTokenizer, recorded once from Paddle itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thinfer.text import Tokenizer

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "paddle_tiny"
ROWS = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_ids_and_types_are_those_of_paddle(row: dict[str, object]) -> None:
    tokenizer = Tokenizer.from_folder(FOLDER)
    pair = row["pair"]
    batch = tokenizer.encode([str(row["text"])], None if pair is None else [str(pair)]).batch
    assert batch.ids.tolist() == row["ids"]
    assert batch.type_ids.tolist() == row["type_ids"]
