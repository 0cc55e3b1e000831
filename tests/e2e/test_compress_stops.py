"""`thinfer compress` that is killed, interrupted, run twice at once, or runs out of disk."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.small_task import (
    FLOORS,
    QUICK,
    THINFER,
    asking,
    files_below,
    half_written,
    quiet_environment,
    run_thinfer,
    small_run,
    small_task,
)
from thinfer.bundle import open_bundle

pytest.importorskip("torch", reason="compress needs torch")

DEADLINE_S = 120.0


def words_for(out: Path) -> list[str]:
    return small_task().words(out, *asking(FLOORS), *QUICK)


@contextmanager
def started(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A run in the background; it is gone when the block ends."""
    with subprocess.Popen(
        [*THINFER, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=quiet_environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_there():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"it never came so far: {process.communicate()}")
        time.sleep(0.005)


def test_after_a_kill_resume_completes_with_the_same_candidates(tmp_path: Path) -> None:
    out, work = tmp_path / "bundle", tmp_path / "bundle.work"
    best = work / "best"
    words = [*words_for(out), "--latency-table", str(small_run().prices)]
    with started(words) as process:
        wait_for(process, best.exists)
        process.kill()
        process.wait()
    assert not out.exists()
    # One candidate was judged, so there is a whole bundle already, and it says what it is.
    assert "no floor was judged" in (best / "README.md").read_text()
    assert open_bundle(best).manifest.quality["verdicts"] == []

    # As if the kill had come in the middle of a write.
    (work / "candidates" / ".dense-onnxruntime-int8.staging-xyz").mkdir(exist_ok=True)
    kept = work / "candidates" / "dense-onnxruntime-fp32" / "model.onnx"
    before = kept.stat().st_mtime_ns
    done = run_thinfer(*words, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert kept.stat().st_mtime_ns == before
    assert half_written(tmp_path) == []
    assert open_bundle(out).version == json.loads(done.stdout)["version"]

    whole = files_below(Path(f"{small_run().out}.work") / "candidates")
    resumed = files_below(work / "candidates")
    tried = [item["name"] for item in json.loads(done.stdout)["candidates"]]
    assert tried == [item["name"] for item in small_run().result["candidates"]]
    content = (".onnx", "tokenizer.json", "dev.npy")
    wanted = [file for file in whole if file.split("/")[0] in tried and file.endswith(content)]
    assert len(wanted) >= 3 * len(tried)
    assert all(resumed[file] == whole[file] for file in wanted)


def test_resume_refuses_the_work_of_another_command(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with started(words_for(out)) as process:
        wait_for(process, (tmp_path / "bundle.work" / "request.json").exists)
        process.kill()
        process.wait()
    other = small_task().words(out, "--floor", "accuracy>=70%", *QUICK)
    done = run_thinfer(*other, "--resume")
    assert done.returncode == 2
    assert "holds the work of another command" in done.stderr
    assert "to mend it" in done.stderr


def test_a_second_run_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with started(words_for(out)) as first:
        wait_for(first, (tmp_path / "bundle.work" / "request.json").exists)
        first.send_signal(signal.SIGSTOP)  # so that it cannot end before the second begins
        second = run_thinfer(*words_for(out))
        first.send_signal(signal.SIGCONT)
        assert second.returncode == 2
        assert second.stdout == ""
        assert "is in use by another run" in second.stderr
        assert f"process {first.pid}" in second.stderr
        assert "name another --out" in second.stderr
        assert "Traceback" not in second.stderr
        wait_for(first, (tmp_path / "bundle.work" / "candidates" / "transformers").exists)

        # Ctrl-C ends the first one; what it made stays for --resume.
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=DEADLINE_S)
    assert first.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "thinfer: interrupted"
    assert not out.exists()
    assert half_written(tmp_path) == []
    assert (tmp_path / "bundle.work" / "candidates" / "original" / "model.onnx").is_file()


@pytest.mark.parametrize("command", ["compress", "pack", "pack --engine openvino", "fit"])
def test_a_full_disk_is_1_and_leaves_nothing_half(tmp_path: Path, command: str) -> None:
    if "openvino" in command:
        pytest.importorskip("openvino", reason="needs openvino")
    task, out = small_task(), tmp_path / "out"
    given = [str(task.model), "--out", str(out)]
    sets = ["--train", str(task.train), "--dev", str(task.dev)]
    words = {
        "compress": words_for(out),
        "pack": [*command.split(), *given],
        "fit": ["fit", *given, *sets, "--epochs", "1"],
    }[command.split()[0]]
    # A limit on the size of a file stands for the disk: writing fails in the middle.
    limited = f"ulimit -f 200; exec {shlex.join([*THINFER, *words])}"
    done = subprocess.run(
        ["bash", "-c", limited],
        capture_output=True,
        text=True,
        check=False,
        env=quiet_environment(),
        timeout=DEADLINE_S,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert "free space" in done.stderr
    assert not out.exists()
    assert half_written(tmp_path) == []
    assert os.listdir(tmp_path) in ([], ["out.work"])  # noqa: PTH208 - names alone
