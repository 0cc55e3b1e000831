"""What a checkpoint's folder says of its tokenizer, read the way `transformers` reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinfer.errors import DataError
from thinfer.text.wordpiece import WordPieceSettings, build_wordpiece, read_vocabulary

__all__ = ["TokenizerSource", "read_folder"]

_SPECIALS = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
_ABSURD_LENGTH = 1_000_000  # "no limit" is written as a huge number


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSource:
    """A tokenizer as found in a folder.

    Attributes:
        text: content of a `tokenizer.json`, built where the folder has none.
        specials: names as in `special_tokens_map.json` → token.
        max_length: what the folder says, in tokens; None where it says nothing useful.
    """

    text: str
    specials: Mapping[str, str]
    max_length: int | None


def read_folder(folder: Path) -> TokenizerSource:
    """Read `tokenizer.json`, else `vocab.txt`, with the settings beside it.

    Args:
        folder: the checkpoint's folder.

    Returns:
        The tokenizer's text and settings.

    Raises:
        DataError: there is no tokenizer, a file is not JSON, or the side of cutting is left.
    """
    config = _read_object(folder / "tokenizer_config.json")
    specials = _read_specials(_read_object(folder / "special_tokens_map.json"), config)
    if config.get("truncation_side", "right") != "right":
        what = f"the tokenizer in '{folder}' cuts long texts on the left"
        raise DataError(what, expected="truncation_side right in tokenizer_config.json")
    whole, plain = folder / "tokenizer.json", folder / "vocab.txt"
    if whole.is_file():
        body = _read_object(whole)
        text = json.dumps(_follow_config(body, config, specials), ensure_ascii=False)
    elif plain.is_file():
        is_paddle = (folder / "model_state.pdparams").is_file()
        settings = _settings(config, specials, split_symbols=is_paddle)
        backend = build_wordpiece(read_vocabulary(plain), settings)
        _add_tokens(backend, _read_object(folder / "added_tokens.json"), folder)
        text = backend.to_str()
    else:
        what = f"'{folder}' holds no tokenizer"
        do = "save it with save_pretrained of a fast tokenizer, which writes tokenizer.json"
        raise DataError(what, expected="tokenizer.json or vocab.txt", do=do)
    return TokenizerSource(text=text, specials=specials, max_length=_read_length(config))


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        body = json.loads(path.read_bytes().decode("utf-8"))
    except (OSError, ValueError) as error:
        what = f"'{path}' is not a JSON file"
        raise DataError(what, got=str(error), do="fetch the checkpoint again") from error
    if not isinstance(body, dict):
        what = f"'{path}' does not hold an object"
        raise DataError(what, expected="a JSON object", got=type(body).__name__)
    return body


def _read_specials(table: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    specials: dict[str, str] = {}
    for name in _SPECIALS:
        value = config.get(name) or table.get(name)
        token = value.get("content") if isinstance(value, dict) else value
        if isinstance(token, str):
            specials[name] = token
    return specials


def _read_length(config: Mapping[str, Any]) -> int | None:
    length = config.get("model_max_length")
    is_useful = isinstance(length, int | float) and 0 < length <= _ABSURD_LENGTH
    return int(length) if is_useful and length is not None else None


def _settings(
    config: Mapping[str, Any], specials: Mapping[str, str], *, split_symbols: bool = False
) -> WordPieceSettings:
    strip_accents = config.get("strip_accents")
    own = WordPieceSettings()
    return WordPieceSettings(
        lowercase=bool(config.get("do_lower_case", True)),
        strip_accents=None if strip_accents is None else bool(strip_accents),
        split_chinese=bool(config.get("tokenize_chinese_chars", True)),
        split_symbols=split_symbols,
        unk=specials.get("unk_token", own.unk),
        cls=specials.get("cls_token", own.cls),
        sep=specials.get("sep_token", own.sep),
        pad=specials.get("pad_token", own.pad),
        mask=specials.get("mask_token", own.mask),
    )


def _follow_config(
    body: dict[str, Any], config: Mapping[str, Any], specials: Mapping[str, str]
) -> dict[str, Any]:
    """Give the stored tokenizer with BERT's settings from `tokenizer_config.json`.

    Where the config names BERT's class, `transformers` lets these settings win over the stored
    ones; so the two files may disagree, and what counts is the config.
    """
    normalizer = body.get("normalizer")
    is_bert = str(config.get("tokenizer_class", "")).startswith(("Bert", "Ernie"))
    if (
        not is_bert
        or not isinstance(normalizer, dict)
        or normalizer.get("type") != "BertNormalizer"
    ):
        return body
    settings = _settings(config, specials)
    ours = {
        "handle_chinese_chars": settings.split_chinese,
        "lowercase": settings.lowercase,
        "strip_accents": settings.strip_accents,
    }
    return {**body, "normalizer": {**normalizer, **ours}}


def _add_tokens(backend: Any, added: Mapping[str, Any], folder: Path) -> None:  # noqa: ANN401 - untyped library object
    for token, index in sorted(added.items(), key=lambda item: int(item[1])):
        backend.add_tokens([token])
        if backend.token_to_id(token) != index:
            what = f"the added tokens in '{folder}' leave gaps"
            got = f"{token!r} as {index}, next free is {backend.token_to_id(token)}"
            raise DataError(what, expected="ids that follow on vocab.txt", got=got)
