"""Vocabulary pruning: which tokens stay, and the tokenizer that is left.

Exact for covered text: a token that no covering text uses is no part of how those texts are
spelled, so taking it away changes nothing. Three traps need more than the used tokens, and
`test_vocabulary.py` guards each: WordPiece gives a word up after a first greedy step, so the
steps of unknown words stay; Unigram derives the price of the unknown token from its cheapest
piece, so that piece stays; BPE builds a token by merges, so all parts of a kept token stay.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinfer.errors import DataError
from thinfer.text.backend import load_backend, mend_surrogates
from thinfer.text.tokenizer import Tokenizer

__all__ = ["VocabularyPlan", "plan_vocabulary", "prune_tokenizer", "unknown_rate"]

_UNUSED = re.compile(r"\[unused\d+\]|")  # places held free in BERT's vocabularies, or no token
_CHUNK = 2048  # texts encoded at a time
_INVISIBLE = frozenset("\u200d\ufe0e\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VocabularyPlan:
    """Which rows of the embedding table stay.

    Attributes:
        keep: int64 `[kept]`, old ids, rising; the new id is the position.
        total: rows before.
        used: distinct tokens in the covering texts.
        texts: number of covering texts.
    """

    keep: NDArray[np.int64]
    total: int
    used: int
    texts: int

    @property
    def kept(self) -> int:
        """Number of rows that stay."""
        return len(self.keep)

    @property
    def dropped(self) -> int:
        """Number of rows that go."""
        return self.total - len(self.keep)


def plan_vocabulary(
    tokenizer: Tokenizer,
    covering_texts: Iterable[str],
    *,
    keep_characters: bool = True,
    keep_commonest: int = 0,
    min_count: int = 1,
) -> VocabularyPlan:
    """Choose the tokens that stay so that the covering texts are spelled as before.

    Args:
        tokenizer: WordPiece, Unigram or BPE.
        covering_texts: texts, and pairs, on which the tokenizer must not change.
        keep_characters: whether all single characters, digits, full-width forms and emoji stay
            too; without them rare spellings of a word become unknown.
        keep_commonest: so many of the first ids stay as well, `[unused…]` rows apart: the
            vocabularies of BERT's family list common tokens before rare ones.
        min_count: tokens that the covering texts use less often go. Over 1 those texts are no
            longer spelled as before: a rare word becomes pieces, or characters.

    Returns:
        The plan.

    Raises:
        DataError: the model is of another kind, or drops merges by chance.
    """
    texts = list(covering_texts)
    _, body = load_backend(tokenizer.to_json())
    model = body["model"]
    if model.get("type") not in _CLOSURES or model.get("dropout"):
        what = f"a vocabulary of the kind {model.get('type')} cannot be pruned exactly"
        raise DataError(what, expected=f"{', '.join(_CLOSURES)} without dropout")
    counts: Counter[int] = Counter()
    for start in range(0, len(texts), _CHUNK):
        for row in tokenizer.encode_bare(texts[start : start + _CHUNK]):
            counts.update(row)
    used = {index for index, count in counts.items() if count >= min_count}
    keep = set(used) | {int(token["id"]) for token in body.get("added_tokens", [])}
    keep |= {tokenizer.id(token) for token in tokenizer.special_tokens.values()}
    if keep_characters:
        prefix = model.get("continuing_subword_prefix") or ""
        tokens = enumerate(tokenizer.tokens)
        keep |= {index for index, token in tokens if _is_character(token, prefix)}
    first = enumerate(tokenizer.tokens[:keep_commonest])
    keep |= {index for index, token in first if not _UNUSED.fullmatch(token)}
    keep |= _CLOSURES[model["type"]](tokenizer, model, texts, keep)
    rows = np.array(sorted(keep), dtype=np.int64)
    return VocabularyPlan(keep=rows, total=tokenizer.vocab_size, used=len(used), texts=len(texts))


def prune_tokenizer(tokenizer: Tokenizer, plan: VocabularyPlan) -> Tokenizer:
    """Give the tokenizer that knows only the tokens of the plan, numbered anew.

    Args:
        tokenizer: the one that the plan was made for.
        plan: which tokens stay.

    Returns:
        The smaller tokenizer. Covering texts, and any text whose tokens are all kept and none
        of them unknown, have the same token strings as before.

    Raises:
        DataError: the plan was made for another vocabulary.
    """
    if plan.total != tokenizer.vocab_size:
        what = "the plan belongs to another vocabulary"
        raise DataError(what, expected=f"{plan.total} tokens", got=str(tokenizer.vocab_size))
    _, body = load_backend(tokenizer.to_json())
    renumber = {int(old): new for new, old in enumerate(plan.keep)}
    added = [{**token, "id": renumber[int(token["id"])]} for token in body.get("added_tokens", [])]
    pruned = {
        **body,
        "added_tokens": added,
        "model": _prune_model(body["model"], renumber),
        "post_processor": _renumber_ids(body.get("post_processor"), renumber),
        "padding": None,
    }
    return Tokenizer.from_json(
        json.dumps(pruned, ensure_ascii=False),
        max_length=tokenizer.max_length,
        specials=tokenizer.special_tokens,
    )


def unknown_rate(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """Give the share of unknown tokens among the tokens of texts, 0 to 1; special tokens aside.

    Args:
        tokenizer: its `max_length` does not matter: whole texts are counted.
        texts: any strings; none at all gives 0.
    """
    rows = tokenizer.encode_bare(texts)
    total = sum(len(row) for row in rows)
    return sum(row.count(tokenizer.unk_id) for row in rows) / total if total else 0.0


def _is_character(token: str, prefix: str) -> bool:
    core = token.removeprefix(prefix) if prefix else token.removeprefix("▁")
    is_byte = len(token) == 6 and token.startswith("<0x") and token.endswith(">")
    visible = [letter for letter in core or token if letter not in _INVISIBLE]
    return bool(token) and (is_byte or len(visible) <= 1)


def _close_wordpiece(
    tokenizer: Tokenizer, model: Mapping[str, Any], texts: Sequence[str], keep: set[int]
) -> set[int]:
    del keep
    backend, _ = load_backend(tokenizer.to_json())
    vocabulary, prefix = model["vocab"], model["continuing_subword_prefix"]
    words: set[str] = set()
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        rows = tokenizer.encode_bare(chunk)
        for text in (t for t, row in zip(chunk, rows, strict=True) if tokenizer.unk_id in row):
            whole = mend_surrogates(text)
            encoding = backend.encode(whole, add_special_tokens=False)
            spans = zip(encoding.ids, encoding.offsets, strict=True)
            words.update(whole[a:b] for index, (a, b) in spans if index == tokenizer.unk_id)
    limit = int(model.get("max_input_chars_per_word", 100))  # longer words take no step at all
    normalizer = backend.normalizer
    plain = {normalizer.normalize_str(word).strip() if normalizer else word for word in words}
    short = [word for word in plain if len(word) <= limit]
    return {index for word in short for index in _greedy_steps(word, vocabulary, prefix)}


def _greedy_steps(word: str, vocabulary: Mapping[str, int], prefix: str) -> list[int]:
    steps: list[int] = []
    start = 0
    while start < len(word):
        lead = prefix if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if lead + word[start:end] in vocabulary), None)
        if end is None:
            break
        steps.append(vocabulary[lead + word[start:end]])
        start = end
    return steps


def _close_unigram(
    tokenizer: Tokenizer, model: Mapping[str, Any], texts: Sequence[str], keep: set[int]
) -> set[int]:
    del tokenizer, texts, keep
    scores = [float(score) for _, score in model["vocab"]]
    unk = model.get("unk_id")
    return {int(np.argmin(scores))} | (set() if unk is None else {int(unk)})


def _close_bpe(
    tokenizer: Tokenizer, model: Mapping[str, Any], texts: Sequence[str], keep: set[int]
) -> set[int]:
    del texts
    vocabulary: Mapping[str, int] = model["vocab"]
    parts: dict[str, list[str]] = {}
    for merge in model["merges"]:
        left, right = _merge_parts(merge)
        joined = _join(left, right, model)
        parts.setdefault(joined, []).extend([left, right])
    closed: set[int] = set()
    todo = [tokenizer.tokens[index] for index in keep]
    while todo:
        token = todo.pop()
        index = vocabulary.get(token)
        if index is not None and index not in closed:
            closed.add(index)
            todo.extend(parts.get(token, ()))
    return closed


def _merge_parts(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _join(left: str, right: str, model: Mapping[str, Any]) -> str:
    prefix = model.get("continuing_subword_prefix") or ""
    return left + (right.removeprefix(prefix) if prefix else right)


_CLOSURES: Mapping[
    str, Callable[[Tokenizer, Mapping[str, Any], Sequence[str], set[int]], set[int]]
] = {"BPE": _close_bpe, "Unigram": _close_unigram, "WordPiece": _close_wordpiece}


def _prune_model(model: Mapping[str, Any], renumber: Mapping[int, int]) -> dict[str, Any]:
    if model["type"] == "Unigram":
        pieces = [piece for index, piece in enumerate(model["vocab"]) if index in renumber]
        unk = model.get("unk_id")
        return {**model, "vocab": pieces, "unk_id": None if unk is None else renumber[unk]}
    rest = {token: renumber[i] for token, i in model["vocab"].items() if i in renumber}
    if model["type"] == "WordPiece":
        return {**model, "vocab": rest}
    merges = [
        merge
        for merge in model["merges"]
        if {*_merge_parts(merge), _join(*_merge_parts(merge), model)} <= rest.keys()
    ]
    return {**model, "vocab": rest, "merges": merges}


def _renumber_ids(processor: Any, renumber: Mapping[int, int]) -> Any:  # noqa: ANN401 - walks JSON
    if not isinstance(processor, dict):
        return processor
    changed = dict(processor)
    for edge in ("sep", "cls"):  # BertProcessing, RobertaProcessing: [token, id]
        if edge in changed:
            token, index = changed[edge]
            changed[edge] = [token, renumber[index]]
    if "special_tokens" in changed:  # TemplateProcessing
        changed["special_tokens"] = {
            name: {**token, "ids": [renumber[index] for index in token["ids"]]}
            for name, token in changed["special_tokens"].items()
        }
    if "processors" in changed:  # Sequence
        inner = [_renumber_ids(each, renumber) for each in changed["processors"]]
        changed["processors"] = inner
    return changed
