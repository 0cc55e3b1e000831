from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from thinfer.core import files
from thinfer.core.files import lock_folder, staged_folder, write_atomic
from thinfer.errors import InternalError, UserError


def test_text_is_utf8_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    write_atomic(path, "新")
    assert path.read_bytes() == "新".encode()
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_others_may_read_what_the_umask_allows(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    write_atomic(tmp_path / "atomic", b"x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic")]
    assert modes[0] == modes[1]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InternalError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="cannot be written"):
        write_atomic(tmp_path / "absent" / "a", b"x")


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_staged_folder_appears_whole_and_replaces_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    target = tmp_path / "deep" / "bundle"
    for text in ("first", "second"):
        with staged_folder(target) as staging:
            (staging / text).write_text(text)
            assert not (target / text).exists()
        assert [item.name for item in target.iterdir()] == [text]
    assert [item.name for item in target.parent.iterdir()] == ["bundle"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_a_failing_block_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with staged_folder(target) as staging:
        (staging / "a").write_text("old")
    with pytest.raises(ValueError, match="no"), staged_folder(target) as staging:
        (staging / "a").write_text("new")
        raise ValueError("no")
    assert (target / "a").read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["bundle"]


def test_only_errors_of_the_staging_folder_are_called_write_errors(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with pytest.raises(FileNotFoundError), staged_folder(target):
        (tmp_path / "some input").read_bytes()
    with pytest.raises(InternalError), staged_folder(target) as staging:
        (staging / "absent" / "a").write_text("x")
    with pytest.raises(InternalError, match="No space"), staged_folder(target):
        raise OSError(28, "No space left on device")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InternalError), staged_folder(tmp_path / "file" / "bundle"):
        pass


def test_a_lock_refuses_a_second_process_and_dies_with_the_first(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from thinfer.core.files import lock_folder\n"
        "with lock_folder(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    folder = tmp_path / "work"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {holder.pid}"), lock_folder(folder):
            pass
        holder.kill()
    with lock_folder(folder):
        assert (folder / "lock").read_text() == str(os.getpid())


def test_a_lock_needs_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InternalError), lock_folder(tmp_path / "file"):
        pass
