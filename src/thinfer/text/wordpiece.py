"""WordPiece as BERT and ERNIE use it: a tokenizer from a plain vocabulary file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from thinfer.errors import DataError

__all__ = ["WordPieceSettings", "build_wordpiece", "read_vocabulary"]


# Besides Unicode's symbols, PaddleNLP counts eight characters in.
_SYMBOL = r"\p{S}|[\u00AD\u00B2\u00BA\u3007\u00B5\u00D8\u014B\u01B1]"


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPieceSettings:
    """What BERT's text preparation can be told, with BERT's defaults.

    Attributes:
        lowercase: whether text is lower-cased.
        strip_accents: whether accents go; None: where text is lower-cased.
        split_chinese: whether each Chinese character is a word of its own.
        split_symbols: whether each symbol (emoji, ☆, ￥) is a word of its own, as in PaddleNLP
            and unlike in `transformers`.
        unk: token for words that the vocabulary cannot spell.
        cls: token before the text.
        sep: token after each text.
        pad: token that fills a batch.
        mask: token of masked training; it may be absent from the vocabulary.
    """

    lowercase: bool = True
    strip_accents: bool | None = None
    split_chinese: bool = True
    split_symbols: bool = False
    unk: str = "[UNK]"
    cls: str = "[CLS]"
    sep: str = "[SEP]"
    pad: str = "[PAD]"
    mask: str = "[MASK]"


def build_wordpiece(
    vocabulary: Mapping[str, int], settings: WordPieceSettings | None = None
) -> tokenizers.Tokenizer:
    """Build the tokenizer that `BertTokenizer` and Paddle's `ErnieTokenizer` are.

    Args:
        vocabulary: token → id; word-inner tokens begin with `##`.
        settings: text preparation and names of the special tokens.

    Returns:
        A tokenizer without truncation and padding.

    Raises:
        DataError: the vocabulary lacks the unknown, first, last or padding token.
    """
    settings = settings or WordPieceSettings()
    needed = (settings.unk, settings.cls, settings.sep, settings.pad)
    missing = [token for token in needed if token not in vocabulary]
    if missing:
        what = "the vocabulary lacks special tokens"
        raise DataError(
            what,
            expected=", ".join(needed),
            got=f"no {', '.join(missing)}",
            do="name them in tokenizer_config.json or special_tokens_map.json",
        )
    backend = tokenizers.Tokenizer(
        models.WordPiece(dict(vocabulary), unk_token=settings.unk, max_input_chars_per_word=100)
    )
    backend.pre_tokenizer = _pre_tokenizer(settings)
    backend.decoder = decoders.WordPiece(prefix="##")
    apply_settings(backend, settings)
    specials = [token for token in (*needed, settings.mask) if token in vocabulary]
    backend.add_special_tokens(specials)
    return backend


def _pre_tokenizer(settings: WordPieceSettings) -> pre_tokenizers.PreTokenizer:
    words = pre_tokenizers.BertPreTokenizer()
    if not settings.split_symbols:
        return words
    symbols = pre_tokenizers.Split(tokenizers.Regex(_SYMBOL), behavior="isolated")
    return pre_tokenizers.Sequence([words, symbols])


def apply_settings(backend: tokenizers.Tokenizer, settings: WordPieceSettings) -> None:
    """Set BERT's text preparation and its two templates on a tokenizer being built.

    Args:
        backend: changed in place; its vocabulary holds the first and the last token.
        settings: what to set.
    """
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.split_chinese,
        strip_accents=settings.strip_accents,
        lowercase=settings.lowercase,
    )
    cls, sep = settings.cls, settings.sep
    backend.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, backend.token_to_id(cls)), (sep, backend.token_to_id(sep))],
    )


def read_vocabulary(path: Path) -> dict[str, int]:
    """Read a vocabulary file: one token a line, or token, tab and id on every line.

    Args:
        path: a `vocab.txt`.

    Returns:
        token → id. A token that comes twice keeps its last id, as in the libraries that
        trained the models.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or is empty.
    """
    try:
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        what = f"the vocabulary '{path}' cannot be read"
        raise DataError(what, expected="UTF-8, one token a line", got=str(error)) from error
    # Only \n ends a line: some vocabularies hold U+2028 and U+0085 as tokens.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if lines == [""]:
        what = f"the vocabulary '{path}' is empty"
        raise DataError(what, expected="one token a line")
    numbered = [line.rpartition("\t") for line in lines]
    if all(tab and number.isdecimal() for _, tab, number in numbered):
        return {token: int(number) for token, _, number in numbered}
    return {token: index for index, token in enumerate(lines)}
