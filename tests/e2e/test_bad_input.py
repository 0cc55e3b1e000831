"""Bad input from the command line: one clear message, the right exit code, nothing lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.small_task import files_below, small_run, small_task
from thinfer.cli.main import main

torch = pytest.importorskip("torch", reason="checkpoints are read with torch")

Capture = pytest.CaptureFixture[str]


class Poison:
    """Runs a command when it is unpickled where nobody guards."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        import os

        return os.system, (f"touch {self.mark}",)


def refused(capsys: Capture, *words: object, code: int) -> str:
    """The one message of a refusal; nothing may be on stdout."""
    capsys.readouterr()
    assert main(list(map(str, words))) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert "internal error" not in captured.err
    last = captured.err.splitlines()[-1]
    assert last.startswith("thinfer: ")
    return last


def holds_parts(message: str, *parts: str) -> bool:
    """Whether a message says where, what was expected and got, and what to do."""
    missing = [part for part in parts if part not in message]
    assert not missing, f"{missing} not in: {message}"
    return True


def change_csv(path: Path, source: Path, change: Callable[[str], str]) -> Path:
    path.write_text(change(source.read_text(encoding="utf-8")), encoding="utf-8")
    return path


def bad_files(folder: Path) -> dict[str, tuple[Path, int, tuple[str, ...]]]:
    """Name → file, exit code, and what the message must say."""
    task = small_task()

    def changed(name: str, change: Callable[[str], str]) -> Path:
        return change_csv(folder / name, task.dev, change)

    empty = folder / "empty.csv"
    empty.write_bytes(b"")
    broken = folder / "broken.csv"
    broken.write_bytes(task.dev.read_bytes() + b"\xff\xfe oops,normal\n")
    return {
        "empty": (
            empty,
            3,
            ("empty.csv", "expected at least one row", "got 0 bytes", "to mend it"),
        ),
        "no column": (
            changed("columns.csv", lambda text: text.replace("label", "kind", 1)),
            3,
            ("columns.csv", "'kind'", "--label-column"),
        ),
        "unknown label": (
            changed("label.csv", lambda text: text + "something new,weather\n"),
            3,
            ("label.csv", "weather", "expected one of", "data row 120", "to mend it"),
        ),
        "one class": (
            changed(
                "one.csv",
                lambda text: "text,label\n" + "".join(f"words {i},normal\n" for i in range(9)),
            ),
            3,
            ("one.csv", "one class only", "expected rows of two classes", "9 rows", "to mend it"),
        ),
        "no UTF-8": (broken, 3, ("broken.csv", "UTF-8", "byte offset", "to mend it")),
        "absent": (folder / "nowhere.csv", 2, ("nowhere.csv",)),
    }


@pytest.mark.parametrize(
    "kind", ["empty", "no column", "unknown label", "one class", "no UTF-8", "absent"]
)
@pytest.mark.parametrize("which", ["train", "dev", "test"])
def test_a_bad_file_is_refused_before_any_work(
    capsys: Capture, tmp_path: Path, kind: str, which: str
) -> None:
    task, out = small_task(), tmp_path / "bundle"
    path, code, parts = bad_files(tmp_path)[kind]
    sets = {"train": task.train, "dev": task.dev, "test": task.test, which: path}
    given = [word for name, file in sets.items() for word in (f"--{name}", file)]
    message = refused(capsys, "compress", task.model, *given, "--out", out, code=code)
    assert holds_parts(message, *parts)
    assert not out.exists()
    if which == "test" and kind != "one class":
        assert holds_parts(
            refused(capsys, "evaluate", task.model, "--data", path, code=code), *parts
        )
    if which == "train" and kind not in ("unknown label", "one class"):
        fit = ("fit", task.model, "--train", path, "--dev", task.dev, "--out", out)
        assert holds_parts(refused(capsys, *fit, code=code), *parts)
    if which == "dev" and kind != "one class":
        fit = ("fit", task.model, "--train", task.train, "--dev", path, "--out", out)
        assert holds_parts(refused(capsys, *fit, code=code), *parts)
    assert not out.exists()


def test_one_class_cannot_be_learned(capsys: Capture, tmp_path: Path) -> None:
    path, code, _ = bad_files(tmp_path)["one class"]
    fit = ("fit", "ernie-3.0-nano", "--train", path, "--dev", path, "--out", tmp_path / "out")
    message = refused(capsys, *fit, code=code)
    assert holds_parts(message, "one.csv", "one class only", "expected", "['normal']", "to mend it")


def test_a_test_set_that_was_all_seen_before_is_refused(capsys: Capture, tmp_path: Path) -> None:
    task = small_task()
    words = ["compress", task.model, "--train", task.train, "--dev", task.dev]
    message = refused(capsys, *words, "--test", task.dev, "--out", tmp_path / "out", code=3)
    assert holds_parts(message, "stands in train or dev", "expected", "0 rows", "to mend it")


def test_a_text_of_a_million_characters_is_answered(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(f"text,label\n{'骗' * 1_000_000},normal\nshort,spam\n", encoding="utf-8")
    bundle = str(small_run().out)
    assert main(["predict", bundle, "--input", str(path)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["truncated"] for line in lines] == [True, False]
    assert all(line["label"] for line in lines)
    assert main(["evaluate", bundle, "--data", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["truncated"] == 1


def change_weights(model: Path, name: str, value: float) -> None:
    from safetensors.numpy import load_file, save_file

    path = model / "model.safetensors"
    tensors = load_file(path)
    tensors[name].flat[0] = value
    save_file(tensors, path, metadata={"format": "pt"})


def truncate(model: Path, mark: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def poison_bin(model: Path, mark: Path) -> None:
    (model / "model.safetensors").unlink()
    torch.save({"weights": Poison(mark)}, model / "pytorch_model.bin")


def poison_paddle(model: Path, mark: Path) -> None:
    import pickle

    shutil.rmtree(model)
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "paddle_tiny", model)
    (model / "model_state.pdparams").write_bytes(pickle.dumps({"a": Poison(mark)}, protocol=2))


def spoil_with_nan(model: Path, mark: Path) -> None:
    change_weights(model, "classifier.bias", float("nan"))


def add_token(model: Path, mark: Path) -> None:
    path = model / "tokenizer.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    vocab = body["model"]["vocab"]
    vocab |= {f"extra{i}": len(vocab) + i for i in range(5)}
    path.write_text(json.dumps(body), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (truncate, ("model.safetensors", "damaged", "to mend it")),
        (poison_bin, ("pytorch_model.bin", "was not run", "to mend it")),
        (poison_paddle, ("model_state.pdparams", "was refused", "expected", "to mend it")),
        (spoil_with_nan, ("model.safetensors", "NaN", "classifier.bias", "to mend it")),
        (add_token, ("tokenizer", "embedding", "expected at most", "got", "to mend it")),
    ],
)
def test_a_bad_checkpoint_is_refused_by_every_command_and_never_run(
    capsys: Capture,
    tmp_path: Path,
    spoil: Callable[[Path, Path], None],
    parts: tuple[str, ...],
) -> None:
    task, model, mark = small_task(), tmp_path / "model", tmp_path / "mark"
    shutil.copytree(task.model, model)
    spoil(model, mark)
    out = ("--out", tmp_path / "out")
    sets = ("--train", task.train, "--dev", task.dev)
    for words in (
        ("compress", model, *sets, "--test", task.test, *out),
        ("fit", model, *sets, *out),
        ("pack", model, *out),
        ("evaluate", model, "--data", task.test),
    ):
        assert holds_parts(refused(capsys, *words, code=3), str(model), *parts)
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--floor", "accuracy is fine"), ("'accuracy is fine'", "expected", "accuracy>=99.5%")),
        (("--floor", "beauty>=99%"), ("'beauty>=99%'", "beauty", "'accuracy'")),
        (("--floor", "recall[weather]>=99%"), ("weather", "'normal'")),
        (("--floor", "flag_rate<=105%"), ("--normal-label",)),
        (("--normal-label", "weather"), ("'weather'", "expected one of", "--normal-label")),
        (("--widths", "2"), ("width", "expected", "got 2")),
        (("--precision", "int3"), ("precision", "int3", "'int8'")),
        (("--engine", "steam"), ("steam", "'onnxruntime'")),
        (("--engine", "onnxruntime", "--precision", "bf16"), ("precisions", "openvino bf16")),
        (("--retrain", "forever"), ("retraining", "forever", "'short'")),
        (("--minutes", "0"), ("--minutes", "got 0")),
    ],
)
def test_a_bad_option_is_2_and_leaves_the_resumable_work_alone(
    capsys: Capture, tmp_path: Path, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    out = tmp_path / "bundle"
    piece = tmp_path / "bundle.work" / "states" / "dense"
    piece.mkdir(parents=True)
    message = refused(capsys, *small_task().words(out, *words), code=2)
    assert holds_parts(message, *parts)
    assert piece.exists()
    assert not out.exists()


@pytest.mark.parametrize("threads", ["0", "-1"])
def test_impossible_threads_are_2(capsys: Capture, tmp_path: Path, threads: str) -> None:
    words = small_task().words(tmp_path / "out", "--threads", threads)
    assert main(words) == 2
    assert "--threads" in capsys.readouterr().err


def test_another_folder_is_never_replaced(capsys: Capture, tmp_path: Path) -> None:
    task, out = small_task(), tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    sets = ("--train", task.train, "--dev", task.dev)
    for words in (
        ("compress", task.model, *sets, "--test", task.test),
        ("fit", task.model, *sets),
        ("pack", task.model),
    ):
        message = refused(capsys, *words, "--out", out, code=2)
        assert holds_parts(message, str(out), "expected", "name another --out")
    assert files_below(out) == {"thesis.txt": b"years of work"}


def test_a_flipped_byte_anywhere_in_a_bundle_is_3_and_names_the_file(
    capsys: Capture, tmp_path: Path
) -> None:
    for name, raw in files_below(small_run().out).items():
        bundle = tmp_path / name.replace("/", "-")
        shutil.copytree(small_run().out, bundle)
        place = len(raw) // 2
        (bundle / name).write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        message = refused(capsys, "predict", bundle, "text", code=3)
        assert "manifest" in message if name.startswith("manifest") else name in message
        assert holds_parts(message, str(bundle) if name.startswith("manifest") else name)
        refused(capsys, "verify", bundle, code=3)
        refused(capsys, "evaluate", bundle, "--data", small_task().test, code=3)
        refused(capsys, "tune", bundle, "--test", small_task().test, code=3)


def test_a_path_that_is_no_model_is_2_or_3(capsys: Capture, tmp_path: Path) -> None:
    absent = refused(capsys, "pack", tmp_path / "absent", "--out", tmp_path / "out", code=2)
    assert holds_parts(absent, "absent", "expected", "to mend it")
    folder = refused(capsys, "pack", tmp_path, "--out", tmp_path / "out", code=3)
    assert holds_parts(folder, str(tmp_path), "config.json", "to mend it")
