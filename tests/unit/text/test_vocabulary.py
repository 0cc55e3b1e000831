from __future__ import annotations

import json

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bert_vocab import SPECIALS, small_tokenizer
from tests.support.nasty_texts import NASTY_TEXTS
from thinfer.errors import DataError
from thinfer.text import Tokenizer
from thinfer.text.vocabulary import plan_vocabulary, prune_tokenizer, unknown_rate
from thinfer.text.wordpiece import build_wordpiece

PIECES = st.text("abc", min_size=1, max_size=4)
TEXTS = st.lists(st.text("abcd ", max_size=14), max_size=6)
NAMES = ("<pad>", "<unk>", "<s>", "</s>")


def spelled(tokenizer: Tokenizer, text: str) -> list[str]:
    ids = tokenizer.encode([text], [text]).batch.ids
    return [tokenizer.token(int(index)) for index in ids]


def require_exact(tokenizer: Tokenizer, covering: list[str], others: list[str], keep: bool) -> None:
    plan = plan_vocabulary(tokenizer, covering, keep_characters=keep)
    pruned = prune_tokenizer(tokenizer, plan)
    assert pruned.vocab_size == plan.kept
    assert plan.kept + plan.dropped == tokenizer.vocab_size
    assert pruned.special_tokens == tokenizer.special_tokens
    for text in covering:
        assert spelled(pruned, text) == spelled(tokenizer, text)
        old = plan.keep[pruned.encode([text]).batch.ids]
        assert old.tolist() == tokenizer.encode([text]).batch.ids.tolist()
    known = set(pruned.tokens)
    unknown = tokenizer.special_tokens["unk_token"]
    for text in others:
        row = spelled(tokenizer, text)
        if set(row) <= known and unknown not in row:
            assert spelled(pruned, text) == row


def unigram(scores: list[tuple[str, float]]) -> Tokenizer:
    names = [(name, 0.0) for name in NAMES]
    vocab = [*names, *[(piece, score) for piece, score in scores if piece not in NAMES]]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, unk_id=1))
    return framed(backend)


def bpe(covering: list[str]) -> Tokenizer:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=40, special_tokens=list(NAMES), show_progress=False
    )
    backend.train_from_iterator(covering, trainer)
    return framed(backend)


def framed(backend: tokenizers.Tokenizer) -> Tokenizer:
    backend.add_special_tokens(list(NAMES))
    backend.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 3), ("<s>", 2))
    return Tokenizer.from_json(backend.to_str(), max_length=64)


@settings(max_examples=150, deadline=None)
@given(st.sets(PIECES), st.sets(PIECES), TEXTS, TEXTS, st.booleans())
def test_wordpiece_spells_covered_texts_as_before(
    words: set[str], inner: set[str], covering: list[str], others: list[str], keep: bool
) -> None:
    names = [*SPECIALS, *sorted(words), *(f"##{piece}" for piece in sorted(inner))]
    backend = build_wordpiece({token: index for index, token in enumerate(names)})
    require_exact(Tokenizer.from_json(backend.to_str(), max_length=64), covering, others, keep)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(PIECES, st.integers(-12, -1), min_size=1), TEXTS, TEXTS, st.booleans())
def test_unigram_spells_covered_texts_as_before(
    scores: dict[str, int], covering: list[str], others: list[str], keep: bool
) -> None:
    tokenizer = unigram([(piece, float(score)) for piece, score in scores.items()])
    require_exact(tokenizer, covering, others, keep)


@settings(max_examples=100, deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.booleans())
def test_bpe_spells_covered_texts_as_before(
    learned: list[str], covering: list[str], others: list[str], keep: bool
) -> None:
    require_exact(bpe(learned), covering, others, keep)


def test_a_word_that_was_unknown_stays_unknown() -> None:
    # "ab" is taken first and "##c" is missing; without "ab" the word would be spelled a ##bc.
    names = [*SPECIALS, "a", "d", "ab", "##bc"]
    backend = build_wordpiece({token: index for index, token in enumerate(names)})
    tokenizer = Tokenizer.from_json(backend.to_str(), max_length=8)
    assert spelled(tokenizer, "abc")[1] == "[UNK]"
    pruned = prune_tokenizer(tokenizer, plan_vocabulary(tokenizer, ["abc\ud800", "dbc"]))
    assert spelled(pruned, "abc")[1] == "[UNK]"


def test_the_cheapest_unigram_piece_stays() -> None:
    # Without it the unknown token would cost less, and "ad" would be spelled with it.
    tokenizer = unigram([("a", -2.0), ("zzz", -40.0), ("dd", -3.0)])
    plan = plan_vocabulary(tokenizer, ["a"])
    assert tokenizer.id("zzz") in plan.keep.tolist()


def test_characters_stay_by_default_and_go_on_request() -> None:
    names = [*SPECIALS, "微", "##微", "０", "😀", "❤\ufe0f", "9", "##9", "word", "##ing"]
    backend = build_wordpiece({token: index for index, token in enumerate(names)})
    tokenizer = Tokenizer.from_json(backend.to_str(), max_length=8)
    kept = prune_tokenizer(tokenizer, plan_vocabulary(tokenizer, []))
    assert list(kept.tokens) == names[:-2]
    bare = prune_tokenizer(tokenizer, plan_vocabulary(tokenizer, [], keep_characters=False))
    assert list(bare.tokens) == list(SPECIALS)


def test_nasty_texts_are_covered_exactly() -> None:
    tokenizer = small_tokenizer(16)
    require_exact(tokenizer, list(NASTY_TEXTS), ["the cats sing"], keep=False)


def test_the_unknown_rate_counts_text_tokens_only() -> None:
    tokenizer = small_tokenizer(4)
    assert unknown_rate(tokenizer, []) == unknown_rate(tokenizer, [""]) == 0.0
    assert unknown_rate(tokenizer, ["a ☃ b c", "the cat"]) == pytest.approx(1 / 6)


def test_what_cannot_be_pruned_exactly_is_refused() -> None:
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({name: i for i, name in enumerate(NAMES)}, unk_token="<unk>")
    )
    with pytest.raises(DataError, match="WordLevel cannot be pruned"):
        plan_vocabulary(framed(backend), ["a"])
    body = json.loads(bpe(["aab ab aab"]).to_json())
    body["model"]["dropout"] = 0.1
    noisy = Tokenizer.from_json(json.dumps(body), max_length=8)
    with pytest.raises(DataError, match="cannot be pruned"):
        plan_vocabulary(noisy, ["a"])


def test_a_plan_for_another_vocabulary_is_refused() -> None:
    tokenizer = small_tokenizer()
    plan = plan_vocabulary(tokenizer, ["a"], keep_characters=False)
    with pytest.raises(DataError, match="another vocabulary"):
        prune_tokenizer(prune_tokenizer(tokenizer, plan), plan)


def test_rare_tokens_go_and_characters_stay() -> None:
    tokenizer = small_tokenizer(max_length=24)
    covering = ["the cat the cat the sing"]
    all_of_them = plan_vocabulary(tokenizer, covering)
    plan = plan_vocabulary(tokenizer, covering, min_count=2)
    kept = {tokenizer.token(int(index)) for index in plan.keep}
    gone = {tokenizer.token(int(i)) for i in all_of_them.keep} - kept
    assert "the" in kept
    assert gone
    assert all(covering[0].count(token.removeprefix("##")) < 3 for token in gone)
    assert not any(len(token.removeprefix("##")) == 1 for token in gone)
    pruned = prune_tokenizer(tokenizer, plan)
    assert spelled(pruned, "the the") == spelled(tokenizer, "the the")
    assert plan_vocabulary(tokenizer, covering, min_count=1).keep.tolist() == (
        all_of_them.keep.tolist()
    )


def test_a_count_above_all_leaves_specials_and_characters() -> None:
    tokenizer = small_tokenizer(max_length=24)
    plan = plan_vocabulary(tokenizer, ["the cat"], min_count=1000)
    assert plan.keep.tolist() == plan_vocabulary(tokenizer, []).keep.tolist()
