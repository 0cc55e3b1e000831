from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from thinfer.core.digest import sha256_bytes
from thinfer.errors import UserError
from thinfer.text.learn import learn_wordpiece
from thinfer.text.moderation import generate_moderation

TEXTS = ["the singing cats sing", "天气很好 singing", "cats and dogs sing 2024"] * 3


def test_words_that_come_often_become_tokens_and_chinese_stays_single() -> None:
    tokenizer = learn_wordpiece(TEXTS, size=200, max_length=16)
    encoding = tokenizer.encode(["cats singing 天气 Quiz"])
    row = [tokenizer.token(int(index)) for index in encoding.batch.ids]
    assert row == ["[CLS]", "cats", "singing", "天", "气", "q", "##u", "##i", "##z", "[SEP]"]
    assert tokenizer.pad_id == 0
    assert encoding.unknown.tolist() == [0]


def test_the_size_is_a_limit() -> None:
    for size in (77, 80, 100):
        assert learn_wordpiece(TEXTS, size=size, max_length=8).vocab_size <= size
    with pytest.raises(UserError, match="too small"):
        learn_wordpiece(TEXTS, size=76, max_length=8)


def test_nothing_to_learn_from_still_spells_words() -> None:
    tokenizer = learn_wordpiece([], size=100, max_length=8)
    assert tokenizer.encode(["abc 9"]).unknown.tolist() == [0]


def test_two_processes_learn_the_same() -> None:
    code = (
        "import numpy as np;"
        "from thinfer.core.digest import sha256_bytes;"
        "from thinfer.text.learn import learn_wordpiece as learn;"
        "from thinfer.text.moderation import generate_moderation as make;"
        "texts = make(np.random.default_rng(3), rows=400).texts;"
        "print(sha256_bytes(learn(texts, size=900, max_length=8).to_json().encode()))"
    )
    seeded = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3"}
    other = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=seeded
    )
    texts = generate_moderation(np.random.default_rng(3), rows=400).texts
    own = learn_wordpiece(texts, size=900, max_length=8).to_json()
    assert other.stdout.strip() == sha256_bytes(own.encode())
