"""`Tokenizer`: texts to packed token ids; never changed once made, so threads may share it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from thinfer.errors import DataError, UserError
from thinfer.text.backend import (
    PAD_NAMES,
    load_backend,
    mend_surrogates,
    name_specials,
    tokens_by_id,
)
from thinfer.text.batch import Batch
from thinfer.text.encoding import Encoding, sum_windows
from thinfer.text.folder import read_folder
from thinfer.text.long_text import HEAD, LongText, fit_parts
from thinfer.text.template import Template, cut_longest, probe_template

__all__ = ["Encoding", "Tokenizer"]

Ids = NDArray[np.int64]

DEFAULT_MAX_LENGTH = 512
_FEW_TEXTS = 64


def _fix(values: Ids | NDArray[np.bool_]) -> NDArray[Any]:
    values.setflags(write=False)
    return values


# What is true of nearly every single text, made once: an array costs as much as a word's token.
_WHOLE = _fix(np.zeros(1, dtype=np.bool_))
_NONE = _fix(np.zeros(1, dtype=np.int64))
_ONE = _fix(np.ones(1, dtype=np.int64))


class Tokenizer:
    """Texts to token ids, equal to the fast tokenizers of `transformers`.

    The wrapped tokenizer is set up once, without truncation and padding; cutting is done here.
    So no call changes it, and threads may share one. A lone surrogate, which no UTF-8 text can
    hold but JSON can bring, is read as U+FFFD.

    Attributes:
        max_length: tokens of a sequence at most, specials included.
        tokens: token strings by id; "" where no token has the id.
        special_tokens: special tokens by the names that `special_tokens_map.json` uses.
        pad_id: id of the padding token.
        unk_id: id of the unknown token; -1 where the tokenizer has none.
        cls_id: id of the token before the text; -1 where the tokenizer has none.
        sep_id: id of the token after the text; -1 where the tokenizer has none.
    """

    __slots__ = (
        "_backend",
        "_pair",
        "_single",
        "cls_id",
        "max_length",
        "pad_id",
        "sep_id",
        "special_tokens",
        "tokens",
        "unk_id",
    )

    def __init__(
        self, backend: tokenizers.Tokenizer, *, max_length: int, special_tokens: Mapping[str, str]
    ) -> None:
        self._backend = backend
        self._single = probe_template(backend, 1)
        self._pair = probe_template(backend, 2)
        self.max_length = _checked_length(max_length, self._single)
        self.tokens = tokens_by_id(backend)
        self.special_tokens = dict(special_tokens)
        ids = {name: self.id(token) for name, token in special_tokens.items()}
        self.pad_id = ids["pad_token"]
        self.unk_id = ids.get("unk_token", -1)
        self.cls_id = ids.get("cls_token", -1)
        self.sep_id = ids.get("sep_token", -1)

    @classmethod
    def from_json(
        cls, text: str, *, max_length: int, specials: Mapping[str, str] | None = None
    ) -> Tokenizer:
        """Load the text of a `tokenizer.json`; truncation and padding stored in it are ignored.

        Args:
            text: the file's content.
            max_length: tokens of a sequence at most, specials included.
            specials: `pad_token`, `unk_token`, `cls_token`, `sep_token`, `mask_token` → token,
                where the file's own choice shall not hold.

        Returns:
            The tokenizer.

        Raises:
            DataError: the text is no tokenizer, or has no padding token.
            UserError: `max_length` leaves no room for a token of text.
        """
        backend, body = load_backend(text)
        names = name_specials(
            body, specials or {}, probe_template(backend, 1), tokens_by_id(backend)
        )
        return cls(backend, max_length=max_length, special_tokens=names)

    @classmethod
    def from_folder(cls, folder: Path, *, max_length: int | None = None) -> Tokenizer:
        """Load a checkpoint's tokenizer: `tokenizer.json`, else `vocab.txt`.

        Args:
            folder: the checkpoint's folder.
            max_length: tokens of a sequence at most; by default what `tokenizer_config.json`
                says in `model_max_length`, and 512 where it says nothing useful.

        Returns:
            The tokenizer.

        Raises:
            DataError: no tokenizer is there, or it cannot be read.
            UserError: `max_length` leaves no room for a token of text.
        """
        source = read_folder(folder)
        length = max_length or source.max_length or DEFAULT_MAX_LENGTH
        return cls.from_json(source.text, max_length=length, specials=source.specials)

    def to_json(self) -> str:
        """Give the text of a `tokenizer.json` without truncation, always the same text.

        Padding is stored only to keep a padding token whose name no reader could guess.
        """
        body: dict[str, Any] = json.loads(self._backend.to_str())
        pad = self.special_tokens["pad_token"]
        if pad not in PAD_NAMES:
            body["padding"] = {
                "strategy": "BatchLongest",
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": self.pad_id,
                "pad_type_id": 0,
                "pad_token": pad,
            }
        return json.dumps(body, ensure_ascii=False, indent=1)

    def with_max_length(self, max_length: int) -> Tokenizer:
        """Give the same tokenizer with another limit.

        Args:
            max_length: tokens of a sequence at most, specials included.

        Returns:
            A new tokenizer that shares the vocabulary.

        Raises:
            UserError: the limit leaves no room for a token of text.
        """
        other = object.__new__(Tokenizer)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.max_length = _checked_length(max_length, self._single)
        return other

    @property
    def vocab_size(self) -> int:
        """Rows that an embedding table needs: the highest id and one."""
        return len(self.tokens)

    def token(self, token_id: int) -> str:
        """Give the token string of an id.

        Args:
            token_id: from 0 to `vocab_size - 1`.

        Raises:
            DataError: no token has the id.
        """
        token = self.tokens[token_id] if 0 <= token_id < len(self.tokens) else ""
        if not token:
            what = f"no token has the id {token_id}"
            raise DataError(what, expected=f"an id from 0 to {len(self.tokens) - 1}")
        return token

    def id(self, token: str) -> int:
        """Give the id of a token string.

        Args:
            token: the exact string, `##` included.

        Raises:
            DataError: the vocabulary lacks the token.
        """
        found = self._backend.token_to_id(token)
        if found is None:
            what = f"the vocabulary lacks the token {token!r}"
            raise DataError(what, do="check the special tokens in tokenizer_config.json")
        return int(found)

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        long_text: LongText = HEAD,
    ) -> Encoding:
        """Give the token ids of texts, cut to `max_length` as `transformers` cuts.

        Args:
            texts: any strings, empty ones included.
            pairs: the second text of each; of a pair, the longer text is cut first.
            long_text: what becomes of texts that are too long; by default their head is kept.

        Returns:
            Ids, and for each text whether it was cut and how many tokens are unknown.

        Raises:
            DataError: a text is not a string, there are not as many pairs as texts, or a text is
                too long where none may be.
            UserError: `max_length` leaves no room for the special tokens of a pair, or a pair is
                to be read in windows.
        """
        if pairs is None and len(texts) == 1 and (one := self._encode_one(texts[0], long_text)):
            return one
        if pairs is not None and len(pairs) != len(texts):
            what = "texts and pairs differ in number"
            raise DataError(what, expected=f"{len(texts)} pairs", got=str(len(pairs)))
        template = self._single if pairs is None else self._pair
        room = self.max_length - template.added
        if room < 0:
            what = f"a maximum length of {self.max_length} has no room for a pair"
            raise UserError(what, expected=f"at least {template.added}")
        parts = [self.encode_bare(side) for side in (texts, pairs) if side is not None]
        lengths = np.array([[len(ids) for ids in part] for part in parts], dtype=np.int64)
        lengths = lengths.reshape(len(parts), len(texts)).T  # [texts, sides]
        kept = np.minimum(lengths, room) if pairs is None else cut_longest(lengths, room)
        truncated = np.any(kept < lengths, axis=1)
        windows = np.ones(len(texts), dtype=np.int64)
        if long_text.policy != "head" and truncated.any():
            fitted, kept, windows = fit_parts(parts, kept, room=room, long_text=long_text)
            batch = template.assemble(fitted, kept)
            truncated &= long_text.policy != "windows"
        else:
            batch = template.assemble(parts, kept)
        sums = np.concatenate([[0], np.cumsum(batch.ids == self.unk_id)])
        return Encoding(
            batch=batch,
            truncated=truncated,
            unknown=sum_windows(np.diff(sums[batch.offsets]).astype(np.int64), windows),
            totals=lengths.sum(axis=1) + template.added,
            windows=windows,
            long_text=long_text,
        )

    def _encode_one(self, text: str, long_text: LongText) -> Encoding | None:
        """Encode one text that fits, without the arithmetic of many; None where it does not.

        A service meets single texts most of the time, and there the arrays of one row cost more
        than the tokens.
        """
        template = self._single
        try:
            bare = self._backend.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError):
            return None
        size = len(bare) + template.added
        if size > self.max_length or any(template.types):
            return None
        first, last = template.specials
        ids = np.array([*first, *bare, *last], dtype=np.int64)
        offsets = np.array([0, size], dtype=np.int64)
        unknown = bare.count(self.unk_id) + (*first, *last).count(self.unk_id)
        return Encoding(
            batch=Batch(ids, np.zeros(size, dtype=np.int64), offsets),
            truncated=_WHOLE,
            unknown=np.array([unknown], dtype=np.int64) if unknown else _NONE,
            totals=offsets[1:],
            windows=_ONE,
            long_text=long_text,
        )

    def encode_bare(self, texts: Sequence[str]) -> list[list[int]]:
        """Give the token ids of whole texts: nothing cut, no special tokens.

        Args:
            texts: any strings, empty ones included.

        Returns:
            Ids of each text.

        Raises:
            DataError: a text is not a string.
        """
        wrong = [text for text in texts if not isinstance(text, str)]
        if isinstance(texts, str) or wrong:
            what = "a tokenizer needs a sequence of strings"
            raise DataError(what, got=type(wrong[0] if wrong else texts).__name__)
        try:
            return self._encode_each(texts)
        except (TypeError, UnicodeEncodeError):  # a lone surrogate somewhere
            return self._encode_each([mend_surrogates(text) for text in texts])

    def _encode_each(self, texts: Sequence[str]) -> list[list[int]]:
        if len(texts) <= _FEW_TEXTS:
            # The library's own threads, woken for a handful of texts, would take the cores from
            # the engine: measured, 1.0 ms for 32 sentences here and 0.8 to 2.6 ms with them.
            each = self._backend.encode
            return [each(text, add_special_tokens=False).ids for text in texts]
        found = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in found]


def _checked_length(max_length: int, template: Template) -> int:
    if max_length <= template.added:
        what = f"a maximum length of {max_length} has no room for text"
        raise UserError(what, expected=f"at least {template.added + 1} tokens, specials included")
    return max_length
