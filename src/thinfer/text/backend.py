"""The door to the tokenizers library: load a `tokenizer.json`, and name its special tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import tokenizers

from thinfer.errors import DataError
from thinfer.text.template import Template

__all__ = ["load_backend", "mend_surrogates", "name_specials", "tokens_by_id"]

PAD_NAMES = ("[PAD]", "<pad>")


def load_backend(text: str) -> tuple[tokenizers.Tokenizer, dict[str, Any]]:
    """Load a `tokenizer.json` without the truncation and padding stored in it.

    Args:
        text: the file's content.

    Returns:
        The tokenizer, and the parsed content.

    Raises:
        DataError: the text is not a tokenizer.
    """
    try:
        body = json.loads(text)
    except ValueError as error:
        what = "the tokenizer is not JSON"
        raise DataError(what, expected="a tokenizer.json", got=str(error)) from error
    if not isinstance(body, dict) or not isinstance(body.get("model"), dict):
        what = "the tokenizer is not in the form of a tokenizer.json"
        raise DataError(what, expected="an object with a 'model'")
    plain = json.dumps({**body, "padding": None, "truncation": None}, ensure_ascii=False)
    with _Door("the tokenizer.json cannot be loaded"):
        return tokenizers.Tokenizer.from_str(plain), body


def tokens_by_id(backend: tokenizers.Tokenizer) -> tuple[str, ...]:
    """Give the token strings by id, "" where no token has the id."""
    vocabulary = backend.get_vocab(with_added_tokens=True)
    tokens = [""] * (1 + max(vocabulary.values(), default=-1))
    for token, index in vocabulary.items():
        tokens[index] = token
    return tuple(tokens)


def name_specials(
    body: Mapping[str, Any], given: Mapping[str, str], template: Template, tokens: tuple[str, ...]
) -> dict[str, str]:
    """Find the special tokens: as given, else as the tokenizer itself uses them.

    Args:
        body: the parsed `tokenizer.json`.
        given: names as in `special_tokens_map.json` → token.
        template: of a single text; its edges are the first and the last token.
        tokens: token strings by id.

    Returns:
        Names as in `special_tokens_map.json` → token, each in the vocabulary; a token that the
        tokenizer does without is left out.

    Raises:
        DataError: there is no padding token.
    """
    model, padding = body["model"], body.get("padding") or {}
    known = set(tokens)
    unk = model.get("unk_token")
    if isinstance(model.get("unk_id"), int) and model["unk_id"] < len(tokens):
        unk = tokens[model["unk_id"]]
    first, last = template.specials[0][:1], template.specials[-1][-1:]
    own = {
        "pad_token": [padding.get("pad_token"), *PAD_NAMES],
        "unk_token": [unk],
        "cls_token": [tokens[index] for index in first],
        "sep_token": [tokens[index] for index in last],
        "mask_token": ["[MASK]", "<mask>"],
    }
    found = {}
    for name, choices in own.items():
        fitting = [token for token in (given.get(name), *choices) if token in known and token]
        if fitting:
            found[name] = str(fitting[0])
    if "pad_token" not in found:
        what = "the tokenizer has no padding token"
        do = "name it as pad_token in tokenizer_config.json"
        raise DataError(what, expected=" or ".join(PAD_NAMES), do=do)
    return found


def mend_surrogates(text: str) -> str:
    """Give the text with surrogate pairs joined and lone surrogates as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Door:
    """Turns the bare `Exception` that the tokenizers library raises into a `DataError`."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del trace
        if kind is Exception:  # exactly that class: a subclass is somebody else's
            raise DataError(self._what, got=str(error)) from error
