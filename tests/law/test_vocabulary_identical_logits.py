"""Law: after pruning the vocabulary, covered text gets the same logits, bit for bit."""

import pytest
import torch

from tests.support.toy_models import logits_of, toy_state
from thinfer.compress.embedding import prune_vocabulary
from thinfer.compress.state import State

COVERING = ["the cats sing", "unable? 42 天气好", "zq the-cat's 天", "ünknown 漢 the able"]
RECOMBINED = ["sing the sing 好气天", "cats cats able un", "the", ""]


def logits(state: State, texts: list[str]) -> torch.Tensor:
    return logits_of(state, state.tokenizer.encode(texts).batch)


def test_covered_text_gets_identical_logits() -> None:
    state = toy_state()
    small, report = prune_vocabulary(state, COVERING)
    assert report.outcome == "applied"
    assert small.architecture.vocab == small.tokenizer.vocab_size < state.architecture.vocab
    assert torch.equal(logits(small, COVERING), logits(state, COVERING))


def test_pairs_get_identical_logits() -> None:
    state = toy_state()
    small, _ = prune_vocabulary(state, COVERING)
    before, after = (
        logits_of(each, each.tokenizer.encode(COVERING, COVERING[::-1]).batch)
        for each in (state, small)
    )
    assert torch.equal(after, before)


def test_new_text_of_kept_tokens_gets_identical_logits() -> None:
    state = toy_state()
    small, _ = prune_vocabulary(state, COVERING)
    assert torch.equal(logits(small, RECOMBINED), logits(state, RECOMBINED))


def test_single_characters_stay() -> None:
    """A word that is cut from the vocabulary is still spelled, and nothing becomes unknown."""
    small, _ = prune_vocabulary(toy_state(), ["the"])
    assert "cats" not in small.tokenizer.tokens
    encoding = small.tokenizer.encode(["cats"])
    assert encoding.unknown.tolist() == [0]


@pytest.mark.parametrize("texts", [[], ["the"]])
def test_the_law_can_refuse(texts: list[str]) -> None:
    """Text that was not covered may be spelled otherwise, and then its logits differ."""
    state = toy_state()
    small, _ = prune_vocabulary(state, texts)
    assert not torch.equal(logits(small, ["cats sing"]), logits(state, ["cats sing"]))
