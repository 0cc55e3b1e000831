"""`thinfer predict` as a user runs it: a process, files, pipes, a full disk, an interrupt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.bundle import Bundle
from thinfer.classifier import Classifier

THINFER = (sys.executable, "-m", "thinfer")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_fake_bundle(tmp_path_factory.mktemp("predict") / "bundle")


def thinfer(*words: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*THINFER, *map(str, words)], input=stdin, capture_output=True, check=False
    )


def read_lines(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.decode().splitlines()]


def check_answers(bundle: Bundle, texts: Sequence[str], lines: list[dict[str, Any]]) -> None:
    assert [line["row"] for line in lines] == list(range(len(texts)))
    assert [line["text"] for line in lines] == list(texts)
    with Classifier.open(bundle, threads=1) as classifier:
        for line, answer in zip(lines, classifier.predict(texts), strict=True):
            assert set(line) == {"row", "text", "label", "score", "scores", "truncated"}
            assert line["label"] == answer.label
            assert line["scores"] == pytest.approx(dict(answer.scores))
            assert line["truncated"] == answer.truncated


def test_words_are_answered_in_order(bundle: Bundle) -> None:
    texts = ["spam", "", "你好", "spam", "a " * 100]
    done = thinfer("predict", bundle.path, *texts)
    assert done.returncode == 0
    lines = read_lines(done.stdout)
    check_answers(bundle, texts, lines)
    assert [line["truncated"] for line in lines] == [False] * 4 + [True]
    assert b"truncated: 1" in done.stderr


def test_lines_of_stdin_are_answered_and_quiet_is_quiet(bundle: Bundle) -> None:
    done = thinfer("predict", bundle.path, "--quiet", stdin="one\r\n\n你\u2028好".encode())
    assert done.stderr == b""
    check_answers(bundle, ["one", "", "你\u2028好"], read_lines(done.stdout))


def test_a_file_is_answered_row_by_row(bundle: Bundle, tmp_path: Path) -> None:
    texts = [["short", "", "a longer text", "dup"][row % 4] for row in range(700)]
    source, target = tmp_path / "in.tsv", tmp_path / "out.jsonl"
    source.write_text("Label\tBody\n" + "".join(f"x\t{text}\n" for text in texts))
    done = thinfer(
        "predict", bundle.path, "--input", source, "--output", target, "--text-column", "body",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"output": str(target), "n": 700, "truncated": 0}
    check_answers(bundle, texts, read_lines(target.read_bytes()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tsv", "out.jsonl"]
    printed = thinfer("predict", bundle.path, "--input", source, "--text-column", "body")
    assert printed.stdout == target.read_bytes()


def test_a_second_text_is_used_and_told(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text,text_pair\na,b\nc,\n")
    lines = read_lines(thinfer("predict", bundle.path, "--input", source).stdout)
    assert [line["text_pair"] for line in lines] == ["b", ""]
    with Classifier.open(bundle, threads=1) as classifier:
        assert lines[0]["label"] == classifier.predict(["a"], ["b"])[0].label


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--engine", "openvino", "x"], 5),
        (["--engine", "warp", "x"], 2),
        (["--threads", "0", "x"], 2),
        (["--input", "absent.csv"], 2),
        (["--input", "absent.csv", "x"], 2),
        (["x", "--output", "absent/out.jsonl"], 2),
    ],
)
def test_errors_leave_stdout_empty(
    bundle: Bundle, tmp_path: Path, words: list[str], code: int
) -> None:
    done = subprocess.run(
        [*THINFER, "predict", str(bundle.path), *words, "--json", "--quiet"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1


def test_a_bad_row_late_in_the_file_keeps_the_old_output(bundle: Bundle, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_bytes(b"text\n" + b"ok\n" * 5000 + b"caf\xe9\n")
    target.write_text("old\n")
    done = thinfer("predict", bundle.path, "--input", source, "--output", target)
    assert done.returncode == 3
    assert b"byte offset 15008" in done.stderr
    assert target.read_text() == "old\n"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["x"], ["--input", "many.txt"], ["x", "--output", "/dev/full"]])
def test_a_full_disk_is_1(bundle: Bundle, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "many.txt").write_text("a\n" * 3000)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*THINFER, "predict", str(bundle.path), *words, "--quiet"],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"disk is full" in done.stderr


def test_a_reader_that_leaves_ends_it_quietly(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("a\n" * 20_000)
    with subprocess.Popen(
        [*THINFER, "predict", str(bundle.path), "--input", str(source), "--quiet"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        if process.stdout is None or process.stderr is None:
            pytest.fail("no pipes")
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_an_interrupt_is_130_and_leaves_no_half_output(tmp_path: Path) -> None:
    slow = make_fake_bundle(tmp_path / "bundle", options={"latency_ms": 20})
    source, target = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("a\n" * 100_000)
    with subprocess.Popen(
        [*THINFER, "predict", str(slow.path), "--input", str(source), "--output", str(target)],
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob(".out.jsonl.*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "in.txt"]


def test_predict_never_imports_torch(bundle: Bundle) -> None:
    script = (
        "import sys; from thinfer.cli.main import main;"
        f"code = main(['predict', {str(bundle.path)!r}, 'x', '--quiet']);"
        "bad = {'torch', 'onnx', 'transformers', 'openvino'} & set(sys.modules);"
        "raise SystemExit(str(bad) if bad else code)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_file(bundle: Bundle, tmp_path: Path) -> None:
    """A hundred times the rows, held once, would be 16 MB more."""
    peaks = []
    for rows in (40, 4_000):
        source = tmp_path / f"{rows}.txt"
        source.write_text(("x" * 4000 + "\n") * rows)
        script = (
            "import re; from pathlib import Path; from thinfer.cli.main import main;"
            f"code = main(['predict', {str(bundle.path)!r}, '--input', {str(source)!r},"
            f" '--output', {str(tmp_path / 'out.jsonl')!r}, '--quiet']);"
            # ru_maxrss would begin with the size of the process that forked this one
            "text = Path('/proc/self/status').read_text();"
            r"print(re.search(r'VmHWM:\s+(\d+)', text)[1]); raise SystemExit(code)"
        )
        done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 12


def test_long_texts_are_read_as_asked(bundle: Bundle) -> None:
    text = "a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 3"
    with Classifier.open(bundle, threads=1) as classifier:
        (expected,) = classifier.predict([text], long_text="windows")
    done = thinfer("predict", bundle.path, text, "--long-text", "windows")
    (line,) = read_lines(done.stdout)
    assert (line["label"], line["truncated"]) == (expected.label, False)
    assert line["scores"] == pytest.approx(dict(expected.scores))
    assert thinfer("predict", bundle.path, text, "--long-text", "error").returncode == 3
    wrong = thinfer("predict", bundle.path, text, "--long-text", "all")
    assert wrong.returncode == 2
    assert b"head_tail" in wrong.stderr
