"""A WordPiece vocabulary learned from texts, for models that are trained from nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from thinfer.errors import UserError
from thinfer.text.backend import mend_surrogates
from thinfer.text.tokenizer import Tokenizer
from thinfer.text.wordpiece import build_wordpiece

__all__ = ["learn_wordpiece"]

_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ALWAYS = tuple("0123456789abcdefghijklmnopqrstuvwxyz")
_SMALLEST = len(_SPECIALS) + 2 * len(_ALWAYS)


def learn_wordpiece(texts: Iterable[str], *, size: int, max_length: int) -> Tokenizer:
    """Learn a vocabulary; the same texts in the same order give the same tokenizer.

    Each Chinese character is a token; letters and digits are always known, alone and inside a
    word, so that a new word is spelled and not unknown.

    Args:
        texts: what to learn from, any language.
        size: tokens at most, specials included.
        max_length: tokens of a sequence at most, specials included.

    Returns:
        A tokenizer as `BertTokenizer` would be with this vocabulary.

    Raises:
        UserError: the size has no room for the letters and digits.
    """
    if size < _SMALLEST:
        what = f"a vocabulary of {size} tokens is too small"
        raise UserError(what, expected=f"at least {_SMALLEST}")
    words = _count_words(texts)
    base = [*_SPECIALS, *_ALWAYS, *(f"##{character}" for character in _ALWAYS)]
    characters = _choose_characters(words, (size - _SMALLEST) // 2)
    vocabulary = dict.fromkeys([*base, *characters])
    for token in _train(words, size, known=list(vocabulary)):
        if len(vocabulary) >= size:
            break
        vocabulary.setdefault(token)
    backend = build_wordpiece({token: index for index, token in enumerate(vocabulary)})
    return Tokenizer.from_json(backend.to_str(), max_length=max_length)


def _count_words(texts: Iterable[str]) -> Counter[str]:
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        plain = normalizer.normalize_str(mend_surrogates(text))
        words.update(word for word, _ in splitter.pre_tokenize_str(plain))
    return words


def _choose_characters(words: Counter[str], room: int) -> list[str]:
    single: Counter[str] = Counter()
    for word, count in words.items():
        single[word[0]] += count
        for character in word[1:]:
            single[f"##{character}"] += count
    # Ties by code point: a counter's own order is the order of the texts.
    ranked = sorted(single, key=lambda token: (-single[token], token))
    return ranked[:room]


def _train(words: Counter[str], size: int, *, known: list[str]) -> list[str]:
    """Give the trainer's tokens in order of rank.

    The trainer numbers characters in the order of a hash table that is seeded anew in each
    process, and breaks ties by these numbers. Characters handed over as special tokens have
    their numbers already; words with any other character would bring chance back and stay out.
    """
    spelled = set(known)
    usable = {
        word: count
        for word, count in words.items()
        if len(word) > 1 and {word[0], *(f"##{inner}" for inner in word[1:])} <= spelled
    }
    backend = tokenizers.Tokenizer(models.WordPiece({}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=2, show_progress=False, special_tokens=known
    )
    lines = (" ".join([word] * count) for word, count in sorted(usable.items()))
    backend.train_from_iterator(lines, trainer)
    found = backend.get_vocab()
    return sorted(found, key=lambda token: (found[token], token))
