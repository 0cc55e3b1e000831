from __future__ import annotations

import numpy as np
import pytest

from tests.support.bert_vocab import small_tokenizer
from thinfer.errors import UserError
from thinfer.measure.workload import batch_texts, make_texts, parse_shape


def test_batches_keep_arrival_order_and_the_limit() -> None:
    texts = [str(number) for number in range(10)]
    found = batch_texts("corpus", texts, batch_size=3, limit=8)
    assert found.batches == (("0", "1", "2"), ("3", "4", "5"), ("6", "7"))
    assert found.texts == 8


def test_an_empty_workload_is_refused() -> None:
    with pytest.raises(UserError):
        batch_texts("corpus", [], batch_size=3, limit=8)
    with pytest.raises(UserError):
        batch_texts("corpus", ["a"], batch_size=0, limit=8)


def test_shapes() -> None:
    assert parse_shape(" 32x8 ") == (32, 8)
    for bad in ("32", "x8", "0x8", "8x00", "32X8", "-1x8", "1x2x3"):
        with pytest.raises(UserError):
            parse_shape(bad)


@pytest.mark.parametrize("shape", ["3x2", "3x3", "4x17", "1x32"])
def test_made_texts_have_the_length_asked_for(shape: str) -> None:
    tokenizer = small_tokenizer(max_length=32)
    found = make_texts(shape, tokenizer=tokenizer, rng=np.random.default_rng(0), batches=2)
    sequences, length = parse_shape(shape)
    assert len(found.batches) == 2
    for batch in found.batches:
        encoding = tokenizer.encode(list(batch))
        assert encoding.batch.lengths.tolist() == [length] * sequences
        assert not encoding.truncated.any()
        assert not encoding.unknown.any()
    again = make_texts(shape, tokenizer=tokenizer, rng=np.random.default_rng(0), batches=2)
    assert again == found


@pytest.mark.parametrize("shape", ["1x1", "1x33"])
def test_a_length_that_no_text_has_is_refused(shape: str) -> None:
    with pytest.raises(UserError, match="2 … 32"):
        make_texts(shape, tokenizer=small_tokenizer(), rng=np.random.default_rng(0))
