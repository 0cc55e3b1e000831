"""Position rows; and vocabularies that cannot be pruned are refused, not bent.

What pruning the vocabulary keeps is a law (tests/law/test_vocabulary_identical_logits.py).
"""

import pytest
import torch

from tests.support.toy_models import MAX_LENGTH, logits_of, toy_architecture, toy_batch, toy_state
from thinfer.compress import embedding
from thinfer.compress.embedding import cut_vocabulary, prune_positions, prune_vocabulary
from thinfer.errors import DataError, UserError
from thinfer.text.vocabulary import plan_vocabulary, prune_tokenizer


@pytest.mark.parametrize("offset", [0, 2])
def test_short_texts_get_identical_logits_without_the_rows_above(offset: int) -> None:
    state = toy_state(toy_architecture(position_offset=offset))
    small, report = prune_positions(state, 10)
    assert report.outcome == "applied"
    assert small.architecture.positions == len(small.weights["embeddings.position.weight"])
    assert small.architecture.positions == 10 + offset
    assert (small.max_length, small.tokenizer.max_length) == (10, 10)
    batch = toy_batch(6, longest=10)
    assert torch.equal(logits_of(small, batch), logits_of(state, batch))


@pytest.mark.parametrize("length", [MAX_LENGTH, MAX_LENGTH + 1])
def test_nothing_to_cut_is_refused_by_name(length: int) -> None:
    state = toy_state()
    same, report = prune_positions(state, length)
    assert same is state
    assert (report.outcome, str(length) in report.reason) == ("refused", True)


def test_no_room_for_text_is_an_error() -> None:
    with pytest.raises(UserError, match="no room"):
        prune_positions(toy_state(), 2)


def test_a_vocabulary_that_cannot_be_pruned_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        del arguments, options
        what = "cannot be pruned exactly"
        raise DataError(what)

    monkeypatch.setattr(embedding, "plan_vocabulary", refuse)
    state = toy_state()
    same, report = prune_vocabulary(state, ["the"])
    assert same is state
    assert (report.outcome, report.reason) == ("refused", "cannot be pruned exactly")


def test_a_plan_may_be_applied_to_another_state_of_the_same_vocabulary() -> None:
    first, second = toy_state(), toy_state(seed=1)
    plan = plan_vocabulary(first.tokenizer, ["the cat"], min_count=1)
    tokenizer = prune_tokenizer(first.tokenizer, plan)
    cut, _ = cut_vocabulary(second, plan, tokenizer)
    alone, _ = prune_vocabulary(second, ["the cat"])
    assert cut.architecture == alone.architecture
    for name, value in alone.weights.items():
        assert (cut.weights[name] == value).all()
    with pytest.raises(DataError, match="another vocabulary"):
        cut_vocabulary(cut, plan, tokenizer)


def test_rows_seen_less_often_go_as_well() -> None:
    texts = ["the cat the cat the sing"]
    whole, _ = prune_vocabulary(toy_state(), texts)
    small, report = prune_vocabulary(toy_state(), texts, min_count=2)
    assert small.architecture.vocab < whole.architecture.vocab
    assert report.details["rows_after"] == small.architecture.vocab
    assert small.tokenizer.vocab_size == small.architecture.vocab
