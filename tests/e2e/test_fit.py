"""`thinfer fit`: a directory that transformers loads, on the labels of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.small_forms import small_sets
from tests.support.small_task import files_below, half_written, small_task
from thinfer.cli.main import main
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits

transformers = pytest.importorskip("transformers", reason="it must load what fit writes")

Capture = pytest.CaptureFixture[str]


def run_json(capsys: Capture, *words: object) -> tuple[Any, str]:
    assert main([*map(str, words), "--json"]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def sets() -> list[object]:
    return ["--train", small_task().train, "--dev", small_task().dev]


def test_a_preset_is_trained_from_nothing(capsys: Capture, tmp_path: Path) -> None:
    rows = small_task().train.read_text(encoding="utf-8").splitlines(keepends=True)
    train = tmp_path / "train.csv"
    train.write_text("".join([*rows[:97], ",normal\n"]), encoding="utf-8")
    out = tmp_path / "model"
    words = ["fit", "ernie-3.0-nano", "--train", train, "--dev", small_task().dev, "--out", out]
    words += ["--epochs", "1", "--max-length", "24", "--vocabulary", "600"]
    result, said = run_json(capsys, *words)
    assert result["train"] == 96
    assert result["dropped"] == 1
    assert "1 rows without a text were left out" in said
    assert result["max_length"] == 24
    assert result["report"]["epochs"] == 1
    model = transformers.AutoModelForSequenceClassification.from_pretrained(out)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    assert [model.config.id2label[i] for i in range(len(result["labels"]))] == result["labels"]
    assert tokenizer.model_max_length == 24
    # The length is obeyed later on.
    long = tmp_path / "long.csv"
    long.write_text(f"text,label\n{'长' * 60},normal\nshort,spam\n", encoding="utf-8")
    evaluated, _ = run_json(capsys, "evaluate", out, "--data", long)
    assert evaluated["truncated"] == 1
    assert half_written(tmp_path) == []


def test_a_checkpoint_is_fine_tuned_and_the_same_seed_gives_the_same_weights(
    capsys: Capture, tmp_path: Path
) -> None:
    settings = ["--epochs", "1", "--precision", "fp32", "--seed", "7"]
    for name in ("one", "two"):
        words = ["fit", small_task().model, *sets(), "--out", tmp_path / name, *settings]
        result, _ = run_json(capsys, *words)
    assert result["labels"] == sorted(result["labels"])
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")
    # Repeated at the same place, the finished training is found and not run again.
    _, said = run_json(capsys, *words)
    assert "going on after epoch 1" in said


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--precision", "int8"), ("precision", "fp32 or bf16", "int8")),
        (("--max-length", "2"), ("maximum length", "got 2")),
        (("--max-length", "9999"), ("maximum length", "got 9999")),
    ],
)
def test_a_bad_option_is_2(
    capsys: Capture, tmp_path: Path, words: tuple[str, str], parts: tuple[str, ...]
) -> None:
    out = tmp_path / "model"
    given = ["fit", small_task().model, *sets(), "--out", out, *words]
    assert main(list(map(str, given))) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in parts)
    assert "Traceback" not in said
    assert not out.exists()


def test_a_teacher_answers_labelled_and_unlabelled_text(capsys: Capture, tmp_path: Path) -> None:
    more = tmp_path / "more.txt"
    dev = small_task().dev.read_text(encoding="utf-8").splitlines()[1].rsplit(",", 1)[0]
    more.write_text(f"加我微信领红包\nnice weather today\n{dev.strip(chr(34))}\n", encoding="utf-8")
    words = ["fit", small_task().model, *sets(), "--out", tmp_path / "student", "--epochs", "1"]
    taught = [*words, "--teacher", small_task().model, "--unlabelled", more, "--precision", "fp32"]
    result, _ = run_json(capsys, *taught)
    assert result["unlabelled"] == 2  # what stands in dev is left out
    assert max(result["report"]["dev_accuracy"]) > 0.5


def test_a_teacher_with_other_labels_is_refused(capsys: Capture, tmp_path: Path) -> None:
    rows = small_task().train.read_text(encoding="utf-8").replace(",normal\n", ",harmless\n")
    (tmp_path / "train.csv").write_text(rows, encoding="utf-8")
    words = ["fit", "ernie-3.0-nano", "--train", tmp_path / "train.csv"]
    words += ["--dev", tmp_path / "train.csv", "--out", tmp_path / "out", "--vocabulary", "600"]
    assert main([*map(str, words), "--teacher", str(small_task().model)]) == 3
    assert "the teacher has other labels" in capsys.readouterr().err


def test_unlabelled_text_without_a_teacher_is_refused(capsys: Capture, tmp_path: Path) -> None:
    words = ["fit", small_task().model, *sets(), "--out", tmp_path / "out"]
    assert main([*map(str, words), "--unlabelled", str(small_task().dev)]) == 2
    assert "without a teacher" in capsys.readouterr().err


def test_several_labels_are_learned_and_transformers_loads_them(
    capsys: Capture, tmp_path: Path
) -> None:
    task, out = small_sets(), tmp_path / "model"
    words = ["fit", task.model, "--train", task.train, "--dev", task.dev, "--out", out]
    words += ["--epochs", "1", "--learning-rate", "1e-4", "--precision", "fp32"]
    result, said = run_json(capsys, *words)
    assert result["problem_type"] == "multi_label"
    assert len(result["labels"]) == 6
    assert result["report"]["dev_micro_f1"][0] > 0.7  # naming none gives 0, all of them 0.25
    assert result["report"]["dev_accuracy"] == []
    assert "dev micro F1" in said
    model = transformers.AutoModelForSequenceClassification.from_pretrained(out)
    assert model.config.problem_type == "multi_label_classification"
    assert [model.config.id2label[at] for at in range(6)] == result["labels"]
    checkpoint = load_checkpoint(out)
    assert checkpoint.is_multi_label
    texts = ["hot girls in paris tonight!", "妈妈做了火锅，感觉开心"]
    encoded = transformers.AutoTokenizer.from_pretrained(out)(
        texts, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        theirs = model.eval()(**encoded).logits.numpy()
    ours = compute_logits(
        checkpoint.model,
        checkpoint.tokenizer.encode(texts).batch,
        pad_id=checkpoint.tokenizer.pad_id,
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_cells_are_sets_where_it_is_said(capsys: Capture, tmp_path: Path) -> None:
    rows = ["text,label", "spam here,spam;ad", "nothing,", "an ad,ad", "spam,spam"]
    train = tmp_path / "train.csv"
    train.write_text("\n".join([*rows, *(f"{row[0]}{row}" for row in rows[1:])]))
    words = ["fit", "ernie-3.0-nano", "--train", train, "--dev", train, "--max-length", "8"]
    words += ["--vocabulary", "200", "--epochs", "1", "--out", tmp_path / "model"]
    result, _ = run_json(capsys, *words, "--multi-label", "--label-separator", ";")
    assert (result["labels"], result["problem_type"]) == (["ad", "spam"], "multi_label")
    assert result["train"] == 8


def test_a_teacher_of_one_label_cannot_teach_several(capsys: Capture, tmp_path: Path) -> None:
    task = small_task()
    words = ["fit", task.model, "--train", task.train, "--dev", task.dev, "--multi-label"]
    words += ["--out", tmp_path / "out", "--teacher", task.model]
    assert main(list(map(str, words))) == 3
    assert "only one of teacher and student" in capsys.readouterr().err
