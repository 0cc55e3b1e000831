from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tokenizers import processors

from tests.support.bert_vocab import SPECIALS, VOCABULARY, small_tokenizer
from tests.support.nasty_texts import NASTY_TEXTS
from thinfer.errors import DataError, UserError
from thinfer.text import Tokenizer
from thinfer.text.wordpiece import WordPieceSettings, build_wordpiece, read_vocabulary


def tokens(tokenizer: Tokenizer, text: str, pair: str | None = None) -> list[str]:
    encoding = tokenizer.encode([text], None if pair is None else [pair])
    return [tokenizer.token(int(index)) for index in encoding.batch.ids]


def test_ids_types_and_unknown_tokens_of_a_pair() -> None:
    tokenizer = small_tokenizer()
    encoding = tokenizer.encode(["the cats é☃"], ["天坏"])
    row = [tokenizer.token(int(index)) for index in encoding.batch.ids]
    assert row == ["[CLS]", "the", "cats", "[UNK]", "[SEP]", "天", "坏", "[SEP]"]
    assert encoding.batch.type_ids.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert encoding.unknown.tolist() == [1]
    assert encoding.truncated.tolist() == [False]


def test_no_text_at_all_gives_the_empty_batch() -> None:
    for encoding in (small_tokenizer().encode([]), small_tokenizer().encode([], [])):
        assert len(encoding.batch) == 0
        assert encoding.truncated.shape == encoding.unknown.shape == (0,)


def test_an_empty_text_is_answered_with_its_specials() -> None:
    assert tokens(small_tokenizer(), "") == ["[CLS]", "[SEP]"]
    assert tokens(small_tokenizer(), " \x00", "") == ["[CLS]", "[SEP]", "[SEP]"]


def test_a_long_text_is_cut_at_its_end() -> None:
    encoding = small_tokenizer(5).encode(["a b c", "a b c d", "the " * 250_000])
    assert encoding.truncated.tolist() == [False, True, True]
    assert encoding.batch.lengths.tolist() == [5, 5, 5]


def test_the_unknown_tokens_cut_off_are_not_counted() -> None:
    assert small_tokenizer(4).encode(["☃ a ☃ ☃"]).unknown.tolist() == [1]


def test_a_lone_surrogate_is_read_as_the_replacement_character() -> None:
    tokenizer = small_tokenizer()
    whole = tokenizer.encode(["a\ufffdb", "\U0001f600 c"]).batch
    broken = tokenizer.encode(["a\ud800b", "\ud83d\ude00 c"]).batch
    assert broken.ids.tolist() == whole.ids.tolist()


@pytest.mark.parametrize("texts", ["one string", [b"bytes"], [None]])
def test_what_is_no_list_of_strings_is_refused(texts: list[str]) -> None:
    with pytest.raises(DataError, match="sequence of strings"):
        small_tokenizer().encode(texts)


def test_pairs_of_another_number_are_refused() -> None:
    with pytest.raises(DataError, match="differ in number"):
        small_tokenizer().encode(["a", "b"], ["c"])


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(UserError, match="no room for text"):
        small_tokenizer(2)
    with pytest.raises(UserError, match="no room for text"):
        small_tokenizer().with_max_length(0)


def test_a_limit_without_room_for_a_pair_is_refused_where_a_template_needs_more() -> None:
    backend = build_wordpiece(VOCABULARY)
    backend.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = Tokenizer.from_json(backend.to_str(), max_length=3)
    assert tokens(tokenizer, "a b") == ["[CLS]", "a", "[SEP]"]
    with pytest.raises(UserError, match="no room for a pair"):
        tokenizer.encode(["a"], ["b"])


def test_one_tokenizer_serves_many_threads() -> None:
    tokenizer = small_tokenizer(16)
    expected = [tokenizer.encode([text]).batch.ids.tolist() for text in NASTY_TEXTS]

    def hammer(start: int) -> int:
        wrong = 0
        for turn in range(60):
            row = (start + turn) % len(NASTY_TEXTS)
            cut = tokenizer.with_max_length(16 if turn % 2 else 8)
            ids = cut.encode([NASTY_TEXTS[row]]).batch.ids.tolist()
            wrong += turn % 2 == 1 and ids != expected[row]
        return wrong

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(hammer, range(64))) == 0


def test_another_process_may_get_a_copy() -> None:
    tokenizer = small_tokenizer(9)
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.max_length == 9
    assert copy.to_json() == tokenizer.to_json()


def test_json_round_trip_is_stable() -> None:
    tokenizer = small_tokenizer()
    text = tokenizer.to_json()
    again = Tokenizer.from_json(text, max_length=32)
    assert again.to_json() == text
    assert again.tokens == tokenizer.tokens
    assert again.special_tokens == dict(
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    assert json.loads(text)["padding"] is None


def test_an_uncommon_padding_token_survives_the_round_trip() -> None:
    settings = WordPieceSettings(pad="<blank>")
    backend = build_wordpiece({**VOCABULARY, "<blank>": len(VOCABULARY)}, settings)
    first = Tokenizer.from_json(backend.to_str(), max_length=8, specials={"pad_token": "<blank>"})
    again = Tokenizer.from_json(first.to_json(), max_length=8)
    assert again.pad_id == first.pad_id == len(VOCABULARY)


def test_stored_truncation_and_padding_are_ignored() -> None:
    backend = build_wordpiece(VOCABULARY)
    backend.enable_truncation(4)
    backend.enable_padding(length=100, pad_token="[PAD]", pad_id=0)
    tokenizer = Tokenizer.from_json(backend.to_str(), max_length=32)
    assert tokenizer.encode(["a b c d e"]).batch.lengths.tolist() == [7]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"model": {}}', '{"model": {"type": "WordPiece"}}']
)
def test_what_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="tokenizer"):
        Tokenizer.from_json(text, max_length=8)


def test_a_tokenizer_without_padding_token_is_refused() -> None:
    body = json.loads(build_wordpiece(VOCABULARY).to_str())
    del body["model"]["vocab"]["[PAD]"]
    body["added_tokens"] = [t for t in body["added_tokens"] if t["content"] != "[PAD]"]
    with pytest.raises(DataError, match="no padding token"):
        Tokenizer.from_json(json.dumps(body), max_length=8)


def test_unknown_ids_and_tokens_are_refused() -> None:
    tokenizer = small_tokenizer()
    for index in (-1, tokenizer.vocab_size):
        with pytest.raises(DataError, match="no token has the id"):
            tokenizer.token(index)
    with pytest.raises(DataError, match="lacks the token"):
        tokenizer.id("nowhere")


# The folder ---------------------------------------------------------------------------------


def folder_with(path: Path, **files: object) -> Path:
    (path / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))
    for name, body in files.items():
        (path / f"{name}.json").write_text(body if isinstance(body, str) else json.dumps(body))
    return path


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, 512),
        ({"model_max_length": 64}, 64),
        ({"model_max_length": int(1e30)}, 512),
        ({"model_max_length": None}, 512),
    ],
)
def test_the_limit_comes_from_the_config(
    tmp_path: Path, config: dict[str, object], expected: int
) -> None:
    folder = folder_with(tmp_path, tokenizer_config=config)
    assert Tokenizer.from_folder(folder).max_length == expected
    assert Tokenizer.from_folder(folder, max_length=20).max_length == 20


def test_special_tokens_come_from_the_files(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path,
        special_tokens_map={"cls_token": "the", "sep_token": {"content": "able"}},
        tokenizer_config={"cls_token": "cat"},
    )
    assert tokens(Tokenizer.from_folder(folder), "a") == ["cat", "a", "able"]


def test_added_tokens_follow_on_the_vocabulary(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, added_tokens={"snow☃man": len(VOCABULARY)})
    assert tokens(Tokenizer.from_folder(folder), "asnow☃man") == ["[CLS]", "a", "snow☃man", "[SEP]"]
    (tmp_path / "added_tokens.json").write_text('{"snow☃man": 9999}')
    with pytest.raises(DataError, match="leave gaps"):
        Tokenizer.from_folder(folder)


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no tokenizer"):
        Tokenizer.from_folder(tmp_path)
    folder = folder_with(tmp_path, tokenizer_config={"truncation_side": "left"})
    with pytest.raises(DataError, match="on the left"):
        Tokenizer.from_folder(folder)
    for body, match in (("{", "not a JSON file"), ("[]", "not hold an object")):
        with pytest.raises(DataError, match=match):
            Tokenizer.from_folder(folder_with(tmp_path, tokenizer_config=body))


# The vocabulary file ------------------------------------------------------------------------


def test_vocabulary_lines_end_at_newlines_only(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("a\r\n\u2028\n\x85\nb\u3000\na\n".encode())
    assert read_vocabulary(path) == {"\u2028": 1, "\x85": 2, "b\u3000": 3, "a": 4}


def test_a_numbered_vocabulary_is_read_by_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("b\t1\na\t0", encoding="utf-8")
    assert read_vocabulary(path) == {"a": 0, "b": 1}


@pytest.mark.parametrize("body", [b"", b"\xff\n"])
def test_a_broken_vocabulary_is_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(body)
    with pytest.raises(DataError, match="vocabulary"):
        read_vocabulary(path)


def test_a_vocabulary_without_special_tokens_is_refused() -> None:
    for token in SPECIALS[:4]:
        rest = {name: index for name, index in VOCABULARY.items() if name != token}
        with pytest.raises(DataError, match="lacks special tokens"):
            build_wordpiece(rest)
