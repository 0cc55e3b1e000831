"""Long texts: what each policy keeps, that windows miss nothing, and how they are pooled."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tests.support.bundles import CLS, SEP, tokenizer_json
from thinfer.errors import DataError, UserError
from thinfer.text import LongText, Tokenizer
from thinfer.text.long_text import Policy, Pooling, pool_windows

TOKENIZER = Tokenizer.from_json(tokenizer_json(), max_length=12)
ROOM = 10
LETTERS = st.text("abcdef", max_size=40).map(" ".join)


def bare(text: str) -> list[int]:
    return TOKENIZER.encode_bare([text])[0]


def rows(text: str, long_text: LongText) -> list[list[int]]:
    """The sequences of one text, without their specials."""
    batch = TOKENIZER.encode([text], long_text=long_text).batch
    found = [batch.select([row]).ids.tolist() for row in range(len(batch))]
    assert all((row[0], row[-1]) == (CLS, SEP) for row in found)
    return [row[1:-1] for row in found]


@given(LETTERS, LETTERS, st.booleans(), st.integers(6, 20))
def test_the_tail_is_what_the_library_keeps_when_it_cuts_at_the_left(
    text: str, second: str, is_pair: bool, length: int
) -> None:
    theirs = tokenizers.Tokenizer.from_str(tokenizer_json())
    theirs.enable_truncation(length, strategy="longest_first", direction="left")
    expected = theirs.encode(text, second) if is_pair else theirs.encode(text)
    ours = TOKENIZER.with_max_length(length).encode(
        [text], [second] if is_pair else None, long_text=LongText(policy="tail")
    )
    assert ours.batch.ids.tolist() == expected.ids
    assert ours.batch.type_ids.tolist() == expected.type_ids


@given(LETTERS)
def test_head_and_tail_keep_half_of_each(text: str) -> None:
    ids = bare(text)
    (found,) = rows(text, LongText(policy="head_tail"))
    if len(ids) <= ROOM:
        assert found == ids
    else:
        assert found == ids[:5] + ids[-5:]


def test_of_an_odd_number_the_head_gets_one_more_and_a_pair_is_cut_on_both_sides() -> None:
    tokenizer = TOKENIZER.with_max_length(9)
    rule = LongText(policy="head_tail")
    text, second = "a b c d e f g h i", "k l m n o p q r s"
    single = tokenizer.encode([text], long_text=rule).batch.ids[1:-1].tolist()
    assert [tokenizer.token(token) for token in single] == list("abcdghi")
    pair = tokenizer.encode([text], [second], long_text=rule).batch
    row = [tokenizer.token(int(token)) for token in pair.ids]
    assert row == ["[CLS]", *"abi", "[SEP]", *"kls", "[SEP]"]


@given(LETTERS, st.floats(0, 0.9))
def test_windows_are_full_miss_nothing_and_overlap_enough(text: str, overlap: float) -> None:
    ids = bare(text)
    found = rows(text, LongText(policy="windows", overlap=overlap))
    if len(ids) <= ROOM:
        assert found == [ids]
        return
    assert all(len(row) == ROOM for row in found)
    shared = math.ceil(overlap * ROOM)
    step = max(1, ROOM - shared)
    assert len(found) == 1 + math.ceil((len(ids) - ROOM) / step)  # no window more than needed
    # Every position its own id: where each window starts is then known for certain.
    numbers = list(range(100, 100 + len(ids)))
    encoder = TOKENIZER.with_max_length(12)
    starts = window_starts(encoder, numbers, overlap)
    assert (starts[0], starts[-1]) == (0, len(ids) - ROOM)
    assert all(1 <= later - start <= step for start, later in itertools.pairwise(starts))


def window_starts(tokenizer: Tokenizer, numbers: list[int], overlap: float) -> list[int]:
    from thinfer.text.long_text import fit_parts

    kept = np.array([[ROOM]])
    parts, lengths, windows = fit_parts(
        [[numbers]], kept, room=ROOM, long_text=LongText(policy="windows", overlap=overlap)
    )
    assert lengths.ravel().tolist() == [ROOM] * len(parts[0])
    assert windows.tolist() == [len(parts[0])]
    for row in parts[0]:
        assert row == list(range(row[0], row[0] + ROOM))
    return [row[0] - numbers[0] for row in parts[0]]


@pytest.mark.parametrize("policy", get_args(Policy))
def test_a_text_that_fits_is_the_same_under_every_policy(policy: Policy) -> None:
    plain = TOKENIZER.encode(["", "a b c"])
    found = TOKENIZER.encode(["", "a b c"], long_text=LongText(policy=policy))
    assert found.batch.ids.tolist() == plain.batch.ids.tolist()
    assert found.windows.tolist() == [1, 1]
    assert not found.truncated.any()
    assert found.totals.tolist() == found.tokens.tolist() == [2, 5]


def test_counts_are_those_of_the_text_and_of_what_is_run() -> None:
    texts = ["a b", "☃ " * 13, "c"]
    windows = TOKENIZER.encode(texts, long_text=LongText(policy="windows", overlap=0.0))
    assert windows.windows.tolist() == [1, 2, 1]
    assert windows.tokens.tolist() == [4, 24, 3]
    assert windows.totals.tolist() == [4, 15, 3]
    assert windows.unknown.tolist() == [0, 20, 0]
    assert windows.truncated.tolist() == [False, False, False]
    head = TOKENIZER.encode(texts)
    assert head.tokens.tolist() == [4, 12, 3]
    assert head.totals.tolist() == [4, 15, 3]
    assert head.truncated.tolist() == [False, True, False]


def test_the_total_of_a_pair_counts_both_texts_and_three_specials() -> None:
    found = TOKENIZER.encode(["a b c"], ["d " * 20])
    assert (found.totals.tolist(), found.tokens.tolist()) == ([26], [12])


def test_what_may_not_be_is_refused() -> None:
    with pytest.raises(DataError, match="1 of the texts are too long"):
        TOKENIZER.encode(["a", "a " * 11], long_text=LongText(policy="error"))
    with pytest.raises(UserError, match="pair"):
        TOKENIZER.encode(["a " * 11], ["b"], long_text=LongText(policy="windows"))
    short = TOKENIZER.encode(["a"], ["b"], long_text=LongText(policy="windows"))
    assert len(short.batch) == 1
    for wrong in ({"policy": "window"}, {"policy": None}, {"pooling": "sum"}):
        with pytest.raises(UserError, match="no such p"):
            LongText(**wrong)
    for overlap in (-0.1, 0.91, float("nan")):
        with pytest.raises(UserError, match="overlap"):
            LongText(overlap=overlap)


LOGITS = np.array([[1, 0, 0], [5, 1, 0], [0, 3, 1], [4, 0, 2]], dtype=np.float32)


def pool(
    pooling: Pooling, *, normal: int | None, is_multi_label: bool = False
) -> list[list[float]]:
    exps = np.exp(LOGITS)
    scores = exps / exps.sum(axis=1, keepdims=True)
    pooled = pool_windows(
        LOGITS,
        scores.astype(np.float32),
        windows=np.array([1, 3]),
        pooling=pooling,
        normal=normal,
        is_multi_label=is_multi_label,
    )
    assert pooled.dtype == np.float32
    result: list[list[float]] = pooled.tolist()
    return result


def test_mean_is_the_mean_of_the_logits() -> None:
    assert pool("mean", normal=0) == [[1, 0, 0], [3, pytest.approx(4 / 3), 1]]


def test_max_takes_the_window_where_a_finding_is_furthest_ahead_of_normal() -> None:
    assert pool("max", normal=0) == [[1, 0, 0], [0, 3, 1]]


@given(hnp.arrays(np.float32, (5, 3), elements=st.floats(-5, 5, width=32)), st.integers(0, 2))
def test_with_max_a_text_is_a_finding_where_any_window_is(
    logits: NDArray[np.float32], normal: int
) -> None:
    windows = np.array([5])
    (row,) = pool_windows(
        logits, logits, windows=windows, pooling="max", normal=normal, is_multi_label=False
    )
    others = [label for label in range(3) if label != normal]
    is_found = (logits[:, others].max(axis=1) > logits[:, normal]).any()
    assert (row[others].max() > row[normal]) == is_found


def test_max_without_a_normal_label_takes_the_surest_window() -> None:
    assert pool("max", normal=None) == [[1, 0, 0], [5, 1, 0]]


def test_max_with_several_labels_takes_each_label_by_itself() -> None:
    assert pool("max", normal=None, is_multi_label=True)[1] == [5, 3, 2]
    assert pool("max", normal=0, is_multi_label=True)[1] == [0, 3, 2]
