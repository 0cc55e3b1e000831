"""Writing a bundle: whole or not at all, and never over something else."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.bundle import LAYOUT, open_bundle, update_manifest, write_bundle
from thinfer.errors import DataError, InternalError, UserError


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_digest_depends_on_the_content_alone(tmp_path: Path) -> None:
    first = make_fake_bundle(tmp_path / "a")
    again = make_fake_bundle(tmp_path / "b")
    assert again.manifest == first.manifest
    told = update_manifest(
        again,
        replace(
            again.manifest,
            machine={"cpu": "other"},
            libraries={"numpy": "9"},
            quality={"n": 3},
            created="2031-01-01T00:00:00Z",
        ),
        files={LAYOUT.report_page: b"another report", "report.json": b'{"ms": 7}'},
    )
    assert told.version == first.version
    assert open_bundle(told.path).manifest.machine == {"cpu": "other"}
    assert make_fake_bundle(tmp_path / "c", seed=1).version != first.version
    assert make_fake_bundle(tmp_path / "d", labels=("x", "y", "z")).version != first.version
    assert make_fake_bundle(tmp_path / "e", max_length=23).version != first.version


def test_an_older_bundle_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    old = make_fake_bundle(target)
    new = make_fake_bundle(target, seed=1)
    assert open_bundle(target).version == new.version != old.version
    assert listing(tmp_path) == ["bundle"]


def test_a_reader_finds_a_whole_bundle_while_it_is_replaced(tmp_path: Path) -> None:
    if not hasattr(ctypes.CDLL(None), "renameat2"):
        pytest.skip("this system cannot swap two folders in one step")
    target = tmp_path / "bundle"
    make_fake_bundle(target)
    absent: list[int] = []
    is_done = threading.Event()

    def look() -> None:
        while not is_done.is_set():
            if not (target / LAYOUT.manifest).exists():
                absent.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for seed in range(12):
            make_fake_bundle(target, seed=seed)
    finally:
        is_done.set()
        reader.join()
    assert not absent
    assert listing(tmp_path) == ["bundle"]


def test_a_system_that_cannot_swap_replaces_in_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinfer.core.files._exchange", lambda one, other: False)
    make_fake_bundle(tmp_path / "bundle")
    new = make_fake_bundle(tmp_path / "bundle", seed=1)
    assert open_bundle(tmp_path / "bundle") == new
    assert listing(tmp_path) == ["bundle"]


def test_another_folder_or_file_is_never_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="is not a bundle"):
        make_fake_bundle(home)
    with pytest.raises(UserError, match="is not a bundle"):
        make_fake_bundle(home / "thesis.txt")
    assert (home / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    make_fake_bundle(tmp_path / "empty")


def test_a_full_disk_keeps_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "bundle"
    old = make_fake_bundle(target)
    calls = iter(range(100))

    def fail(handle: int) -> None:
        if next(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InternalError, match="No space left"):
        make_fake_bundle(target, seed=1)
    assert open_bundle(target) == old
    assert listing(tmp_path) == ["bundle"]


def test_a_limit_on_file_size_keeps_the_old_bundle(tmp_path: Path) -> None:
    """The real system call fails, in a process of its own."""
    old = make_fake_bundle(tmp_path / "bundle")
    script = f"""
        import resource, signal
        from pathlib import Path
        from tests.support.bundles import make_fake_bundle
        from thinfer.errors import InternalError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            make_fake_bundle(Path({str(tmp_path / "bundle")!r}), seed=1)
        except InternalError as error:
            raise SystemExit(40 + error.exit_code)
    """
    code = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False).returncode
    assert code == 41
    assert open_bundle(tmp_path / "bundle") == old
    assert listing(tmp_path) == ["bundle"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE) != (2000, 2000)


def test_a_kill_while_writing_leaves_no_half_bundle(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from tests.support.bundles import make_fake_bundle
        calls = iter(range(100))
        def fsync(handle):
            if next(calls) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
        os.fsync = fsync
        make_fake_bundle(Path({str(tmp_path / "bundle")!r}))
    """
    code = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False).returncode
    assert code == -signal.SIGKILL
    assert not (tmp_path / "bundle").exists()
    for left in tmp_path.iterdir():  # the staging folder, which no reader takes for a bundle
        with pytest.raises(DataError):
            open_bundle(left)


def test_files_and_manifest_must_agree(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    kept: dict[str, bytes | Path] = {name: bundle.path / name for name in bundle.manifest.files}
    del kept[LAYOUT.tokenizer]
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        write_bundle(tmp_path / "new", bundle.manifest, files=kept)
    assert not (tmp_path / "new").exists()


def test_a_value_without_json_form_is_our_bug(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle")
    for value in (float("nan"), object()):
        with pytest.raises(InternalError, match="cannot be written as JSON"):
            update_manifest(bundle, replace(bundle.manifest, machine={"value": value}))
    assert open_bundle(bundle.path) == bundle
