from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.small_task import small_task
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError, UserError
from thinfer.pipeline.evaluate import evaluate, is_bundle
from thinfer.text.corpus import Corpus, read_corpus


def corpus_of(path: Path, text: str) -> Corpus:
    path.write_text(text, encoding="utf-8")
    return read_corpus(path)


def test_a_bundle_is_answered_in_batches_by_its_engine(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle", normal_label="normal")
    rows = "".join(f"text {i},{('normal', 'spam', 'abuse')[i % 3]}\n" for i in range(70))
    corpus = corpus_of(tmp_path / "data.csv", f"text,label\n{rows}{'long ' * 40},spam\n")
    assert is_bundle(bundle.path)
    told = evaluate(
        bundle.path, corpus, engine=None, normal_label=None, threads=1, progress=SilentProgress()
    )
    assert told["n"] == 71
    assert (told["engine"], told["precision"]) == ("fake", "fp32")
    assert told["truncated"] == 1
    assert 0 <= told["unknown_token_rate"] < 1
    metrics = told["metrics"]
    assert set(metrics["recall"]) == {"normal", "spam", "abuse"}
    assert metrics["flagged_recall"] is not None  # the bundle itself knows what is normal


def test_unknown_tokens_are_counted(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    corpus = corpus_of(tmp_path / "data.csv", "text,label\nab,normal\n你β,spam\n")
    told = evaluate(
        bundle.path, corpus, engine=None, normal_label=None, threads=1, progress=SilentProgress()
    )
    assert told["unknown_token_rate"] == pytest.approx(1 / 8)  # β among 4 + 4 tokens
    assert told["metrics"]["flagged_recall"] is None


def test_a_checkpoint_runs_in_torch_and_in_nothing_else() -> None:
    task = small_task()
    corpus = read_corpus(task.dev)
    assert not is_bundle(task.model)
    told = evaluate(
        task.model, corpus, engine="torch", normal_label="normal", threads=1,
        progress=SilentProgress(),
    )  # fmt: skip
    assert told["engine"] == "torch"
    assert told["n"] == len(corpus)
    assert told["unknown_token_rate"] < 0.2
    with pytest.raises(UserError, match="thinfer pack"):
        evaluate(
            task.model, corpus, engine="openvino", normal_label=None, threads=1,
            progress=SilentProgress(),
        )  # fmt: skip


def test_labels_that_the_model_lacks_are_refused(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    corpus = corpus_of(tmp_path / "data.csv", "text,label\na,weather\n")
    with pytest.raises(DataError, match=r"file data\.csv.*weather"):
        evaluate(
            bundle.path, corpus, engine=None, normal_label=None, threads=1,
            progress=SilentProgress(),
        )  # fmt: skip
