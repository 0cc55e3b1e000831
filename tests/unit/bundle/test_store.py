"""A bundle is valid or refused: every byte counts, nothing is followed, nothing is half-read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import make_fake_bundle, random_weights, small_architecture
from thinfer.bundle import LAYOUT, Bundle, Manifest, encode_weights, open_bundle, write_bundle
from thinfer.bundle.store import seal_of
from thinfer.core.digest import sha256_bytes
from thinfer.errors import DataError, EngineError


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_fake_bundle(tmp_path / "bundle")


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and seal it again: what a hostile writer would do."""
    body = json.loads((folder / LAYOUT.manifest).read_bytes())
    edit(body)
    raw = json.dumps(body).encode()
    (folder / LAYOUT.manifest).write_bytes(raw)
    (folder / LAYOUT.seal).write_bytes(seal_of(raw))


def test_an_opened_bundle_gives_back_what_was_written(bundle: Bundle) -> None:
    opened = open_bundle(bundle.path)
    assert opened == bundle
    assert opened.version == bundle.manifest.content_digest[:12]
    expected = random_weights(small_architecture())
    weights = opened.weights()
    assert weights.keys() == expected.keys()
    assert all((weights[name] == expected[name]).all() for name in expected)
    batch, logits = opened.golden()
    assert logits.shape == (len(batch), 3)
    assert '"[CLS]"' in opened.tokenizer_text()


def test_size_is_what_the_engine_reads(bundle: Bundle) -> None:
    read = (LAYOUT.weights, LAYOUT.tokenizer)
    assert bundle.size_bytes() == sum((bundle.path / name).stat().st_size for name in read)
    with pytest.raises(EngineError, match="openvino"):
        bundle.engine("openvino")


def test_a_link_to_a_bundle_opens(bundle: Bundle, tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(bundle.path)
    assert open_bundle(link).path == bundle.path


def test_a_path_that_the_system_cannot_follow_is_refused(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path in (circle, "a\x00b", "a" * 300, tmp_path / "nothing"):
        with pytest.raises(DataError, match="there is no bundle"):
            open_bundle(path)


def test_a_flipped_bit_in_any_file_is_found_and_named(bundle: Bundle) -> None:
    names = [path for path in bundle.path.rglob("*") if path.is_file()]
    assert {path.name for path in names} >= {LAYOUT.manifest, LAYOUT.seal, LAYOUT.card}
    for path in names:
        raw = path.read_bytes()
        for position in {0, len(raw) // 3, len(raw) // 2, len(raw) - 1}:
            for bit in (0, 5):
                damaged = bytearray(raw)
                damaged[position] ^= 1 << bit
                path.write_bytes(bytes(damaged))
                with pytest.raises(DataError) as caught:
                    open_bundle(bundle.path)
                assert path.relative_to(bundle.path).as_posix() in str(caught.value)
        path.write_bytes(raw)
    open_bundle(bundle.path)


def test_every_byte_of_the_manifest_and_its_seal_counts(bundle: Bundle) -> None:
    for name in (LAYOUT.manifest, LAYOUT.seal):
        path = bundle.path / name
        raw = path.read_bytes()
        for position in range(0, len(raw), max(1, len(raw) // 200)):
            damaged = bytearray(raw)
            damaged[position] ^= 0x20
            path.write_bytes(bytes(damaged))
            with pytest.raises(DataError, match=name):
                open_bundle(bundle.path)
        path.write_bytes(raw)


def test_truncated_missing_and_extra_files_are_named(bundle: Bundle, tmp_path: Path) -> None:
    for path in [path for path in bundle.path.rglob("*") if path.is_file()]:
        name = path.relative_to(bundle.path)
        broken = tmp_path / "broken"
        shutil.copytree(bundle.path, broken)
        (broken / name).write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DataError, match=name.name):
            open_bundle(broken)
        (broken / name).unlink()
        with pytest.raises(DataError):
            open_bundle(broken)
        shutil.rmtree(broken)
    (bundle.path / "engines" / "cache.blob").write_bytes(b"x")
    with pytest.raises(DataError, match=r"engines/cache\.blob does not belong"):
        open_bundle(bundle.path)


def test_an_empty_folder_a_link_and_a_pipe_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / "empty").mkdir()
    with pytest.raises(DataError, match="'empty' is empty"):
        open_bundle(bundle.path)
    (bundle.path / "empty").rmdir()
    report = bundle.path / LAYOUT.report
    outside = tmp_path / "outside.json"
    report.rename(outside)
    report.symlink_to(outside)  # the very same bytes
    with pytest.raises(DataError, match=r"report\.json' is neither a file"):
        open_bundle(bundle.path)
    report.unlink()
    os.mkfifo(report)
    with pytest.raises(DataError, match=r"report\.json' is neither a file"):
        open_bundle(bundle.path)


def test_a_linked_folder_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / "engines").rename(tmp_path / "engines")
    (bundle.path / "engines").symlink_to(tmp_path / "engines")
    with pytest.raises(DataError, match="'engines' is neither"):
        open_bundle(bundle.path)


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/../b", "./a", "a//b", "a\\b", "", ".", "a\nb", "manifest.json"],
)
def test_a_name_that_leads_out_is_refused(bundle: Bundle, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    edit_manifest(bundle.path, lambda body: body["files"].update({name: sha256_bytes(b"x")}))
    with pytest.raises(DataError, match="not allowed in a bundle"):
        open_bundle(bundle.path)
    with pytest.raises(DataError, match="not allowed in a bundle"):
        write_bundle(tmp_path / "new", bundle.manifest, files={name: b"x"})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", "thinfer.other", "thinfer.bundle"),
        ("version", 2, "version 1"),
        ("labels", ["a", "b"], "3 different labels"),
        ("labels", ["a", "b", "b"], "3 different labels"),
        ("max_length", 25, "max_length"),
        ("pad_id", 10_000, "pad_id"),
        ("normal_label", "none of them", "normal label"),
        ("content_digest", "0" * 64, "content digest"),
        ("surprise", 1, "surprise"),
        ("engines", [], "exactly one chosen"),
        ("problem_type", "regression", "problem_type"),
    ],
)
def test_a_contradiction_is_refused(bundle: Bundle, key: str, value: object, message: str) -> None:
    edit_manifest(bundle.path, lambda body: body.update({key: value}))
    with pytest.raises(DataError, match=message):
        open_bundle(bundle.path)


def test_swapped_labels_change_the_content_digest(bundle: Bundle) -> None:
    edit_manifest(bundle.path, lambda body: body["labels"].reverse())
    with pytest.raises(DataError, match="content digest"):
        open_bundle(bundle.path)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_manifest_is_refused(bundle: Bundle, raw: bytes) -> None:
    (bundle.path / LAYOUT.manifest).write_bytes(raw)
    (bundle.path / LAYOUT.seal).write_bytes(seal_of(raw))
    with pytest.raises(DataError, match=r"manifest\.json|Manifest"):
        open_bundle(bundle.path)


def test_weights_that_do_not_fit_are_refused_by_name(bundle: Bundle, tmp_path: Path) -> None:
    kept: dict[str, bytes | Path] = {name: bundle.path / name for name in bundle.manifest.files}
    good = random_weights(small_architecture())
    cases = {
        "pooler.weight": {**good, "pooler.weight": good["pooler.weight"][:, :-1]},
        "head.bias": {name: value for name, value in good.items() if name != "head.bias"},
        "extra.weight": {**good, "extra.weight": good["head.bias"]},
    }
    for name, weights in cases.items():
        with pytest.raises(DataError, match=rf"weights\.safetensors does not fit.*'{name}'"):
            write_bundle(
                tmp_path / "new",
                bundle.manifest,
                files={**kept, LAYOUT.weights: encode_weights(weights)},
            )
    with pytest.raises(DataError, match=r"weights\.safetensors cannot be read"):
        write_bundle(
            tmp_path / "new", bundle.manifest, files={**kept, LAYOUT.weights: b"not safetensors"}
        )
    assert not (tmp_path / "new").exists()


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no bundle"):
        open_bundle(tmp_path / "absent")
    with pytest.raises(DataError, match=r"manifest\.json is missing"):
        open_bundle(tmp_path)


def test_a_change_after_opening_is_found_at_reading(bundle: Bundle) -> None:
    path = bundle.path / LAYOUT.tokenizer
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match=r"tokenizer\.json is damaged"):
        bundle.tokenizer_text()


def test_without_verify_only_the_digests_are_skipped(bundle: Bundle) -> None:
    path = bundle.path / LAYOUT.card
    path.write_bytes(b"# cart\n")
    assert open_bundle(bundle.path, verify=False).version == bundle.version
    path.unlink()
    with pytest.raises(DataError, match=r"README\.md is missing"):
        open_bundle(bundle.path, verify=False)


def test_the_manifest_has_the_promised_keys(bundle: Bundle) -> None:
    body = json.loads((bundle.path / LAYOUT.manifest).read_bytes())
    assert list(body) == [
        "kind", "version", "content_digest", "architecture", "labels", "normal_label",
        "problem_type", "operating", "max_length", "truncation", "pad_id", "engines", "recipe",
        "quality", "machine", "libraries", "created", "files",
    ]  # fmt: skip
    assert Manifest.decode((bundle.path / LAYOUT.manifest).read_bytes()) == bundle.manifest
